//! Asking a running backend whether it is well.

use std::num::NonZeroU32;
use std::time::Duration;

use ccm_health::{Probe, Streak, Turn};
use ccm_role::Event;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

/// Failed probes in a row before the backend counts as unhealthy.
const FAILURES_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

/// How the backend is asked.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// Nothing is asked without one.
    pub(crate) probe: Option<Probe>,
    pub(crate) every: Duration,
}

/// Probes while the backend serves and reports what changes.
pub(crate) async fn watch_health(
    mut watched: watch::Receiver<Watched>,
    mut serving: watch::Receiver<bool>,
    events: mpsc::Sender<Event>,
) {
    while serving.wait_for(|serving| *serving).await.is_ok() {
        let Watched { probe, every } = watched.borrow_and_update().clone();
        let mut streak = Streak::new(FAILURES_MAX);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if probe.is_none() {
            // What was found by a probe that is not configured any more does not count. The loop
            // has ended when nobody listens.
            events.send(Event::BackendHealthy).await.ok();
        }
        while *serving.borrow() {
            tokio::select! {
                changed = serving.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                Ok(()) = watched.changed() => break,
                _ = ticks.tick() => {}
            }
            let Some(probe) = &probe else { continue };
            let verdict = probe.check().await;
            if !*serving.borrow() {
                break;
            }
            let event = match streak.note(&verdict) {
                Some(Turn::Down { why }) => Event::BackendUnhealthy { why },
                Some(Turn::Up) => Event::BackendHealthy,
                None => continue,
            };
            // The loop has ended when nobody listens.
            events.send(event).await.ok();
        }
    }
}
