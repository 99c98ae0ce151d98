//! What happens to an address that nobody here has asked for.

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::{LinkState, Mac};

/// Events that a slow reader may leave unread before it misses some.
pub(crate) const EVENTS_KEPT: usize = 64;

/// What has happened to the address or its interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VipEvent {
    /// The address is to be held, and is not there: somebody or something has removed it. It is
    /// being put back.
    Lost,
    /// It is there again, and announced.
    Back,
    /// It could not be put back after several tries. It is tried again every few seconds, and at
    /// once when the interface changes.
    NotPutBack {
        /// Why.
        problem: String,
    },
    /// The address is there, although it is not to be held: somebody has added it.
    Unwanted,
    /// The interface has changed.
    Link(LinkState),
    /// The interface has another name, and the address is still on it.
    Renamed {
        /// The name it has now.
        to: String,
    },
    /// Another host claims the address while it is held here. Told once a second at most, and
    /// answered by an announcement.
    Conflict {
        /// The other host.
        mac: Mac,
    },
    /// An announcement could not be sent; the next one is as planned.
    NotAnnounced {
        /// Why.
        problem: String,
    },
    /// Changes are not heard of for the time being, only seen every few seconds.
    Deaf {
        /// Why.
        problem: String,
    },
    /// This reader was too slow, and has missed some events.
    Missed {
        /// How many.
        count: u64,
    },
}

/// Events as they come.
#[derive(Debug)]
pub struct VipEvents(pub(crate) broadcast::Receiver<VipEvent>);

impl VipEvents {
    /// The next one; `None` when the [`Vip`](crate::Vip) is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<VipEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(VipEvent::Missed { count }),
            Err(RecvError::Closed) => None,
        }
    }
}
