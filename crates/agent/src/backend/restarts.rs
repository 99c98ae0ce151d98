//! How often the backend was restarted lately.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use ccm_health::metrics::Counts;
use ccm_types::Monotonic;

use crate::words::{RESTART_WINDOW, RESTARTS_MAX};

/// Restarts that are remembered: more than the machine allows in a leadership, since one may
/// follow another.
const KEPT_MAX: usize = 64;

/// Restarts of the backend of a primary.
#[derive(Debug)]
pub(crate) struct Restarts {
    counts: Arc<Counts>,
    at: Mutex<VecDeque<Monotonic>>,
}

impl Restarts {
    pub(crate) fn new(counts: Arc<Counts>) -> Arc<Self> {
        Arc::new(Self { counts, at: Mutex::default() })
    }

    /// It is being restarted.
    pub(crate) fn note(&self, now: Monotonic) {
        self.counts.backend_restarted();
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        if at.len() == KEPT_MAX {
            at.pop_front();
        }
        at.push_back(now);
    }

    /// What an operator should know of it; `None` when it was not restarted lately.
    pub(crate) fn problem(&self, now: Monotonic) -> Option<String> {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = at.iter().filter(|at| now.since(**at) < RESTART_WINDOW).count();
        drop(at);
        let (minutes, max) = (RESTART_WINDOW.as_secs() / 60, RESTARTS_MAX);
        let times = match lately {
            0 => return None,
            1 => String::from("once"),
            many => format!("{many} times"),
        };
        Some(format!(
            "the backend was restarted {times} within {minutes} minutes (after {max} this node \
             hands over): its log says why"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ccm_types::{ClusterId, NodeId};

    use super::*;
    use crate::metrics::values;

    #[test]
    fn restarts_are_a_problem_while_they_are_recent_and_are_counted_for_ever() {
        let cluster = ClusterId::new("test").unwrap();
        let counts = Arc::new(Counts::new(&cluster, &NodeId::new("me").unwrap()));
        let restarts = Restarts::new(Arc::clone(&counts));
        let start = Monotonic::from_millis(1_000_000);
        assert_eq!(restarts.problem(start), None);
        restarts.note(start);
        restarts.note(start + Duration::from_secs(60));
        let said = |after: u64| restarts.problem(start + Duration::from_secs(after));
        assert!(said(61).is_some_and(|words| words.contains("restarted 2 times within 10 min")));
        assert!(said(610).is_some_and(|words| words.contains("restarted once within")));
        assert_eq!(said(700), None);
        for _ in 0..2 * KEPT_MAX {
            restarts.note(start);
        }
        assert!(restarts.problem(start).is_some_and(|words| words.contains("restarted 64 times")));
        assert_eq!(values(&counts, "ccm_backend_restarts_total", ""), ["130"]);
    }
}
