//! Asking a running backend whether it is well.

use std::num::NonZeroU32;
use std::time::Duration;

use ccm_health::{Probe, Streak, Turn};
use ccm_role::Event;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

/// Failed probes in a row before the backend counts as unhealthy.
const FAILURES_MAX: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

/// Probes while the backend serves and reports what changes.
pub(crate) async fn watch_health(
    probe: Probe,
    every: Duration,
    mut serving: watch::Receiver<bool>,
    events: mpsc::Sender<Event>,
) {
    while serving.wait_for(|serving| *serving).await.is_ok() {
        let mut streak = Streak::new(FAILURES_MAX);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while *serving.borrow() {
            tokio::select! {
                changed = serving.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    continue;
                }
                _ = ticks.tick() => {}
            }
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
