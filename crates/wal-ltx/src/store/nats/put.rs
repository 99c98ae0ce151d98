//! Objects into the bucket, and out of it.
//!
//! Chunks go first, unguarded and pipelined; the metadata message goes last, under the fence,
//! and is the moment at which the object exists. Only the holder of the fence writes metadata,
//! so a look at the name before that is enough to never write one twice: whoever could write it
//! in between would have moved the fence, and the server would refuse.

use std::time::Duration;

use async_nats::Subscriber;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::Bucket;
use super::api::{self, Failure};
use super::fence::Guarded;
use super::layout::{Content, Meta, digest_text};
use crate::store::{Body, Fence, Level, LtxInfo, LtxName, StoreError};

/// Chunks of a level-0 file sent and not yet acknowledged: 8 MiB.
const CHUNKS_IN_FLIGHT: u64 = 64;

/// The same of other files: 1 MiB. Commits share the connection and wait behind them.
const CHUNKS_IN_BACKGROUND: u64 = 8;

/// How long cleaning up after a failed upload may take; what it leaves is garbage, not damage.
const CLEAN_UP_WITHIN: Duration = Duration::from_secs(2);

/// Content, one chunk at a time.
enum Source {
    Bytes(Bytes),
    File(File, std::path::PathBuf),
}

impl Source {
    async fn open(body: &Body) -> Result<Self, StoreError> {
        match body {
            Body::Bytes(bytes) => Ok(Self::Bytes(bytes.clone())),
            Body::File(path) => match File::open(path).await {
                Ok(file) => Ok(Self::File(file, path.clone())),
                Err(source) => Err(StoreError::File { path: path.clone(), source }),
            },
        }
    }

    /// The next `len` bytes, fewer at the end, none after it.
    async fn next(&mut self, len: usize) -> Result<Bytes, StoreError> {
        match self {
            Self::Bytes(rest) => Ok(rest.split_to(len.min(rest.len()))),
            Self::File(file, path) => {
                let mut chunk = BytesMut::with_capacity(len);
                let mut limited = file.take(len as u64);
                loop {
                    match limited.read_buf(&mut chunk).await {
                        Ok(0) => return Ok(chunk.freeze()),
                        Ok(_) => {}
                        Err(source) => return Err(StoreError::File { path: path.clone(), source }),
                    }
                }
            }
        }
    }
}

impl Bucket {
    /// Creates the object, or finds that it is there already.
    pub(super) async fn put(
        &self,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> Result<(), StoreError> {
        let upload = self.uploads.begin(nuid::next().to_string());
        let done = self.put_as(upload.id.clone(), fence, name, timestamp_ms, body).await;
        // The metadata may still arrive; also when this future is dropped before.
        if !done.as_ref().is_err_and(StoreError::is_ambiguous) {
            upload.end();
        }
        done
    }

    async fn put_as(
        &self,
        nuid: String,
        fence: Fence,
        name: LtxName,
        timestamp_ms: i64,
        body: Body,
    ) -> Result<(), StoreError> {
        let window = if name.level == Level::L0 { CHUNKS_IN_FLIGHT } else { CHUNKS_IN_BACKGROUND };
        let small = matches!(&body, Body::Bytes(bytes) if bytes.len() <= self.chunk_len);
        let (there, uploaded) = if small {
            let (there, uploaded) =
                tokio::join!(self.meta(name), self.upload(&nuid, window, &body));
            (there, Some(uploaded))
        } else {
            (self.meta(name).await, None)
        };
        let there = match there {
            Ok(there) => there,
            Err(error) => return self.abandon(&nuid, error).await,
        };
        if let Some(there) = there {
            if small {
                self.purge_chunks(&nuid).await;
            }
            return self.compare(fence, &there, &body).await;
        }
        let uploaded = match uploaded {
            Some(uploaded) => uploaded,
            None => self.upload(&nuid, window, &body).await,
        };
        let content = match uploaded {
            Ok(content) => content,
            Err(error) => return self.abandon(&nuid, error).await,
        };
        let info = LtxInfo { name, size: content.size, timestamp_ms, epoch: Some(fence.epoch) };
        let Content { chunks, digest, .. } = content;
        let meta = Meta { info, nuid, chunks, digest };
        let json = self.json(&meta.to_json(&self.layout, self.chunk_len))?;
        let what = || format!("storing {name}");
        match self
            .publish_guarded(fence, &self.layout.meta(name), json, Guarded::Object, what)
            .await
        {
            Ok(_) => Ok(()),
            // The metadata may still arrive, and would then need its chunks.
            Err(error) if error.is_ambiguous() => Err(error),
            Err(error) => self.abandon(&meta.nuid, error).await,
        }
    }

    /// Whether the object that is there is the one to be put.
    async fn compare(&self, fence: Fence, there: &Meta, body: &Body) -> Result<(), StoreError> {
        let content = self.read_body(body).await?;
        let same = there.info.epoch == Some(fence.epoch)
            && there.info.size == content.size
            && there.digest == content.digest;
        if same {
            return Ok(());
        }
        let standing = self.read_fence().await?;
        if standing.is_none_or(|(_, token)| token != fence.token) {
            return Err(StoreError::Fenced { ours: fence.epoch });
        }
        Err(StoreError::Exists { name: there.info.name })
    }

    /// Size and digest of the content, without sending it.
    async fn read_body(&self, body: &Body) -> Result<Content, StoreError> {
        let mut source = Source::open(body).await?;
        let mut hash = Sha256::new();
        let (mut size, mut chunks) = (0, 0);
        loop {
            let chunk = source.next(self.chunk_len).await?;
            if chunk.is_empty() {
                return Ok(Content { size, chunks, digest: digest_text(hash) });
            }
            hash.update(&chunk);
            size += chunk.len() as u64;
            chunks += 1;
        }
    }

    /// Sends the content as chunks and waits until the stream has all of them.
    async fn upload(&self, nuid: &str, window: u64, body: &Body) -> Result<Content, StoreError> {
        let failed = |failure: Failure| failure.reading("chunks of an LTX file");
        self.api.check_connected().map_err(failed)?;
        let mut source = Source::open(body).await?;
        let client = &self.api.client;
        let inbox = client.new_inbox();
        let not_sent = |e: async_nats::Error| failed(Failure::NotSent(e));
        let mut acks = client.subscribe(inbox.clone()).await.map_err(|e| not_sent(Box::new(e)))?;
        let subject = self.layout.chunks(nuid);
        let mut hash = Sha256::new();
        let (mut size, mut chunks, mut acked) = (0, 0, 0);
        loop {
            let chunk = source.next(self.chunk_len).await?;
            if chunk.is_empty() {
                break;
            }
            hash.update(&chunk);
            size += chunk.len() as u64;
            chunks += 1;
            client
                .publish_with_reply(subject.clone(), inbox.clone(), chunk)
                .await
                .map_err(|e| not_sent(Box::new(e)))?;
            while chunks - acked >= window {
                self.next_ack(&mut acks).await.map_err(failed)?;
                acked += 1;
            }
        }
        while acked < chunks {
            self.next_ack(&mut acks).await.map_err(failed)?;
            acked += 1;
        }
        Ok(Content { size, chunks, digest: digest_text(hash) })
    }

    async fn next_ack(&self, acks: &mut Subscriber) -> Result<(), Failure> {
        let next = tokio::time::timeout(self.api.timeout, acks.next());
        match self.api.while_connected(next).await {
            Some(Ok(Some(message))) => api::ack(&message).map(|_| ()),
            Some(Ok(None)) | None => Err(Failure::NoAnswer("the connection was closed".into())),
            Some(Err(elapsed)) => Err(Failure::NoAnswer(elapsed.into())),
        }
    }

    /// Removes the object: a tombstone under the fence tells everyone and is the decision; then
    /// the chunks and the tombstone itself go, so that nothing stays.
    pub(super) async fn delete(&self, fence: Fence, name: LtxName) -> Result<(), StoreError> {
        let what = || format!("deleting {name}");
        let Some(meta) = self.meta(name).await? else {
            return Ok(());
        };
        let json = self.json(&meta.to_tombstone(&self.layout, self.chunk_len))?;
        let subject = self.layout.meta(name);
        let tombstone = self.publish_guarded(fence, &subject, json, Guarded::NoNews, what).await?;
        // Up to the tombstone only: what may follow is not ours to remove.
        let tombstone = json!({ "filter": subject, "seq": tombstone + 1 });
        tokio::join!(self.purge_chunks(&meta.nuid), self.purge(tombstone));
        Ok(())
    }

    /// Gives `error` back after removing the chunks sent under `nuid`.
    async fn abandon(&self, nuid: &str, error: StoreError) -> Result<(), StoreError> {
        self.purge_chunks(nuid).await;
        Err(error)
    }

    pub(super) async fn purge_chunks(&self, nuid: &str) {
        self.purge(json!({ "filter": self.layout.chunks(nuid) })).await;
    }

    pub(super) async fn purge(&self, request: serde_json::Value) {
        let operation = format!("STREAM.PURGE.{}", self.layout.stream);
        let purge = self.api.call::<serde_json::Value>(&operation, &request);
        match tokio::time::timeout(CLEAN_UP_WITHIN, purge).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => tracing::debug!(?failure, %request, "garbage stays in the bucket"),
            Err(_) => tracing::debug!(%request, "no time to remove garbage from the bucket"),
        }
    }

    fn json(&self, value: &impl serde::Serialize) -> Result<Bytes, StoreError> {
        let unencodable = |e: serde_json::Error| StoreError::Unavailable {
            what: format!("metadata for bucket {}", self.layout.bucket),
            source: e.into(),
        };
        serde_json::to_vec(value).map(Bytes::from).map_err(unencodable)
    }
}
