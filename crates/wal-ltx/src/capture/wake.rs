//! What wakes the thread: a write to the WAL, a message, or nothing for a while.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;

use super::error::{self, CaptureError};

/// The next event of the folder of the database, and a counter for messages.
///
/// Every write to a file that is watched costs its writer a little. So the folder is watched for
/// one event, and not again before somebody waits for the next one.
#[derive(Debug)]
pub(super) struct Waker {
    changes: OwnedFd,
    messages: OwnedFd,
    dir: PathBuf,
}

impl Waker {
    /// Watches the folder, not the `-wal`: that comes and goes.
    pub(super) fn new(data: &Path) -> Result<Self, CaptureError> {
        let dir = match data.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            Some(_) | None => Path::new("."),
        };
        let failed = |e: rustix::io::Errno| error::file("watch", dir)(io::Error::from(e));
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let changes = inotify::init(flags).map_err(failed)?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let messages = eventfd(0, flags).map_err(failed)?;
        let waker = Self { changes, messages, dir: dir.to_path_buf() };
        waker.watch()?;
        Ok(waker)
    }

    /// Watches for the next write.
    pub(super) fn watch(&self) -> Result<(), CaptureError> {
        let wanted = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::ONESHOT;
        let watched = inotify::add_watch(&self.changes, &self.dir, wanted);
        watched.map(|_| ()).map_err(|e| error::file("watch", &self.dir)(io::Error::from(e)))
    }

    /// Wakes the thread.
    pub(super) fn wake(&self) {
        // A full counter wakes as well.
        rustix::io::write(&self.messages, &1_u64.to_ne_bytes()).ok();
    }

    /// Returns at the next message, or after `within`.
    pub(super) fn wait_for_message(&self, within: Duration) {
        self.poll(&mut [PollFd::new(&self.messages, PollFlags::IN)], within);
    }

    /// Returns at the next event, or after `within`; `true` when a file was written to, and
    /// nothing is watched any more.
    pub(super) fn wait(&self, within: Duration) -> bool {
        let fds = [&self.messages, &self.changes];
        self.poll(&mut fds.map(|fd| PollFd::new(fd, PollFlags::IN)), within);
        let mut buffer = [0; 4096];
        let mut written = false;
        while rustix::io::read(&self.changes, &mut buffer).is_ok_and(|n| n > 0) {
            written = true;
        }
        written
    }

    fn poll(&self, fds: &mut [PollFd<'_>], within: Duration) {
        let timeout = Timespec {
            tv_sec: i64::try_from(within.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(within.subsec_nanos()),
        };
        // An interrupted or failed wait is a wake.
        poll(fds, Some(&timeout)).ok();
        rustix::io::read(&self.messages, &mut [0; 8]).ok();
    }
}
