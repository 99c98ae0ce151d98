//! The first process of a host: lays out what a kernel would, then becomes systemd.
//!
//! It starts in a namespace for processes of its own, in the host's network, and where the host's
//! disk is mounted; the rest of the host's namespaces it makes itself.

use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{pivot_root, sethostname};
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::ground::NONE;

/// Devices that every host has.
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("pts/ptmx", "ptmx"),
    ("/proc/self/fd", "fd"),
    ("fd/0", "stdin"),
    ("fd/1", "stdout"),
    ("fd/2", "stderr"),
];
/// What a host may not do to the one kernel: set the clock, load modules, touch hardware.
const NOT_ALLOWED: &str = "-sys_time,-sys_module,-sys_rawio,-syslog";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where and what.
#[derive(Debug)]
pub struct Init {
    /// The mounted disk.
    pub root: PathBuf,
    /// The host's name.
    pub name: String,
    /// Its cgroup.
    pub cgroup: PathBuf,
}

impl Init {
    /// Becomes systemd; returns only what has failed.
    ///
    /// # Errors
    /// With the step.
    pub fn become_systemd(&self) -> Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let procs = self.cgroup.join("cgroup.procs");
        std::fs::write(&procs, "0").with_context(|| format!("could not enter {procs:?}"))?;
        let own = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWCGROUP;
        unshare(own).context("could not make the namespaces of a host")?;
        mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)?;
        sethostname(&self.name)?;
        self.kernel().context("could not mount what the kernel shows")?;
        self.devices().context("could not make the devices")?;
        self.boot_id().context("could not give this boot an id")?;
        change_root(&self.root).context("could not make the disk the root")?;
        let mut systemd = Command::new("setpriv");
        systemd.arg(format!("--bounding-set={NOT_ALLOWED}"));
        systemd.arg(format!("--inh-caps={NOT_ALLOWED}"));
        systemd.args(["--", "/lib/systemd/systemd"]);
        systemd.env_clear().env("PATH", PATH).env("container", "ccm-lab");
        Err(systemd.exec()).context("could not become systemd")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// What is the machine's own is read-only: a host that tuned it would tune all.
    fn kernel(&self) -> Result<()> {
        let plain = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let read_only = plain | MsFlags::MS_RDONLY;
        self.mount("proc", "proc", plain, None)?;
        self.mount("sysfs", "sys", read_only, None)?;
        self.mount("cgroup2", "sys/fs/cgroup", plain, None)?;
        self.bind("proc/sys")?;
        // The network is the host's own.
        self.bind("proc/sys/net")?;
        let again = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | read_only;
        mount(NONE, &self.at("proc/sys"), NONE, again, NONE)?;
        let sysrq = self.at("proc/sysrq-trigger");
        if sysrq.exists() {
            mount(Some("/dev/null"), &sysrq, NONE, MsFlags::MS_BIND, NONE)?;
        }
        self.mount("tmpfs", "run", quiet, Some("mode=755"))?;
        self.mount("tmpfs", "tmp", quiet, Some("mode=1777"))
    }

    fn devices(&self) -> Result<()> {
        self.mount("tmpfs", "dev", MsFlags::MS_NOSUID, Some("mode=755"))?;
        let all = Mode::from_bits_truncate(0o666);
        for (name, major, minor) in DEVICES {
            let at = self.at("dev").join(name);
            mknod(&at, SFlag::S_IFCHR, all, makedev(major, minor))?;
            // mknod minds the umask.
            std::fs::set_permissions(&at, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        }
        for dir in ["dev/pts", "dev/shm"] {
            std::fs::create_dir(self.at(dir))?;
        }
        let terminals = Some("newinstance,ptmxmode=0666,mode=620,gid=5");
        self.mount("devpts", "dev/pts", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, terminals)?;
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        self.mount("tmpfs", "dev/shm", quiet, Some("mode=1777"))?;
        for (target, name) in DEVICE_LINKS {
            symlink(target, self.at("dev").join(name))?;
        }
        Ok(())
    }

    /// The kernel's own is the same for all hosts and all boots.
    fn boot_id(&self) -> Result<()> {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let file = self.at("run/boot-id");
        std::fs::write(&file, id)?;
        let over = self.at("proc/sys/kernel/random/boot_id");
        Ok(mount(Some(&file), &over, NONE, MsFlags::MS_BIND, NONE)?)
    }

    fn mount(&self, kind: &str, path: &str, flags: MsFlags, data: Option<&str>) -> Result<()> {
        let mounted = mount(Some(kind), &self.at(path), Some(kind), flags, data);
        mounted.with_context(|| format!("/{path}"))
    }

    /// Makes a folder a mount of its own.
    fn bind(&self, path: &str) -> Result<()> {
        let at = self.at(path);
        let bound = mount(Some(&at), &at, NONE, MsFlags::MS_BIND, NONE);
        bound.with_context(|| format!("/{path}"))
    }
}

/// Nothing of the machine's own mounts is left in sight.
fn change_root(root: &Path) -> Result<()> {
    let old = root.join("run/old");
    std::fs::create_dir(&old)?;
    std::env::set_current_dir(root)?;
    pivot_root(root, &old)?;
    std::env::set_current_dir("/")?;
    umount2("/run/old", MntFlags::MNT_DETACH)?;
    Ok(std::fs::remove_dir("/run/old")?)
}
