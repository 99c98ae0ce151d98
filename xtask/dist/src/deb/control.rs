//! What dpkg is told of the package.

use anyhow::{Result, bail};

use crate::archive::with_folders;
use crate::checksums;
use crate::elf::{Needed, dotted};
use crate::entry::Entry;
use crate::release::{DESCRIPTION, MAINTAINER, NAME, Release, SUMMARY};
use crate::scripts;

/// The scripts.
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];
/// The packages of the libraries that a program of ours may need.
const PACKAGES: [(&str, &str); 5] = [
    ("libc.so.6", "libc6"),
    ("libm.so.6", "libc6"),
    ("ld-linux-x86-64.so.2", "libc6"),
    ("ld-linux-aarch64.so.1", "libc6"),
    ("libgcc_s.so.1", "libgcc-s1"),
];

/// The files of `control.tar.gz`.
pub(super) fn files(release: &Release, entries: &[Entry]) -> Result<Vec<Entry>> {
    let mut files = vec![Entry::file("/control", control(release, entries)?)];
    let conffiles = entries.iter().filter(|entry| entry.is_configuration());
    let conffiles: String = conffiles.map(|entry| format!("{}\n", entry.path)).collect();
    if !conffiles.is_empty() {
        files.push(Entry::file("/conffiles", conffiles));
    }
    files.push(Entry::file("/md5sums", checksums::md5sums(entries)));
    for script in SCRIPTS {
        files.push(Entry::program(&format!("/{script}"), scripts::deb(script)?.into_bytes()));
    }
    Ok(files)
}

fn control(release: &Release, entries: &[Entry]) -> Result<String> {
    let bytes: usize = entries.iter().map(|entry| entry.bytes().len().div_ceil(1024)).sum();
    // As dpkg-gencontrol counts: a KiB for everything that is no file.
    let size = bytes + with_folders(entries).len();
    let mut fields = vec![
        ("Package", String::from(NAME)),
        ("Version", release.deb_version()),
        ("Architecture", String::from(release.linked.machine.deb())),
        ("Maintainer", String::from(MAINTAINER)),
        ("Installed-Size", size.to_string()),
        ("Section", String::from("net")),
        ("Priority", String::from("optional")),
    ];
    let depends = depends(&release.linked.needs)?;
    if !depends.is_empty() {
        fields.push(("Depends", depends));
    }
    fields.push(("Recommends", String::from("systemd, polkitd")));
    let description: String = DESCRIPTION.lines().map(|line| format!("\n {line}")).collect();
    fields.push(("Description", format!("{SUMMARY}{description}")));
    Ok(fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect())
}

/// The packages that have the libraries, in the version that has what is asked of them.
fn depends(needs: &[Needed]) -> Result<String> {
    let mut packages: Vec<(&str, Vec<u32>)> = Vec::new();
    for Needed { library, versions } in needs {
        let Some((_, package)) = PACKAGES.iter().find(|(name, _)| name == library) else {
            bail!("ccm needs {library}, and no package is known that has it");
        };
        // Only the C library's symbols are called after its versions.
        let glibc = versions.iter().filter(|(name, _)| name == "GLIBC");
        let newest = glibc.map(|(_, numbers)| numbers.clone()).max().unwrap_or_default();
        match packages.iter_mut().find(|(name, _)| name == package) {
            Some((_, version)) => *version = newest.max(std::mem::take(version)),
            None => packages.push((package, newest)),
        }
    }
    let shown = packages.iter().map(|(package, version)| match version.as_slice() {
        [] => String::from(*package),
        version => format!("{package} (>= {})", dotted(version)),
    });
    Ok(shown.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_once_in_the_newest_version_that_is_needed() {
        let needed = |library: &str, versions: &[(&str, &[u32])]| Needed {
            library: String::from(library),
            versions: versions.iter().map(|(n, v)| (String::from(*n), v.to_vec())).collect(),
        };
        let needs = [
            needed("ld-linux-x86-64.so.2", &[("GLIBC", &[2, 3])]),
            needed("libc.so.6", &[("GLIBC", &[2, 34])]),
            needed("libgcc_s.so.1", &[("GCC", &[4, 2, 0])]),
            needed("libm.so.6", &[("GLIBC", &[2, 29])]),
        ];
        assert_eq!(depends(&needs).unwrap(), "libc6 (>= 2.34), libgcc-s1");
        assert_eq!(depends(&[]).unwrap(), "");
        assert!(depends(&[needed("libssl.so.3", &[])]).is_err());
    }
}
