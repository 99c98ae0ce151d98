//! What wakes the thread: a write to the WAL, a message, or nothing for a while.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;

use super::CaptureError;

/// Events of the folder of the database, and a counter for messages.
#[derive(Debug)]
pub(super) struct Waker {
    changes: OwnedFd,
    messages: OwnedFd,
}

impl Waker {
    /// Watches the folder: the `-wal` comes and goes.
    pub(super) fn new(data: &Path) -> Result<Self, CaptureError> {
        let dir = data.parent().unwrap_or(Path::new("."));
        let failed = |e: rustix::io::Errno| CaptureError::File {
            doing: "watch",
            path: dir.to_path_buf(),
            source: io::Error::from(e),
        };
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let changes = inotify::init(flags).map_err(failed)?;
        let wanted = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&changes, dir, wanted).map_err(failed)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let messages = eventfd(0, flags).map_err(failed)?;
        Ok(Self { changes, messages })
    }

    /// Wakes the thread.
    pub(super) fn wake(&self) {
        // A full counter wakes as well.
        rustix::io::write(&self.messages, &1_u64.to_ne_bytes()).ok();
    }

    /// Returns at the next event, or after `within`; `true` when a file was written to.
    pub(super) fn wait(&self, within: Duration) -> bool {
        let mut fds =
            [PollFd::new(&self.changes, PollFlags::IN), PollFd::new(&self.messages, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(within.subsec_nanos()),
        };
        // An interrupted or failed wait is a wake.
        poll(&mut fds, Some(&timeout)).ok();
        let mut buffer = [0; 4096];
        let mut written = false;
        while rustix::io::read(&self.changes, &mut buffer).is_ok_and(|n| n > 0) {
            written = true;
        }
        rustix::io::read(&self.messages, &mut buffer).ok();
        written
    }
}
