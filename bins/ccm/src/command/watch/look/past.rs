//! The newest events of the history, as they come.

use std::collections::VecDeque;
use std::time::Duration;

use ccm_history::{Event, Filter, Follow, RECENT_MAX, Reader, Seen, Start};

use crate::cluster::Cluster;

/// How long a look waits for an event: what comes later is there at the next one.
const WAIT: Duration = Duration::from_millis(50);

/// The newest events, and where they come from.
pub(super) struct Past {
    follow: Follow,
    events: VecDeque<Event>,
}

impl Past {
    pub(super) fn of(cluster: &Cluster) -> Self {
        let reader = Reader::new(cluster.client.clone(), &cluster.settings.cluster);
        let follow = reader.follow(Filter::default(), Start::Newest(RECENT_MAX));
        Self { follow, events: VecDeque::new() }
    }

    /// The newest events, the oldest of them first; `Err` says why NATS does not tell more.
    pub(super) async fn events(&mut self) -> Result<Vec<Event>, String> {
        // Far more may have happened while nobody looked: the others come with the next looks.
        for _ in 0..RECENT_MAX {
            match self.follow.next(WAIT).await {
                Ok(Some(Seen { event, .. })) => self.take(event),
                Ok(None) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(self.events.iter().cloned().collect())
    }

    fn take(&mut self, event: Event) {
        let at = self.events.partition_point(|known| known.at <= event.at);
        self.events.insert(at, event);
        if self.events.len() > RECENT_MAX {
            self.events.pop_front();
        }
    }
}
