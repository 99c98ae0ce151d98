//! What the packages are called and how old everything in them is.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::elf::{Linked, Machine};
use crate::program::Built;

/// The name of the package.
pub(crate) const NAME: &str = "ccm";
/// One line about it.
pub(crate) const SUMMARY: &str = "high availability for self-hosted Convex backends";
/// More about it.
pub(crate) const DESCRIPTION: &str = "\
One process over one SQLite file, kept alive by two or more nodes and a NATS
server: one node is PRIMARY and serves, the others hold a replica milliseconds
behind and take over by themselves.";
/// Who makes the packages.
pub(crate) const MAINTAINER: &str = "The ccm maintainers <ccm@localhost>";

/// One build of the packages.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) version: String,
    pub(crate) revision: u32,
    pub(crate) linked: Linked,
    /// The time of everything, in seconds since 1970.
    pub(crate) epoch: u32,
    /// Of gzip: 0 to 9.
    pub(crate) compression: u32,
}

impl Release {
    /// Of the program that was built.
    pub(crate) fn new(built: &Built, revision: u32, fast: bool) -> Result<Self> {
        ensure!(revision > 0, "--revision counts from 1");
        let linked = Linked::read(&built.bytes)
            .with_context(|| format!("{} cannot be packaged", built.path.display()))?;
        Ok(Self {
            version: built.version.clone(),
            revision,
            linked,
            epoch: epoch()?,
            compression: if fast { 1 } else { 9 },
        })
    }

    /// The version as Debian writes it.
    pub(crate) fn deb_version(&self) -> String {
        format!("{}-{}", self.version, self.revision)
    }

    pub(crate) fn deb_name(&self) -> String {
        format!("{NAME}_{}_{}.deb", self.deb_version(), self.linked.machine.deb())
    }

    pub(crate) fn rpm_name(&self) -> String {
        let Self { version, revision, .. } = self;
        format!("{NAME}-{version}-{revision}.{}.rpm", self.linked.machine.rpm())
    }

    /// The folder in the tarball.
    pub(crate) fn tar_folder(&self) -> String {
        let libc = if self.linked.is_static() { "musl" } else { "gnu" };
        let Self { version, .. } = self;
        format!("{NAME}-{version}-{}-linux-{libc}", self.linked.machine.rpm())
    }

    pub(crate) fn tar_name(&self) -> String {
        format!("{}.tar.gz", self.tar_folder())
    }
}

impl Machine {
    /// As Debian calls it.
    pub(crate) fn deb(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// As RPM and the kernel call it.
    pub(crate) fn rpm(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// `$SOURCE_DATE_EPOCH`, else the time of the last commit.
fn epoch() -> Result<u32> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given.parse().with_context(|| {
            format!("SOURCE_DATE_EPOCH={given:?}: it is a number of seconds since 1970")
        });
    }
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(crate::root());
    let said = git.output().context("could not run git")?;
    ensure!(said.status.success(), "git knows no commit: set SOURCE_DATE_EPOCH");
    let time = String::from_utf8(said.stdout)?;
    time.trim().parse().with_context(|| format!("git says {time:?}: set SOURCE_DATE_EPOCH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_tools_of_each_format_expect() {
        let linked = Linked { machine: Machine::X86_64, needs: Vec::new() };
        let release = Release {
            version: String::from("1.2.3"),
            revision: 4,
            linked,
            epoch: 0,
            compression: 1,
        };
        assert_eq!(release.deb_name(), "ccm_1.2.3-4_amd64.deb");
        assert_eq!(release.rpm_name(), "ccm-1.2.3-4.x86_64.rpm");
        assert_eq!(release.tar_name(), "ccm-1.2.3-x86_64-linux-musl.tar.gz");
    }
}
