//! The lane of the backend: start, stop and kill, one at a time, behind one port.
//!
//! A stop or a kill interrupts a start that is waiting for the first healthy answer, and a kill
//! interrupts a stop that gives the backend its grace. Arming the
//! guard has a way of its own, so that a renewal never waits behind a slow stop.

mod attend;
mod guard_link;
mod health;
mod port;
mod restarts;
mod standing;
mod unit_watch;

use std::sync::Arc;

use ccm_role::{Event, OpId, Outcome};
use ccm_types::Monotonic;
use tokio::sync::{mpsc, watch};

pub(crate) use attend::{admit, attend};
pub(crate) use guard_link::{GuardLink, GuardProgram, meet};
pub(crate) use health::Watched;
pub(crate) use port::{BackendPort, Measured, Runner};
pub(crate) use restarts::Restarts;

/// What the lane is asked to do.
#[derive(Debug)]
pub(crate) enum Request {
    /// Start and wait for the first healthy answer.
    Start,
    /// Stop with the configured grace.
    Stop,
    /// Stop so that nothing is left at this moment.
    Kill(Monotonic),
}

/// The lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) port: Arc<BackendPort>,
    pub(crate) events: mpsc::Sender<Event>,
    /// The last operation that ends the backend; interrupts an earlier start.
    pub(crate) stop_asked: watch::Receiver<OpId>,
    /// The last kill; interrupts an earlier stop.
    pub(crate) kill_asked: watch::Receiver<OpId>,
    /// Whether the backend has been started and not been told to stop: its end is news then.
    pub(crate) serving: watch::Sender<bool>,
    /// Whether it was seen gone and has not been started since: its presence is news then.
    pub(crate) off: watch::Sender<bool>,
}

impl Lane {
    /// Serves requests in order until the queue is closed.
    pub(crate) async fn run(self, mut requests: mpsc::Receiver<(OpId, Request)>) {
        while let Some((op, request)) = requests.recv().await {
            let outcome = match request {
                Request::Start => {
                    self.off.send_replace(false);
                    self.start(op).await
                }
                Request::Stop => {
                    self.serving.send_replace(false);
                    self.gone(self.stop(op).await)
                }
                Request::Kill(gone_by) => {
                    self.serving.send_replace(false);
                    self.gone(self.port.kill(gone_by).await)
                }
            };
            // The loop has ended when nobody listens.
            self.events.send(Event::Done { op, outcome }).await.ok();
        }
    }

    fn gone(&self, outcome: Outcome) -> Outcome {
        if outcome == Outcome::Ok {
            self.off.send_replace(true);
        }
        outcome
    }

    async fn start(&self, op: OpId) -> Outcome {
        let mut stop_asked = self.stop_asked.clone();
        let outcome = tokio::select! {
            biased;
            _ = stop_asked.wait_for(|stop| *stop > op) => {
                Outcome::Transient(String::from("the start was interrupted"))
            }
            outcome = self.port.start() => outcome,
        };
        if outcome == Outcome::Ok {
            self.serving.send_replace(true);
        }
        outcome
    }

    async fn stop(&self, op: OpId) -> Outcome {
        let mut kill_asked = self.kill_asked.clone();
        tokio::select! {
            biased;
            _ = kill_asked.wait_for(|kill| *kill > op) => {
                Outcome::Transient(String::from("a kill has taken the place of the stop"))
            }
            outcome = self.port.stop() => outcome,
        }
    }
}
