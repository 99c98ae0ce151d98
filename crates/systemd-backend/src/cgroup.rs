//! Whether anything is left in a unit's cgroup.

use std::path::{Path, PathBuf};

/// Where cgroup hierarchies with systemd's tree are mounted: unified, hybrid, legacy.
const ROOTS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];

/// Whether no process is left in the cgroup or below it. An empty name is a unit without one.
pub(crate) fn is_empty(control_group: &str) -> bool {
    if control_group.is_empty() {
        return true;
    }
    let dirs = ROOTS.iter().map(|root| PathBuf::from(format!("{root}{control_group}")));
    dirs.filter(|dir| dir.is_dir()).all(|dir| nobody_in(&dir))
}

/// cgroup.events says so for the whole tree (cgroups(7)); without it every folder is looked at.
fn nobody_in(dir: &Path) -> bool {
    if let Ok(events) = std::fs::read_to_string(dir.join("cgroup.events")) {
        return events.lines().any(|line| line == "populated 0");
    }
    let nobody =
        std::fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|p| p.trim().is_empty());
    let below = std::fs::read_dir(dir).into_iter().flatten().flatten();
    nobody && below.filter(|e| e.path().is_dir()).all(|e| nobody_in(&e.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_hierarchy_is_looked_through_to_the_bottom() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        for level in [dir.path(), &dir.path().join("a"), &below] {
            std::fs::write(level.join("cgroup.procs"), "").unwrap();
        }
        assert!(nobody_in(dir.path()));
        std::fs::write(below.join("cgroup.procs"), "42\n").unwrap();
        assert!(!nobody_in(dir.path()));
        std::fs::write(dir.path().join("cgroup.events"), "populated 0\nfrozen 0\n").unwrap();
        assert!(nobody_in(dir.path()));
    }
}
