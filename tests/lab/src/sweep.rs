//! Names that tell whose they are, so that what a killed lab has left can be told from a living
//! one's and removed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cgroup::Cgroup;
use crate::machine;

/// Every name begins with it.
const PREFIX: &str = "ccm-lab";
/// How the name of the folder ends in which the lab's own NATS server keeps its files.
const NATS: &str = "-nats";
/// Labs of this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// The name of one lab: process, moment of that process's start, count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// A name that nobody else has.
    pub(crate) fn new() -> Self {
        let pid = std::process::id();
        let start = started(pid).unwrap_or_default();
        let count = MADE.fetch_add(1, Ordering::Relaxed);
        Self(format!("{PREFIX}-{pid}-{start}-{count}"))
    }

    /// The folder on which the lab's disks are mounted.
    pub(crate) fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(&self.0)
    }

    /// The folder of the lab's own NATS server.
    pub(crate) fn nats(&self) -> PathBuf {
        std::env::temp_dir().join(format!("{}{NATS}", self.0))
    }

    /// The name of a host's cgroup.
    pub(crate) fn host(&self, number: u8) -> String {
        format!("{}-n{number}", self.0)
    }
}

/// When a process started, in ticks since the machine did; `None` when there is none.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name of the program, in parentheses, and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// Whether a name is of a lab whose process has ended.
fn is_dead(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')) else {
        return false;
    };
    let mut parts = rest.split('-');
    let Some(pid) = parts.next().and_then(|pid| pid.parse().ok()) else { return false };
    let Some(start) = parts.next().and_then(|start| start.parse::<u64>().ok()) else {
        return false;
    };
    started(pid) != Some(start)
}

/// Removes what dead labs have left: processes that still run in their cgroups, the cgroups, the
/// folders that were mounted over, and those of their NATS servers.
pub(crate) fn sweep(cgroups: &Path) {
    for dir in dead(cgroups) {
        Cgroup::found(dir).end();
    }
    sweep_folders(&std::env::temp_dir());
}

fn sweep_folders(parent: &Path) {
    for dir in dead(parent) {
        let done = if dir.to_string_lossy().ends_with(NATS) {
            std::fs::remove_dir_all(&dir)
        } else {
            // Empty: what was mounted there was seen by that lab alone.
            std::fs::remove_dir(&dir)
        };
        done.ok();
    }
}

/// What labs of a process have on this machine, or have left: cgroups and folders.
#[must_use]
pub fn traces(process: u32) -> Vec<PathBuf> {
    let own = format!("{PREFIX}-{process}-");
    let mut traces = Vec::new();
    for parent in machine::cgroup2().into_iter().chain([std::env::temp_dir()]) {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        traces.extend(paths.filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&own))
        }));
    }
    traces
}

fn dead(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let dead = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        is_dead(entry.file_name().to_str()?).then(|| entry.path())
    });
    dead.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ended_processes_are_dead() {
        let own = Name::new();
        assert!(!is_dead(&own.0) && !is_dead(&own.host(1)), "{own:?}");
        assert_ne!(own, Name::new());
        // The same process id, started at another moment.
        assert!(is_dead(&format!("{PREFIX}-{}-1-0-n1", std::process::id())));
        assert!(is_dead("ccm-lab-4194305-77-0"));
        for other in ["ccm-lab", "ccm-lab-", "ccm-lab-x-1-0", "ccm-laboratory-1-1-0", "user.slice"]
        {
            assert!(!is_dead(other), "{other}");
        }
    }

    #[test]
    fn of_the_dead_the_empty_folders_go_and_those_of_nats_with_their_files() {
        let living = Name::new();
        let parent = std::env::temp_dir().join(format!("sweep-{}", std::process::id()));
        let dead = "ccm-lab-4194305-77-0";
        let names = [
            (String::from(dead), false),
            (format!("{dead}{NATS}/store"), false),
            (format!("{dead}-unknown/kept"), true),
            (living.0.clone(), true),
            (format!("{}{NATS}/store", living.0), true),
            (String::from("ccm-lab-nats/store"), true),
        ];
        for (name, _) in &names {
            std::fs::create_dir_all(parent.join(name)).unwrap();
        }
        sweep_folders(&parent);
        for (name, stays) in &names {
            assert_eq!(parent.join(name).exists(), *stays, "{name}");
        }
        assert!(!parent.join(format!("{dead}{NATS}")).exists());
        std::fs::remove_dir_all(parent).unwrap();
    }
}
