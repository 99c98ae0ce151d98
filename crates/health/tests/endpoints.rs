//! The endpoints over real sockets, with a node that is told what to say.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ccm_health::http::{Feed, ListenError, Listener, Node, Offer, Page, WATCHERS_MAX, Watching};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Says what it is told to.
struct Told {
    serves: Result<(), String>,
    leads: Result<(), String>,
    follows: Result<Duration, String>,
    feed: Arc<Feed>,
}

impl Node for Told {
    async fn serves(&self) -> Result<(), String> {
        self.serves.clone()
    }

    fn leads(&self) -> Result<(), String> {
        self.leads.clone()
    }

    fn follows(&self) -> Result<Duration, String> {
        self.follows.clone()
    }

    async fn status(&self) -> Result<Value, Value> {
        Err(json!({ "role": "UNKNOWN" }))
    }

    async fn services(&self) -> Result<Value, String> {
        panic!("on purpose")
    }

    async fn metrics(&self) -> String {
        String::from("# HELP a What.\n# TYPE a counter\na_total 1\n# EOF\n")
    }

    fn page(&self) -> Page {
        Page { html: "<!DOCTYPE html>", policy: "default-src 'none'" }
    }

    fn watch(&self) -> Option<Watching> {
        self.feed.join()
    }
}

fn no(why: &str) -> Result<(), String> {
    Err(String::from(why))
}

fn primary() -> Told {
    let follows = Err(String::from("node-1 is the primary"));
    Told { serves: Ok(()), leads: Ok(()), follows, feed: Arc::default() }
}

fn passive(lag: Duration) -> Told {
    let (serves, leads) = (no("it is stopped"), no("node-2 is passive"));
    Told { serves, leads, follows: Ok(lag), feed: Arc::default() }
}

/// Answers until the tasks are dropped.
async fn serve(node: Told, offer: Offer) -> (SocketAddr, JoinSet<()>) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, mut tasks) = (listener.address(), JoinSet::new());
    tasks.spawn(listener.serve(Arc::new(node), offer));
    (address, tasks)
}

/// The whole answer to one request: its first line, its headers in small letters, its body.
async fn ask(at: SocketAddr, request: &str) -> (String, String, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
    stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> (String, String, String) {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let (line, headers) = head.split_once("\r\n").unwrap_or_default();
    (String::from(line), headers.to_lowercase(), String::from(body))
}

async fn code(at: SocketAddr, path: &str) -> u16 {
    let (line, _, _) = ask(at, &format!("GET {path}")).await;
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_path_answers_for_what_the_node_is() {
    let near = Duration::from_millis(800);
    let unhealthy = || Told { serves: no("it is unhealthy"), ..primary() };
    let blind = || Told { follows: Err(String::from("NATS is away")), ..passive(near) };
    let nodes: [(&str, Told); 4] = [
        ("primary", primary()),
        ("unhealthy primary", unhealthy()),
        ("passive", passive(near)),
        ("passive without NATS", blind()),
    ];
    let expected: [(&str, [u16; 4]); 10] = [
        ("/", [200, 200, 200, 200]),
        ("/health", [200, 200, 200, 200]),
        ("/ready", [200, 503, 503, 503]),
        ("/primary", [200, 503, 503, 503]),
        ("/replica", [503, 503, 200, 503]),
        ("/replica?lag=1s", [503, 503, 200, 503]),
        ("/replica?lag=799", [503, 503, 503, 503]),
        ("/replica?lag=x", [400, 400, 400, 400]),
        ("/status", [503, 503, 503, 503]),
        ("/metrics", [404, 404, 404, 404]),
    ];
    for (index, (name, node)) in nodes.into_iter().enumerate() {
        let (at, _tasks) = serve(node, Offer::Health).await;
        for (path, codes) in &expected {
            assert_eq!(code(at, path).await, codes[index], "{path} of a {name}");
        }
    }
}

#[tokio::test]
async fn a_refusal_says_why() {
    let (at, _tasks) = serve(passive(Duration::from_millis(1500)), Offer::Health).await;
    for (path, words) in [
        ("/ready", "it is stopped\n"),
        ("/primary", "node-2 is passive\n"),
        ("/replica?lag=1s", "the replica is 1500 ms behind, more than 1000 ms\n"),
        (
            "/replica?lag=1d",
            "lag is \"1d\": write milliseconds like 500, or a time like 500ms, 10s or 2m\n",
        ),
        (
            "/nothing",
            "nothing is here: ask for /, /events, /health, /ready, /primary, /replica, /status, \
             /services\n",
        ),
    ] {
        assert_eq!(ask(at, &format!("GET {path}")).await.2, words, "{path}");
    }
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body_and_nothing_else_is() {
    let (at, _tasks) = serve(primary(), Offer::Health).await;
    let (get_line, get_headers, body) = ask(at, "GET /ready").await;
    let (head_line, head_headers, nothing) = ask(at, "HEAD /ready").await;
    assert_eq!((get_line, nothing.as_str()), (head_line, ""));
    assert_eq!(body, "the backend serves\n");
    for headers in [get_headers, head_headers] {
        assert!(headers.contains(&format!("content-length: {}", body.len())), "{headers}");
        assert!(headers.contains("cache-control: no-store"), "{headers}");
    }
    for method in ["POST", "DELETE", "OPTIONS"] {
        let (line, headers, _) = ask(at, &format!("{method} /ready")).await;
        assert!(line.contains(" 405 ") && headers.contains("allow: get, head"), "{line} {headers}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_accepted() {
    let (at, _tasks) = serve(primary(), Offer::Both).await;
    assert_eq!(code(at, "/health").await, 200);
    let (_, headers, body) = ask(at, "GET /metrics").await;
    assert!(headers.contains("content-type: text/plain; version=0.0.4"), "{headers}");
    assert!(body.contains("# TYPE a_total counter\n") && !body.contains("EOF"), "{body}");
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: \
                   application/openmetrics-text\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let (_, headers, body) = read(&mut stream).await;
    assert!(headers.contains("application/openmetrics-text; version=1.0.0"), "{headers}");
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn garbage_silence_and_a_panic_cost_one_connection_each() {
    let (at, _tasks) = serve(primary(), Offer::Health).await;
    let silent = TcpStream::connect(at).await.unwrap();
    let mut garbage = TcpStream::connect(at).await.unwrap();
    garbage.write_all(b"\0\xff garbage\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    garbage.read_to_end(&mut answer).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    assert_eq!(ask(at, "GET /services").await.0, "");
    assert_eq!(code(at, "/health").await, 200);
    drop(silent);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_process_that_has_it() {
    let (at, _tasks) = serve(primary(), Offer::Health).await;
    let error = Listener::bind(at).await.unwrap_err();
    let ListenError::InUse { address, holder } = &error else { panic!("{error}") };
    assert_eq!((*address, holder.as_ref().map(|one| one.pid)), (at, Some(std::process::id())));
    let expected = format!("{at} is in use by ");
    assert!(error.to_string().starts_with(&expected), "{error}");
    let elsewhere = Listener::bind("192.0.2.1:1".parse().unwrap()).await.unwrap_err();
    assert_eq!(elsewhere.to_string(), "could not listen at 192.0.2.1:1");
}

#[tokio::test]
async fn the_page_says_what_it_may_do_and_head_has_the_same_headers() {
    let (at, _tasks) = serve(primary(), Offer::Health).await;
    let (_, headers, body) = ask(at, "GET /").await;
    assert_eq!(body, "<!DOCTYPE html>");
    let expected =
        ["content-type: text/html; charset=utf-8", "content-security-policy: default-src 'none'"];
    for line in expected.into_iter().chain(["x-content-type-options: nosniff"]) {
        assert!(headers.contains(line), "{headers}");
    }
    let (line, head, nothing) = ask(at, "HEAD /").await;
    assert!(line.contains(" 200 ") && nothing.is_empty(), "{line} {nothing}");
    let without_date = |headers: &str| {
        let lines = headers.lines().filter(|line| !line.starts_with("date:"));
        lines.map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(without_date(&head), without_date(&headers));
    let (line, _, _) = ask(at, "POST /events").await;
    assert!(line.contains(" 405 "), "{line}");
    let (at, _tasks) = serve(primary(), Offer::Metrics).await;
    assert_eq!((code(at, "/").await, code(at, "/events").await), (404, 404));
}

/// Reads until `wanted` has come; everything that came.
async fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut came = String::new();
    let mut buffer = [0; 4096];
    while !came.contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut buffer));
        let read = read.await.unwrap().unwrap();
        assert!(read > 0, "the stream ended after {came}");
        came.push_str(&String::from_utf8_lossy(&buffer[..read]));
    }
    came
}

async fn watch(at: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    stream
}

#[tokio::test]
async fn all_who_watch_are_told_the_same_and_one_too_many_is_told_so() {
    let node = primary();
    let feed = Arc::clone(&node.feed);
    let (at, _tasks) = serve(node, Offer::Health).await;
    let (_, headers, body) = ask(at, "HEAD /events").await;
    assert!(headers.contains("content-type: text/event-stream") && body.is_empty(), "{headers}");
    let mut all = Vec::new();
    for _ in 0..WATCHERS_MAX {
        let mut stream = watch(at).await;
        read_until(&mut stream, "event: alive\ndata: 1\n\n").await;
        all.push(stream);
    }
    let (line, _, body) = ask(at, "GET /events").await;
    assert!(line.contains(" 200 ") && body.contains("event: full\n"), "{line} {body}");
    feed.watched().await;
    feed.tell("{\"a\":1}");
    for stream in &mut all {
        let came = read_until(stream, "\n\n").await;
        assert!(came.contains("event: shown\ndata: {\"a\":1}\n\n"), "{came}");
    }
    // Others get through beside them, and a seat that is left is given to the next.
    assert_eq!(code(at, "/health").await, 200);
    all.pop();
    let again =
        async { while !ask(at, "HEAD /health").await.0.is_empty() && feed.join().is_none() {} };
    tokio::time::timeout(Duration::from_secs(60), again).await.unwrap();
}
