//! The disk of a host: a copy on write of the machine's own root, made into a quiet host of its
//! own name.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

use crate::ground::Ground;
use crate::machine::Unable;
use crate::switch::{FIRST, Port};

/// Units that touch the one kernel that all hosts share, or that only cost time.
const MASKED: [&str; 38] = [
    "systemd-sysctl.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-modules-load.service",
    "modprobe@.service",
    "kmod-static-nodes.service",
    "systemd-timesyncd.service",
    "systemd-resolved.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-boot-system-token.service",
    "systemd-sysusers.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-update-done.service",
    "systemd-remount-fs.service",
    "systemd-journal-flush.service",
    "ldconfig.service",
    "e2scrub_reap.service",
    "getty.target",
    "console-getty.service",
    "remote-fs.target",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
];

const JOURNAL: &str =
    "[Journal]\nStorage=volatile\nRuntimeMaxUse=64M\nRateLimitBurst=0\nForwardToConsole=no\n";

/// The disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The mounted root, for threads that are on the ground.
    inside: PathBuf,
    /// The same for everybody else.
    outside: PathBuf,
}

impl Disk {
    /// Mounts one for the host `number` of `hosts`, and makes it ready to boot.
    pub(crate) fn make(ground: &Ground, number: u8, hosts: u8) -> Result<Self> {
        let at = |part: &str| format!("n{number}/{part}");
        for part in ["upper", "work", "root"] {
            std::fs::create_dir_all(ground.outside(&at(part)))?;
        }
        let inside = ground.inside(&at("root"));
        let (upper, work) = (ground.inside(&at("upper")), ground.inside(&at("work")));
        ground.run(|| {
            let layers =
                format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
            let kind = Some("overlay");
            mount(kind, &inside, kind, MsFlags::empty(), Some(layers.as_str())).map_err(|error| {
                let error = format!("no overlay of / can be mounted ({error})");
                anyhow::Error::from(Unable::new(error))
            })
        })?;
        let disk = Self { inside, outside: ground.outside(&at("root")) };
        disk.seed(number, hosts).context("could not prepare the disk of a host")?;
        Ok(disk)
    }

    /// The mounted root, for threads that are on the ground.
    pub(crate) fn inside(&self) -> &Path {
        &self.inside
    }

    /// A file on it, whether or not the host is on.
    ///
    /// A symbolic link with an absolute target leads out of it.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.outside.join(path.trim_start_matches('/'))
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn write(&self, path: &str, text: &str) -> Result<()> {
        let at = self.fresh(path)?;
        std::fs::write(at, text).with_context(|| format!("could not write {path}"))
    }

    /// Writes a program.
    pub(crate) fn write_program(&self, path: &str, text: &str) -> Result<()> {
        self.write(path, text)?;
        std::fs::set_permissions(self.path(path), std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Copies a file of this machine, with its mode.
    pub(crate) fn copy(&self, from: &Path, path: &str) -> Result<()> {
        let at = self.fresh(path)?;
        let copied = std::fs::copy(from, at);
        copied.with_context(|| format!("could not copy {} to {path}", from.display()))?;
        Ok(())
    }

    /// Makes a symbolic link.
    pub(crate) fn link(&self, target: &str, path: &str) -> Result<()> {
        symlink(target, self.fresh(path)?).with_context(|| format!("could not link {path}"))
    }

    /// Where nothing is any more, in a folder that is there: a link that is replaced is not
    /// followed.
    fn fresh(&self, path: &str) -> Result<PathBuf> {
        let at = self.path(path);
        if let Some(folder) = at.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match std::fs::remove_file(&at) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("could not replace {path}"))
            }
            _ => Ok(at),
        }
    }

    fn seed(&self, number: u8, hosts: u8) -> Result<()> {
        self.write("etc/hostname", &format!("node-{number}\n"))?;
        self.write("etc/machine-id", &format!("{:032x}\n", 0x7700_u32 + u32::from(number)))?;
        let mut names = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for other in 1..=hosts {
            names.push_str(&format!(
                "{} node-{other} nats{other}\n",
                Port(FIRST + other - 1).address()
            ));
        }
        self.write("etc/hosts", &names)?;
        self.write("etc/fstab", "")?;
        // What this machine starts at its boot is no affair of the host.
        let units = self.path("etc/systemd/system");
        std::fs::create_dir_all(&units)?;
        for entry in std::fs::read_dir(&units)? {
            let entry = entry?;
            if entry.path().is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        for unit in MASKED {
            self.link("/dev/null", &format!("etc/systemd/system/{unit}"))?;
        }
        let target = "/lib/systemd/system/multi-user.target";
        self.link(target, "etc/systemd/system/default.target")?;
        self.write("etc/systemd/journald.conf.d/lab.conf", JOURNAL)
    }
}
