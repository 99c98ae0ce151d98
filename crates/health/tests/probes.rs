//! Probes of real sockets: every way to be unhealthy is told apart in words.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use ccm_health::{Probe, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

const TIMEOUT: Duration = Duration::from_millis(400);

/// Answers every connection with these bytes, never when there are none; ends when dropped.
async fn server(answer: &'static str) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if answer.is_empty() {
                held.push(stream);
                continue;
            }
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            let asked = String::from_utf8(asked).unwrap().to_lowercase();
            assert!(asked.starts_with("get /version?x=1 http/1.1\r\n"), "{asked}");
            assert!(asked.contains("\r\nhost: 127.0.0.1:"), "{asked}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, tasks)
}

async fn check(address: SocketAddr) -> Verdict {
    let url = format!("http://{address}/version?x=1");
    Probe::new(&url, TIMEOUT).unwrap().check().await
}

async fn why(answer: &'static str) -> String {
    let (address, _server) = server(answer).await;
    match check(address).await {
        Verdict::Unhealthy { why } => why,
        Verdict::Healthy { .. } => panic!("healthy although it answers {answer:?}"),
    }
}

#[tokio::test]
async fn every_answer_of_success_is_healthy() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\nuntil the end",
        // The body is not waited for.
        "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nrather long",
    ] {
        let (address, _server) = server(answer).await;
        let Verdict::Healthy { latency } = check(address).await else { panic!("{answer:?}") };
        assert!(latency < TIMEOUT, "{latency:?}");
    }
}

#[tokio::test]
async fn a_path_that_is_missing_is_answered_with_what_to_set() {
    let why = why("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    assert!(why.contains("404") && why.contains("backend.healthEndpoint"), "{why}");
    assert!(why.contains("/version"), "{why}");
}

#[tokio::test]
async fn other_answers_are_told_as_they_are() {
    let error = why("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    assert!(error.ends_with("answered 503 Service Unavailable"), "{error}");
    let moved = why("HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n").await;
    assert!(moved.contains("302") && moved.contains("/login"), "{moved}");
    let foreign = why("SSH-2.0-OpenSSH_9.2\r\n").await;
    assert!(foreign.contains("no proper HTTP answer"), "{foreign}");
    let cut = why("HTTP/1.1 200 OK\r\nconte").await;
    assert!(cut.contains("no proper HTTP answer"), "{cut}");
}

#[tokio::test]
async fn refused_and_silent_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let Verdict::Unhealthy { why: refused } = check(address).await else { panic!("healthy") };
    assert!(refused.contains("connection refused"), "{refused}");
    let begun = std::time::Instant::now();
    let silent = why("").await;
    assert!(silent.ends_with("has not answered within 400ms"), "{silent}");
    assert!(begun.elapsed() >= TIMEOUT);
}

#[tokio::test]
async fn a_host_that_is_not_there_is_an_answer_too() {
    let probe = Probe::new("http://no-such-host.invalid:1/version", TIMEOUT).unwrap();
    let Verdict::Unhealthy { why } = probe.check().await else { panic!("healthy") };
    assert!(why.contains("no-such-host.invalid port 1"), "{why}");
}

#[test]
fn what_is_no_url_is_refused_in_words() {
    for (url, wanted) in [
        ("", "not a URL"),
        ("http://a b/", "not a URL"),
        ("127.0.0.1:3210", "lacks http://"),
        ("/version", "lacks http://"),
        ("https://127.0.0.1/version", "speaks no TLS"),
        ("http://me:secret@127.0.0.1/version", "no user or password"),
        ("ftp://127.0.0.1/version", "only http"),
    ] {
        let error = Probe::new(url, TIMEOUT).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("backend.healthEndpoint"), "{error}");
    }
    for url in ["http://127.0.0.1:3210", "http://[::1]:3210/version", "http://localhost/"] {
        assert!(Probe::new(url, TIMEOUT).is_ok(), "{url}");
    }
}
