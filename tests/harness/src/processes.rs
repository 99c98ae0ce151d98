//! Processes as /proc shows them: who belongs to a test, and signals to them.

use std::path::Path;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

use crate::wait;

/// The environment variable that names the node's folder to a daemon and all it starts.
pub const NODE_DIR: &str = "HARNESS_NODE_DIR";

/// Kills have taken effect by then; the kernel needs milliseconds.
const GONE_WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its arguments, separated by spaces.
    pub command: String,
}

/// The ids of all processes.
pub(crate) fn pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// The arguments of a process, separated by spaces; `None` for one that has ended, a zombie
/// included.
#[must_use]
pub fn command(pid: i32) -> Option<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|b| !b.is_empty())?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.trim_end_matches('\0').replace('\0', " "))
}

/// Whether the process is a demo-backend whose arguments name something under `dir`.
pub(crate) fn is_backend(pid: i32, dir: &str) -> bool {
    command(pid).is_some_and(|command| {
        let program = command.split(' ').next().unwrap_or_default();
        program.ends_with("/demo-backend") && command.contains(dir)
    })
}

/// Every living process but this one whose arguments or environment name something under `dir`.
#[must_use]
pub fn under(dir: &Path) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).ok();
    // With the slash: node-1 is not node-10, and the slash ends a folder's name.
    let dir = format!("{}/", dir.display());
    let mut found = Vec::new();
    for pid in pids().into_iter().filter(|pid| Some(*pid) != own) {
        let Some(command) = command(pid) else { continue };
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if command.contains(&dir) || String::from_utf8_lossy(&environment).contains(&dir) {
            found.push(Process { pid, command });
        }
    }
    found
}

/// Sends a signal; a process that has just ended is no failure.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        kill_process(pid, signal).ok();
    }
}

/// SIGKILLs everything [`under`] `dir` until nothing is left.
pub fn kill_all_under(dir: &Path) {
    wait::until(GONE_WITHIN, "killed processes to be gone", || {
        let left = under(dir);
        for process in &left {
            signal(process.pid, Signal::KILL);
        }
        left.is_empty().then_some(())
    });
}
