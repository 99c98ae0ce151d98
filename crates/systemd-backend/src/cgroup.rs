//! Whether anything is left in a unit's cgroup.

use std::path::{Path, PathBuf};

/// Where cgroup hierarchies with systemd's tree are mounted: unified, hybrid, legacy.
const ROOTS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];

/// What the file system shows of a cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is there, and no process is in it or below it.
    Empty,
    /// A process is in it or below it.
    Populated,
    /// It is not there: gone, or in a hierarchy that is not visible from here.
    Nothing,
}

/// Looks at the cgroup that systemd names `control_group`.
pub(crate) fn look(control_group: &str) -> Seen {
    look_under(ROOTS.iter().map(Path::new), control_group)
}

fn look_under<'a>(roots: impl Iterator<Item = &'a Path>, control_group: &str) -> Seen {
    let name = control_group.trim_start_matches('/');
    let dirs: Vec<PathBuf> =
        roots.map(|root| root.join(name)).filter(|dir| !name.is_empty() && dir.is_dir()).collect();
    if dirs.is_empty() {
        Seen::Nothing
    } else if dirs.iter().all(|dir| nobody_in(dir)) {
        Seen::Empty
    } else {
        Seen::Populated
    }
}

/// cgroup.events says so for the whole tree (cgroups(7)); without it every folder is looked at.
/// A folder that vanishes meanwhile counts as populated: the next look does not find it.
fn nobody_in(dir: &Path) -> bool {
    if let Ok(events) = std::fs::read_to_string(dir.join("cgroup.events")) {
        return events.lines().any(|line| line == "populated 0");
    }
    let nobody =
        std::fs::read_to_string(dir.join("cgroup.procs")).is_ok_and(|p| p.trim().is_empty());
    let Ok(below) = std::fs::read_dir(dir) else { return false };
    nobody && below.flatten().filter(|e| e.path().is_dir()).all(|e| nobody_in(&e.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(roots: &[&Path]) -> Seen {
        look_under(roots.iter().copied(), "/app.slice/x.service")
    }

    #[test]
    fn an_old_hierarchy_is_looked_through_to_the_bottom() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("app.slice/x.service/a/b");
        std::fs::create_dir_all(&below).unwrap();
        for level in below.ancestors().take(3) {
            std::fs::write(level.join("cgroup.procs"), "").unwrap();
        }
        assert_eq!(seen(&[root.path()]), Seen::Empty);
        std::fs::write(below.join("cgroup.procs"), "42\n").unwrap();
        assert_eq!(seen(&[root.path()]), Seen::Populated);
    }

    #[test]
    fn where_there_are_two_hierarchies_both_must_be_empty() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(seen(&[one.path(), two.path()]), Seen::Nothing);
        for (root, events) in [(&one, "populated 0\nfrozen 0\n"), (&two, "populated 1\n")] {
            let dir = root.path().join("app.slice/x.service");
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("cgroup.events"), events).unwrap();
        }
        assert_eq!(seen(&[one.path()]), Seen::Empty);
        assert_eq!(seen(&[one.path(), two.path()]), Seen::Populated);
    }

    #[test]
    fn a_unit_without_a_cgroup_is_not_the_whole_machine() {
        assert_eq!(look(""), Seen::Nothing);
        assert_eq!(look("/"), Seen::Nothing);
    }
}
