//! One candidate with a connection of its own, and waiting for what it says.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ccm_election::{Change, Election, ElectionConfig, LeaseStatus, Timing};
use ccm_harness::NatsServer;
use ccm_types::{Epoch, Monotonic, NodeId};
use serde_json::{Value, json};
use tokio::sync::mpsc;

pub(crate) const BUCKET: &str = "convex-test-election";

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

pub(crate) fn config(name: &str, timing: Timing) -> ElectionConfig {
    ElectionConfig {
        bucket: String::from(BUCKET),
        replicas: 1,
        node: node(name),
        instance: nuid::next().to_string(),
        address: String::from("192.0.2.1"),
        timing,
        priority: 100,
        floor: Epoch::NONE,
    }
}

pub(crate) async fn connect(url: &str) -> async_nats::Client {
    let options =
        async_nats::ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50));
    options.connect(url).await.unwrap()
}

/// The record at the key, without any code of the crate.
pub(crate) fn record(nats: &NatsServer) -> Value {
    let key = json!({ "last_by_subj": format!("$KV.{BUCKET}.leader") });
    let got = nats.request(&format!("$JS.API.STREAM.MSG.GET.KV_{BUCKET}"), &key);
    let data = got["message"]["data"].as_str().unwrap_or_else(|| panic!("{got}"));
    serde_json::from_slice(&STANDARD.decode(data).unwrap()).unwrap()
}

pub(crate) struct Contender {
    pub(crate) election: Election,
    pub(crate) instance: String,
    changes: mpsc::Receiver<Change>,
    valid_until: Monotonic,
}

impl Contender {
    pub(crate) async fn start(url: &str, name: &str, timing: Timing) -> Self {
        let config = config(name, timing);
        let instance = config.instance.clone();
        let (election, changes) = Election::start(connect(url).await, config).await.unwrap();
        Self { election, instance, changes, valid_until: Monotonic::default() }
    }

    async fn next(&mut self, what: &str) -> Change {
        let next = tokio::time::timeout(PATIENCE, self.changes.recv()).await;
        let change = next.unwrap_or_else(|_| panic!("waited for {what}")).unwrap();
        self.note(&change);
        change
    }

    fn note(&mut self, change: &Change) {
        if let Change::Won { valid_until, .. } | Change::Renewed { valid_until } = change {
            self.valid_until = *valid_until;
        }
    }

    /// The first change from here on that `pick` takes.
    pub(crate) async fn until<T>(&mut self, what: &str, pick: impl Fn(&Change) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(&self.next(what).await) {
                return found;
            }
        }
    }

    pub(crate) async fn won_somehow(&mut self) -> (Epoch, Monotonic, bool) {
        let pick = |change: &Change| {
            let Change::Won { epoch, valid_until, adopted, released: _ } = change else {
                return None;
            };
            Some((*epoch, *valid_until, *adopted))
        };
        self.until("the lease", pick).await
    }

    pub(crate) async fn won(&mut self) -> (Epoch, Monotonic) {
        let (epoch, valid_until, adopted) = self.won_somehow().await;
        assert!(!adopted);
        (epoch, valid_until)
    }

    /// Renewals until the lease is valid after `moment`; anything else that happens to the
    /// lease is a failure.
    pub(crate) async fn renewed_after(&mut self, moment: Monotonic) {
        loop {
            match self.next("a renewal").await {
                Change::Renewed { valid_until } if valid_until > moment => return,
                Change::Renewed { .. } | Change::Leader(_) => {}
                other @ (Change::Won { .. } | Change::Lost(_) | Change::Released) => {
                    panic!("{other:?} instead of a renewal")
                }
            }
        }
    }

    pub(crate) async fn sees_leader(&mut self) -> NodeId {
        let pick = |change: &Change| {
            let Change::Leader(Some(held)) = change else { return None };
            Some(held.node.clone())
        };
        self.until("a leader", pick).await
    }

    /// Everything that has been said and not yet waited for.
    pub(crate) fn heard(&mut self) -> Vec<Change> {
        let mut heard = Vec::new();
        while let Ok(change) = self.changes.try_recv() {
            self.note(&change);
            heard.push(change);
        }
        heard
    }

    pub(crate) fn status(&self) -> LeaseStatus {
        self.election.status().borrow().clone()
    }

    /// When the lease ends, or ended, as far as was said.
    pub(crate) fn valid_until(&self) -> Monotonic {
        self.valid_until
    }

    /// Ends without a release; returns when the lease that is left behind ends.
    pub(crate) async fn kill(mut self) -> Monotonic {
        let earlier = self.heard();
        let Self { election, mut changes, mut valid_until, .. } = self;
        assert!(!earlier.iter().any(|change| matches!(change, Change::Lost(_))), "{earlier:?}");
        election.stop().await;
        while let Ok(change) = changes.try_recv() {
            if let Change::Renewed { valid_until: renewed } = change {
                valid_until = renewed;
            }
        }
        valid_until
    }
}
