//! Node records in NATS KV.
