//! A wire to NATS on which everything can be made to stand still without breaking.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes connections on to one port; its tasks end when it is dropped.
pub(crate) struct Freezer {
    port: u16,
    frozen: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Freezer {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (frozen, gate) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((from, _)) = listener.accept().await {
                let (in_read, in_write) = from.into_split();
                let (out_read, out_write) =
                    TcpStream::connect(("127.0.0.1", to)).await.unwrap().into_split();
                wires.spawn(copy(in_read, out_write, gate.clone()));
                wires.spawn(copy(out_read, in_write, gate.clone()));
            }
        });
        Self { port, frozen, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut gate: watch::Receiver<bool>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        let open = gate.wait_for(|frozen| !*frozen).await.is_ok();
        if count == 0 || !open || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
