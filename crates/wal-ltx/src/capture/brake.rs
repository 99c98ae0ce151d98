//! Holding back an application that commits faster than the bucket takes it, a little at a time.
//!
//! Without it a backlog grows into the WAL, and a long WAL is copied into the database file under
//! the write lock: nobody commits for seconds. The brake takes the write lock for some
//! milliseconds, gives it back, and does not take it again before somebody has committed: the
//! next try of every waiting application finds it free, whatever its busy handler does.
//!
//! - [`pressure`] decides how hard it is applied: in proportion, so that the rate of the commits
//!   settles at what the bucket takes.
//! - [`Brake`] is the thread that does it, on a connection of its own. The capture pauses it
//!   when it needs the write lock itself.

mod pressure;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::error::CaptureError;
use super::sqlite::{connect_to_lock, is_busy};

pub(super) use pressure::{Load, Pressure, pressure};

/// How long a commit is waited for before the lock is taken again: nobody may want to.
const COMMIT_WITHIN: Duration = Duration::from_millis(200);

/// Between two looks whether somebody has committed.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The brake. Dropping it releases the lock and closes its connection.
#[derive(Debug)]
pub(super) struct Brake {
    shared: Arc<Shared>,
    path: PathBuf,
    /// Begins when it is first needed.
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pressure: Option<Pressure>,
    /// The capture wants the lock itself.
    paused: bool,
    /// The lock is held, or about to be.
    holding: bool,
    end: bool,
    /// How long it was held in all.
    held: Duration,
}

impl State {
    fn let_go(&self) -> bool {
        self.end || self.paused || self.pressure.is_none()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `until` holds, for `within` at most.
    fn wait(&self, within: Duration, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.news.wait_timeout_while(self.state(), within, |state| !until(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The brake does not hold the lock until this is dropped.
#[derive(Debug)]
pub(super) struct Paused(Option<Arc<Shared>>);

impl Drop for Paused {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.state().paused = false;
            shared.news.notify_all();
        }
    }
}

impl Brake {
    pub(super) fn new(path: &Path) -> Self {
        Self { shared: Arc::default(), path: path.to_path_buf(), thread: None }
    }

    /// Holds the lock from now on as this says; `None`: not at all.
    pub(super) fn apply(&mut self, pressure: Option<Pressure>) -> Result<(), CaptureError> {
        if self.thread.is_none() {
            if pressure.is_none() {
                return Ok(());
            }
            let connection = connect_to_lock(&self.path)?;
            let (shared, name) = (Arc::clone(&self.shared), String::from("capture brake"));
            let thread = std::thread::Builder::new().name(name);
            let thread = thread.spawn(move || run(&connection, &shared));
            let failed = super::error::file("start the brake of", &self.path);
            self.thread = Some(thread.map_err(failed)?);
        }
        let mut state = self.shared.state();
        if state.pressure != pressure {
            state.pressure = pressure;
            drop(state);
            self.shared.news.notify_all();
        }
        Ok(())
    }

    /// Gives the lock back, if it holds it, and keeps away from it.
    pub(super) fn pause(&self) -> Paused {
        if self.thread.is_none() {
            return Paused(None);
        }
        let mut state = self.shared.state();
        state.paused = true;
        self.shared.news.notify_all();
        // As long as a try at the lock takes at most.
        let waited = self.shared.news.wait_while(state, |state| state.holding);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        Paused(Some(Arc::clone(&self.shared)))
    }

    /// How long it has held the lock in all.
    pub(super) fn held(&self) -> Duration {
        self.shared.state().held
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        self.shared.state().end = true;
        self.shared.news.notify_all();
        if let Some(thread) = self.thread.take() {
            // One that has panicked holds nothing.
            thread.join().ok();
        }
    }
}

/// Says that nothing is held, also when the thread dies.
struct Holding<'a>(&'a Shared);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.state().holding = false;
        self.0.news.notify_all();
    }
}

fn run(connection: &Connection, shared: &Shared) {
    while wanted(shared) {
        let holding = Holding(shared);
        let pressure = shared.state().pressure;
        let taken = pressure.map_or(Ok(()), |pressure| hold(connection, pressure.hold, shared));
        drop(holding);
        match taken {
            Ok(()) => {
                leave_free(connection, pressure.map_or(Duration::ZERO, |p| p.free), shared);
            }
            // Somebody has it, as is meant to be.
            Err(error) if is_busy(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "commits cannot be held back: the WAL grows instead");
                return;
            }
        }
    }
}

/// Waits until the lock is to be held; `false` when the brake is to end.
fn wanted(shared: &Shared) -> bool {
    let wait = shared.news.wait_while(shared.state(), |state| !state.end && state.let_go());
    let mut state = wait.unwrap_or_else(PoisonError::into_inner);
    state.holding = !state.end;
    !state.end
}

fn hold(connection: &Connection, within: Duration, shared: &Shared) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let begin = Instant::now();
    drop(shared.wait(within, State::let_go));
    // A transaction that wrote nothing has nothing to undo.
    connection.execute_batch("ROLLBACK")?;
    shared.state().held += begin.elapsed();
    Ok(())
}

/// Lets somebody commit, and others for so long after that.
fn leave_free(connection: &Connection, after: Duration, shared: &Shared) {
    let begin = Instant::now();
    // Changes with every commit of another connection.
    let version = || connection.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0));
    let before = version().ok();
    while begin.elapsed() < COMMIT_WITHIN && version().ok() == before {
        if shared.wait(LOOK_EVERY, |state| state.end).end {
            return;
        }
    }
    drop(shared.wait(after, |state| state.end));
}

#[cfg(test)]
mod tests;
