//! The RPM package, as rpm reads it.

use std::process::Command;

use crate::contents::{Listed, check};
use crate::made::{self, run};

/// What rpm says of the package.
fn query(args: &[&str]) -> String {
    let mut rpm = Command::new("rpm");
    run(rpm.arg("--query").args(args).arg("--package").arg(made::first().file(".rpm")))
}

#[test]
fn holds_what_an_operator_looks_for_and_belongs_to_root() {
    let format = "[%{FILEMODES:perms} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\n]";
    let listing = query(&["--queryformat", format]);
    let one = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        Listed { mode: words[0].into(), owner: words[1].into(), path: words[2].into() }
    };
    let listed: Vec<Listed> = listing.lines().map(one).collect();
    check(&listed, &["/usr/share/zsh/site-functions/_ccm"]);
    let debian = |one: &&Listed| one.path.contains("ebian") || one.path.contains("needrestart");
    let debian: Vec<&Listed> = listed.iter().filter(debian).collect();
    assert!(debian.iter().all(|one| one.path.starts_with("/usr/share/doc/ccm/deploy/")));
    let links = query(&["--queryformat", "[%{FILENAMES} -> %{FILELINKTOS}\n]"]);
    assert!(links.contains("/usr/bin/convex-cluster-manager -> ccm\n"), "{links}");
}

#[test]
fn its_sums_are_right_and_it_says_what_it_is_and_what_it_needs() {
    let package = made::first().file(".rpm");
    let checked = run(Command::new("rpm").args(["--checksig", "--nosignature"]).arg(package));
    assert!(checked.trim().ends_with("digests OK"), "{checked}");
    let is = query(&["--queryformat", "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{LICENSE}"]);
    let (version, machine) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    assert_eq!(is, format!("ccm {version} 1 {machine} Apache-2.0"));
    assert_eq!(query(&["--queryformat", "%{BUILDTIME}"]), made::EPOCH.to_string());
    let requires = query(&["--requires"]);
    assert!(requires.contains("libc.so.6(GLIBC_2."), "{requires}");
    let documents = query(&["--docfiles"]);
    assert!(documents.contains("/usr/share/doc/ccm/copyright\n"), "{documents}");
}
