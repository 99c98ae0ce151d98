//! The programs in the README are the examples, and they do what it says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use ccm_harness::{NatsServer, bound, processes, wait};
use rusqlite::Connection;

const WITHIN: Duration = Duration::from_secs(60);

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn its_programs_are_the_examples() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    for example in ["replicate", "follow"] {
        let source = Path::new(ROOT).join(format!("examples/{example}.rs"));
        let source = std::fs::read_to_string(source).unwrap();
        assert!(readme.contains(&format!("```rust\n{source}```\n")), "{example} is another");
    }
}

/// A running example and where its words go.
struct Example {
    child: Child,
    said: PathBuf,
}

impl Example {
    fn start(name: &str, dir: &Path, database: &Path, nats: &NatsServer) -> Self {
        let folder = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples");
        let said = dir.join(format!("{name}.out"));
        let mut command = Command::new(folder.join(name));
        command.arg(database).args([&nats.url(), "shop"]);
        let mut command = bound(&command);
        let child = command.stdout(std::fs::File::create(&said).unwrap()).spawn().unwrap();
        Self { child, said }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it has said this.
    fn says(&self, words: &str) {
        let what = format!("the example to say {words:?}");
        wait::until(WITHIN, &what, || self.said().contains(words).then_some(()));
    }

    /// Presses Ctrl-C.
    fn end(&mut self) {
        processes::signal(i32::try_from(self.child.id()).unwrap(), processes::Signal::INT);
        let ended = wait::until(WITHIN, "the example to end", || self.child.try_wait().unwrap());
        assert!(ended.success(), "{ended}");
    }
}

fn rows(path: &Path) -> Vec<(i64, String)> {
    let connection = Connection::open(path).unwrap();
    let mut rows = connection.prepare("SELECT id, item FROM orders ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0).unwrap(), row.get(1).unwrap()))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn they_replicate_and_follow() {
    let mut build = ccm_harness::cargo();
    build.args(["build", "--quiet", "-p", "ccm-wal-ltx"]).current_dir(ROOT);
    build.args(["--example", "replicate", "--example", "follow"]);
    assert!(build.status().unwrap().success());

    let nats = NatsServer::start();
    let dir = tempfile::tempdir().unwrap();
    let (database, replica) = (dir.path().join("shop.db"), dir.path().join("copy.db"));
    let shop = Connection::open(&database).unwrap();
    let order = |item: &str| shop.execute("INSERT INTO orders(item) VALUES (?1)", [item]).unwrap();
    shop.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA busy_timeout = 5000;
         CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)",
    )
    .unwrap();
    order("tea");
    let mut replicate = Example::start("replicate", dir.path(), &database, &nats);
    let stream = "$JS.API.STREAM.INFO.OBJ_shop";
    wait::until(WITHIN, "the bucket to be there", || {
        let info = nats.request(stream, &serde_json::json!({}));
        (info["state"]["messages"].as_u64()? > 2).then_some(())
    });
    let mut follow = Example::start("follow", dir.path(), &replica, &nats);
    follow.says("epoch 1 txid 1,");
    for item in ["cups", "milk", "biscuits"] {
        order(item);
    }
    replicate.end();
    let said = replicate.said();
    let txid = said.trim().strip_prefix("replicated up to txid ").unwrap();
    follow.says(&format!("epoch 1 txid {txid},"));
    follow.end();
    assert_eq!(rows(&replica), rows(&database));
    assert_eq!(rows(&replica).len(), 4);

    // Another one goes on, under a new epoch.
    order("sugar");
    let mut replicate = Example::start("replicate", dir.path(), &database, &nats);
    let mut follow = Example::start("follow", dir.path(), &replica, &nats);
    follow.says("epoch 2 ");
    replicate.end();
    let said = replicate.said();
    let txid = said.trim().strip_prefix("replicated up to txid ").unwrap();
    follow.says(&format!("txid {txid},"));
    follow.end();
    assert_eq!(rows(&replica), rows(&database));
}
