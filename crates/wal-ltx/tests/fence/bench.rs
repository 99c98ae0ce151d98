//! Servers, nodes with connections of their own, uploads that stand still in the middle, and what
//! must hold of a bucket whatever happened.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use async_nats::ConnectOptions;
use bytes::Bytes;
use ccm_harness::{NatsCluster, NatsServer, wait};
use ccm_types::{NodeId, Txid};
use ccm_wal_ltx::store::{
    Body, Fence, Level, LtxName, LtxStore as _, NatsStore, NatsStoreConfig, StoreError,
};
use serde_json::json;
use tokio::task::JoinSet;

pub(crate) const WITHIN: Duration = Duration::from_secs(120);

const BUCKET: &str = "convex-test-wal";
const STREAM: &str = "OBJ_convex-test-wal";

/// Bytes per chunk in the bucket.
pub(crate) const CHUNK: usize = 128 * 1024;

/// One server, or three that all hold the bucket.
#[derive(Debug)]
pub(crate) enum Servers {
    One(NatsServer),
    Three(NatsCluster),
}

impl Servers {
    pub(crate) fn one() -> Self {
        Self::One(NatsServer::start())
    }

    pub(crate) fn three() -> Self {
        Self::Three(NatsCluster::start())
    }

    /// A node with a connection of its own.
    pub(crate) async fn open(&self) -> NatsStore {
        let (urls, replicas) = match self {
            Self::One(server) => (vec![server.url()], 1),
            Self::Three(cluster) => (cluster.urls(), 3),
        };
        let options = ConnectOptions::new().reconnect_delay_callback(|_| Duration::from_millis(50));
        let client = options.connect(urls).await.unwrap();
        let config = NatsStoreConfig {
            bucket: String::from(BUCKET),
            replicas,
            create: true,
            timeout: Duration::from_secs(2),
            max_age: None,
        };
        wait::until_async(WITHIN, "the bucket to open", tokio::time::sleep, || async {
            NatsStore::open(client.clone(), config.clone()).await.ok()
        })
        .await
    }

    /// SIGKILLs the server that leads the bucket, and starts it again when nobody else can lead.
    pub(crate) fn kill_leader(&mut self) {
        match self {
            Self::One(server) => server.restart(),
            Self::Three(cluster) => {
                cluster.kill_leader(STREAM);
            }
        }
    }

    /// Starts what was killed, and waits until every server has everything.
    pub(crate) fn heal(&mut self) {
        if let Self::Three(cluster) = self {
            cluster.restart_killed();
            cluster.wait_in_sync(STREAM);
        }
    }

    /// How many chunks the bucket has under each id of an upload.
    pub(crate) fn chunks(&self) -> BTreeMap<String, u64> {
        let prefix = format!("$O.{BUCKET}.C.");
        let server = match self {
            Self::One(server) => server,
            Self::Three(cluster) => cluster.server(cluster.leader(STREAM)),
        };
        let query = json!({ "subjects_filter": format!("{prefix}>") });
        let info = server.request(&format!("$JS.API.STREAM.INFO.{STREAM}"), &query);
        let subjects = info["state"]["subjects"].as_object().cloned().unwrap_or_default();
        let ids = subjects.iter().filter_map(|(subject, count)| {
            let id = subject.strip_prefix(&prefix).unwrap();
            (!id.starts_with("ccm-")).then(|| (String::from(id), count.as_u64().unwrap()))
        });
        ids.collect()
    }
}

/// Something that goes on beside the test, and ends with it.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinSet<T>);

impl<T: Send + 'static> Task<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        let mut task = JoinSet::new();
        task.spawn(work);
        Self(task)
    }

    pub(crate) async fn end(mut self) -> T {
        self.0.join_next().await.unwrap().unwrap()
    }

    /// Drops it where it is.
    pub(crate) async fn abort(mut self) {
        self.0.shutdown().await;
    }
}

pub(crate) fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

pub(crate) fn l0(txid: u64) -> LtxName {
    LtxName { level: Level::L0, min: Txid::new(txid), max: Txid::new(txid) }
}

/// The content of transaction `txid`: no other has the same.
pub(crate) fn content(txid: u64, len: usize) -> Bytes {
    let seed = txid.to_be_bytes();
    seed.iter()
        .copied()
        .cycle()
        .zip(0_u64..)
        .map(|(b, n)| b ^ n.to_be_bytes()[6])
        .take(len)
        .collect()
}

pub(crate) async fn put(
    store: &NatsStore,
    fence: Fence,
    txid: u64,
    body: Bytes,
) -> Result<(), StoreError> {
    store.put(fence, l0(txid), 1_000, Body::Bytes(body)).await
}

/// Puts until the bucket has it, as capture does.
pub(crate) async fn put_at_last(store: &NatsStore, fence: Fence, txid: u64, body: &Bytes) {
    wait::until_async(WITHIN, "the bucket to take a file", tokio::time::sleep, || async {
        match put(store, fence, txid, body.clone()).await {
            Ok(()) => Some(()),
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                None
            }
        }
    })
    .await;
}

/// Content that comes in two parts, so that an upload stands still between them.
#[derive(Debug)]
pub(crate) struct TwoParts {
    path: PathBuf,
    go_on: mpsc::Sender<()>,
    writer: std::thread::JoinHandle<()>,
}

impl TwoParts {
    pub(crate) fn new(dir: &Path, content: Bytes, first: usize) -> Self {
        let path = dir.join("content");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        let (go_on, wait) = mpsc::channel();
        let fifo = path.clone();
        let writer = std::thread::spawn(move || {
            let mut fifo = std::fs::File::options().write(true).open(fifo).unwrap();
            fifo.write_all(&content[..first]).unwrap();
            wait.recv().unwrap();
            // The upload may have been given up meanwhile.
            fifo.write_all(&content[first..]).ok();
        });
        Self { path, go_on, writer }
    }

    pub(crate) fn body(&self) -> Body {
        Body::File(self.path.clone())
    }

    /// Lets the second part come.
    pub(crate) fn go_on(self) {
        self.go_on.send(()).unwrap();
        self.writer.join().unwrap();
    }
}

/// Waits until so many chunks are there that belong to no object that was there before.
pub(crate) async fn uploaded(servers: &Servers, before: &BTreeMap<String, u64>, count: u64) {
    wait::until_async(WITHIN, "the first chunks to be stored", tokio::time::sleep, || async {
        let chunks = servers.chunks();
        let new = chunks.iter().filter(|(id, _)| !before.contains_key(*id));
        (new.map(|(_, count)| count).sum::<u64>() == count).then_some(())
    })
    .await;
}

/// Every object is whole, what was acknowledged is there, and nothing else takes space: also not
/// what was left by those who were killed or fenced.
pub(crate) async fn check(
    servers: &Servers,
    store: &NatsStore,
    fence: Fence,
    acknowledged: &BTreeMap<u64, Bytes>,
) {
    wait::until_async(WITHIN, "what is left over to be swept", tokio::time::sleep, || async {
        (store.sweep(fence).await.ok()? == 0).then_some(())
    })
    .await;
    let files = store.list().await.unwrap();
    let mut chunks = 0;
    for file in &files {
        let got = store.get(file.name).await.unwrap();
        assert_eq!(got, content(file.name.max.get(), got.len()), "{}", file.name);
        chunks += got.len().div_ceil(CHUNK) as u64;
    }
    for (txid, body) in acknowledged {
        let file = files.iter().find(|file| file.name == l0(*txid));
        assert_eq!(file.map(|f| f.size), Some(body.len() as u64), "{} was lost", l0(*txid));
    }
    let there = servers.chunks();
    assert_eq!(there.len(), files.len(), "ids of chunks");
    assert_eq!(there.values().sum::<u64>(), chunks, "chunks");
}
