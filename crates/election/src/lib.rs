//! A lease with epochs over NATS KV: pure rules and their driver.
