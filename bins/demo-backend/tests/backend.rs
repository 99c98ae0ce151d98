//! The program as ccm runs it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ccm_harness::processes::{Signal, signal};
use ccm_harness::{Http, Rows, Writer, bound, wait};
use rusqlite::Connection;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

fn command(db: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-backend"));
    command.arg("--db").arg(db).args(["--listen", "127.0.0.1:0"]);
    command
}

fn start(db: &Path, args: &[&str]) -> (Child, u16) {
    let mut child = bound(command(db).args(args)).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
    (child, port)
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

fn get(http: &mut Http, path: &str) -> Value {
    let (code, body) = http.get(path).unwrap();
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn writes_are_acknowledged_counted_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, port) = start(&dir.path().join("data.db"), &[]);
    let mut http = Http::new(port, PATIENCE);
    let (code, body) = http.post("/write", &json!({"client": "a", "n": 1})).unwrap();
    assert_eq!((code, body.as_str()), (200, r#"{"id":1}"#));
    let (_, body) = http.post("/batch", &json!({"client": "b", "numbers": [1, 2]})).unwrap();
    assert_eq!(body, r#"{"ids":[2,3]}"#);
    assert_eq!(get(&mut http, "/count"), json!({"count": 3, "max_n": 2, "max_id": 3}));
    assert_eq!(get(&mut http, "/count?client=a")["count"], 1);
    assert_eq!(get(&mut http, "/rows?client=b")["rows"], json!([[2, 1], [3, 2]]));
    assert_eq!(get(&mut http, "/rows?after=2")["rows"], json!([[3, 2]]));
    assert_eq!(get(&mut http, "/integrity")["integrity"], "ok");
    assert_eq!(get(&mut http, "/health")["status"], "ok");
    assert_eq!(http.get("/version").unwrap().0, 200);
    assert_eq!(http.get("/elsewhere").unwrap().0, 404);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_demo-backend"));
    let output = check.arg("--check").arg("--db").arg(dir.path().join("data.db")).output().unwrap();
    assert_eq!(output.stdout, b"{\"integrity\":\"ok\",\"count\":3}\n");
}

#[test]
fn sigterm_under_load_ends_with_status_0_and_loses_nothing_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("data.db");
    let (mut child, port) = start(&db, &["--synchronous", "normal"]);
    let writer = Writer::start(&[port], "w", 4, 2000);
    wait::until(PATIENCE, "200 writes", || (writer.acknowledged() >= 200).then_some(()));
    signal(pid(&child), Signal::TERM);
    let status = wait::until(PATIENCE, "the end", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let at = std::time::Instant::now();
    let acks = writer.stop();

    let (mut child, port) = start(&db, &[]);
    let clients = acks.iter().map(|ack| ack.client.clone()).collect();
    let rows = Rows::read(port, &clients).unwrap();
    assert!(rows.lost(&acks, 0, at).acks.is_empty());
    assert!(rows.holes().is_empty());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_backend_told_to_ignore_sigterm_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, port) = start(&dir.path().join("data.db"), &["--ignore-sigterm"]);
    let mut http = Http::new(port, PATIENCE);
    for _ in 0..3 {
        signal(pid(&child), Signal::TERM);
        assert_eq!(http.get("/version").unwrap().0, 200);
    }
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_database_with_content_outside_wal_mode_is_refused_and_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("data.db");
    Connection::open(&db).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    let before = std::fs::read(&db).unwrap();
    let output = command(&db).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("is in journal mode delete, not wal"), "{text}");
    assert_eq!(std::fs::read(&db).unwrap(), before);
}
