//! What a command asks of the daemons.

use std::time::Duration;

use ccm_control::{Client, ControlError, DemoteRequest, SnapshotTaken, Status};
use ccm_types::{NodeId, RoleName};

use crate::cluster::Cluster;
use crate::exit::{Exit, Failure};

/// How long a daemon may take to say how it is.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

impl Cluster {
    fn control(&self) -> Client {
        Client::new(self.client.clone(), self.settings.cluster.clone())
    }

    /// What the daemon of this node knows.
    pub(crate) async fn status(&self) -> Result<Status, ControlError> {
        self.control().status(&self.settings.node, ANSWER_WITHIN).await
    }

    /// Whether the daemon of `node` lives.
    pub(crate) async fn answers(&self, node: &NodeId) -> bool {
        self.control().ping(node, ANSWER_WITHIN).await.is_ok()
    }

    /// Whether `node` is primary and its backend runs; else how far it is, in words.
    pub(crate) async fn serves(&self, node: &NodeId) -> Result<(), String> {
        let status = match self.control().status(node, ANSWER_WITHIN).await {
            Ok(status) => status,
            Err(error) => return Err(error.to_string()),
        };
        match (status.role, status.backend_status.as_str()) {
            (RoleName::Primary, "running") => Ok(()),
            (RoleName::Primary, backend) => Err(match status.problem {
                Some(problem) => format!("its backend is {backend}: {problem}"),
                None => format!("its backend is {backend}"),
            }),
            (RoleName::Passive, _) => Err(String::from("it is not PRIMARY yet")),
        }
    }

    /// Makes `leader` give its leadership away, to `successor` if one is named.
    pub(crate) async fn demote(
        &self,
        leader: &NodeId,
        successor: Option<NodeId>,
        within: Duration,
    ) -> Result<(), Failure> {
        let request = DemoteRequest { successor };
        let takeover = self.settings.timing.takeover_after().as_secs();
        self.control().demote(leader, &request, within).await.map_err(|error| {
            failure(
                &error,
                &format!(
                    "nothing was changed; if it is lost, another node takes over by itself within \
                 about {takeover} s (see `ccm status`)"
                ),
            )
        })
    }

    /// Makes this node the primary.
    pub(crate) async fn promote(&self, within: Duration) -> Result<(), Failure> {
        let hint = "start it (systemctl start convex-cluster-manager), then try again";
        let asked = self.control().promote(&self.settings.node, within).await;
        asked.map_err(|error| failure(&error, hint))
    }

    /// Has the primary take a snapshot.
    pub(crate) async fn snapshot(
        &self,
        primary: &NodeId,
        within: Duration,
    ) -> Result<SnapshotTaken, Failure> {
        let error = match self.control().snapshot(primary, within).await {
            Ok(taken) => return Ok(taken),
            Err(error) => error,
        };
        if matches!(error, ControlError::NoResponder { .. }) && self.answers(primary).await {
            return Err(Failure::again(format!(
                "the daemon of {primary} is of a version that takes no snapshots on demand: \
                 upgrade it"
            )));
        }
        if error.is_ambiguous() {
            return Err(Failure::again(format!(
                "the daemon of {primary} has not answered within {}; the snapshot may go on: see \
                 `ccm ltx list --level 9`",
                crate::progress::took(within)
            )));
        }
        let hint = "nothing was changed; if it is lost, another node takes over by itself (see \
                    `ccm status`)";
        Err(failure(&error, hint))
    }

    /// Takes this node out of the cluster.
    pub(crate) async fn leave(&self, within: Duration) -> Result<(), Failure> {
        let hint = "a daemon that does not run takes no part; to leave for good start it first \
                    and try again";
        let asked = self.control().leave(&self.settings.node, within).await;
        asked.map_err(|error| failure(&error, hint))
    }
}

/// The daemon's words are for the operator; to silence belongs a hint.
fn failure(error: &ControlError, silent: &str) -> Failure {
    match error {
        ControlError::NoResponder { node } => {
            Failure::again(format!("the daemon of {node} does not answer: {silent}"))
        }
        ControlError::TimedOut { node, within } => Failure::again(format!(
            "the daemon of {node} has not finished within {} s; it may go on: see `ccm status`",
            within.as_secs()
        )),
        ControlError::Refused(_) | ControlError::NotConnected => Failure::again(error.to_string()),
        ControlError::Malformed { .. } | ControlError::Offer { .. } => {
            Failure::new(Exit::Internal, anyhow::anyhow!("{error}"))
        }
    }
}
