//! Seeing what a systemd unit does without being asked to.

use std::sync::Arc;
use std::time::Duration;

use ccm_health::metrics::Counts;
use ccm_role::Event;
use ccm_systemd_backend::{Patience, Unit, UnitState, Verdict, Watch};
use tokio::sync::{mpsc, watch};

use crate::outcome;

/// Between two tries to watch a unit whose bus does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// How long a backend that something else has started may take to end: no client is led to it,
/// and what it writes is nobody's.
const INTRUDER: Patience =
    Patience { grace: Duration::from_secs(1), within: Duration::from_secs(10) };

/// Reports the end of the unit while it serves. The health probe sees the rest.
pub(crate) async fn watch_unit(
    unit: Unit,
    mut serving: watch::Receiver<bool>,
    events: mpsc::Sender<Event>,
) {
    while serving.wait_for(|serving| *serving).await.is_ok() {
        let why = tokio::select! {
            there = is(&mut serving, false) => if there { None } else { return },
            why = ended(&unit) => Some(why),
        };
        if let Some(why) = why {
            // The machine restarts it, which ends this round. The loop has ended when nobody
            // listens.
            events.send(Event::BackendExited { why }).await.ok();
            if !is(&mut serving, false).await {
                return;
            }
        }
    }
}

/// Ends whatever something else starts, or has started, while nothing of the backend may be here:
/// while `off`.
pub(crate) async fn keep_off(unit: Unit, mut off: watch::Receiver<bool>, counts: Arc<Counts>) {
    // A boot's, or of a run whose daemon and guard are gone.
    let mut left = *off.borrow() && unit.state().await.is_ok_and(|now| intruder(&now).is_some());
    while off.wait_for(|off| *off).await.is_ok() {
        let mut asked = off.clone();
        let intruder = tokio::select! {
            // What may be there is for whoever starts the backend.
            there = is(&mut asked, false) => if there { continue } else { return },
            intruder = first(&unit, intruder) => intruder,
        };
        if std::mem::take(&mut left) {
            tracing::warn!(
                unit = unit.name(), found = %intruder,
                "a backend runs that no lease covers: it is ended"
            );
        } else {
            counts.backend_intruded();
            tracing::warn!(
                unit = unit.name(), found = %intruder,
                "something else has started the backend on a node that does not serve: it is \
                 ended; only ccm starts it"
            );
        }
        tokio::select! {
            there = is(&mut asked, false) => if there { continue } else { return },
            ended = unit.end(INTRUDER) => match ended {
                Ok(()) => tracing::info!(unit = unit.name(), "nothing of it is left"),
                Err(error) => {
                    let error = outcome::words(&error);
                    tracing::warn!(%error, "a backend runs on a node that does not serve");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

/// Completes when the channel says so; `false` when it says nothing more, because the daemon ends:
/// the value that it said last stays.
async fn is(channel: &mut watch::Receiver<bool>, wanted: bool) -> bool {
    channel.wait_for(|now| *now == wanted).await.is_ok()
}

/// Completes when the unit has ended by itself, with the reason in words.
async fn ended(unit: &Unit) -> String {
    let mut restarts = None;
    let over = move |state: &UnitState| is_over(state, *restarts.get_or_insert(state.restarts));
    let why = first(unit, over).await;
    format!("{why}{}", unit.last_lines().await)
}

/// Completes when the state of the unit is one that `fits`, with its words.
async fn first(unit: &Unit, mut fits: impl FnMut(&UnitState) -> Option<String>) -> String {
    loop {
        let mut watch = match unit.watch().await {
            Ok(watch) => watch,
            Err(error) => {
                tracing::debug!(error = %outcome::words(&error), "the unit cannot be watched");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        if let Some(words) = first_of(&mut watch, &mut fits).await {
            return words;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// `None` when the watch has lost its connection.
async fn first_of(
    watch: &mut Watch,
    fits: &mut impl FnMut(&UnitState) -> Option<String>,
) -> Option<String> {
    loop {
        if let Some(words) = fits(watch.state()) {
            return Some(words);
        }
        if let Err(error) = watch.changed().await {
            tracing::debug!(error = %outcome::words(&error), "the unit is not watched");
            return None;
        }
    }
}

/// Why a unit that should serve has ended. One that systemd starts again has ended as well:
/// otherwise nobody would count how often it does.
fn is_over(state: &UnitState, restarts_before: u32) -> Option<String> {
    match state.verdict() {
        Verdict::Down | Verdict::Failed | Verdict::Restarting => Some(state.in_words()),
        Verdict::Up | Verdict::Starting | Verdict::Stopping if state.restarts > restarts_before => {
            Some(String::from("it has ended, and systemd has started it again (Restart=)"))
        }
        Verdict::Up | Verdict::Starting | Verdict::Stopping => None,
    }
}

fn intruder(state: &UnitState) -> Option<String> {
    match state.verdict() {
        Verdict::Up | Verdict::Starting | Verdict::Restarting => Some(state.in_words()),
        Verdict::Down | Verdict::Failed | Verdict::Stopping => None,
    }
}

#[cfg(test)]
mod tests {
    use ccm_systemd_backend::Bus;
    use ccm_types::{ClusterId, NodeId};

    use super::*;

    /// Longer than anything takes on a busy machine.
    const WITHIN: Duration = Duration::from_secs(60);

    /// Nobody would ever tell them to stop, and they would ask the bus without a pause.
    #[tokio::test]
    async fn they_end_when_the_daemon_ends_whatever_was_wanted_last() {
        let unit = Unit::new(Bus::Address(String::from("unix:path=/nowhere")), "x");
        let (events, _heard) = mpsc::channel(1);
        let (serving, is_serving) = watch::channel(true);
        let (off, is_off) = watch::channel(true);
        let counts = Counts::new(&ClusterId::new("test").unwrap(), &NodeId::new("me").unwrap());
        let ending = async {
            tokio::task::yield_now().await;
            drop((serving, off));
        };
        let all = async {
            tokio::join!(
                watch_unit(unit.clone(), is_serving, events),
                keep_off(unit.clone(), is_off, Arc::new(counts)),
                ending
            )
        };
        tokio::time::timeout(WITHIN, all).await.unwrap();
    }
}
