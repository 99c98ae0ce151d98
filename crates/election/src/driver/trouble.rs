//! One line when NATS gives trouble, one when it is over, whatever the number of tries.

/// A single failure is a lost packet or a NATS leader that is being replaced.
const FAILURES_BEFORE_WARNING: u32 = 3;

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failures: u32,
}

impl Trouble {
    /// An answer came, or did not.
    pub(super) fn note(&mut self, problem: Option<&str>, leads: bool) {
        let Some(problem) = problem else {
            if self.failures >= FAILURES_BEFORE_WARNING {
                tracing::info!(failures = self.failures, "the key of the lease answers again");
            }
            self.failures = 0;
            return;
        };
        self.failures = self.failures.saturating_add(1);
        tracing::debug!(problem, failures = self.failures, "a request to the lease failed");
        if self.failures != FAILURES_BEFORE_WARNING {
            return;
        }
        if leads {
            tracing::warn!(
                problem,
                "the lease cannot be renewed: this node steps down when it runs out; check NATS"
            );
        } else {
            tracing::warn!(problem, "the lease cannot be read: no takeover possible; check NATS");
        }
    }
}
