//! Listing again when files were removed since: what is known of those that are still there stays.
//!
//! The leader names what is there. Of a name that is known, what is known holds unless there is a
//! later message, and every later message is read: in batches from any replica, which knows
//! everything up to some sequence, and from the leader what came after the last one of them.

use std::sync::Arc;

use serde_json::json;

use super::super::Bucket;
use super::super::api::{Batch, Failure, StoredMessage};
use super::super::layout::Meta;
use super::{BATCH_BYTES, BATCH_MESSAGES, Listing, Metas, NEW_FILES_MAX, State};
use crate::store::StoreError;

/// Batches of new files; with more of them everything is read.
const BATCHES_MAX: usize = 10;

/// The last object of a listing: a sequence is given to two uploads only in two pasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) sequence: u64,
    pub(super) nuid: String,
}

impl Anchor {
    /// The later one of two.
    pub(super) fn later(anchor: &mut Option<Self>, sequence: u64, meta: &Meta) {
        if anchor.as_ref().is_none_or(|anchor| anchor.sequence < sequence) {
            *anchor = Some(Self { sequence, nuid: meta.nuid.clone() });
        }
    }
}

impl Bucket {
    /// `None` when `known` says nothing about the stream as it is, or too much of it is new.
    pub(super) async fn list_again(&self, known: &Listing) -> Result<Option<Listing>, StoreError> {
        let info = self.subjects(&self.layout.all_metas()).await?;
        let names = info.state.subjects.clone().unwrap_or_default();
        let (after, last) = (known.state.last_seq, info.state.last_seq);
        if known.created != info.created
            || last < after
            || !self.still_has(known.anchor.as_ref()).await?
        {
            return Ok(None);
        }
        let Some(messages) = self.added(after + 1, last).await? else { return Ok(None) };
        let still = |(subject, _): &(&String, &Option<Arc<Meta>>)| names.contains_key(*subject);
        let mut metas: Metas =
            known.metas.iter().filter(still).map(|(s, meta)| (s.clone(), meta.clone())).collect();
        let mut anchor = known.anchor.clone();
        for message in messages {
            self.take(&message, &names, last, &mut metas, &mut anchor)?;
        }
        self.complete(names, &mut metas).await?;
        let state = State { subjects: None, ..info.state };
        Ok(Some(Listing { created: info.created, state, metas, anchor }))
    }

    /// Whether the stream's past is the one in which this was uploaded; `false` without proof.
    pub(super) async fn still_has(&self, anchor: Option<&Anchor>) -> Result<bool, StoreError> {
        let Some(anchor) = anchor else { return Ok(false) };
        let message = self.leader_message(json!({ "seq": anchor.sequence })).await?;
        let Some(message) = message.filter(|m| self.layout.is_meta(&m.subject)) else {
            return Ok(false);
        };
        let meta = Meta::read(&self.layout, &message)?;
        Ok(meta.is_some_and(|meta| meta.nuid == anchor.nuid))
    }

    /// The metadata messages from `next` to `last` at least, those that are there the latest of
    /// their subjects; `None` when they are too many.
    async fn added(
        &self,
        mut next: u64,
        last: u64,
    ) -> Result<Option<Vec<StoredMessage>>, StoreError> {
        let filter = self.layout.all_metas();
        let mut messages = Vec::new();
        for _ in 0..BATCHES_MAX {
            if next > last {
                break;
            }
            let batch = Batch {
                seq: next,
                next_by_subj: &filter,
                batch: BATCH_MESSAGES,
                max_bytes: BATCH_BYTES,
            };
            let read = match self.api.batch(&self.layout.stream, &batch).await {
                Ok(read) => read,
                Err(Failure::NotSent(_)) => break,
                Err(failure) => return Err(self.reading(failure, "the file list")),
            };
            let Some(end) = read.last() else { break };
            next = end.sequence + 1;
            messages.extend(read);
        }
        for _ in 0..NEW_FILES_MAX {
            if next > last {
                return Ok(Some(messages));
            }
            let query = json!({ "seq": next, "next_by_subj": filter });
            let Some(message) = self.leader_message(query).await? else {
                return Ok(Some(messages));
            };
            next = message.sequence + 1;
            messages.push(message);
        }
        Ok(None)
    }
}
