//! What a guard that was killed has left behind.
//!
//! The backend itself dies with its guard, but not what the backend had started: a wrapper script
//! leaves the real server. Everything a guard starts carries the guard's socket in its environment,
//! so the next guard of that socket finds and ends it before it answers anybody.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Signal, pidfd_send_signal};

use crate::proctable;

/// The environment variable that names the guard's socket.
pub(crate) const MARK: &str = "CCM_GUARD";
/// How long killed processes may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Ends all processes that an earlier guard of `socket` has started; returns how many.
///
/// Blocks until they are gone.
pub(crate) fn kill(socket: &Path) -> Result<usize, String> {
    let mark = format!("{MARK}={}", socket.display());
    let deadline = Instant::now() + GONE_WITHIN;
    let mut killed = 0;
    // Again until there is none: one may have forked while the table was read.
    loop {
        let found = marked(&mark);
        if found.is_empty() {
            return Ok(killed);
        }
        for (pid, fd) in &found {
            killed += 1;
            if let Err(error) = pidfd_send_signal(fd, Signal::KILL) {
                tracing::debug!("SIGKILL to process {pid}, left by an earlier guard: {error}");
            }
        }
        for (pid, fd) in &found {
            if !ended(fd, deadline) {
                return Err(format!(
                    "process {pid}, left behind by an earlier guard, does not end: \
                     end it by hand, the backend must not run twice"
                ));
            }
        }
    }
}

fn marked(mark: &str) -> Vec<(i32, OwnedFd)> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let others = proctable::pids().filter(|pid| *pid != own);
    // The handle comes before the look, so the handle is on the process that was looked at or on
    // one that has ended.
    others
        .filter_map(|pid| Some((pid, proctable::open(pid)?)))
        .filter(|(pid, _)| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        })
        .collect()
}

/// Waits until the process has ended; false when the deadline has passed.
fn ended(fd: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else { return false };
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}
