//! Whether anything is left in a unit's cgroup, and its end without systemd.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

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

/// Sends SIGKILL to everything in the cgroup that systemd names `control_group`, when that is the
/// one of `unit`; whether there was something to send it to. Needs root.
pub(crate) fn kill(control_group: &str, unit: &str) -> bool {
    kill_under(ROOTS.iter().map(Path::new), control_group, unit)
}

fn kill_under<'a>(roots: impl Iterator<Item = &'a Path>, control_group: &str, unit: &str) -> bool {
    // Never a slice, and never the whole machine.
    if control_group.rsplit('/').next() != Some(unit) {
        return false;
    }
    let dirs = dirs_under(roots, control_group);
    dirs.iter().map(|dir| kill_in(dir)).fold(false, |any, one| any | one)
}

/// Since Linux 5.14 at once (cgroups(7), `cgroup.kill`), else one after another.
fn kill_in(dir: &Path) -> bool {
    if dir.join("cgroup.kill").exists() && std::fs::write(dir.join("cgroup.kill"), "1").is_ok() {
        return true;
    }
    let procs = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let pids = procs.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?));
    let mut any = pids.fold(false, |any, pid| kill_process(pid, Signal::KILL).is_ok() | any);
    for below in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if below.path().is_dir() {
            any |= kill_in(&below.path());
        }
    }
    any
}

fn dirs_under<'a>(roots: impl Iterator<Item = &'a Path>, control_group: &str) -> Vec<PathBuf> {
    let name = control_group.trim_start_matches('/');
    roots.map(|root| root.join(name)).filter(|dir| !name.is_empty() && dir.is_dir()).collect()
}

fn look_under<'a>(roots: impl Iterator<Item = &'a Path>, control_group: &str) -> Seen {
    let dirs = dirs_under(roots, control_group);
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

    #[test]
    fn only_the_cgroup_of_the_unit_is_ever_killed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("app.slice/x.service");
        std::fs::create_dir_all(&dir).unwrap();
        for at in [root.path(), &root.path().join("app.slice"), &dir] {
            std::fs::write(at.join("cgroup.kill"), "").unwrap();
        }
        let kill = |group| kill_under([root.path()].into_iter(), group, "x.service");
        for other in
            ["", "/", "/app.slice", "/app.slice/", "/app.slice/y.service", "/gone/x.service"]
        {
            assert!(!kill(other), "{other}");
        }
        let said = |at: &Path| std::fs::read_to_string(at.join("cgroup.kill")).unwrap();
        assert_eq!(said(&dir), "");
        assert!(kill("/app.slice/x.service"));
        assert_eq!(said(&dir), "1");
        assert_eq!((said(root.path()), said(dir.parent().unwrap())), Default::default());
    }

    #[test]
    fn without_a_kill_of_the_kernel_each_process_is_killed_to_the_bottom() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("x.service/below");
        std::fs::create_dir_all(&dir).unwrap();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        std::fs::write(dir.join("cgroup.procs"), format!("{}\n", child.id())).unwrap();
        assert!(kill_under([root.path()].into_iter(), "/x.service", "x.service"));
        assert!(!child.wait().unwrap().success());
    }
}
