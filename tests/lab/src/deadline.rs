//! Waiting for a condition, with a deadline and words for what did not come.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Looks until `look` gives a value.
///
/// # Errors
/// With `what` when `within` has passed.
pub fn wait_for<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = look() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {within:?} for {what}");
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}
