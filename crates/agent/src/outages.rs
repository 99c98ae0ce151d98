//! Times without a connection to NATS, for the history.

use std::sync::{Arc, Mutex, PoisonError};

use ccm_history::{History, Outage, What};
use jiff::Timestamp;

/// Sees the connection come and go.
#[derive(Debug, Clone)]
pub(crate) struct Outages {
    history: History,
    since: Arc<Mutex<Option<Timestamp>>>,
}

impl Outages {
    pub(crate) fn new(history: History) -> Self {
        Self { history, since: Arc::default() }
    }

    /// There is no connection at this moment.
    pub(crate) fn lost(&self, at: Timestamp) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(at);
    }

    /// There is one: what began before is over, and is told with its beginning.
    pub(crate) fn connected(&self, at: Timestamp) {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(from) = since {
            self.history.record(from, None, &What::NatsOutage(Outage { from, to: at }));
        }
    }
}

#[cfg(test)]
mod tests {
    use ccm_types::{ClusterId, NodeId};

    use super::*;

    #[test]
    fn an_outage_is_told_once_when_it_is_over_with_its_beginning() {
        let (cluster, node) = (ClusterId::new("c").unwrap(), NodeId::new("n").unwrap());
        let history = History::new(cluster, node, "i");
        let outages = Outages::new(history.clone());
        let at = |second| Timestamp::from_second(second).unwrap();
        outages.connected(at(1));
        outages.lost(at(2));
        outages.lost(at(3));
        assert_eq!(history.recent(), []);
        outages.connected(at(5));
        outages.connected(at(6));
        let recent = history.recent();
        assert_eq!((recent.len(), recent[0].at), (1, at(2)));
        assert_eq!(recent[0].details["lastedMs"], 3000);
    }
}
