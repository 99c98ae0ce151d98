//! The cgroup of a host: what makes freezing it and cutting its power one write each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::deadline::wait_for;

/// What the kernel takes to freeze or to kill; it takes milliseconds.
const KERNEL_WITHIN: Duration = Duration::from_secs(20);

/// One cgroup and everything below it.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Makes it.
    pub(crate) fn make(dir: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&dir).with_context(|| format!("could not make {dir:?}"))?;
        Ok(Self { dir })
    }

    /// One that is there.
    pub(crate) fn found(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stops everything in it where it stands, and sees that it has.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.write("cgroup.freeze", "1")?;
        wait_for(KERNEL_WITHIN, "a host to freeze", || self.event("frozen 1").then_some(()))
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.write("cgroup.freeze", "0")
    }

    /// Whether it is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.event("frozen 1")
    }

    /// SIGKILLs everything in it at once, frozen or not.
    pub(crate) fn kill(&self) -> Result<()> {
        self.write("cgroup.kill", "1")
    }

    /// Kills what is left, waits until nothing is, and removes it.
    pub(crate) fn end(&self) {
        if !self.dir.exists() {
            return;
        }
        self.kill().ok();
        // What cannot be killed in time is left to the next sweep.
        wait_for(KERNEL_WITHIN, "a killed host to be gone", || {
            self.event("populated 0").then_some(())
        })
        .ok();
        remove(&self.dir);
    }

    /// The processes of one unit on the host, as this process numbers them; none when it does not
    /// run.
    pub(crate) fn unit(&self, name: &str) -> Vec<i32> {
        let mut pids = Vec::new();
        below(&self.dir.join("system.slice").join(name), &mut pids);
        pids
    }

    fn event(&self, line: &str) -> bool {
        let events = std::fs::read_to_string(self.dir.join("cgroup.events"));
        // One that is gone holds nothing.
        events.map_or(line == "populated 0", |text| text.lines().any(|one| one == line))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.dir.join(file);
        std::fs::write(&path, text).with_context(|| format!("could not write {text} to {path:?}"))
    }
}

fn below(dir: &Path, pids: &mut Vec<i32>) {
    let Ok(text) = std::fs::read_to_string(dir.join("cgroup.procs")) else { return };
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(dir) {
        below(&child, pids);
    }
}

fn remove(dir: &Path) {
    for child in children(dir) {
        remove(&child);
    }
    // What a unit made meanwhile goes with the next sweep.
    std::fs::remove_dir(dir).ok();
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
