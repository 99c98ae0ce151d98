//! Programs out of a Debian package, without installing it: no service is started, nothing of the
//! system is changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::on_path;
use crate::root;

/// The package.
const PACKAGE: &str = "prometheus";
/// What is taken out of it.
const PROGRAMS: [&str; 2] = ["prometheus", "promtool"];

/// Prometheus with promtool beside it: ours under `.tools/bin`, else both on PATH, else installs
/// ours.
pub(super) fn prometheus() -> Result<PathBuf> {
    let bin = root().join(".tools/bin");
    if PROGRAMS.iter().all(|name| bin.join(name).exists()) {
        return Ok(bin.join(PACKAGE));
    }
    if let Some(theirs) = on_path(PROGRAMS[0])
        && theirs.with_file_name(PROGRAMS[1]).exists()
    {
        return Ok(theirs);
    }
    println!("setup: unpacking the Debian package {PACKAGE} into .tools/bin");
    std::fs::create_dir_all(&bin).with_context(|| format!("could not create {}", bin.display()))?;
    let temp = bin.join(format!("{PACKAGE}.{}", std::process::id()));
    let unpacked = unpack(&bin, &temp);
    std::fs::remove_dir_all(&temp).ok();
    unpacked.context("could not unpack Prometheus: put prometheus and promtool on PATH")?;
    Ok(bin.join(PACKAGE))
}

/// Downloads to a folder of its own and renames, so two set-ups can run side by side.
fn unpack(bin: &Path, temp: &Path) -> Result<()> {
    if on_path("apt-get").is_none() || on_path("dpkg-deb").is_none() {
        bail!("this system has no apt-get and dpkg-deb");
    }
    std::fs::create_dir_all(temp)?;
    let download = || {
        let mut apt = Command::new("apt-get");
        // Else it warns that the user it works as may not write here.
        apt.args(["-qq", "-o", "APT::Sandbox::User=root", "download", PACKAGE]);
        apt.current_dir(temp);
        apt.status().context("could not run apt-get")
    };
    if !download()?.success() {
        // A fresh machine has no lists of packages yet.
        crate::run(Command::new("apt-get").args(["-qq", "update"]))?;
        if !download()?.success() {
            bail!("apt-get download {PACKAGE} fails");
        }
    }
    let mut packages = std::fs::read_dir(temp)?.filter_map(|entry| Some(entry.ok()?.path()));
    let package = packages.find(|path| path.extension().is_some_and(|end| end == "deb"));
    let package = package.context("apt-get has downloaded no package")?;
    crate::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(temp))?;
    for name in PROGRAMS {
        std::fs::rename(temp.join("usr/bin").join(name), bin.join(name))?;
    }
    Ok(())
}
