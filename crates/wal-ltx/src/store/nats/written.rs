//! What this node has written last, and what that says about the stream.
//!
//! A leader that was cut off may answer reads for a while with less than what was acknowledged,
//! so a listing must know of the last own write. A write itself is agreed on by the stream's
//! replicas: one that gets a sequence not beyond the one before says that the stream has lost
//! what it had acknowledged (<https://jepsen.io/analyses/nats-2.12.1>), and is the truth from
//! then on.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// No leader that was cut off answers for so long: it steps down when it has heard of no other
/// replica for about ten seconds. A stream that knows less after this has lost it.
const CUT_OFF_MAX: Duration = Duration::from_secs(30);

/// The last write of this node.
#[derive(Debug, Default)]
pub(super) struct Written {
    last: Mutex<(Option<(u64, Instant)>, u64)>,
}

impl Written {
    /// A write got this sequence.
    pub(super) fn note(&self, sequence: u64, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.is_some_and(|(before, _)| sequence <= before) {
            last.1 += 1;
        }
        last.0 = Some((sequence, now));
    }

    /// What a listing must know of.
    pub(super) fn expected(&self, now: Instant) -> u64 {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match last.0 {
            Some((sequence, at)) if now.duration_since(at) < CUT_OFF_MAX => sequence,
            Some(_) | None => 0,
        }
    }

    /// How often the stream was seen to have lost what it had acknowledged.
    pub(super) fn losses(&self) -> u64 {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_that_does_not_grow_is_a_loss_and_the_truth() {
        let (written, now) = (Written::default(), Instant::now());
        assert_eq!(written.expected(now), 0);
        written.note(7, now);
        written.note(9, now);
        assert_eq!((written.expected(now), written.losses()), (9, 0));
        written.note(8, now);
        assert_eq!((written.expected(now), written.losses()), (8, 1));
        assert_eq!(written.expected(now + CUT_OFF_MAX), 0, "not for ever");
    }
}
