//! Telling how a download goes: a bar on a terminal, else a line now and then.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ccm_wal_ltx::restore::Progress;

use crate::{print, progress};

/// Between two drawings of the bar.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Between two lines where nobody draws.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How far a download is, for whoever watches.
#[derive(Debug)]
pub(crate) struct Fetching {
    quiet: bool,
    started: Instant,
    /// Bytes that were here at the beginning, which say nothing of the rate.
    first: AtomicU64,
    began: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
    checking: AtomicBool,
}

impl Fetching {
    /// Nothing has come; `quiet` prints nothing.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            started: Instant::now(),
            first: AtomicU64::new(0),
            began: AtomicBool::new(false),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            checking: AtomicBool::new(false),
        }
    }

    /// Something has come.
    pub(crate) fn report(&self, progress: Progress) {
        match progress {
            Progress::Fetching { done_bytes, total_bytes } => self.bytes(done_bytes, total_bytes),
            Progress::Checking => self.checking.store(true, Ordering::Relaxed),
        }
    }

    /// So many bytes of so many are here.
    pub(crate) fn bytes(&self, done: u64, total: u64) {
        if !self.began.swap(true, Ordering::Relaxed) {
            self.first.store(done, Ordering::Relaxed);
        }
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Waits for `work` and tells how it goes.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> std::io::Result<T> {
        let watched = print::is_watched() && !self.quiet;
        let mut work = std::pin::pin!(work);
        let every = if watched { DRAW_EVERY } else { LINE_EVERY };
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = tick.tick() => match (self.quiet, watched) {
                    (true, _) => {}
                    (false, true) => print::transient(&self.line(progress::bar_from)),
                    (false, false) => print::line(&self.line(progress::plain_from))?,
                }
            }
        };
        if watched {
            print::transient("");
        }
        Ok(ended)
    }

    /// How far it is, in one line.
    fn line(&self, words: fn(u64, u64, u64, Duration) -> String) -> String {
        if self.checking.load(Ordering::Relaxed) {
            return String::from("  SQLite is checking the database");
        }
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let (first, done, total) = (load(&self.first), load(&self.done), load(&self.total));
        words(first, done, total, self.started.elapsed())
    }

    /// How long it has taken so far, in words.
    pub(crate) fn took(&self) -> String {
        progress::took(self.started.elapsed())
    }
}
