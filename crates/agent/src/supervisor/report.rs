//! Looks at the node and tells the service manager what is new.

use std::sync::Arc;
use std::time::Duration;

use ccm_role::Phase;
use tokio::time::Instant;

use super::Supervisor;
use super::status_line::line;
use crate::observe::Observer;

/// Between two looks; a change of role is seen at once.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Between two looks while something is about to change: not ready yet, or a problem, which may
/// be one of the moment.
const LOOK_SOON: Duration = Duration::from_millis(500);

/// A node that has joined the cluster counts as started after this, whatever it is doing: a
/// replica that is rebuilt may take long, and the line says so.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Tells the manager.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) supervisor: Supervisor,
    pub(crate) observer: Arc<Observer>,
}

impl Report {
    /// Goes on until it is cancelled.
    pub(crate) async fn run(self) {
        let begun = Instant::now();
        let mut role = self.observer.status.clone();
        let mut said = String::new();
        let mut ready = false;
        loop {
            // Marked as seen before the look, so that what changes meanwhile is looked at again.
            let phase = role.borrow_and_update().phase;
            let seen = self.observer.seen().await;
            let line = line(&seen);
            if line != said {
                self.supervisor.status(&line);
                said = line;
            }
            ready |= is_ready(phase, seen.lag.is_ok(), begun.elapsed());
            if ready {
                self.supervisor.ready();
            }
            let calm = ready && seen.problem.is_none();
            let pause = if calm { LOOK_EVERY } else { LOOK_SOON };
            // Elapsed is the answer "nothing has changed, look anyway".
            match tokio::time::timeout(pause, role.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                // The loop has ended.
                Ok(Err(_)) => return,
            }
        }
    }
}

/// Whether the node does what it is for.
fn is_ready(phase: Phase, follows: bool, joined_for: Duration) -> bool {
    let does = match phase {
        Phase::Primary | Phase::Left => true,
        Phase::Passive => follows,
        Phase::Starting | Phase::Promoting | Phase::Demoting | Phase::Falling | Phase::Stopped => {
            false
        }
    };
    does || joined_for >= READY_WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_ready_when_it_serves_or_follows_and_after_a_while_whatever_it_does() {
        let soon = Duration::from_secs(1);
        assert!(is_ready(Phase::Primary, false, soon));
        assert!(is_ready(Phase::Left, false, soon));
        assert!(is_ready(Phase::Passive, true, soon));
        assert!(!is_ready(Phase::Passive, false, soon));
        assert!(!is_ready(Phase::Starting, true, soon));
        assert!(!is_ready(Phase::Promoting, true, soon));
        assert!(is_ready(Phase::Passive, false, READY_WITHIN));
    }
}
