//! The ways from the loop to the adapters. Nothing here waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccm_control::{Client, DemoteRequest};
use ccm_election::{Adoption, Election, Timing};
use ccm_guard::Armed;
use ccm_role::{Campaign, Event, Handover, OpId, Outcome};
use ccm_types::{Epoch, Monotonic, NodeId};
use tokio::sync::{Notify, mpsc, watch};

use crate::backend::{self, BackendPort};
use crate::files;
use crate::outcome;
use crate::tasks::Tasks;
use crate::vip::{self, VipPort};
use crate::words;

/// Requests that may wait for a lane: the machine has a few under way at a time.
pub(crate) const LANE_QUEUE: usize = 64;

/// The way to the virtual IP.
#[derive(Debug)]
pub(crate) struct ToVip {
    pub(crate) port: Arc<VipPort>,
    pub(crate) lane: mpsc::Sender<(OpId, vip::Request)>,
    /// The last release: an earlier taking need not go on.
    pub(crate) release_asked: watch::Sender<OpId>,
}

/// The ways to everything that acts.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) node: NodeId,
    pub(crate) instance: String,
    pub(crate) timing: Timing,
    pub(crate) election: Arc<Election>,
    /// The lease that was found at start: its daemon and its deadline.
    pub(crate) found: Option<Armed>,
    pub(crate) port: Arc<BackendPort>,
    /// The last operation that ends the backend: an earlier start need not go on.
    pub(crate) stop_asked: watch::Sender<OpId>,
    /// The last operation that kills it: an earlier stop need not give it more grace.
    pub(crate) kill_asked: watch::Sender<OpId>,
    pub(crate) files: mpsc::Sender<files::Request>,
    /// How many requests the lane of the files was sent.
    pub(crate) files_asked: watch::Sender<u64>,
    pub(crate) backend: mpsc::Sender<(OpId, backend::Request)>,
    /// The way to the virtual IP, if there is one.
    pub(crate) vip: Option<ToVip>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) control: Client,
    /// How long a planned move may take.
    pub(crate) handover_within: Duration,
    /// Says that the record in the state bucket is out of date.
    pub(crate) announce: Arc<Notify>,
    pub(crate) left_marker: PathBuf,
    pub(crate) has_left: bool,
    pub(crate) tasks: Tasks,
}

impl Dispatch {
    pub(crate) fn campaign(&self, campaign: Campaign) {
        self.election.campaign(words::campaign(campaign));
    }

    pub(crate) fn adopt(&self, epoch: Epoch) {
        if let Some(found) = self.found.as_ref().filter(|found| found.epoch == epoch) {
            self.election.adopt(Adoption {
                epoch,
                instance: found.instance.clone(),
                valid_until: found.valid_until,
            });
        }
    }

    pub(crate) fn arm(&self, epoch: Epoch, valid_until: Monotonic) {
        let armed = words::armed(self.timing, epoch, self.instance.clone(), valid_until);
        if let Some(guard) = self.port.guard() {
            guard.arm(Some(armed));
        }
        if let Some(vip) = &self.vip {
            vip.port.hold_until(Some(valid_until));
        }
    }

    pub(crate) fn disarm(&self) {
        if let Some(guard) = self.port.guard() {
            guard.arm(None);
        }
        if let Some(vip) = &self.vip {
            vip.port.hold_until(None);
        }
    }

    /// A lane that is full or gone cannot be relied on: the daemon ends, the guard keeps the
    /// deadline.
    pub(crate) fn to_files(&self, request: files::Request) {
        let sent = self.files.try_send(request);
        self.files_asked.send_modify(|asked| *asked += 1);
        assert!(sent.is_ok(), "the lane of the files does not take requests");
    }

    /// As [`Dispatch::to_files`]; a stop interrupts a start that is under way,
    /// a kill also a stop.
    pub(crate) fn to_backend(&self, op: OpId, request: backend::Request) {
        match request {
            backend::Request::Start => {}
            backend::Request::Stop => {
                self.stop_asked.send_replace(op);
            }
            backend::Request::Kill(_) => {
                self.stop_asked.send_replace(op);
                self.kill_asked.send_replace(op);
            }
        }
        let sent = self.backend.try_send((op, request));
        assert!(sent.is_ok(), "the lane of the backend does not take requests");
    }

    /// As [`Dispatch::to_files`]; a release interrupts a taking that is under way.
    pub(crate) fn to_vip(&self, op: OpId, request: vip::Request) {
        let Some(vip) = &self.vip else {
            let events = self.events.clone();
            let outcome = Outcome::Permanent(String::from("no virtual IP is configured"));
            self.tasks.spawn("no virtual IP", async move {
                // The loop has ended when nobody listens.
                events.send(Event::Done { op, outcome }).await.ok();
            });
            return;
        };
        match request {
            vip::Request::Acquire { .. } => {}
            vip::Request::Release => {
                vip.release_asked.send_replace(op);
            }
        }
        let sent = vip.lane.try_send((op, request));
        assert!(sent.is_ok(), "the lane of the virtual IP does not take requests");
    }

    pub(crate) fn ask_handover(&self, leader: NodeId) {
        let (control, events) = (self.control.clone(), self.events.clone());
        let request = DemoteRequest { successor: Some(self.node.clone()) };
        let within = self.handover_within;
        self.tasks.spawn("ask handover", async move {
            let asked = control.demote(&leader, &request, within).await;
            let answer =
                asked.map_or_else(|error| outcome::of_handover(&error), |()| Handover::Done);
            // The loop has ended when nobody listens.
            events.send(Event::HandoverAnswered { leader, answer }).await.ok();
        });
    }

    pub(crate) fn announced(&self) {
        self.announce.notify_one();
    }

    /// Remembers across restarts that an operator has taken this node out.
    pub(crate) fn left(&mut self, left: bool) {
        if left && !self.has_left {
            self.has_left = true;
            if let Err(error) = std::fs::write(&self.left_marker, b"") {
                tracing::error!(
                    path = %self.left_marker.display(), %error,
                    "could not note that this node has left: it will take part again after a \
                     restart"
                );
            }
        }
    }
}
