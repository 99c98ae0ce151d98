//! Waiting for a moment in a way that suspend cannot fool.
//!
//! A runtime's sleep counts `CLOCK_MONOTONIC`, which stands still while the host is suspended:
//! after an hour's sleep it would still wait for the rest. So it is slept in slices, with a look
//! at `CLOCK_BOOTTIME` after each: on wake a passed deadline is noticed within one slice. A timerfd
//! would spare the looks, but the runtime can wait for one only through `unsafe`; twenty looks a
//! second cost nothing that can be measured.

use std::time::Duration;

use ccm_types::{BootClock, Monotonic};

/// How late a deadline may be noticed after a suspend; part of the margin of the lease.
const SLICE: Duration = Duration::from_millis(50);

/// Waits until `at`, for ever when there is none. Cancel safe.
pub(crate) async fn due(at: Option<Monotonic>) {
    let Some(at) = at else { return std::future::pending().await };
    loop {
        let now = BootClock.now();
        if at <= now {
            return;
        }
        tokio::time::sleep(at.since(now).min(SLICE)).await;
    }
}
