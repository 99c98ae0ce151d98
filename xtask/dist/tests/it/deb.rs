//! The Debian package, as dpkg-deb reads it.

use std::path::Path;
use std::process::Command;

use crate::contents::{Listed, check};
use crate::made::{self, run};

fn dpkg_deb(args: &[&str], package: &Path) -> String {
    let mut command = Command::new("dpkg-deb");
    command.arg(args[0]).arg(package).args(&args[1..]);
    run(&mut command)
}

/// What `dpkg-deb --contents` lists.
fn listed(package: &Path) -> Vec<Listed> {
    let listing = dpkg_deb(&["--contents"], package);
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let mode = words.next().unwrap();
        let owner = words.next().unwrap();
        let path = words.nth(3).unwrap().trim_start_matches('.').trim_end_matches('/');
        Listed { mode: mode.into(), owner: owner.into(), path: path.into() }
    };
    listing.lines().map(one).collect()
}

#[test]
fn holds_what_an_operator_looks_for_and_belongs_to_root() {
    let package = made::first().file(".deb");
    let special = ["/usr/share/zsh/vendor-completions/_ccm", "/etc/needrestart/conf.d/convex.conf"];
    let changelog = ["/usr/share/doc/ccm/changelog.Debian.gz"];
    check(&listed(&package), &[&special[..], &changelog[..]].concat());
    let listing = dpkg_deb(&["--contents"], &package);
    assert!(listing.contains("./usr/bin/convex-cluster-manager -> ccm\n"), "{listing}");
    assert!(listing.lines().all(|line| line.contains(" 2001-09-09 ")), "{listing}");
}

#[test]
fn says_what_it_is_and_what_it_needs() {
    let package = made::first().file(".deb");
    let field = |name: &str| dpkg_deb(&["--field", name], &package).trim().to_owned();
    assert_eq!(field("Package"), "ccm");
    assert_eq!(field("Version"), concat!(env!("CARGO_PKG_VERSION"), "-1"));
    let architecture = run(Command::new("dpkg").arg("--print-architecture"));
    assert_eq!(field("Architecture"), architecture.trim());
    assert!(field("Depends").starts_with("libc6 (>= 2."), "{}", field("Depends"));
    assert!(field("Installed-Size").parse::<u32>().unwrap() > 1000);
    assert!(field("Description").lines().count() > 2);
}

#[test]
fn names_its_configuration_and_the_sums_of_everything_else() {
    let package = made::first().file(".deb");
    let control = tempfile::tempdir().unwrap();
    dpkg_deb(&["--control", control.path().to_str().unwrap()], &package);
    let read = |name: &str| std::fs::read_to_string(control.path().join(name)).unwrap();
    let configuration = read("conffiles");
    let configuration: Vec<&str> = configuration.lines().collect();
    let listed = listed(&package);
    let in_etc = listed.iter().filter(|one| one.mode.starts_with('-'));
    let in_etc: Vec<&str> =
        in_etc.map(|one| one.path.as_str()).filter(|path| path.starts_with("/etc/")).collect();
    assert_eq!(configuration, in_etc);

    let data = tempfile::tempdir().unwrap();
    dpkg_deb(&["--extract", data.path().to_str().unwrap()], &package);
    let sums = control.path().join("md5sums");
    run(Command::new("md5sum").args(["--check", "--quiet"]).arg(&sums).current_dir(data.path()));
    let files = listed.iter().filter(|one| one.mode.starts_with('-')).count();
    assert_eq!(read("md5sums").lines().count(), files - configuration.len());
}
