//! One lab at a time, and what tests do on a machine that cannot run one.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

static TURN: Mutex<()> = Mutex::new(());

/// The environment variable that leaves tests on hosts out, when it says `skip`.
const VARIABLE: &str = "CCM_LAB";

/// The turn of a test; the next one waits for its end.
#[derive(Debug)]
pub struct Turn {
    _guard: MutexGuard<'static, ()>,
}

/// Waits for the turn; `None` where `CCM_LAB=skip` says that there is to be no lab. That is said
/// on standard error, past the test runner that would keep it to itself.
///
/// Without it a machine that cannot run a lab fails the test: the gate never sets it.
#[must_use]
pub fn turn(test: &str) -> Option<Turn> {
    if std::env::var_os(VARIABLE).is_some_and(|value| value == "skip") {
        let said = format!("SKIPPED, nothing was tested: {test} ({VARIABLE}=skip)\n");
        std::io::stderr().write_all(said.as_bytes()).ok();
        return None;
    }
    Some(Turn { _guard: TURN.lock().unwrap_or_else(PoisonError::into_inner) })
}
