//! What is counted while the daemon lives.

use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ccm_types::{ClusterId, NodeId};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// From a round trip in a rack to a NATS that elects a leader, in seconds.
const ROUND_TRIPS: [f64; 13] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// From a rename to a backend that takes its time, in seconds.
const STEPS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How another node's leadership ended before this node's began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeover {
    /// It gave the lease back.
    Planned,
    /// It fell silent, and its lease ran out.
    Expired,
}

impl Takeover {
    fn name(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Expired => "expired",
        }
    }
}

/// One step of a node on its way up or down; its name is the value of the label `phase`.
pub type Step = &'static str;

/// Where a candidate was refused; the value of the label `stage`.
pub type Stage = &'static str;

/// All of them.
const STAGES: [Stage; 3] = ["election", "promotion", "command"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Phase {
    phase: &'static str,
}

type Histograms = Family<Phase, Histogram, fn() -> Histogram>;

/// Counters and histograms of one daemon; they begin at zero with it.
#[derive(Debug)]
pub struct Counts {
    registry: Registry,
    wal_bytes: Counter,
    renewals: Histogram,
    renew_failures: Counter,
    shipments: Histogram,
    held_back: Counter<f64, AtomicU64>,
    applies: Histogram,
    restored_bytes: Counter,
    restoring: Counter<f64, AtomicU64>,
    steps: Histograms,
    promotions: Histogram,
    failovers: Family<Reason, Counter>,
    losses: Family<Reason, Counter>,
    refusals: Family<Refused, Counter>,
    fenced: Counter,
    backend_restarts: Counter,
    backend_intrusions: Counter,
    vip_conflicts: Counter,
    vip_removed: Counter,
    vip_unannounced: Counter,
}

impl Counts {
    /// Everything at zero.
    #[must_use]
    pub fn new(cluster: &ClusterId, node: &NodeId) -> Self {
        let label = |name, value: &str| (Cow::Borrowed(name), Cow::Owned(String::from(value)));
        let labels = [label("cluster", cluster.as_str()), label("node", node.as_str())];
        let mut counts = Self {
            registry: Registry::with_labels(labels.into_iter()),
            wal_bytes: Counter::default(),
            renewals: Histogram::new(ROUND_TRIPS),
            renew_failures: Counter::default(),
            shipments: Histogram::new(ROUND_TRIPS),
            held_back: Counter::default(),
            applies: Histogram::new(ROUND_TRIPS),
            restored_bytes: Counter::default(),
            restoring: Counter::default(),
            steps: Family::new_with_constructor(|| Histogram::new(STEPS)),
            promotions: Histogram::new(STEPS),
            failovers: Family::default(),
            losses: Family::default(),
            refusals: Family::default(),
            fenced: Counter::default(),
            backend_restarts: Counter::default(),
            backend_intrusions: Counter::default(),
            vip_conflicts: Counter::default(),
            vip_removed: Counter::default(),
            vip_unannounced: Counter::default(),
        };
        for takeover in [Takeover::Planned, Takeover::Expired] {
            counts.failovers.get_or_create(&Reason { reason: takeover.name() }).inc_by(0);
        }
        for reason in ["expired", "superseded"] {
            counts.losses.get_or_create(&Reason { reason }).inc_by(0);
        }
        for stage in STAGES {
            counts.refusals.get_or_create(&Refused { stage }).inc_by(0);
        }
        counts.register_replication();
        counts.register_leadership();
        counts.register_backend();
        counts.register_vip();
        counts
    }

    fn register_replication(&mut self) {
        self.registry.register(
            "convex_cluster_wal_bytes",
            "Bytes of changes and snapshots that this daemon has put into the bucket",
            self.wal_bytes.clone(),
        );
        self.registry.register(
            "ccm_ship_seconds",
            "From the moment that a commit was seen in the WAL until the bucket had it; of every \
             group of commits the oldest one",
            self.shipments.clone(),
        );
        self.registry.register(
            "ccm_commits_held_back_seconds",
            "Time for which nobody could commit, so that commits come no faster than the bucket \
             takes them",
            self.held_back.clone(),
        );
        self.registry.register(
            "ccm_apply_seconds",
            "From the moment that the replica saw a change in the bucket until it had it",
            self.applies.clone(),
        );
        self.registry.register(
            "ccm_restore_bytes",
            "Bytes that were downloaded to begin a new replica",
            self.restored_bytes.clone(),
        );
        self.registry.register(
            "ccm_restore_seconds",
            "Time spent on beginning a new replica: download and writing",
            self.restoring.clone(),
        );
        self.registry.register(
            "ccm_fence_rejections",
            "Writes of this node that the bucket refused because another node has taken over",
            self.fenced.clone(),
        );
    }

    fn register_leadership(&mut self) {
        self.registry.register(
            "ccm_lease_renew_seconds",
            "From the send of a write of the lease to the answer that it is stored",
            self.renewals.clone(),
        );
        self.registry.register(
            "ccm_lease_renew_failures",
            "Writes of the lease that were not stored as far as is known: not sent, not answered, \
             or refused",
            self.renew_failures.clone(),
        );
        self.registry.register(
            "ccm_failovers",
            "Leaderships that this node took over from another one, by how that one's ended",
            self.failovers.clone(),
        );
        self.registry.register(
            "ccm_lease_losses",
            "Leases that this node lost without having given them back",
            self.losses.clone(),
        );
        self.registry.register(
            "ccm_refusals",
            "Leaderships that this node did not take or could not use, by how far it came",
            self.refusals.clone(),
        );
        self.registry.register(
            "ccm_failover_phase_seconds",
            "One step of this node on its way up or down, whether it succeeded or not",
            self.steps.clone(),
        );
        self.registry.register(
            "ccm_promotion_seconds",
            "From a lease that was won to a backend that serves",
            self.promotions.clone(),
        );
    }

    fn register_backend(&mut self) {
        self.registry.register(
            "ccm_backend_restarts",
            "Times that this node has started a backend again that it had served with",
            self.backend_restarts.clone(),
        );
        self.registry.register(
            "ccm_backend_intrusions",
            "Times that something else had started the backend on this node while it did not serve",
            self.backend_intrusions.clone(),
        );
    }

    fn register_vip(&mut self) {
        self.registry.register(
            "ccm_vip_conflicts",
            "Times that another host was seen to claim the virtual IP while it was held here",
            self.vip_conflicts.clone(),
        );
        self.registry.register(
            "ccm_vip_removals",
            "Times that the virtual IP was gone from the interface while it was to be there",
            self.vip_removed.clone(),
        );
        self.registry.register(
            "ccm_vip_announcement_failures",
            "Announcements of the virtual IP that could not be sent",
            self.vip_unannounced.clone(),
        );
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// So many more bytes are in the bucket.
    pub fn shipped_bytes(&self, bytes: u64) {
        self.wal_bytes.inc_by(bytes);
    }

    /// A group of commits is in the bucket, so long after the oldest of them was seen.
    pub fn shipped(&self, took: Duration) {
        self.shipments.observe(took.as_secs_f64());
    }

    /// Commits were held back for so long.
    pub fn held_back(&self, time: Duration) {
        self.held_back.inc_by(time.as_secs_f64());
    }

    /// A write of the lease was stored after so long.
    pub fn renewed(&self, took: Duration) {
        self.renewals.observe(took.as_secs_f64());
    }

    /// So many more writes of the lease were not stored.
    pub fn not_renewed(&self, writes: u64) {
        self.renew_failures.inc_by(writes);
    }

    /// A change was seen in the bucket and is in the replica, so long after.
    pub fn applied(&self, took: Duration) {
        self.applies.observe(took.as_secs_f64());
    }

    /// So many more bytes were downloaded for a new replica, and so much more time was spent.
    pub fn restored(&self, bytes: u64, took: Duration) {
        self.restored_bytes.inc_by(bytes);
        self.restoring.inc_by(took.as_secs_f64());
    }

    /// A leadership was not taken, or could not be used.
    pub fn refused(&self, stage: Stage) {
        self.refusals.get_or_create(&Refused { stage }).inc();
    }

    /// The lease of another node has become this node's.
    pub fn took_over(&self, how: Takeover) {
        self.failovers.get_or_create(&Reason { reason: how.name() }).inc();
    }

    /// The lease was not renewed in time.
    pub fn lease_expired(&self) {
        self.losses.get_or_create(&Reason { reason: "expired" }).inc();
    }

    /// Somebody else has written the lease.
    pub fn lease_superseded(&self) {
        self.losses.get_or_create(&Reason { reason: "superseded" }).inc();
    }

    /// A step has ended after so long.
    pub fn stepped(&self, step: Step, took: Duration) {
        self.steps.get_or_create(&Phase { phase: step }).observe(took.as_secs_f64());
    }

    /// The backend serves, so long after the lease was won.
    pub fn promoted(&self, took: Duration) {
        self.promotions.observe(took.as_secs_f64());
    }

    /// The bucket has refused a write.
    pub fn fenced(&self) {
        self.fenced.inc();
    }

    /// A backend that has served is started again.
    pub fn backend_restarted(&self) {
        self.backend_restarts.inc();
    }

    /// Something else has started the backend on a node that does not serve.
    pub fn backend_intruded(&self) {
        self.backend_intrusions.inc();
    }

    /// Another host claims the virtual IP.
    pub fn vip_conflict(&self) {
        self.vip_conflicts.inc();
    }

    /// The virtual IP was removed by something else.
    pub fn vip_removed(&self) {
        self.vip_removed.inc();
    }

    /// An announcement of the virtual IP was not sent.
    pub fn vip_unannounced(&self) {
        self.vip_unannounced.inc();
    }
}
