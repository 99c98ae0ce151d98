//! The processes of this host as /proc shows them, and signals that cannot hit the wrong one.

use std::collections::BTreeMap;

use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// One line of the table (proc_pid_stat(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    parent: i32,
    pub(crate) group: i32,
    /// Ticks since boot; with the pid it names a process for ever.
    started: u64,
    pub(crate) zombie: bool,
}

/// All process ids there are.
pub(crate) fn pids() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Everything below `root`, however deep.
///
/// By the parent of each process: `/proc/<pid>/task/*/children` is missing on kernels without
/// checkpoint support. A process that is forked during the walk may be missed, so who needs to
/// end all walks again.
pub(crate) fn descendants(root: i32) -> Vec<Process> {
    let mut by_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in pids().filter_map(read) {
        by_parent.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        // Taken out, so that a table read while pids were reused cannot send us in circles.
        let children = by_parent.remove(&parent).unwrap_or_default();
        parents.extend(children.iter().map(|child| child.pid));
        found.extend(children);
    }
    found
}

impl Process {
    /// Sends a signal to this very process; nothing happens when it has ended, even if its id
    /// has been given to another one.
    pub(crate) fn signal(self, signal: Signal) -> rustix::io::Result<()> {
        let Some(fd) = open(self.pid) else { return Ok(()) };
        match read(self.pid) {
            Some(now) if now.started == self.started => pidfd_send_signal(&fd, signal),
            Some(_) | None => Ok(()),
        }
    }
}

/// A handle on whatever process has this id at this moment.
pub(crate) fn open(pid: i32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()
}

fn read(pid: i32) -> Option<Process> {
    parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(pid: i32, stat: &str) -> Option<Process> {
    // The name is in parentheses and may contain any character, parentheses included.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    // Field 22 of the line; the group is field 5.
    let started = fields.nth(16)?.parse().ok()?;
    Some(Process { pid, parent, group, started, zombie })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_program_is_called() {
        let line = "7 (a) Z 9 (b) S 3 5 5 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1";
        let process = Process { pid: 7, parent: 3, group: 5, started: 12345, zombie: false };
        assert_eq!(parse(7, line), Some(process));
        assert_eq!(parse(7, "7 (a) S"), None);
    }

    #[test]
    fn this_process_is_below_its_parent() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = read(own).unwrap().parent;
        assert!(descendants(parent).iter().any(|process| process.pid == own));
    }
}
