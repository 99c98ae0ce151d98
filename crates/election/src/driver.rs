//! The lease over a NATS KV bucket.
//!
//! One task owns the machine. It never waits for NATS: a request is a future beside the timer,
//! so the end of the lease is told in time while a request hangs.

mod api;
mod bucket;
mod error;
mod orders;
mod run;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use ccm_types::{Epoch, Monotonic, NodeId, Txid};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::error::ElectionError;
use self::orders::Orders;
use self::run::Driver;
use crate::{Adoption, Campaign, Change, Held, Lease, LeaseConfig, Timing, Win};

/// The key of the lease in its bucket.
pub const KEY: &str = "leader";

/// Changes that may wait for the user. A user that lets so many pile up does not act on them
/// and had better not lead: the driver waits, and the lease runs out.
const CHANGES_MAX: usize = 64;

/// The priority that waits no longer than it must.
const PRIORITY_MAX: u32 = 100;

/// What a candidate says of itself.
#[derive(Debug, Clone)]
pub struct ElectionConfig {
    /// The KV bucket; created when it is not there.
    pub bucket: String,
    /// Replicas of a bucket that is created.
    pub replicas: usize,
    /// This node.
    pub node: NodeId,
    /// This daemon; unique per run.
    pub instance: String,
    /// This node's address, for people and peers.
    pub address: String,
    /// The numbers of the lease.
    pub timing: Timing,
    /// 100 waits no longer than it must; every point less waits 10 ms longer, 1 s at most.
    pub priority: u32,
    /// The highest epoch known from elsewhere than the bucket, which may lose data;
    /// [`Epoch::NONE`] when nothing is known.
    pub floor: Epoch,
}

impl ElectionConfig {
    fn lease(&self) -> LeaseConfig {
        let less = PRIORITY_MAX.saturating_sub(self.priority);
        LeaseConfig {
            node: self.node.clone(),
            instance: self.instance.clone(),
            address: self.address.clone(),
            timing: self.timing,
            priority_delay: Duration::from_millis(10) * less,
            floor: self.floor,
        }
    }
}

/// The lease as this node sees it at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseStatus {
    /// The client has a connection.
    pub connected: bool,
    /// Who leads, as last seen.
    pub leader: Option<Held>,
    /// When the leadership of `leader` began, RFC 3339; for people, never compared.
    pub leader_since: Option<String>,
    /// When the lease counts as free here unless a renewal is seen before; `None` when it is held
    /// here or nothing was seen.
    pub free_at: Option<Monotonic>,
    /// When the lease held here ends unless renewed; `None` when it is not held here.
    pub valid_until: Option<Monotonic>,
    /// From the send of the last stored write to its answer.
    pub last_renewal_latency: Option<Duration>,
    /// Writes that were not stored as far as is known, since the start: not sent, not answered, or
    /// refused.
    pub failed_writes: u64,
    /// How the last lease was won here, of those that were not adopted. Known before
    /// [`Change::Won`] is told.
    pub last_win: Option<Win>,
    /// A node that campaigns would take the lease now.
    pub free: bool,
}

/// A candidate at work.
///
/// Dropping it ends its task; the lease is never touched by that.
#[derive(Debug)]
pub struct Election {
    orders: Arc<Orders>,
    status: watch::Receiver<LeaseStatus>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Election {
    /// Opens the bucket, creates it if it is not there, and begins to watch the lease.
    ///
    /// Campaigns only once [`Election::campaign`] says so.
    ///
    /// # Errors
    /// [`ElectionError`]; the caller retries those that are transient.
    pub async fn start(
        client: async_nats::Client,
        config: ElectionConfig,
    ) -> Result<(Self, mpsc::Receiver<Change>), ElectionError> {
        config.timing.check().map_err(|e| ElectionError::Timing(Box::new(e)))?;
        let api = api::Api { client, timeout: bucket::OPEN_TIMEOUT };
        let bucket = bucket::Bucket::open(api, &config).await?;
        let hints = bucket.hints().await?;
        let orders = Arc::new(Orders::default());
        let (to_user, changes) = mpsc::channel(CHANGES_MAX);
        let (shown, status) = watch::channel(LeaseStatus::default());
        let cancel = CancellationToken::new();
        let lease = Lease::new(config.lease());
        let driver = Driver::new(bucket, lease, Arc::clone(&orders), hints, to_user, shown);
        let tasks = TaskTracker::new();
        tasks.spawn(driver.run(cancel.clone()));
        tasks.close();
        Ok((Self { orders, status, cancel, tasks }, changes))
    }

    /// Whether to take the lease when it is free; off at first.
    pub fn campaign(&self, campaign: Campaign) {
        self.orders.campaign(campaign);
    }

    /// Gives the lease back with its final position; [`Change::Released`] says when that is
    /// done. `successor` alone may take it at once, anybody when `None`.
    pub fn release(&self, txid: Txid, successor: Option<NodeId>) {
        self.orders.release(txid, successor);
    }

    /// Carries on with the lease that an earlier daemon of this node left:
    /// [`Change::Won`] with `adopted`, or [`Change::Lost`].
    pub fn adopt(&self, adoption: Adoption) {
        self.orders.adopt(adoption);
    }

    /// The lease as this node sees it; follows every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<LeaseStatus> {
        self.status.clone()
    }

    /// Ends the task without touching the lease, which runs out unless it was released.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
