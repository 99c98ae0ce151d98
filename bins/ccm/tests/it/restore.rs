//! `ccm restore`.

use std::process::{Command, Stdio};
use std::time::Duration;

use ccm_harness::{NatsServer, bound, wait};
use serde_json::json;

use crate::bucket::{self, Bucket, Database};
use crate::node::{Node, Ran, ccm};

const WITHIN: Duration = Duration::from_secs(60);

struct Bench {
    nats: NatsServer,
    node: Node,
    images: Vec<Vec<u8>>,
}

async fn bench() -> Bench {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let images = Bucket::history(&nats.url()).await;
    Bench { nats, node, images }
}

impl Bench {
    fn output(&self) -> String {
        self.node.path("restored.db").display().to_string()
    }

    fn restore(&self, args: &[&str]) -> Ran {
        let output = self.output();
        self.node.ccm(&[&["restore", "--output", &output], args].concat())
    }

    /// What was restored; it is gone then.
    fn take(&self) -> Vec<u8> {
        let bytes = std::fs::read(self.output()).unwrap();
        std::fs::remove_file(self.output()).unwrap();
        bytes
    }

    fn streams(&self) -> serde_json::Value {
        self.nats.request("$JS.API.STREAM.NAMES", &json!({}))["streams"].clone()
    }
}

#[tokio::test]
async fn the_newest_state_is_restored_and_told() {
    let bench = bench().await;
    let ran = bench.restore(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    let output = bench.output();
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], format!("Restoring {output} from bucket convex-test-wal..."));
    let state = "transaction 3, committed 2023-11-14T22:13:23Z";
    assert!(lines[1].starts_with(&format!("  {state}: 3 files, ")), "{}", ran.out);
    let done = format!("✓ Restored {output}: {state}, epoch 1, 8.0 KiB in ");
    assert!(lines[2].starts_with(&done), "{}", ran.out);
    assert_eq!(lines.len(), 3);
    assert!(bench.take() == bench.images[2]);
    assert_eq!(bench.streams(), json!(["OBJ_convex-test-wal"]), "a command makes no bucket");
}

#[tokio::test]
async fn an_earlier_state_is_named_by_time_or_transaction() {
    let bench = bench().await;
    let cases: &[(&[&str], usize)] = &[
        (&["--txid", "1"], 1),
        (&["--txid", "0000000000000002"], 2),
        (&["--timestamp", "2023-11-14T22:13:22.999Z"], 2),
        (&["--timestamp", "2023-11-14T23:13:23+01:00", "--no-check"], 3),
    ];
    for (args, txid) in cases {
        let ran = bench.restore(&[args, &["--json"][..]].concat());
        assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
        let image = &bench.images[txid - 1];
        assert!(bench.take() == *image, "{args:?}");
        let mut told = ran.json();
        assert!(told["downloadedBytes"].as_u64().unwrap() > 0);
        told["downloadedBytes"] = json!(null);
        let expected = json!({
            "ok": true,
            "dryRun": false,
            "output": bench.output(),
            "txid": txid,
            "committedAt": format!("2023-11-14T22:13:2{txid}Z"),
            "epoch": 1,
            "files": txid,
            "downloadedBytes": null,
            "resumed": false,
            "unreachableTxid": null,
            "pageSize": 4096,
            "pages": image.len() / 4096,
            "bytes": image.len(),
        });
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let bench = bench().await;
    let ran = bench.restore(&["--dry-run", "--txid", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let state = "transaction 1, committed 2023-11-14T22:13:21Z";
    let first = format!("Would restore {state}, to {}:\n", bench.output());
    assert!(ran.out.starts_with(&first), "{}", ran.out);
    assert!(ran.out.contains("\n  ltx/0/0000000000000001-0000000000000001.ltx  "), "{}", ran.out);
    assert!(ran.out.ends_with(" to download; nothing was written\n"), "{}", ran.out);
    let told = bench.restore(&["--dry-run", "--json"]).json();
    assert_eq!(
        (&told["dryRun"], &told["txid"], &told["files"]),
        (&true.into(), &3.into(), &3.into())
    );
    assert_eq!(told["plan"][2]["name"], "ltx/0/0000000000000003-0000000000000003.ltx");
    let left: Vec<_> = std::fs::read_dir(bench.node.dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "more than the configuration: {left:?}");
}

#[tokio::test]
async fn what_cannot_be_is_64_and_says_what_can() {
    let bench = bench().await;
    let data = bench.node.path("data.db").display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["--timestamp", "yesterday"], "--timestamp \"yesterday\" is not a moment: write it in"),
        (&["--timestamp", "2023-11-14T22:13:22"], "RFC 3339 with a zone, like"),
        (&["--timestamp", "2023-11-14T22:13:20Z"], "the oldest state is transaction 1, committed"),
        (&["--txid", "4"], "there is no transaction 4: the newest is 3, committed 2023-11-14T22"),
        (&["--txid", "0"], "--txid \"0\" is not a transaction: write its number, from 1 on"),
        (&["--txid", "x"], "--txid \"x\" is not a transaction"),
        (&["--txid", "1", "--timestamp", "2023-11-14T22:13:22Z"], "cannot be used with"),
    ];
    for (args, words) in cases {
        let ran = bench.restore(args);
        assert_eq!(ran.code, Some(64), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{args:?}: {}", ran.err);
        assert!(!bench.node.path("restored.db").exists());
        assert!(!bench.node.path("restored.db.ccm-restore").exists());
    }
    let ran = bench.node.ccm(&["restore", "--output", &data]);
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains("is backend.dataPath of this node"), "{}", ran.err);
    let ran = bench.node.ccm(&["restore", "--output", "/no/such/folder/x.db"]);
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains("/no/such/folder does not exist"), "{}", ran.err);

    std::fs::write(bench.output(), b"precious").unwrap();
    let ran = bench.restore(&["--json"]);
    assert_eq!(ran.code, Some(64));
    let words = "exists: a restore never overwrites";
    assert!(ran.json()["error"].as_str().unwrap().contains(words), "{}", ran.out);
    assert_eq!(bench.take(), b"precious");
    std::fs::write(bench.node.path("restored.db-wal"), b"").unwrap();
    let ran = bench.restore(&[]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("restored.db-wal is there and would be taken"), "{}", ran.err);
}

#[tokio::test]
async fn without_a_bucket_or_data_it_says_so() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let output = node.path("restored.db").display().to_string();
    let ran = node.ccm(&["restore", "--output", &output]);
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains("there is no bucket convex-test-wal"), "{}", ran.err);
    Bucket::open(&nats.url()).await;
    let ran = node.ccm(&["restore", "--output", &output]);
    assert_eq!(ran.code, Some(75), "{}", ran.err);
    assert_eq!(ran.err, "error: the bucket is empty: there is nothing to restore\n");
}

#[tokio::test]
async fn damage_is_70_and_named() {
    let bench = bench().await;
    let mut damaged = bucket::encoded(4, 4, &bench.images[2]);
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    Bucket::open(&bench.nats.url()).await.put_bytes(0, 4, 4, damaged).await;
    let ran = bench.restore(&[]);
    assert_eq!(ran.code, Some(70), "{}", ran.err);
    let name = "the object ltx/0/0000000000000004-0000000000000004.ltx is damaged: ";
    assert!(ran.err.contains(name), "{}", ran.err);
    assert!(!bench.node.path("restored.db").exists());
    assert_eq!(bench.restore(&["--txid", "3"]).code, Some(0));
}

#[test]
fn nats_that_is_not_there_is_69() {
    let node = Node::new("node-1", "nats://127.0.0.1:1");
    let output = node.path("restored.db").display().to_string();
    let verbs: &[&[&str]] = &[
        &["restore", "--output", &output],
        &["restore", "--output", &output, "--dry-run"],
        &["ltx", "list"],
        &["ltx", "show", "ltx/0/0000000000000004-0000000000000004.ltx"],
        &["ltx", "verify"],
        &["verify"],
    ];
    for verb in verbs {
        let ran = node.ccm(verb);
        assert_eq!(ran.code, Some(69), "{verb:?}: {}", ran.err);
        assert!(ran.err.contains("could not reach NATS at nats://127.0.0.1:1"), "{}", ran.err);
    }
    assert_eq!(ccm(&["restore"]).code, Some(64));
}

/// Kills a restore of a large database in the middle, then restores it.
#[tokio::test]
async fn a_killed_restore_leaves_nothing_and_the_next_one_makes_it_whole() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let database = Database::new();
    database.run(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 60)
         insert into t select randomblob(1000000) from n",
    );
    let image = database.image();
    Bucket::open(&nats.url()).await.put(9, 1, 1, &image).await;
    let output = node.path("restored.db");
    let (work, object) = (node.path("restored.db.ccm-restore"), 8 << 20);
    let started = |killed: &mut bool| {
        let mut restore = Command::new(env!("CARGO_BIN_EXE_ccm"));
        restore.arg("restore").arg("--config").arg(node.path("cluster.json"));
        restore.arg("--output").arg(&output);
        let mut child =
            bound(&restore).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait::until(WITHIN, "the restore to be in the middle or at its end", || {
            let here = std::fs::metadata(work.join("object.ltx")).map_or(0, |m| m.len());
            *killed = here >= object;
            (*killed || child.try_wait().unwrap().is_some()).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
    };
    // On a fast machine the end may come first.
    let mut killed = false;
    for _ in 0..10 {
        started(&mut killed);
        if killed && !output.exists() {
            break;
        }
        std::fs::remove_file(&output).ok();
    }
    assert!(killed && !output.exists(), "it was never killed in the middle");
    let ran = node.ccm(&["restore", "--output", &output.display().to_string()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(std::fs::read(&output).unwrap() == image);
    assert!(!work.exists());
}

/// Runs a command where `dir` is a file system of so many bytes.
fn within(dir: &std::path::Path, bytes: u64, args: &[&str]) -> Ran {
    let mount = format!("mount -t tmpfs -o size={bytes} none \"$0\" && exec \"$@\"");
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", &mount]).arg(dir).arg(env!("CARGO_BIN_EXE_ccm"));
    let output = unshare.args(args).env_remove("CCM_CONFIG").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

#[tokio::test]
async fn without_room_nothing_is_downloaded_and_the_error_says_how_much_is_needed() {
    let nats = NatsServer::start();
    let node = Node::new("node-1", &nats.url());
    let bucket = Bucket::open(&nats.url()).await;
    let database = Database::new();
    database.run("insert into t values (zeroblob(1000000))");
    let image = database.image();
    bucket.put(9, 1, 1, &image).await;
    let small = node.path("small");
    std::fs::create_dir(&small).unwrap();
    let (output, config) = (small.join("restored.db"), node.path("cluster.json"));
    let (output, config) = (output.display().to_string(), config.display().to_string());
    let args = ["restore", "--output", &output, "--config", &config];
    let ran = within(&small, 512 << 10, &args);
    assert_eq!(ran.code, Some(75), "{} {}", ran.out, ran.err);
    let needed = format!("error: {} bytes are needed in {output}.ccm-restore and ", image.len());
    assert!(ran.err.starts_with(&needed), "{}", ran.err);
    assert!(ran.err.contains(" are free: make room there"), "{}", ran.err);
    let ran = within(&small, 4 << 20, &args);
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
}
