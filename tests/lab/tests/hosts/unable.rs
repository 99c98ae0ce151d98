//! A machine that cannot run a lab: these tests fail there, and say what is missing.

use std::process::{Command, Output};

/// The shortest test that needs a lab.
const ONE: [&str; 3] = ["--exact", "lab::a_host_boots_is_cut_and_boots_again", "--nocapture"];

/// Runs one of these tests in a process that may not do what `capability` is for.
fn without(capability: &str) -> Output {
    let mut less = Command::new("setpriv");
    less.arg(format!("--bounding-set=-{capability}")).arg(own());
    less.args(ONE).env_remove("CCM_LAB");
    less.output().unwrap_or_else(|error| panic!("no setpriv ({error}): install util-linux"))
}

fn own() -> std::path::PathBuf {
    std::env::current_exe().unwrap_or_else(|error| panic!("this test has no path: {error}"))
}

#[test]
fn where_there_can_be_no_lab_a_test_fails_and_says_why() {
    for (capability, why) in
        [("sys_admin", "no mount namespace"), ("net_admin", "a container needs CAP_NET_ADMIN")]
    {
        let ran = without(capability);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success(), "it passes without {capability}");
        let unable = "this machine cannot run the hosts of the lab: ";
        assert!(said.contains(unable) && said.contains(why), "without {capability}: {said}");
    }
}

#[test]
fn what_is_skipped_is_said_to_be_skipped() {
    let ran = Command::new(own()).args(ONE).env("CCM_LAB", "skip").output();
    let ran = ran.unwrap_or_else(|error| panic!("could not run this test again: {error}"));
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("SKIPPED, nothing was tested: a_host_boots_"), "{said}");
}
