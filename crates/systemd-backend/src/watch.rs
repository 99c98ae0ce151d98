//! A unit's state as it changes.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use zbus::fdo::PropertiesChangedStream;

use crate::{Unit, UnitError, UnitState};

/// A look without news, should a signal have been lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The state of one unit as it changes.
///
/// Every state is measured when systemd signals a change. States that pass between two
/// measurements are not seen, but the last one always is.
#[derive(Debug)]
pub struct Watch {
    unit: Unit,
    /// `None` when the connection has broken.
    news: Option<PropertiesChangedStream>,
    last: UnitState,
}

impl Watch {
    pub(crate) async fn start(unit: Unit) -> Result<Self, UnitError> {
        // Before the first look, or a change between the two could be missed.
        let news = unit.changes().await?;
        let last = unit.state().await?;
        Ok(Self { unit, news: Some(news), last })
    }

    /// The state seen last.
    #[must_use]
    pub fn state(&self) -> &UnitState {
        &self.last
    }

    /// Waits until the state differs from the one seen last, and returns it. Loses nothing when
    /// it is dropped while it waits.
    ///
    /// # Errors
    /// [`UnitError::Bus`], [`UnitError::TimedOut`]; the next call tries again, so pause before.
    pub async fn changed(&mut self) -> Result<&UnitState, UnitError> {
        loop {
            let state = match &mut self.news {
                None => {
                    self.news = Some(self.unit.changes().await?);
                    self.unit.state().await?
                }
                Some(news) => {
                    if let Ok(None) = timeout(LOOK_EVERY, news.next()).await {
                        self.news = None;
                        continue;
                    }
                    self.unit.state().await?
                }
            };
            if state != self.last {
                self.last = state;
                return Ok(&self.last);
            }
        }
    }
}
