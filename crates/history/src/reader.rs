//! Reading what there is.

use std::time::Duration;

use async_nats::Client;
use ccm_types::{ClusterId, NodeId};
use jiff::Timestamp;
use tokio::time::timeout;

use crate::stream::Stream;
use crate::{Event, Follow, HistoryError, Kind, Start};

/// Reading may take so long in all.
const READ_WITHIN: Duration = Duration::from_secs(20);

/// Which events are meant; everything by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this node.
    pub node: Option<NodeId>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// That happened at this moment or later, by the clocks of the nodes.
    pub since: Option<Timestamp>,
}

impl Filter {
    /// Whether an event is meant.
    #[must_use]
    pub fn meets(&self, event: &Event) -> bool {
        self.node.as_ref().is_none_or(|node| *node == event.node)
            && self.kind.is_none_or(|kind| kind == event.kind)
            && self.since.is_none_or(|since| event.at >= since)
    }

    /// The subjects of the events that are meant.
    pub(crate) fn subject(&self, cluster: &str) -> String {
        let any = || String::from("*");
        let node = self.node.as_ref().map_or_else(any, NodeId::to_token);
        let kind = self.kind.map_or("*", Kind::as_str);
        format!("{cluster}.{node}.{kind}")
    }

    /// Whether every event of the stream is meant.
    pub(crate) fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// An event as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// By which it is known again; unique per event.
    pub id: String,
    /// The event.
    pub event: Event,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// In the order in which it happened.
    pub events: Vec<Event>,
    /// What was found beside them and is no event.
    pub ignored: u64,
}

/// Reads the history of a cluster; makes nothing.
#[derive(Debug, Clone)]
pub struct Reader {
    stream: Stream,
}

impl Reader {
    /// Of this cluster.
    #[must_use]
    pub fn new(client: Client, cluster: &ClusterId) -> Self {
        Self { stream: Stream::at(client, cluster) }
    }

    /// The name of the stream.
    #[must_use]
    pub fn stream(&self) -> &str {
        self.stream.name()
    }

    /// The newest `limit` events that are meant. Nothing when there is no stream yet.
    ///
    /// # Errors
    /// [`HistoryError`] when NATS does not tell.
    pub async fn newest(&self, filter: &Filter, limit: usize) -> Result<Listed, HistoryError> {
        let mut follow = self.follow(filter.clone(), Start::Newest(limit));
        let read = timeout(READ_WITHIN, follow.read_before()).await;
        read.unwrap_or_else(|elapsed| Err(self.stream.unavailable(elapsed.into())))?;
        let ignored = follow.ignored();
        let events = follow.into_before().into_iter().map(|seen| seen.event).collect();
        Ok(Listed { events, ignored })
    }

    /// What is there, and what comes.
    #[must_use]
    pub fn follow(&self, filter: Filter, from: Start) -> Follow {
        Follow::new(self.stream.clone(), filter, from)
    }
}
