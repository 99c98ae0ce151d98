//! The NATS micro service of a node: wire types, server, client.
