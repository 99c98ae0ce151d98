//! The RPM package.

use anyhow::Result;
use rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder};

use crate::elf::{Machine, Needed, dotted};
use crate::entry::{Entry, ForWhom, What};
use crate::release::{DESCRIPTION, NAME, Release, SUMMARY};
use crate::scripts;

/// What everything in the package is under.
const LICENCE: &str = "Apache-2.0";
/// Which machine built it is nobody's business.
const BUILD_HOST: &str = "localhost";
/// What the scripts and the guard run.
const REQUIRED: [&str; 4] =
    ["/usr/sbin/groupadd", "/usr/sbin/useradd", "/usr/bin/setpriv", "/bin/sh"];

pub(crate) fn make(release: &Release, contents: &[Entry]) -> Result<Vec<u8>> {
    let compression = CompressionWithLevel::Gzip(release.compression);
    let config = BuildConfig::v4().compression(compression).source_date(release.epoch);
    let machine = release.linked.machine;
    let mut package = PackageBuilder::new(NAME, &release.version, LICENCE, machine.rpm(), SUMMARY);
    package.using_config(config).build_host(BUILD_HOST);
    package.release(release.revision.to_string()).description(DESCRIPTION);
    package.post_install_script(scripts::rpm("post")?);
    package.post_trans_script(scripts::rpm("posttrans")?);
    package.pre_uninstall_script(scripts::rpm("preun")?);
    package.post_uninstall_script(scripts::rpm("postun")?);
    for needed in REQUIRED {
        package.requires(Dependency::any(needed));
    }
    for symbols in release.linked.needs.iter().flat_map(|needed| symbols(machine, needed)) {
        package.requires(Dependency::any(symbols));
    }
    for entry in contents.iter().filter(|entry| entry.for_whom != ForWhom::Debian) {
        add(&mut package, entry)?;
    }
    let mut bytes = Vec::new();
    package.build()?.write(&mut bytes)?;
    Ok(bytes)
}

fn add(package: &mut PackageBuilder, entry: &Entry) -> Result<()> {
    let path = entry.path.as_str();
    match &entry.what {
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
            package.with_file_contents(bytes.as_slice(), options)?
        }
    };
    Ok(())
}

/// What the libraries provide, as rpm's own generator writes it.
fn symbols(machine: Machine, needed: &Needed) -> Vec<String> {
    let bits = match machine {
        Machine::X86_64 | Machine::Aarch64 => "(64bit)",
    };
    let Needed { library, versions } = needed;
    let mut all = vec![format!("{library}(){bits}")];
    all.extend(
        versions
            .iter()
            .map(|(name, numbers)| format!("{library}({name}_{}){bits}", dotted(numbers))),
    );
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
