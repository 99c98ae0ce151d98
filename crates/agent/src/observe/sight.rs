//! Single looks, for those who do not want everything.

use std::time::Duration;

use async_nats::connection::State;
use ccm_health::metrics::Lease;
use ccm_role::Phase;
use ccm_types::{BootClock, RoleName, Txid};
use ccm_wal_ltx::follow::FollowPhase;

use super::{Observer, full};
use crate::files::View;
use crate::supervisor::Seen;

impl Observer {
    /// The phase.
    pub(crate) fn phase(&self) -> Phase {
        self.status.borrow().phase
    }

    /// How long the lease of this node is valid; `None` when it does not hold one.
    pub(crate) fn lease_remaining(&self) -> Option<Duration> {
        let held = self.status.borrow().epoch.is_some();
        let valid_until = self.lease.borrow().valid_until.filter(|_| held);
        valid_until.map(|at| at.since(BootClock.now())).filter(|left| !left.is_zero())
    }

    /// The lease.
    pub(crate) fn lease(&self) -> Lease {
        let status = self.status.borrow().clone();
        let seen = status.leader.map(|leader| leader.epoch);
        Lease { remaining: self.lease_remaining(), epoch: status.epoch.or(seen) }
    }

    /// Who this node is in the cluster, in words.
    pub(crate) fn place(&self) -> String {
        let status = self.status.borrow().clone();
        let node = &self.settings.node;
        match (status.phase, status.leader) {
            (Phase::Starting, _) => String::from("the daemon is starting"),
            (Phase::Promoting, _) => format!("{node} is being promoted"),
            (Phase::Primary, _) => format!("{node} is the primary"),
            (Phase::Demoting, _) => format!("{node} is being demoted"),
            (Phase::Falling, _) => format!("{node} has lost the lease"),
            (Phase::Left, _) => format!("{node} was taken out of the cluster"),
            (Phase::Stopped, _) => String::from("the daemon ends"),
            (Phase::Passive, Some(leader)) => {
                format!("{node} is passive, {} leads", leader.node)
            }
            (Phase::Passive, None) => format!("{node} is passive, nobody leads"),
        }
    }

    /// What the service manager is told.
    pub(crate) async fn seen(&self) -> Seen {
        let role = self.status.borrow().clone();
        let (_, vip) = self.vip(&role).await;
        let full = full(&self.diverged().await);
        let problem = self.problem(&role, vip, &self.replication(), full);
        let lag = match role.phase {
            Phase::Passive => self.follows(),
            Phase::Primary => match self.captured() {
                Some((_, lag, _)) => Ok(lag),
                None => Err(String::from("but nothing is replicated")),
            },
            Phase::Starting
            | Phase::Promoting
            | Phase::Demoting
            | Phase::Falling
            | Phase::Left
            | Phase::Stopped => Ok(Duration::ZERO),
        };
        // A lease that this node has lost is not a leader.
        let leader = role.leader.filter(|leader| leader.node != self.settings.node);
        Seen { phase: role.phase, epoch: role.epoch, leader, lag, problem }
    }

    /// How far the replica is behind; `Err` says why that is not known.
    pub(crate) fn follows(&self) -> Result<Duration, String> {
        let status = self.status.borrow().clone();
        if status.role != RoleName::Passive || status.phase != Phase::Passive {
            return Err(format!("this is no replica: {}", self.place()));
        }
        if self.client.connection_state() != State::Connected {
            return Err(String::from("NATS is not reachable: how far it is behind is not known"));
        }
        let view = self.view.borrow().clone();
        let View::Following(progress) = view else {
            return Err(String::from("nothing is followed"));
        };
        let progress = progress.borrow().clone();
        if let Some(problem) = progress.problem {
            return Err(problem);
        }
        match (progress.phase, progress.position) {
            (FollowPhase::Following, Some(_)) => Ok(progress.lag),
            (FollowPhase::Following | FollowPhase::Idle, _) => {
                Err(String::from("there is no replica yet"))
            }
            (FollowPhase::Waiting, _) => Err(String::from(
                "the data file of this node may be the newest: nothing is followed",
            )),
            (FollowPhase::Rebuilding { done_bytes, total_bytes }, _) => {
                Err(format!("the replica is being rebuilt: {done_bytes} of {total_bytes} bytes"))
            }
        }
    }

    /// The last transaction in the replica.
    pub(crate) fn followed(&self) -> Option<Txid> {
        match &*self.view.borrow() {
            View::Following(progress) => progress.borrow().position.map(|at| at.txid),
            View::Idle | View::Capturing(_) => None,
        }
    }

    /// The last transaction that the bucket has, the age of the oldest commit that it lacks, and
    /// the bytes that it lacks.
    pub(crate) fn captured(&self) -> Option<(Txid, Duration, u64)> {
        match &*self.view.borrow() {
            View::Capturing(capturing) => {
                let progress = capturing.progress.borrow();
                let now = BootClock.now();
                let age = progress.oldest_unshipped.map_or(Duration::ZERO, |at| now.since(at));
                Some((progress.txid, age, progress.unshipped_bytes))
            }
            View::Idle | View::Following(_) => None,
        }
    }

    /// Whether the status names a problem.
    pub(crate) async fn has_problem(&self) -> bool {
        let role = self.status.borrow().clone();
        let (_, vip) = self.vip(&role).await;
        let full = full(&self.diverged().await);
        self.problem(&role, vip, &self.replication(), full).is_some()
    }
}
