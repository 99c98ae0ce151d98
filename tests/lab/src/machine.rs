//! Whether this machine can be several: what is missing is said in words that tell what to do.

use std::path::{Path, PathBuf};

/// What the hosts run, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 6] = [
    ("/lib/systemd/systemd", "systemd"),
    ("dbus-daemon", "dbus"),
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
];

/// Why there can be no lab here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unable(String);

impl Unable {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl std::fmt::Display for Unable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this machine cannot run the hosts of the lab: {}", self.0)
    }
}

impl std::error::Error for Unable {}

/// Everything that can be seen without trying; the rest fails by itself.
pub(crate) fn check() -> Result<(), Unable> {
    if !rustix::process::geteuid().is_root() {
        return Err(Unable::new("it takes root to make namespaces and mounts: run it as root"));
    }
    for (program, package) in PROGRAMS {
        if find(program).is_none() {
            return Err(Unable::new(format!("no {program}: install the Debian package {package}")));
        }
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has = |name: &str| known.lines().any(|line| line.split_whitespace().last() == Some(name));
    for name in ["overlay", "tmpfs", "cgroup2"] {
        if !has(name) {
            return Err(Unable::new(format!("the kernel has no {name}, or has not loaded it")));
        }
    }
    Ok(())
}

/// The path of a command on PATH, or of a file named by its path.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // A user's PATH often has no sbin.
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    dirs.into_iter().map(|dir| dir.join(program)).find(|path| path.exists())
}

/// Where cgroup2 is mounted: alone, or beside the controllers of version 1.
pub(crate) fn cgroup2() -> Result<PathBuf, Unable> {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let found = mounted_cgroup2(&mounts);
    let found = found.ok_or_else(|| {
        Unable::new("no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")
    })?;
    let made = Path::new(&found).join("cgroup.procs");
    if rustix::fs::access(&made, rustix::fs::Access::WRITE_OK).is_err() {
        let shown = made.display();
        return Err(Unable::new(format!(
            "{shown} cannot be written: a container needs its own cgroup2, mounted writable"
        )));
    }
    Ok(found)
}

fn mounted_cgroup2(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, at, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup2_is_found_alone_and_beside_version_1() {
        let alone = "proc /proc proc rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        let beside = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mounted_cgroup2(alone), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(mounted_cgroup2(beside), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mounted_cgroup2("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let said = Unable::new("no ip: install the Debian package iproute2").to_string();
        assert_eq!(
            said,
            "this machine cannot run the hosts of the lab: no ip: install the Debian package \
             iproute2"
        );
    }
}
