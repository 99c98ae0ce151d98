//! How long a store that does not answer is asked again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::RestoreError;
use crate::store::StoreError;

/// The first pause after a failure; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Attempts until nothing has come for too long.
#[derive(Debug)]
pub(crate) struct Patience {
    stall: Duration,
    progressed: Instant,
    pause: Duration,
}

impl Patience {
    /// Gives up when nothing has come for `stall`.
    pub(crate) fn new(stall: Duration) -> Self {
        Self { stall, progressed: Instant::now(), pause: PAUSE_MIN }
    }

    /// Something has come.
    pub(crate) fn progressed(&mut self) {
        self.progressed = Instant::now();
        self.pause = PAUSE_MIN;
    }

    /// Waits before the next attempt; fails when there is to be none.
    pub(crate) async fn wait(&mut self, error: StoreError) -> Result<(), RestoreError> {
        if !error.is_transient() {
            return Err(RestoreError::Store(error));
        }
        let left = self.stall.saturating_sub(self.progressed.elapsed());
        if left.is_zero() {
            return Err(RestoreError::Stalled { within: self.stall, source: error });
        }
        tracing::debug!(%error, "asking the bucket again");
        sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }

    /// Asks until there is an answer.
    pub(crate) async fn insist<T>(
        &mut self,
        mut ask: impl AsyncFnMut() -> Result<T, StoreError>,
    ) -> Result<T, RestoreError> {
        loop {
            match ask().await {
                Ok(answer) => {
                    self.progressed();
                    return Ok(answer);
                }
                Err(error) => self.wait(error).await?,
            }
        }
    }
}
