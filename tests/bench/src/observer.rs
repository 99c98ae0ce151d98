//! Who sees what is durable: a JetStream consumer that belongs to neither system.
//!
//! A consumer is handed a message when the stream has it, with three replicas when a majority
//! has. An object is there when its metadata is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use async_nats::jetstream::consumer::{DeliverPolicy, push};
use async_nats::jetstream::{self, Message};
use base64::Engine as _;
use ccm_wal_ltx::codec::{HEADER_LEN, LtxHeader};
use ccm_wal_ltx::store::LtxName;
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::clock;
use crate::servers::Servers;

/// A consumer that gives nothing for so long has given everything.
const QUIET: Duration = Duration::from_secs(10);

/// One object, as its metadata says.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// When it was seen.
    pub(crate) at: u64,
    /// When the server stored it, by the wall clock.
    pub(crate) stored: Duration,
    /// Its name.
    pub(crate) name: LtxName,
    nuid: String,
}

/// An object of level 0 with what its header says.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// The object.
    pub(crate) seen: Seen,
    /// `None` when its content is gone.
    pub(crate) header: Option<LtxHeader>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    name: String,
    nuid: String,
    #[serde(default)]
    deleted: bool,
}

#[derive(Debug, Default)]
struct Board {
    seen: Vec<Seen>,
    headers: HashMap<String, LtxHeader>,
}

/// A consumer of one bucket.
#[derive(Debug)]
pub(crate) struct Observer {
    jetstream: jetstream::Context,
    bucket: String,
    board: Arc<Mutex<Board>>,
    task: JoinSet<()>,
}

impl Observer {
    /// Sees metadata from now on; the contents are read by [`Observer::files`].
    pub(crate) async fn start(servers: &Servers, bucket: &str) -> Result<Self> {
        let jetstream = servers.jetstream().await?;
        let board = Arc::default();
        let mut observer = Self {
            jetstream,
            bucket: String::from(bucket),
            board: Arc::clone(&board),
            task: JoinSet::new(),
        };
        let subject = format!("$O.{bucket}.M.>");
        let mut messages = observer.consume(&subject, DeliverPolicy::All).await?.messages().await?;
        observer.task.spawn(async move {
            while let Some(message) = messages.next().await {
                let at = clock::now();
                let Ok(message) = message else { continue };
                if let Some(seen) = seen(&message, at) {
                    lock(&board).seen.push(seen);
                }
            }
        });
        Ok(observer)
    }

    async fn consume(
        &self,
        subject: &str,
        deliver_policy: DeliverPolicy,
    ) -> Result<jetstream::consumer::Consumer<push::OrderedConfig>> {
        let stream = self.jetstream.get_stream(format!("OBJ_{}", self.bucket)).await?;
        let config = push::OrderedConfig {
            deliver_subject: self.jetstream.client().new_inbox(),
            filter_subject: String::from(subject),
            deliver_policy,
            ..push::OrderedConfig::default()
        };
        stream.create_consumer(config).await.context("could not observe the bucket")
    }

    /// How many messages of a bucket say only that an object is gone.
    pub(crate) async fn tombstones(servers: &Servers, bucket: &str) -> Result<u64> {
        let observer = Self::start(servers, bucket).await?;
        let subject = format!("$O.{bucket}.M.>");
        let mut messages = observer.consume(&subject, DeliverPolicy::All).await?.messages().await?;
        let mut tombstones = 0;
        while let Ok(Some(message)) = tokio::time::timeout(QUIET, messages.next()).await {
            let Ok(message) = message else { continue };
            let meta: Option<Meta> = serde_json::from_slice(&message.payload).ok();
            tombstones += u64::from(meta.is_some_and(|meta| meta.deleted));
            if message.info().is_ok_and(|info| info.pending == 0) {
                break;
            }
        }
        Ok(tombstones)
    }

    /// Everything of one level so far, as it came.
    pub(crate) fn level(&self, level: u8) -> Vec<Seen> {
        let board = lock(&self.board);
        board.seen.iter().filter(|seen| seen.name.level.get() == level).cloned().collect()
    }

    /// How many objects of level 0 have come, and when the last one did.
    pub(crate) fn last(&self) -> (usize, u64) {
        let board = lock(&self.board);
        let level0 = || board.seen.iter().filter(|seen| seen.name.level.get() == 0);
        (level0().count(), level0().next_back().map_or(0, |seen| seen.at))
    }

    /// Level 0 in the order of its transactions, with headers. Reads the contents that have come
    /// since it was asked last; nobody measures meanwhile.
    pub(crate) async fn files(&self) -> Result<Vec<File>> {
        self.read_headers().await?;
        let board = lock(&self.board);
        let level0 = board.seen.iter().filter(|seen| seen.name.level.get() == 0);
        let with = |seen: &Seen| File {
            seen: seen.clone(),
            header: board.headers.get(&seen.nuid).copied(),
        };
        let mut files: Vec<File> = level0.map(with).collect();
        files.sort_by_key(|file| file.seen.name.max);
        Ok(files)
    }

    async fn read_headers(&self) -> Result<()> {
        let subject = format!("$O.{}.C.>", self.bucket);
        let mut messages = self.consume(&subject, DeliverPolicy::All).await?.messages().await?;
        while let Ok(Some(message)) = tokio::time::timeout(QUIET, messages.next()).await {
            let Ok(message) = message else { continue };
            let nuid = message.subject.rsplit('.').next().unwrap_or_default();
            let mut board = lock(&self.board);
            if message.payload.len() >= HEADER_LEN
                && !board.headers.contains_key(nuid)
                && let Ok(header) = LtxHeader::parse(&message.payload)
            {
                board.headers.insert(String::from(nuid), header);
            }
            if message.info().is_ok_and(|info| info.pending == 0) {
                break;
            }
        }
        Ok(())
    }
}

fn lock(board: &Mutex<Board>) -> std::sync::MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seen(message: &Message, at: u64) -> Option<Seen> {
    let meta: Meta = serde_json::from_slice(&message.payload).ok()?;
    if meta.deleted {
        return None;
    }
    let published = message.info().ok()?.published;
    let stored = SystemTime::from(published).duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let name = meta.name.parse().ok().or_else(|| encoded(message))?;
    Some(Seen { at, stored, name, nuid: meta.nuid })
}

/// The name in the subject.
fn encoded(message: &Message) -> Option<LtxName> {
    let token = message.subject.rsplit('.').next()?;
    let bytes = base64::engine::general_purpose::URL_SAFE.decode(token).ok()?;
    String::from_utf8(bytes).ok()?.parse().ok()
}
