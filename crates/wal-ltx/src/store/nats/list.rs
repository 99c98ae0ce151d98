//! What the bucket holds, as its leader knows it.
//!
//! The names come from the leader, in one answer that also gives the stream's state.
//!
//! A second listing asks for the state and for the last object that is known: a stream that was
//! set back and has grown again gives the same sequences to other messages. It costs one request
//! more per new file when messages were only added: then exactly as many messages as the sequence
//! has grown by are there, but for a fence that this node has replaced meanwhile. When files were
//! removed, their names and what is new are read ([`again`]). Otherwise everything is: the bodies
//! in batches from any replica, and what such a replica lacks from the leader.

mod again;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use super::Bucket;
use super::api::{Batch, Failure, StoredMessage, code};
use super::fence::FenceMoved;
use super::layout::Meta;
use crate::store::{LtxInfo, LtxName, StoreError};
use again::Anchor;

/// Metadata messages per batch, and the most bytes of them.
const BATCH_MESSAGES: usize = 1000;
const BATCH_BYTES: usize = 4 << 20;

/// Single reads in flight.
const READS_IN_FLIGHT: usize = 32;

/// More new files than this are read in batches.
const NEW_FILES_MAX: usize = 16;

/// Pages of subjects (100,000 each) that a bucket may have.
const SUBJECT_PAGES_MAX: usize = 20;

/// Attempts to find a leader that knows what this node has written.
const LEADER_ATTEMPTS: u32 = 10;
const LEADER_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// By subject; `None` for a deleted object.
pub(super) type Metas = BTreeMap<String, Option<Arc<Meta>>>;

/// The objects at one moment of the stream.
#[derive(Debug, Default)]
pub(super) struct Listing {
    created: String,
    state: State,
    metas: Metas,
    anchor: Option<Anchor>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct State {
    messages: u64,
    last_seq: u64,
    #[serde(default)]
    subjects: Option<BTreeMap<String, u64>>,
}

#[derive(Debug, Deserialize)]
struct InfoReply {
    created: String,
    state: State,
    #[serde(default)]
    total: usize,
}

impl Listing {
    fn files(&self) -> Vec<LtxInfo> {
        let mut files: Vec<_> = self.metas.values().flatten().map(|m| m.info.clone()).collect();
        files.sort_by_key(|file| file.name);
        files
    }

    /// Whether no object can have been removed from the stream since this listing: it has only
    /// grown, but for the message that a `moved` fence has replaced.
    fn only_grown(&self, info: &InfoReply, moved: Option<FenceMoved>) -> bool {
        let (old, new) = (&self.state, &info.state);
        let between = |seq: u64| old.last_seq < seq && seq <= new.last_seq;
        let replaced = moved.is_some_and(|fence| {
            (1..=old.last_seq).contains(&fence.replaced) && between(fence.sequence)
        });
        self.created == info.created
            && new.last_seq >= old.last_seq
            && new.messages.checked_add(u64::from(replaced))
                == old.messages.checked_add(new.last_seq - old.last_seq)
    }
}

impl Bucket {
    /// All LTX files, ordered by name.
    pub(super) async fn list(&self) -> Result<Vec<LtxInfo>, StoreError> {
        let listing = self.refresh().await?;
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&listing));
        Ok(listing.files())
    }

    /// What the last listing knows of a file; may be out of date.
    pub(super) fn remembered(&self, name: LtxName) -> Option<Arc<Meta>> {
        let listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        listing.metas.get(&self.layout.meta(name)).cloned().flatten()
    }

    /// The metadata of one file from the leader; `None` when it does not exist.
    pub(super) async fn meta(&self, name: LtxName) -> Result<Option<Meta>, StoreError> {
        match self.leader_message(json!({ "last_by_subj": self.layout.meta(name) })).await? {
            Some(message) => Meta::read(&self.layout, &message),
            None => Ok(None),
        }
    }

    /// Every metadata subject with its object, `None` for a deleted one, and the last sequence of
    /// the stream that was known to whoever answered.
    pub(super) async fn all_metas(&self) -> Result<(u64, Metas), StoreError> {
        let listing = self.list_all().await?;
        Ok((listing.state.last_seq, listing.metas.clone()))
    }

    /// The subjects that have messages and match `filter`, and that last sequence.
    pub(super) async fn subject_names(
        &self,
        filter: &str,
    ) -> Result<(u64, Vec<String>), StoreError> {
        let state = self.subjects(filter).await?.state;
        Ok((state.last_seq, state.subjects.unwrap_or_default().into_keys().collect()))
    }

    pub(super) async fn leader_message(
        &self,
        query: serde_json::Value,
    ) -> Result<Option<StoredMessage>, StoreError> {
        let read = self.api.message(&self.layout.stream, query).await;
        read.map_err(|f| self.reading(f, "the file list"))
    }

    async fn refresh(&self) -> Result<Arc<Listing>, StoreError> {
        let known = self.listing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            let (info, same) =
                tokio::try_join!(self.info(json!({})), self.still_has(known.anchor.as_ref()))?;
            if !same {
                return self.list_all().await;
            }
            let moved = *self.fence_moved.lock().unwrap_or_else(PoisonError::into_inner);
            if known.only_grown(&info, moved)
                && let Some(listing) = self.grow(&known, info).await?
            {
                return Ok(listing);
            }
            if let Some(listing) = self.list_again(&known).await? {
                return Ok(Arc::new(listing));
            }
        }
        self.list_all().await
    }

    /// The known listing and the files added since; `None` when they are too many.
    async fn grow(
        &self,
        known: &Arc<Listing>,
        info: InfoReply,
    ) -> Result<Option<Arc<Listing>>, StoreError> {
        let last = info.state.last_seq;
        let mut next = known.state.last_seq + 1;
        if next > last {
            return Ok(Some(Arc::clone(known)));
        }
        let (mut metas, mut anchor) = (known.metas.clone(), known.anchor.clone());
        let filter = self.layout.all_metas();
        for _ in 0..NEW_FILES_MAX {
            let query = json!({ "seq": next, "next_by_subj": filter });
            if let Some(message) = self.leader_message(query).await? {
                next = message.sequence + 1;
                self.insert(&message, &mut metas, &mut anchor)?;
            } else {
                next = last + 1;
            }
            if next > last {
                let listing = Listing { created: info.created, state: info.state, metas, anchor };
                return Ok(Some(Arc::new(listing)));
            }
        }
        Ok(None)
    }

    async fn list_all(&self) -> Result<Arc<Listing>, StoreError> {
        let info = self.subjects(&self.layout.all_metas()).await?;
        let names = info.state.subjects.clone().unwrap_or_default();
        let (mut metas, mut anchor) = (Metas::new(), None);
        for message in self.meta_batches(names.len()).await? {
            self.take(&message, &names, info.state.last_seq, &mut metas, &mut anchor)?;
        }
        self.complete(names, &mut metas).await?;
        let state = State { subjects: None, ..info.state };
        Ok(Arc::new(Listing { created: info.created, state, metas, anchor }))
    }

    /// Takes a message of some replica into a listing of which the leader said these names when
    /// its last message was `last`.
    fn take(
        &self,
        message: &StoredMessage,
        names: &BTreeMap<String, u64>,
        last: u64,
        metas: &mut Metas,
        anchor: &mut Option<Anchor>,
    ) -> Result<(), StoreError> {
        // Beyond the leader's answer it is new, in it it counts, before it it is deleted.
        if message.sequence > last || names.contains_key(&message.subject) {
            self.insert(message, metas, anchor)?;
        }
        Ok(())
    }

    fn insert(
        &self,
        message: &StoredMessage,
        metas: &mut Metas,
        anchor: &mut Option<Anchor>,
    ) -> Result<(), StoreError> {
        let meta = Meta::read(&self.layout, message)?;
        if let Some(meta) = &meta {
            Anchor::later(anchor, message.sequence, meta);
        }
        metas.insert(message.subject.clone(), meta.map(Arc::new));
        Ok(())
    }

    /// Reads those of `names` from the leader that are not among `metas`.
    async fn complete(
        &self,
        names: BTreeMap<String, u64>,
        metas: &mut Metas,
    ) -> Result<(), StoreError> {
        let missing: Vec<_> = names.into_keys().filter(|n| !metas.contains_key(n)).collect();
        let reads = missing.into_iter().map(|subject| async {
            let message = self.leader_message(json!({ "last_by_subj": subject })).await?;
            let read = message.map(|m| Meta::read(&self.layout, &m)).transpose()?;
            Ok::<_, StoreError>((subject, read.flatten().map(Arc::new)))
        });
        let late: Vec<_> =
            stream::iter(reads).buffer_unordered(READS_IN_FLIGHT).try_collect().await?;
        metas.extend(late);
        Ok(())
    }

    /// All metadata messages that some replica has.
    async fn meta_batches(&self, expected: usize) -> Result<Vec<StoredMessage>, StoreError> {
        let filter = self.layout.all_metas();
        let mut messages: Vec<StoredMessage> = Vec::with_capacity(expected);
        let mut seq = 1;
        // Bounded: every round but the last brings at least one message.
        while messages.len() < expected {
            let batch =
                Batch { seq, next_by_subj: &filter, batch: BATCH_MESSAGES, max_bytes: BATCH_BYTES };
            let read = self.api.batch(&self.layout.stream, &batch).await;
            let read = match read {
                Ok(read) => read,
                Err(Failure::NotSent(_)) => break,
                Err(failure) => return Err(self.reading(failure, "the file list")),
            };
            let Some(last) = read.last() else { break };
            seq = last.sequence + 1;
            messages.extend(read);
        }
        Ok(messages)
    }

    /// The stream's state with every subject that matches `filter`.
    async fn subjects(&self, filter: &str) -> Result<InfoReply, StoreError> {
        let mut info = self.info(json!({ "subjects_filter": filter })).await?;
        let mut subjects = info.state.subjects.take().unwrap_or_default();
        for _ in 0..SUBJECT_PAGES_MAX {
            if subjects.len() >= info.total {
                break;
            }
            let query = json!({ "subjects_filter": filter, "offset": subjects.len() });
            let more = self.info(query).await?.state.subjects.unwrap_or_default();
            if more.is_empty() {
                break;
            }
            subjects.extend(more);
        }
        info.state.subjects = Some(subjects);
        Ok(info)
    }

    /// The stream's state from a leader that has everything this node has written.
    async fn info(&self, query: serde_json::Value) -> Result<InfoReply, StoreError> {
        let operation = format!("STREAM.INFO.{}", self.layout.stream);
        let seen = self.written.expected(Instant::now());
        for _ in 0..LEADER_ATTEMPTS {
            let info: InfoReply = match self.api.call(&operation, &query).await {
                Ok(info) => info,
                Err(failure) => return Err(self.reading(failure, "the file list")),
            };
            if info.state.last_seq >= seen {
                return Ok(info);
            }
            tokio::time::sleep(LEADER_PAUSE).await;
        }
        let source = format!("the stream's leader does not know message {seen} yet").into();
        Err(StoreError::Unavailable { what: String::from("the file list"), source })
    }

    /// The error for a failed read of `what`.
    pub(super) fn reading(&self, failure: Failure, what: &str) -> StoreError {
        if failure.is(code::STREAM_NOT_FOUND) {
            return self.layout.foreign("it does not exist");
        }
        failure.reading(format!("{what} of bucket {}", self.layout.bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(messages: u64, last_seq: u64) -> State {
        State { messages, last_seq, subjects: None }
    }

    #[test]
    fn a_listing_goes_on_while_nothing_but_the_own_fence_was_replaced() {
        let moved = |replaced, sequence| Some(FenceMoved { replaced, sequence });
        // Since 10 messages up to sequence 20.
        let table = [
            (at(10, 20), None, true),
            (at(13, 23), None, true),
            (at(13, 23), moved(5, 12), true),
            (at(12, 23), moved(5, 21), true),
            (at(12, 23), moved(20, 23), true),
            // Something else was removed.
            (at(12, 23), None, false),
            (at(11, 23), moved(5, 21), false),
            // Before this listing, the first fence of all, or one that came and went since.
            (at(12, 23), moved(5, 12), false),
            (at(12, 23), moved(0, 21), false),
            (at(12, 23), moved(21, 22), false),
            // Not yet known to whoever answers.
            (at(12, 23), moved(5, 24), false),
            // More than there can be: not this stream's past.
            (at(13, 23), moved(5, 21), false),
            (at(9, 19), None, false),
        ];
        let known = Listing { created: String::new(), state: at(10, 20), ..Listing::default() };
        for (state, moved, goes_on) in table {
            let info = InfoReply { created: String::new(), state: state.clone(), total: 0 };
            assert_eq!(known.only_grown(&info, moved), goes_on, "{state:?} {moved:?}");
            let anew = InfoReply { created: String::from("later"), ..info };
            assert!(!known.only_grown(&anew, moved), "another stream");
        }
    }
}
