//! What there is, and what comes.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use tokio::time::timeout;

use crate::cursor::{Cursor, Step};
use crate::stream::Stream;
use crate::{Filter, HistoryError, Seen};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the newest so many events, then what comes.
    Newest(usize),
    /// With what comes.
    Now,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Begin(Start),
    /// Reading up to this sequence, of which the last so many are kept.
    Before {
        end: u64,
        keep: usize,
    },
    After,
}

/// Tells what there is, and what comes. Made by [`crate::Reader::follow`].
pub struct Follow {
    cursor: Cursor,
    everything: bool,
    stage: Stage,
    /// What is told next.
    before: VecDeque<Seen>,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cursor, stage, .. } = self;
        let mut shown = f.debug_struct("Follow");
        shown.field("cursor", cursor).field("stage", stage).finish_non_exhaustive()
    }
}

impl Follow {
    pub(crate) fn new(stream: Stream, filter: Filter, from: Start) -> Self {
        let everything = filter.is_all();
        let cursor = Cursor::new(stream, filter);
        Self { cursor, everything, stage: Stage::Begin(from), before: VecDeque::new() }
    }

    /// The next event: first those of before in the order in which they happened, then others as
    /// they are published. `None` when none has come within this time. Cancel safe.
    ///
    /// # Errors
    /// [`HistoryError`] when NATS does not tell; call again to go on from there, after a pause.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Seen>, HistoryError> {
        timeout(within, self.wait()).await.unwrap_or(Ok(None))
    }

    /// What was found so far that is no event.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.cursor.ignored()
    }

    async fn wait(&mut self) -> Result<Option<Seen>, HistoryError> {
        self.read_before().await?;
        loop {
            if let Some(seen) = self.before.pop_front() {
                return Ok(Some(seen));
            }
            match self.cursor.step().await? {
                Step::Event(seen) => return Ok(Some(seen)),
                Step::Other | Step::Quiet => {}
            }
        }
    }

    /// Reads what is there already.
    pub(crate) async fn read_before(&mut self) -> Result<(), HistoryError> {
        loop {
            match self.stage {
                Stage::Begin(from) => {
                    let end = self.cursor.end().await?;
                    self.stage = match from {
                        Start::Now => {
                            self.cursor.skip_to(end);
                            Stage::After
                        }
                        Start::Newest(keep) => {
                            if self.everything {
                                self.cursor.skip_to(end.saturating_sub(keep as u64));
                            }
                            Stage::Before { end, keep }
                        }
                    };
                }
                Stage::Before { end, keep } if self.cursor.reached() < end => {
                    match self.cursor.step().await? {
                        Step::Event(seen) => {
                            self.before.push_back(seen);
                            if self.before.len() > keep {
                                self.before.pop_front();
                            }
                        }
                        Step::Other => {}
                        // What was there is gone meanwhile.
                        Step::Quiet => self.sort(),
                    }
                }
                Stage::Before { .. } => self.sort(),
                Stage::After => return Ok(()),
            }
        }
    }

    /// What happened while NATS was away is published later.
    fn sort(&mut self) {
        self.before.make_contiguous().sort_by_key(|seen| seen.event.at);
        self.stage = Stage::After;
    }

    /// What was read of before.
    pub(crate) fn into_before(self) -> VecDeque<Seen> {
        self.before
    }
}
