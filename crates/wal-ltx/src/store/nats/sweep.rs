//! Removing what interrupted work has left in the bucket: tombstones, and chunks that belong to
//! no object.
//!
//! A deletion is decided by a tombstone under the fence; removing chunks and tombstone comes
//! afterwards and may not happen. An upload that ends before its metadata is stored leaves chunks.
//! Neither is an object, but every listing reads the tombstones, and chunks take space.
//!
//! The server cannot guard a purge. What makes it harmless at any later moment, also under a new
//! primary:
//!
//! - A tombstone is purged by its subject *up to its own sequence*. Whoever has listed before
//!   saw a deleted object and sees none afterwards; an object that a new primary stores under
//!   the same name is a later message and stays.
//! - Chunks are purged by their id, which no upload uses twice. The ids are listed first; then
//!   the ids that this process is uploading, and then the objects, are set aside; then a note is
//!   published under the fence. That it is accepted proves that nobody had moved the fence when
//!   the ids were listed: they belong to this term, where an upload is either known to this
//!   process or over (`uploads` says when), or to an earlier one, whose metadata the server
//!   refuses. A new primary uploads only after it has moved the fence, so none of the ids are its
//!   own.
//!
//! Writers that do not guard (a stock Litestream at the same time) are not protected, here or
//! anywhere.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use serde_json::json;

use super::Bucket;
use super::fence::Guarded;
use super::layout::Meta;
use crate::store::{Fence, StoreError};

/// Leftovers that one call removes; each costs a request or two.
const REMOVED_MAX: usize = 1000;

/// The length of a chunk id, letters and digits; other chunk subjects are not chunks of objects.
const NUID_LEN: usize = 22;

impl Bucket {
    /// Removes up to [`REMOVED_MAX`] leftovers; returns how many.
    pub(super) async fn sweep(&self, fence: Fence) -> Result<usize, StoreError> {
        let note = || String::from("removing chunks without an object");
        if self.uploads.any_old(Instant::now()) {
            let (subject, empty) = (self.layout.note(), Bytes::new());
            self.publish_guarded(fence, &subject, empty, Guarded::NoNews, note).await?;
        }
        let prefix = self.layout.chunks("");
        let (chunks_at, subjects) = self.subject_names(&self.layout.all_chunks()).await?;
        let mut orphans: BTreeSet<String> = subjects
            .into_iter()
            .filter_map(|subject| subject.strip_prefix(&prefix).map(String::from))
            .filter(|id| id.len() == NUID_LEN && id.chars().all(|c| c.is_ascii_alphanumeric()))
            .collect();
        orphans.retain(|id| !self.uploads.may_come(id));
        let (metas_at, metas) = self.all_metas().await?;
        if metas_at < chunks_at {
            return Err(self.disagreement());
        }
        let mut tombstones = Vec::new();
        for (subject, meta) in metas {
            match meta {
                Some(meta) => {
                    orphans.remove(&meta.nuid);
                }
                None => tombstones.push(subject),
            }
        }
        for subject in tombstones.iter().take(REMOVED_MAX) {
            self.remove_tombstone(subject).await?;
        }
        if tombstones.len() > REMOVED_MAX {
            return Ok(REMOVED_MAX);
        }
        let orphans: Vec<String> = orphans.into_iter().take(REMOVED_MAX).collect();
        if !orphans.is_empty() {
            self.publish_guarded(fence, &self.layout.note(), Bytes::new(), Guarded::NoNews, note)
                .await?;
            for id in &orphans {
                self.purge_chunks(id).await;
            }
        }
        Ok(tombstones.len() + orphans.len())
    }

    /// Removes what was listed as a deleted object. That it is one is asked again: an object
    /// that a server has not known yet when it was listed would lose its chunks.
    async fn remove_tombstone(&self, subject: &str) -> Result<(), StoreError> {
        let message = self.leader_message(json!({ "last_by_subj": subject })).await?;
        let tombstone = match &message {
            Some(message) => Meta::read(&self.layout, message)?.is_none(),
            None => false,
        };
        let Some(message) = message.filter(|_| tombstone) else {
            return Err(self.disagreement());
        };
        self.purge(json!({ "filter": subject, "seq": message.sequence + 1 })).await;
        Ok(())
    }

    fn disagreement(&self) -> StoreError {
        let what = format!("the leftovers of bucket {}", self.layout.bucket);
        StoreError::Unavailable { what, source: "its servers do not agree on what is there".into() }
    }
}
