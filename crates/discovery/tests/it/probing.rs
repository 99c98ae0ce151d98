//! Probes of real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use ccm_discovery::{Probe, ProbeConfig, ProbeKind};
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
            if !answer.is_empty() {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await.unwrap());
                }
                assert!(asked.starts_with(b"GET /health HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
            held.push(stream);
        }
    });
    (address, tasks)
}

fn http(status: Option<u16>, body: Option<&str>) -> ProbeKind {
    let (path, body) = (String::from("/health"), body.map(String::from));
    ProbeKind::Http { path, status, body }
}

async fn check(kind: ProbeKind, at: SocketAddr) -> Result<(), String> {
    let config = ProbeConfig { timeout: TIMEOUT, ..ProbeConfig::new(kind) };
    Probe::new(&config, at).check().await
}

#[tokio::test]
async fn status_and_body_decide() {
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nready";
    const TEAPOT: &str = "HTTP/1.1 418 I'm a teapot\r\ncontent-length: 0\r\n\r\n";
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    const MOVED: &str = "HTTP/1.1 302 Found\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n";
    const CUT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nready";
    const SSH: &str = "SSH-2.0-OpenSSH_9.2\r\n";
    let table = [
        (OK, http(None, None), None),
        (OK, http(Some(200), Some("ready")), None),
        (OK, http(Some(204), None), Some("answered 200 OK, not 204")),
        (OK, http(None, Some("going")), Some("without \"going\" in the body")),
        (TEAPOT, http(Some(418), None), None),
        (TEAPOT, http(None, None), Some("answered 418")),
        (MISSING, http(None, None), Some("set healthPath to a path that exists")),
        (MOVED, http(None, None), Some("answered 302 Found")),
        (CUT, http(None, None), None),
        (CUT, http(None, Some("ready")), Some("whole body")),
        (SSH, http(None, None), Some("no proper HTTP answer")),
    ];
    for (answer, kind, expected) in table {
        let (at, _server) = server(answer).await;
        let told = check(kind.clone(), at).await;
        match expected {
            None => assert_eq!(told, Ok(()), "{kind:?} {answer}"),
            Some(words) => {
                let why = told.unwrap_err();
                assert!(why.contains(words), "{why}");
            }
        }
    }
}

#[tokio::test]
async fn a_silent_service_takes_a_connection_and_no_more() {
    let (at, _server) = server("").await;
    assert_eq!(check(ProbeKind::Tcp, at).await, Ok(()));
    let why = check(http(None, None), at).await.unwrap_err();
    assert!(why.ends_with("/health has not answered within 400ms"), "{why}");
}

#[tokio::test]
async fn where_nobody_listens_no_probe_succeeds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    for kind in [ProbeKind::Tcp, http(None, None)] {
        let why = check(kind, at).await.unwrap_err();
        assert!(why.contains("no connection to") && why.contains("refused"), "{why}");
    }
}
