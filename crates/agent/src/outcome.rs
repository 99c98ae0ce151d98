//! Errors of the adapters in the words of the machine.

use std::error::Error;

use ccm_control::ControlError;
use ccm_role::{Handover, Outcome};
use ccm_wal_ltx::capture::CaptureError;
use ccm_wal_ltx::follow::FollowError;
use ccm_wal_ltx::local::LocalError;
use ccm_wal_ltx::store::StoreError;

/// The error and its causes in one line.
pub(crate) fn words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

/// Why a primary that was asked to hand over has not.
pub(crate) fn of_handover(error: &ControlError) -> Handover {
    let why = words(error);
    if error.is_transient() { Handover::Unanswered(why) } else { Handover::Refused(why) }
}

pub(crate) fn of_store(error: &StoreError) -> Outcome {
    if error.is_fenced() {
        Outcome::Fenced
    } else if error.is_transient() {
        Outcome::Transient(words(error))
    } else {
        Outcome::Permanent(words(error))
    }
}

pub(crate) fn of_local(error: &LocalError) -> Outcome {
    if error.is_transient() {
        Outcome::Transient(words(error))
    } else {
        Outcome::Permanent(words(error))
    }
}

pub(crate) fn of_follow(error: &FollowError) -> Outcome {
    let passing = matches!(error, FollowError::Deadline { .. } | FollowError::Interrupted);
    if error.is_transient() || passing {
        Outcome::Transient(words(error))
    } else {
        Outcome::Permanent(words(error))
    }
}

pub(crate) fn of_capture(error: &CaptureError) -> Outcome {
    if error.is_fenced() {
        Outcome::Fenced
    } else if error.is_transient() {
        Outcome::Transient(words(error))
    } else {
        Outcome::Permanent(words(error))
    }
}
