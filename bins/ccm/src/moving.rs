//! Waiting for a planned move of the leadership, and telling how it goes.

use std::time::{Duration, Instant};

use ccm_types::{Epoch, NodeId};

use crate::cluster::Cluster;
use crate::exit::Failure;
use crate::progress::Waiting;

/// Between two looks at the cluster.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What a move may take beyond the stop and the start of a backend and a lease that runs out.
const SPARE: Duration = Duration::from_secs(30);

/// A node that serves.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    pub(crate) node: NodeId,
    pub(crate) epoch: Epoch,
}

/// A move under way.
#[derive(Debug)]
pub(crate) struct Moving<'a> {
    cluster: &'a Cluster,
    waiting: Waiting,
    started: Instant,
}

impl<'a> Moving<'a> {
    /// Begins; `quiet` prints nothing.
    pub(crate) fn new(cluster: &'a Cluster, quiet: bool) -> Self {
        Self { cluster, waiting: Waiting::new(quiet), started: Instant::now() }
    }

    /// How long a move may take: the old backend stops, or the lease runs out, and the new
    /// backend starts.
    pub(crate) fn within(cluster: &Cluster) -> Duration {
        let settings = &cluster.settings;
        settings.backend.stop_timeout
            + settings.timing.takeover_after()
            + settings.backend.start_timeout
            + SPARE
    }

    /// Tells what happens.
    pub(crate) fn say(&mut self, what: &str) -> std::io::Result<()> {
        self.waiting.say(what)
    }

    /// Waits for `work` and shows that time passes.
    pub(crate) async fn patiently<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> std::io::Result<T> {
        let mut work = std::pin::pin!(work);
        let mut turns = tokio::time::interval(LOOK_EVERY);
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = turns.tick() => self.waiting.turn(self.started.elapsed())?,
            }
        };
        self.waiting.clear()?;
        Ok(ended)
    }

    /// Waits until a node serves under an epoch later than `after`; when `to` is given, it must be
    /// that node.
    pub(crate) async fn until_served(
        &mut self,
        after: Epoch,
        to: Option<&NodeId>,
    ) -> Result<Serving, Failure> {
        let within = Self::within(self.cluster);
        let mut last = String::from("no node has taken the lease");
        while self.started.elapsed() < within {
            match self.look(after, to).await? {
                Ok(serving) => {
                    self.waiting.clear()?;
                    return Ok(serving);
                }
                Err(state) => last = state,
            }
            self.say(&last)?;
            self.waiting.turn(self.started.elapsed())?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.waiting.clear()?;
        let seconds = within.as_secs();
        Err(Failure::again(format!(
            "no node serves after {seconds} s: {last}; see `ccm status` on each node"
        )))
    }

    /// One look: a node that serves, or how far it is. Fails when another node than `to` leads.
    async fn look(
        &mut self,
        after: Epoch,
        to: Option<&NodeId>,
    ) -> Result<Result<Serving, String>, Failure> {
        let wanted = to.map_or_else(|| String::from("a node"), ToString::to_string);
        let lease = match self.cluster.lease().await {
            Ok(lease) => lease,
            // NATS may answer the next time.
            Err(failure) => return Ok(Err(format!("{:#}", failure.error))),
        };
        let held = lease.filter(|lease| lease.epoch() > after);
        let Some((node, epoch)) =
            held.and_then(|lease| Some((lease.leader()?.clone(), lease.epoch())))
        else {
            return Ok(Err(format!("waiting for {wanted} to take the lease")));
        };
        if let Some(to) = to.filter(|to| **to != node) {
            return Err(Failure::again(format!(
                "{node} has taken over instead of {to}: see `ccm status` on {to} for the reason, \
                 then try again"
            )));
        }
        Ok(match self.cluster.serves(&node).await {
            Ok(()) => Ok(Serving { node, epoch }),
            Err(state) => Err(format!("{node} leads (epoch {epoch}), {state}")),
        })
    }
}
