//! The RPM package.

use anyhow::Result;
use rpm::{
    BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder, Scriptlet,
};

use crate::elf::{Machine, Needed, dotted};
use crate::entry::{Entry, ForWhom, What};
use crate::release::{DESCRIPTION, NAME, Release, SUMMARY};
use crate::scripts;

/// What everything in the package is under.
const LICENCE: &str = "Apache-2.0";

pub(crate) fn make(release: &Release, contents: &[Entry]) -> Result<Vec<u8>> {
    let compression = CompressionWithLevel::Gzip(release.compression);
    let config = BuildConfig::default().compression(compression).source_date(release.epoch);
    let machine = release.linked.machine;
    let mut package =
        PackageBuilder::new(NAME, &release.version, LICENCE, machine.rpm(), SUMMARY)
            .using_config(config)
            .release(release.revision.to_string())
            .description(DESCRIPTION)
            .build_host("localhost")
            .post_install_script(scriptlet("post")?)
            .pre_uninstall_script(scriptlet("preun")?)
            .post_uninstall_script(scriptlet("postun")?)
            .post_trans_script(scriptlet("posttrans")?)
            .requires(Dependency::any("/usr/sbin/useradd"))
            .requires(Dependency::any("util-linux"));
    for dependency in release.linked.needs.iter().flat_map(|needed| symbols(machine, needed)) {
        package = package.requires(Dependency::any(dependency));
    }
    for entry in contents.iter().filter(|entry| entry.for_whom != ForWhom::Debian) {
        package = with(package, entry)?;
    }
    let mut bytes = Vec::new();
    package.build()?.write(&mut bytes)?;
    Ok(bytes)
}

/// A script that rpm runs.
fn scriptlet(name: &str) -> Result<Scriptlet> {
    Ok(Scriptlet::new(scripts::rpm(name)?))
}

fn with(package: PackageBuilder, entry: &Entry) -> Result<PackageBuilder> {
    let path = entry.path.as_str();
    Ok(match &entry.what {
        What::Folder => package.with_dir_entry(FileOptions::dir(path))?,
        What::Link { to } => package.with_symlink(FileOptions::symlink(path, to))?,
        What::File { bytes, mode } => {
            let mut options = FileOptions::new(path).permissions(u16::try_from(*mode)?);
            if entry.is_configuration() {
                options = options.config().noreplace();
            }
            if entry.is_document() {
                options = options.doc();
            }
            package.with_file_contents(bytes.clone(), options)?
        }
    })
}

/// What the libraries provide, as rpm's own generator writes it.
fn symbols(machine: Machine, needed: &Needed) -> Vec<String> {
    let bits = match machine {
        Machine::X86_64 | Machine::Aarch64 => "(64bit)",
    };
    let Needed { library, versions } = needed;
    let mut all = vec![format!("{library}(){bits}")];
    all.extend(versions.iter().map(|(name, numbers)| {
        format!("{library}({name}_{}){bits}", dotted(numbers))
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_asked_for_as_rpm_names_them() {
        let needed = Needed {
            library: String::from("libc.so.6"),
            versions: vec![(String::from("GLIBC"), vec![2, 34])],
        };
        assert_eq!(
            symbols(Machine::X86_64, &needed),
            ["libc.so.6()(64bit)", "libc.so.6(GLIBC_2.34)(64bit)"]
        );
    }
}
