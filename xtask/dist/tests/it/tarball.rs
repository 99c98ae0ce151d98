//! The tarball and the sums of all three.

use std::process::Command;

use crate::contents::{Listed, check};
use crate::made::{self, run};

#[test]
fn unpacks_into_one_folder_whose_program_runs_under_both_names() {
    let package = made::first().file(".tar.gz");
    let folder = package.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    let listing =
        run(Command::new("tar").args(["--list", "--verbose", "--gzip", "--file"]).arg(&package));
    let one = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let path = words[5].strip_prefix(folder).unwrap().trim_end_matches('/');
        Listed { mode: words[0].into(), owner: words[1].into(), path: path.into() }
    };
    check(&listing.lines().map(one).collect::<Vec<_>>(), &[]);

    let dir = tempfile::tempdir().unwrap();
    run(Command::new("tar").arg("-xzf").arg(&package).arg("-C").arg(dir.path()));
    let bin = dir.path().join(folder).join("usr/bin");
    let version = |name: &str| run(Command::new(bin.join(name)).arg("version"));
    assert_eq!(version("ccm"), concat!("ccm ", env!("CARGO_PKG_VERSION"), "\n"));
    assert_eq!(version("convex-cluster-manager"), version("ccm"));
}

#[test]
fn the_sums_are_those_of_all_the_packages() {
    let made = made::first();
    let mut check = Command::new("sha256sum");
    let checked = run(check.args(["--check", "SHA256SUMS"]).current_dir(made.dir()));
    assert_eq!(checked.lines().count(), 3, "{checked}");
}
