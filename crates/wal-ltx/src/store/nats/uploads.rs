//! Which chunks may still become an object, so that nobody sweeps them away.
//!
//! An upload whose metadata was sent and not answered for, or that nobody waits for any more, may
//! still come to be. It is certain again after a later write on the same connection was stored:
//! the connection keeps the order, so by then the metadata is in the stream or never will be.
//! It must also be so much later that no other server of the stream has it in its hands.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A leader that was cut off gives up within about ten seconds, and with it what it has not
/// agreed on with the others.
const IN_OTHER_HANDS_MAX: Duration = Duration::from_secs(60);

/// Uploads by the ids of their chunks.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// `None` while it is under way, then when it was given up.
    by_id: Mutex<BTreeMap<String, Option<Instant>>>,
}

/// One upload; given up when it is dropped before it has ended.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    uploads: &'a Uploads,
    pub(super) id: String,
    ended: bool,
}

impl Uploads {
    fn by_id(&self) -> MutexGuard<'_, BTreeMap<String, Option<Instant>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(&self, id: String) -> Upload<'_> {
        self.by_id().insert(id.clone(), None);
        Upload { uploads: self, id, ended: false }
    }

    /// Whether chunks under this id may still become an object.
    pub(super) fn may_come(&self, id: &str) -> bool {
        self.by_id().contains_key(id)
    }

    /// Whether a write now would make an upload certain that was given up.
    pub(super) fn any_old(&self, now: Instant) -> bool {
        self.by_id().values().any(|given_up| old(*given_up, now))
    }

    /// A write was stored that was sent at `sent`.
    pub(super) fn stored(&self, sent: Instant) {
        self.by_id().retain(|_, given_up| !old(*given_up, sent));
    }

    /// The fence has moved: nothing that was under way before can be stored any more.
    pub(super) fn fenced(&self) {
        self.by_id().clear();
    }
}

fn old(given_up: Option<Instant>, now: Instant) -> bool {
    given_up.is_some_and(|at| now.saturating_duration_since(at) >= IN_OTHER_HANDS_MAX)
}

impl Upload<'_> {
    /// Its chunks are those of an object, or never will be.
    pub(super) fn end(mut self) {
        self.ended = true;
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        let mut by_id = self.uploads.by_id();
        if self.ended {
            by_id.remove(&self.id);
        } else if let Some(upload) = by_id.get_mut(&self.id) {
            *upload = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_certain_after_a_write_that_came_much_later() {
        let uploads = Uploads::default();
        let under_way = uploads.begin(String::from("a"));
        uploads.begin(String::from("b")).end();
        drop(uploads.begin(String::from("c")));
        assert!(uploads.may_come("a") && !uploads.may_come("b") && uploads.may_come("c"));
        let soon = Instant::now();
        let late = soon + IN_OTHER_HANDS_MAX;
        assert!(!uploads.any_old(soon) && uploads.any_old(late));
        uploads.stored(soon);
        assert!(uploads.may_come("c"));
        uploads.stored(late);
        assert!(uploads.may_come("a") && !uploads.may_come("c"));
        uploads.fenced();
        assert!(!uploads.may_come("a"));
        drop(under_way);
        assert!(!uploads.may_come("a"), "it belongs to an earlier term");
    }
}
