//! The endpoints of a node: who it is, how it is, and what it has measured.
//!
//! A [`Node`] is asked anew for every request. [`Listener`] takes an address, [`Listener::serve`]
//! answers there; both leave it to the caller what a port that is in use means.

mod answer;
mod feed;
mod holder;
mod lag;
mod listener;
mod route;

pub use answer::Answer;
pub use feed::{Feed, WATCHERS_MAX, Watching};
pub use holder::{Holder, who_listens};
pub use lag::{LagError, parse_lag};
pub use listener::{ListenError, Listener};
pub use route::Offer;

use std::time::Duration;

use serde_json::Value;

/// What the endpoints tell of; each is measured when it is asked for.
pub trait Node: Send + Sync + 'static {
    /// Whether the backend of this node serves; `Err` says why not, in words.
    fn serves(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Whether this node holds the lease at this moment.
    ///
    /// # Errors
    /// Why not, in words.
    fn leads(&self) -> Result<(), String>;

    /// How far this node's replica is behind.
    ///
    /// # Errors
    /// Why that is not known, in words.
    fn follows(&self) -> Result<Duration, String>;

    /// The body of `/status`; `Err` has a body for a node that does not know the cluster.
    fn status(&self) -> impl Future<Output = Result<Value, Value>> + Send;

    /// The body of `/services`; `Err` says why they are not known, in words.
    fn services(&self) -> impl Future<Output = Result<Value, String>> + Send;

    /// What was counted and measured, as OpenMetrics text.
    fn metrics(&self) -> impl Future<Output = String> + Send;

    /// The page for people.
    fn page(&self) -> Page;

    /// Somebody begins to watch what the page shows; `None` when as many watch as may.
    fn watch(&self) -> Option<Watching>;
}

/// The page for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The whole of it.
    pub html: &'static str,
    /// Its `Content-Security-Policy`: what it may do in a browser.
    pub policy: &'static str,
}
