//! Leaderships that begin and end, and what it takes to keep one.

use std::sync::Arc;

use ccm_election::{Change, Held, LeaseStatus, LossReason};
use ccm_health::metrics::{Counts, Takeover};
use ccm_types::NodeId;
use tokio::sync::watch;

/// Sees every change of the lease.
#[derive(Debug)]
pub(crate) struct Leaderships {
    counts: Arc<Counts>,
    node: NodeId,
    /// The last leadership of another node.
    other: Option<Held>,
}

impl Leaderships {
    pub(crate) fn new(counts: Arc<Counts>, node: NodeId) -> Self {
        Self { counts, node, other: None }
    }

    pub(crate) fn note(&mut self, change: &Change) {
        match change {
            Change::Leader(Some(held)) if held.node != self.node => {
                self.other = Some(held.clone());
            }
            Change::Won { epoch, adopted: false, valid_until: _, released: _ } => {
                let last = self.other.take();
                // A leadership in between was this node's own.
                let next = |held: &Held| held.epoch.get().checked_add(1) == Some(epoch.get());
                if let Some(last) = last.filter(next) {
                    let planned = last.released;
                    let how = if planned { Takeover::Planned } else { Takeover::Expired };
                    self.counts.took_over(how);
                }
            }
            Change::Lost(LossReason::Expired) => self.counts.lease_expired(),
            Change::Lost(LossReason::Superseded) => self.counts.lease_superseded(),
            Change::Leader(_)
            | Change::Won { adopted: true, .. }
            | Change::Renewed { .. }
            | Change::Released => {}
        }
    }
}

/// Every write of the lease that was stored moves its end; those that were not are counted.
pub(crate) async fn watch_renewals(mut lease: watch::Receiver<LeaseStatus>, counts: Arc<Counts>) {
    let (mut last, mut failed) = {
        let status = lease.borrow_and_update();
        (status.valid_until, status.failed_writes)
    };
    while lease.changed().await.is_ok() {
        let (valid_until, took, failures) = {
            let status = lease.borrow_and_update();
            (status.valid_until, status.last_renewal_latency, status.failed_writes)
        };
        counts.not_renewed(failures.saturating_sub(std::mem::replace(&mut failed, failures)));
        if let (Some(_), Some(took)) = (valid_until.filter(|at| Some(*at) > last), took) {
            counts.renewed(took);
        }
        last = valid_until.or(last);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ccm_types::{ClusterId, Epoch, Monotonic};

    use super::*;
    use crate::metrics::steps::tests::values;

    fn counts() -> Arc<Counts> {
        let cluster = ClusterId::new("test").unwrap();
        Arc::new(Counts::new(&cluster, &NodeId::new("me").unwrap()))
    }

    fn leader(node: &str, epoch: u64, released: bool) -> Change {
        let node = NodeId::new(node).unwrap();
        let epoch = Epoch::new(epoch);
        Change::Leader(Some(Held { node, epoch, address: String::new(), released, txid: None }))
    }

    fn won(epoch: u64, adopted: bool) -> Change {
        let (epoch, valid_until) = (Epoch::new(epoch), Monotonic::default());
        Change::Won { epoch, valid_until, adopted, released: None }
    }

    #[test]
    fn a_takeover_from_another_node_is_counted_by_how_that_one_ended() {
        let table: [(&[Change], [u64; 2]); 7] = [
            (&[won(1, false), leader("me", 1, false)], [0, 0]),
            (&[leader("you", 1, false), won(2, false)], [0, 1]),
            (&[leader("you", 1, false), leader("you", 1, true), won(2, false)], [1, 0]),
            (&[leader("you", 1, true), leader("me", 2, false), won(2, false)], [1, 0]),
            (
                &[leader("you", 1, false), won(2, false), leader("me", 2, true), won(3, false)],
                [0, 1],
            ),
            (&[leader("you", 1, false), leader("me", 4, false), won(5, false)], [0, 0]),
            (&[leader("you", 1, false), won(2, true)], [0, 0]),
        ];
        for (changes, expected) in table {
            let counts = counts();
            let mut leaderships = Leaderships::new(Arc::clone(&counts), NodeId::new("me").unwrap());
            changes.iter().for_each(|change| leaderships.note(change));
            let counted = ["planned", "expired"].map(|reason| {
                values(&counts, "ccm_failovers_total", &format!("reason=\"{reason}\""))
            });
            assert_eq!(counted.concat(), expected.map(|n| n.to_string()), "{changes:?}");
        }
    }

    #[tokio::test]
    async fn a_renewal_is_counted_when_it_moves_the_end_of_the_lease() {
        let counts = counts();
        let (lease, seen) = watch::channel(LeaseStatus::default());
        let at = |millis, took| LeaseStatus {
            valid_until: Some(Monotonic::from_millis(millis)),
            last_renewal_latency: Some(Duration::from_millis(took)),
            ..LeaseStatus::default()
        };
        let failed = LeaseStatus { connected: true, failed_writes: 2, ..at(10, 4) };
        let steps = [at(10, 4), failed, at(20, 4)];
        let renewing = async move {
            for step in steps.into_iter().chain([LeaseStatus::default(), at(30, 400)]) {
                lease.send_replace(step);
                tokio::task::yield_now().await;
            }
            drop(lease);
        };
        // It looks at what there is before anything is renewed.
        tokio::join!(biased; watch_renewals(seen, Arc::clone(&counts)), renewing);
        assert_eq!(values(&counts, "ccm_lease_renew_seconds_count", ""), ["3"]);
        assert_eq!(values(&counts, "ccm_lease_renew_failures_total", ""), ["2"]);
        assert_eq!(values(&counts, "ccm_lease_renew_seconds_bucket", "le=\"0.005\""), ["2"]);
    }
}
