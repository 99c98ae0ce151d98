//! Everyone who can make a database of a bucket, and the rows that it has.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ccm_harness::wait;
use ccm_wal_ltx::follow::catch_up;
use ccm_wal_ltx::local::{Local, Paths};
use ccm_wal_ltx::restore::{RestoreOptions, restore};
use ccm_wal_ltx::store::LtxStore;
use rusqlite::Connection;

pub(crate) const WITHIN: Duration = Duration::from_secs(60);

const ROWS: &str = "SELECT id || '|' || hex(v) FROM t ORDER BY id";

/// The rows of a database that SQLite finds nothing wrong with.
pub(crate) fn rows(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let mut rows = connection.prepare(ROWS).unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// `litestream restore`.
pub(crate) fn stock_restores(url: &str, to: &Path) {
    let mut restore = Command::new(ccm_harness::litestream());
    succeeds(restore.args(["restore", "-integrity-check", "full", "-o"]).arg(to).arg(url));
}

/// `litestream replicate`, once.
pub(crate) fn stock_replicates(config: &Path, and: &[&str]) {
    let mut replicate = Command::new(ccm_harness::litestream());
    succeeds(replicate.args(["replicate", "-once"]).args(and).arg("-config").arg(config));
}

/// Litestream's SQLite extension, in the sqlite3 shell: reads pages out of the bucket.
///
/// Over NATS the extension cancels a read of its own now and then, also of Litestream's own files:
/// it is asked again then, and only then.
pub(crate) fn stock_vfs(url: &str) -> Vec<String> {
    let load = format!(".load {}", ccm_harness::litestream_vfs().display());
    let mut shell = Command::new("sqlite3");
    shell.args(["-batch", "-bail", ":memory:", &load]);
    shell.args([".open 'file:copy.db?vfs=litestream&mode=ro'", ROWS]);
    shell.env("LITESTREAM_REPLICA_URL", url);
    wait::until(WITHIN, "Litestream's extension not to cancel its own read", || {
        let output = shell.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        if said.contains("context canceled") {
            return None;
        }
        assert!(output.status.success(), "{shell:?}: {said} {:?}", output.stderr);
        Some(said.lines().map(String::from).collect())
    })
}

/// `restore`, as `ccm restore` does it; returns the transaction.
pub(crate) async fn ours_restores<S: LtxStore>(store: &S, to: &Path) -> ccm_types::Txid {
    let options = RestoreOptions::new(to.to_path_buf());
    restore(store, &options, |_| {}).await.unwrap().state.txid
}

/// A passive node that has caught up.
pub(crate) async fn ours_follows<S: LtxStore>(store: &S, dir: &Path) -> Vec<String> {
    let (data, replica) = (dir.join("node.db"), dir.join("replica.db"));
    let paths = Paths { data, replica: replica.clone(), owner: None };
    let local = Arc::new(Local::open(paths).unwrap());
    catch_up(store, &local, WITHIN, |_, _| {}).await.unwrap();
    rows(&replica)
}
