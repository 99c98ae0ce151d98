//! `ccm init` and the command line itself.

use std::os::unix::fs::PermissionsExt as _;

use crate::node::ccm;

const IDS: [&str; 5] = ["init", "--cluster-id", "convex-prod", "--node-id", "db1.example.com"];

#[test]
fn the_command_of_the_manual_writes_a_configuration_that_other_commands_accept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/cluster.json");
    let shown = path.display().to_string();
    let nats = ["--nats", "nats://127.0.0.1:1,nats://127.0.0.1:2", "-c", &shown];
    let vip = ["--vip", "10.0.1.100", "--vip-netmask", "24", "--interface", "eth0"];
    let all = [&IDS[..], &nats, &vip].concat();
    let ran = ccm(&all);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    let expected = format!(
        "✓ Cluster configuration initialized\n  Config file: {shown}\n  \
         Cluster ID:  convex-prod\n  Node ID:     db1.example.com\n  \
         NATS:        [nats://127.0.0.1:1 nats://127.0.0.1:2]\n  \
         VIP:         10.0.1.100/24 on eth0\n\nNext steps:\n"
    );
    assert!(ran.out.starts_with(&expected), "{}", ran.out);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o755);
    // Accepted: what fails is NATS.
    assert_eq!(ccm(&["status", "--config", &shown]).code, Some(69));

    let before = std::fs::read(&path).unwrap();
    let again = ccm(&all);
    assert_eq!(again.code, Some(64));
    assert_eq!(
        again.err,
        format!("error: {shown} exists already: nothing changed; --force replaces it\n")
    );
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let forced =
        ccm(&[&all[..], &["--force", "--ttl-ms", "3000", "--heartbeat-ms", "600"]].concat());
    assert_eq!(forced.code, Some(0), "{}", forced.err);
    assert_ne!(std::fs::read(&path).unwrap(), before);
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(files, 1, "something was left behind");
}

#[test]
fn options_that_do_not_fit_together_write_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.json").display().to_string();
    let table: [(&[&str], &str); 4] = [
        (&["--nats", "http://x"], "nats.servers[0] is \"http://x\""),
        (&["--nats", "x", "--heartbeat-ms", "10000"], "leaderTtlMs"),
        (&["--nats", "x", "--backend-kind", "process"], "backend.command is required"),
        (&["--nats", "x", "--vip", "10.0.0.1"], "--interface"),
    ];
    for (args, words) in table {
        let ran = ccm(&[&IDS, args, &["--config", &path]].concat());
        assert_eq!(ran.code, Some(64), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
        assert!(!dir.path().join("cluster.json").exists(), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_64_and_help_is_not_wrong() {
    for args in [&[][..], &["stauts"], &["status", "--fast"], &["switchover"]] {
        assert_eq!(ccm(args).code, Some(64), "{args:?}");
    }
    let help = ccm(&["--help"]);
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("switchover"), "{}", help.out);
    let version = ccm(&["version", "--json"]);
    assert_eq!(version.json()["version"], env!("CARGO_PKG_VERSION"));
}
