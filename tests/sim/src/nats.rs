//! NATS as its clients see it: a key with compare-and-set, and a bucket of objects with a fence.
//!
//! Both keep their history, so that they can go back in time and answer with what was.

use std::collections::BTreeSet;
use std::rc::Rc;

use ccm_election::{LeaseRecord, ReadOutcome, Revision, WriteOutcome};
use ccm_types::{Epoch, NodeId, Txid};
use ccm_wal_ltx::codec::LtxHeader;
use ccm_wal_ltx::store::{Fence, FenceRecord, LtxInfo, LtxName};

use crate::content::Version;
use crate::time::Time;

/// One LTX file.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) info: LtxInfo,
    pub(crate) header: LtxHeader,
    /// What it goes on from; `None` when it holds the whole database.
    pub(crate) from: Option<Version>,
    /// What the database is after it.
    pub(crate) to: Version,
}

impl Object {
    /// Whether it is the same upload.
    fn is(&self, other: &Self) -> bool {
        self.to == other.to && self.from == other.from && self.info.epoch == other.info.epoch
    }
}

/// What a client asks of the bucket.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    MoveFence { epoch: Epoch, node: NodeId },
    Fence,
    List,
    Get(Vec<LtxName>),
    Put { fence: Fence, object: Box<Object> },
    Delete { fence: Fence, name: LtxName },
}

/// What the bucket answers.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Moved(Fence),
    Standing(Option<FenceRecord>),
    Files {
        files: Rc<Vec<LtxInfo>>,
        last: u64,
    },
    Got(Vec<Object>),
    /// The sequence of the write; `None` when it was there already.
    Stored(Option<u64>),
    Fenced,
    /// Other content has the name.
    Exists,
    /// One of the files is not there.
    NotFound,
    /// No answer, or one that says to try later.
    Nothing,
}

/// The lease.
#[derive(Debug, Default)]
struct Key {
    last: u64,
    history: Vec<(Time, u64, LeaseRecord)>,
}

/// The objects.
#[derive(Debug, Default)]
struct Bucket {
    last: u64,
    fences: Vec<(Time, u64, FenceRecord)>,
    objects: Vec<(Time, Object)>,
    /// Deleted when, stored when, what.
    deleted: Vec<(Time, Time, Object)>,
    listing: Option<Rc<Vec<LtxInfo>>>,
}

/// The server.
#[derive(Debug, Default)]
pub(crate) struct Nats {
    key: Key,
    bucket: Bucket,
    /// Every token that a fence was ever given.
    tokens: BTreeSet<u64>,
    /// A bucket that had gone back has given one twice: it cannot tell two primaries apart.
    pub(crate) token_twice: bool,
    /// A bucket has gone back behind a fence: the primary before it may write again.
    pub(crate) fence_forgotten: bool,
    /// No leader before this moment.
    pub(crate) down_until: Time,
    /// Reads of the lease give what was there so long ago …
    pub(crate) behind: Time,
    /// … until this moment.
    pub(crate) stale_until: Time,
}

impl Nats {
    pub(crate) fn is_up(&self, now: Time) -> bool {
        now >= self.down_until
    }

    pub(crate) fn read_lease(&self, now: Time) -> ReadOutcome {
        let stale = now < self.stale_until;
        let at = if stale { now.saturating_sub(self.behind) } else { now };
        match self.key.history.iter().rev().find(|(stored, ..)| *stored <= at) {
            Some((_, revision, record)) => {
                ReadOutcome::Found { revision: Revision(*revision), record: Some(record.clone()) }
            }
            None => ReadOutcome::Found { revision: Revision(0), record: None },
        }
    }

    /// `blind` writes whatever is there.
    pub(crate) fn write_lease(
        &mut self,
        now: Time,
        expected: Revision,
        record: LeaseRecord,
        blind: bool,
    ) -> WriteOutcome {
        let standing = self.key.history.last().map_or(0, |(_, revision, _)| *revision);
        if standing != expected.0 && !blind {
            return WriteOutcome::Refused;
        }
        self.key.last += 1;
        self.key.history.push((now, self.key.last, record));
        WriteOutcome::Stored(Revision(self.key.last))
    }

    pub(crate) fn ask(&mut self, now: Time, ask: Ask) -> Said {
        match ask {
            Ask::MoveFence { epoch, node } => {
                let said = self.bucket.move_fence(now, epoch, node);
                if let Said::Moved(fence) = &said {
                    self.token_twice |= !self.tokens.insert(fence.token);
                }
                said
            }
            Ask::Fence => {
                Said::Standing(self.bucket.fences.last().map(|(_, _, fence)| fence.clone()))
            }
            Ask::List => Said::Files { files: self.bucket.files(), last: self.bucket.last },
            Ask::Get(names) => self.bucket.get(&names),
            Ask::Put { fence, object } => self.bucket.put(now, fence, *object),
            Ask::Delete { fence, name } => self.bucket.delete(now, fence, name),
        }
    }

    /// The fence as it stands, for a writer that does not move it.
    pub(crate) fn standing_fence(&self, epoch: Epoch) -> Option<Fence> {
        self.bucket.fences.last().map(|(_, token, _)| Fence { epoch, token: *token })
    }

    pub(crate) fn fence(&self) -> Option<&FenceRecord> {
        self.bucket.fences.last().map(|(_, _, fence)| fence)
    }

    /// How many objects there are.
    pub(crate) fn objects(&self) -> usize {
        self.bucket.objects.len()
    }

    pub(crate) fn object(&self, name: LtxName) -> Option<Object> {
        let objects = self.bucket.objects.iter().rev();
        objects.map(|(_, object)| object).find(|object| object.info.name == name).cloned()
    }

    /// What the bucket leads to with the file that ends at this transaction.
    pub(crate) fn content_at(&self, txid: Txid) -> Option<Version> {
        let objects = self.bucket.objects.iter().rev();
        objects.map(|(_, o)| o).find(|o| o.info.name.max == txid).map(|o| o.to)
    }

    /// Goes back to what was stored at `to`.
    pub(crate) fn forget(&mut self, to: Time, lease: bool, objects: bool) {
        if lease {
            self.key.history.retain(|(at, ..)| *at <= to);
            self.key.last = self.key.history.last().map_or(0, |(_, revision, _)| *revision);
        }
        if objects {
            let bucket = &mut self.bucket;
            self.fence_forgotten |= bucket.fences.iter().any(|(at, ..)| *at > to);
            let gone = bucket.objects.iter().filter(|(at, _)| *at > to).count()
                + bucket.fences.iter().filter(|(at, ..)| *at > to).count();
            bucket.objects.retain(|(at, _)| *at <= to);
            let back = bucket.deleted.extract_if(.., |(gone, _, _)| *gone > to);
            let back = back.filter(|(_, stored, _)| *stored <= to);
            bucket.objects.extend(back.map(|(_, stored, object)| (stored, object)));
            bucket.fences.retain(|(at, ..)| *at <= to);
            bucket.last = bucket.last.saturating_sub(gone as u64);
            bucket.listing = None;
        }
    }

    /// Comes back empty.
    pub(crate) fn empty(&mut self, now: Time, lease: bool, objects: bool) {
        if lease {
            self.key = Key::default();
        }
        if objects {
            // Made anew, it counts from the time.
            self.bucket = Bucket { last: now, ..Bucket::default() };
        }
    }
}

impl Bucket {
    fn move_fence(&mut self, now: Time, epoch: Epoch, node: NodeId) -> Said {
        if let Some((_, _, standing)) = self.fences.last()
            && (standing.epoch > epoch || (standing.epoch == epoch && standing.node != node))
        {
            return Said::Fenced;
        }
        self.last += 1;
        self.fences.push((now, self.last, FenceRecord { epoch, node }));
        Said::Moved(Fence { epoch, token: self.last })
    }

    fn files(&mut self) -> Rc<Vec<LtxInfo>> {
        let listing = self.listing.take().unwrap_or_else(|| {
            let mut files: Vec<_> = self.objects.iter().map(|(_, o)| o.info.clone()).collect();
            files.sort_by_key(|file| file.name);
            Rc::new(files)
        });
        self.listing = Some(Rc::clone(&listing));
        listing
    }

    fn get(&self, names: &[LtxName]) -> Said {
        let mut got = Vec::new();
        for name in names {
            match self.objects.iter().rev().find(|(_, object)| object.info.name == *name) {
                Some((_, object)) => got.push(object.clone()),
                None => return Said::NotFound,
            }
        }
        Said::Got(got)
    }

    fn delete(&mut self, now: Time, fence: Fence, name: LtxName) -> Said {
        if self.fences.last().is_none_or(|(_, token, _)| *token != fence.token) {
            return Said::Fenced;
        }
        self.last += 1;
        let gone = self.objects.extract_if(.., |(_, object)| object.info.name == name);
        self.deleted.extend(gone.map(|(stored, object)| (now, stored, object)));
        self.listing = None;
        Said::Stored(Some(self.last))
    }

    fn put(&mut self, now: Time, fence: Fence, object: Object) -> Said {
        let there = self.objects.iter().rev().find(|(_, o)| o.info.name == object.info.name);
        let standing = self.fences.last().is_some_and(|(_, token, _)| *token == fence.token);
        match there {
            Some((_, there)) if there.is(&object) => Said::Stored(None),
            Some(_) if standing => Said::Exists,
            None if standing => {
                self.last += 1;
                self.objects.push((now, object));
                self.listing = None;
                Said::Stored(Some(self.last))
            }
            Some(_) | None => Said::Fenced,
        }
    }
}
