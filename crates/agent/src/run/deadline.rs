//! The deadline of a backend that was found running, until the machine keeps it.

use std::sync::Arc;
use std::time::Duration;

use ccm_guard::Armed;
use ccm_types::{BootClock, Monotonic};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::release_vip;
use crate::backend::BackendPort;
use crate::tasks::Tasks;
use crate::vip::VipPort;

/// A sleep does not count suspend, so it is a short one.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Ends backend and virtual IP when the lease that was found runs out before NATS is reached, as
/// the guard does: it may be gone by then, and one that takes its place knows no deadline. What
/// comes after that is `off`. Over when the result is dropped.
pub(super) fn keep(
    found: Option<&Armed>,
    port: &Arc<BackendPort>,
    vip: Option<&Arc<VipPort>>,
    off: &watch::Sender<bool>,
    tasks: &Tasks,
) -> DropGuard {
    let over = CancellationToken::new();
    if let Some(armed) = found.cloned() {
        let (port, vip, off) = (Arc::clone(port), vip.cloned(), off.clone());
        let until = over.clone();
        let falling = async move {
            due(armed.valid_until).await;
            tracing::warn!(
                epoch = %armed.epoch,
                "the lease ran out before NATS was reached: the backend is ended"
            );
            let (outcome, ()) = tokio::join!(port.kill(armed.gone_by), release_vip(vip.as_deref()));
            tracing::info!(?outcome, "what no lease covers any more is ended");
            off.send_replace(true);
        };
        tasks.spawn("found deadline", async move {
            until.run_until_cancelled(falling).await;
        });
    }
    over.drop_guard()
}

async fn due(at: Monotonic) {
    loop {
        let left = at.since(BootClock.now());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(LOOK_EVERY)).await;
    }
}
