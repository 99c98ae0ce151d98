//! A claim that is being made, and a lease that is held: both are a compare-and-set that may
//! need several tries, some of which may have been stored without our knowing.

use std::time::Duration;

use ccm_types::{Monotonic, NodeId, Txid};

use super::LeaseConfig;
use crate::{LeaseRecord, Revision, Win, WriteOutcome};

/// What to do next about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Write, from this moment on.
    Write(Monotonic),
    /// Find out what is there, from this moment on.
    Read(Monotonic),
}

impl Next {
    pub(super) fn at(self) -> Monotonic {
        match self {
            Self::Write(at) | Self::Read(at) => at,
        }
    }
}

/// Writes against one revision.
#[derive(Debug, Clone)]
pub(super) struct Cas {
    /// `None` until the key has been read.
    pub(super) expected: Option<Revision>,
    /// The earliest unanswered send against `expected`. If one of those writes was stored, it was
    /// sent at this moment or later; which one, nobody knows.
    pub(super) first_sent: Option<Monotonic>,
    pub(super) next: Next,
}

impl Cas {
    /// Writes against `revision`, from `at` on.
    pub(super) fn on(revision: Revision, at: Monotonic) -> Self {
        Self { expected: Some(revision), first_sent: None, next: Next::Write(at) }
    }

    /// A write that was sent at `sent` has not been stored, as far as is known.
    pub(super) fn failed(
        &mut self,
        now: Monotonic,
        sent: Monotonic,
        outcome: WriteOutcome,
        retry: Duration,
    ) {
        let again = now.max(sent + retry);
        self.next = match outcome {
            WriteOutcome::Stored(_) | WriteOutcome::NotSent => Next::Write(again),
            WriteOutcome::NoAnswer => {
                self.first_sent.get_or_insert(sent);
                Next::Write(again)
            }
            WriteOutcome::Refused => Next::Read(now),
        };
    }

    /// The earliest moment at which the write that made `revision` can have been sent, if one of
    /// the unanswered writes made it. A lower revision is one of before them (the server has
    /// lost something).
    pub(super) fn landed(&self, revision: Revision) -> Option<Monotonic> {
        self.first_sent.filter(|_| Some(revision) > self.expected)
    }
}

/// A claim under way.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) record: LeaseRecord,
    pub(super) cas: Cas,
    /// What is to be told of it when it succeeds.
    pub(super) win: Win,
}

/// A release that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) txid: Txid,
    pub(super) successor: Option<NodeId>,
}

/// A lease that is held, or is being adopted.
#[derive(Debug, Clone)]
pub(super) struct Tenure {
    /// What a renewal writes.
    pub(super) record: LeaseRecord,
    /// The daemon whose lease is adopted, as long as the key may still carry its name.
    pub(super) earlier: Option<String>,
    pub(super) cas: Cas,
    pub(super) valid_until: Monotonic,
    /// The user knows.
    pub(super) announced: bool,
    pub(super) ending: Option<Ending>,
}

/// What the key says to a holder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The holder's own record, under this daemon's name.
    Own,
    /// The record that is being adopted.
    Earlier,
    /// The holder's own release.
    OwnRelease,
    /// No key.
    Nothing,
    /// Somebody else's.
    Others,
}

impl Tenure {
    pub(super) fn new(record: LeaseRecord, cas: Cas, valid_until: Monotonic) -> Self {
        Self { record, earlier: None, cas, valid_until, announced: false, ending: None }
    }

    /// What to write next: a renewal, or the release.
    pub(super) fn to_write(&self) -> LeaseRecord {
        let mut record = self.record.clone();
        if let Some(ending) = &self.ending {
            record.released = true;
            record.txid = Some(ending.txid);
            record.successor = ending.successor.clone();
        }
        record
    }

    pub(super) fn reads(&self, found: Option<&LeaseRecord>) -> Reading {
        let Some(found) = found else { return Reading::Nothing };
        if found.node_id != self.record.node_id || found.epoch != self.record.epoch {
            return Reading::Others;
        }
        if found.instance == self.record.instance {
            return match (found.released, &self.ending) {
                (false, _) => Reading::Own,
                (true, Some(_)) => Reading::OwnRelease,
                (true, None) => Reading::Others,
            };
        }
        if self.earlier.as_ref() == Some(&found.instance) && !found.released {
            return Reading::Earlier;
        }
        Reading::Others
    }

    /// The key has moved to `revision` and is still this holder's.
    pub(super) fn moved(&mut self, now: Monotonic, revision: Revision, retry: Duration) {
        if self.cas.expected == Some(revision) {
            // What was refused is not visible yet, or the reader was behind.
            self.cas.next = Next::Write(now + retry);
        } else {
            self.cas = Cas::on(revision, now);
        }
    }
}

impl LeaseConfig {
    /// The record of a leadership that this daemon begins.
    pub(super) fn record(&self, epoch: ccm_types::Epoch) -> LeaseRecord {
        LeaseRecord {
            node_id: self.node.clone(),
            epoch,
            instance: self.instance.clone(),
            ttl_ms: u64::try_from(self.timing.ttl.as_millis()).unwrap_or(u64::MAX),
            address: self.address.clone(),
            acquired_at: String::new(),
            released: false,
            txid: None,
            successor: None,
        }
    }
}
