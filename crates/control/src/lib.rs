//! What the daemons and the command line say to each other: a NATS micro service per node.
//!
//! The service is named `convex-{cluster}-{node}`; its endpoints live under
//! `convex.{cluster}.svc.{node}.` (the node as one token): `status`, `ping`, `control.demote`,
//! `control.promote`, `control.leave`, `control.snapshot`. Every payload is one JSON object.
//! Standard tools find the service with `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS` (NATS ADR-32).
//! What a node refuses is an error for them, too: the headers `Nats-Service-Error` (words) and
//! `Nats-Service-Error-Code` (400 makes no sense, 409 not carried out, 503 the daemon is ending).
//!
//! - [`Service`] offers it; requests come out of a channel with the way to answer them.
//! - [`Client`] asks, with a deadline for every question.

mod error;
mod words;

mod micro;

mod client;
mod service;

pub use client::Client;
pub use error::ControlError;
pub use service::{Request, Service};
pub use words::{
    Answer, DemoteRequest, DivergedFile, DivergedStatus, NatsStatus, NodeStatus, Pong,
    SnapshotAnswer, SnapshotRequest, SnapshotTaken, Status, VipStatus,
};

use ccm_types::{ClusterId, NodeId};

/// The subject of one endpoint of one node.
fn subject(cluster: &ClusterId, node: &NodeId, endpoint: &str) -> String {
    format!("convex.{cluster}.svc.{}.{endpoint}", node.to_token())
}
