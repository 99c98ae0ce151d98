//! Restores and comparisons beside running daemons, and without any.

use std::path::Path;

use ccm_harness::{Ack, Cluster, ClusterOptions, PATIENCE, wait};
use rusqlite::Connection;

use crate::machine::{LOAD, beside_others};

/// The acknowledged writes that a database lacks; panics when SQLite finds it damaged.
fn missing(database: &Path, acks: &[Ack]) -> usize {
    let database = Connection::open(database).unwrap();
    let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut find = database.prepare("SELECT n FROM writes WHERE id = ?1").unwrap();
    let here = |ack: &&Ack| find.query_row([ack.id], |row| row.get(0)) == Ok(ack.n);
    acks.len() - acks.iter().filter(here).count()
}

/// Waits until the bucket has everything.
fn shipped(cluster: &Cluster, primary: usize) {
    cluster.wait_status(primary, "everything shipped", |status| {
        status["unshippedBytes"] == 0 && status["replicationLagMs"] == 0
    });
}

#[test]
fn restores_beside_daemons_and_without_them_bring_every_acknowledged_write_back() {
    let _machine = beside_others();
    let mut cluster = Cluster::start(ClusterOptions::default());
    let output = |name: &str| cluster.dir().join(name);
    let (one, two, three) = (output("one.db"), output("two.db"), output("three.db"));
    let restore = |cluster: &Cluster, node: usize, to: &Path, more: &[&str]| {
        let to = to.display().to_string();
        let args = [&["--output", to.as_str(), "--json"], more].concat();
        cluster.nodes[node].ccm("restore", &args).ok().json()
    };

    let writer = cluster.writer("first", LOAD);
    cluster.wait_acknowledged(&writer, 300);
    let primary = cluster.wait_serving();
    let passive = 1 - primary;
    cluster.wait_follows(passive);
    let epoch = cluster.nodes[primary].status()["epoch"].clone();
    restore(&cluster, passive, &one, &[]);
    assert_eq!(missing(&one, &[]), 0, "under load");
    wait::until(PATIENCE, "the replica to stand still for a comparison", || {
        (cluster.nodes[passive].ccm("verify", &[]).code == Some(0)).then_some(())
    });
    let first = writer.stop();
    shipped(&cluster, primary);
    let moment = restore(&cluster, primary, &two, &[])["committedAt"].clone();
    assert_eq!(missing(&two, &first), 0, "of what was acknowledged");

    let writer = cluster.writer("second", LOAD);
    cluster.wait_acknowledged(&writer, 100);
    let second = writer.stop();
    shipped(&cluster, primary);
    assert_eq!(cluster.nodes[primary].status()["epoch"], epoch, "a restore moved the lease");
    for node in &mut cluster.nodes {
        node.terminate(PATIENCE);
    }
    std::fs::remove_file(&one).unwrap();
    restore(&cluster, passive, &three, &[]);
    assert_eq!(missing(&three, &[first.clone(), second.clone()].concat()), 0, "without daemons");
    restore(&cluster, passive, &one, &["--timestamp", moment.as_str().unwrap()]);
    assert_eq!(missing(&one, &first), 0, "of what was acknowledged before {moment}");
    assert_eq!(missing(&one, &second), second.len(), "something later is there");
    cluster.nodes[passive].ccm("ltx", &["verify"]).ok();
}
