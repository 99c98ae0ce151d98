//! Node records in NATS KV: typed keys, expiry, watch.
