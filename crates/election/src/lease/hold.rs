//! Winning, keeping, adopting, giving back and losing the lease.

use ccm_types::{Monotonic, NodeId, Txid};

use super::tenure::{Cas, Claim, Ending, Next, Reading, Tenure};
use super::{InFlight, Lease, Part, Sent, WriteOutcome};
use crate::{Adoption, Change, LeaseRecord, LossReason, Revision};

impl Lease {
    /// Ends a lease whose time has passed.
    pub(super) fn expire(&mut self) {
        if self.valid_until().is_some_and(|end| end <= self.now) {
            self.lose(LossReason::Expired);
        }
    }

    /// A release that was asked for can no longer be stored once the lease is gone.
    fn lose(&mut self, why: LossReason) {
        if let Part::Holding(tenure) = std::mem::replace(&mut self.part, Part::Standby) {
            let change = match tenure.ending {
                Some(_) => Change::Released,
                None => Change::Lost(why),
            };
            self.out.changes.push(change);
            self.look_at = self.now;
        }
    }

    pub(super) fn release(&mut self, txid: Txid, successor: Option<NodeId>) {
        match &mut self.part {
            Part::Holding(tenure) => {
                tenure.ending = Some(Ending { txid, successor });
                if let Next::Write(at) = &mut tenure.cas.next {
                    *at = self.now;
                }
            }
            Part::Standby | Part::Claiming(_) => self.out.changes.push(Change::Released),
        }
    }

    pub(super) fn adopt(&mut self, adoption: Adoption) {
        if matches!(self.part, Part::Holding(_)) {
            return;
        }
        self.in_flight = None;
        let record = self.config.record(adoption.epoch);
        let cas = Cas { expected: None, first_sent: None, next: Next::Read(self.now) };
        let mut tenure = Tenure::new(record, cas, adoption.valid_until);
        tenure.earlier = Some(adoption.instance);
        self.part = Part::Holding(tenure);
        self.expire();
    }

    /// A write was answered, or was not.
    pub(super) fn written(&mut self, flight: InFlight, outcome: WriteOutcome) {
        let Sent::Write(record) = flight.what else { return };
        if let WriteOutcome::Stored(revision) = outcome {
            self.see(revision, Some(record.clone()), flight.sent, self.now);
            self.stored(flight.sent, revision, &record);
            return;
        }
        let retry = self.config.timing.retry();
        match &mut self.part {
            // Of an epoch that has ended: all that counts is what the key says.
            Part::Standby => self.look_at = self.now,
            Part::Claiming(Claim { cas, .. }) | Part::Holding(Tenure { cas, .. }) => {
                cas.failed(self.now, flight.sent, outcome, retry);
            }
        }
    }

    /// `record` is at the key since a moment not before `sent`.
    fn stored(&mut self, sent: Monotonic, revision: Revision, record: &LeaseRecord) {
        let timing = self.config.timing;
        let valid_until = sent + timing.valid_for();
        let next = Cas::on(revision, sent + timing.heartbeat);
        match &mut self.part {
            Part::Standby => {}
            Part::Claiming(claim) if valid_until > self.now => {
                let mut tenure = Tenure::new(claim.record.clone(), next, valid_until);
                tenure.announced = true;
                let epoch = claim.record.epoch;
                let released = claim.win.released();
                self.last_win = Some(claim.win.clone());
                self.part = Part::Holding(tenure);
                self.out.changes.push(Change::Won { epoch, valid_until, adopted: false, released });
            }
            // Stored too long ago to be of use: its epoch is spent.
            Part::Claiming(_) => self.part = Part::Standby,
            Part::Holding(_) if record.released => {
                self.part = Part::Standby;
                self.out.changes.push(Change::Released);
            }
            Part::Holding(tenure) => {
                tenure.cas = next;
                if tenure.ending.is_some() {
                    tenure.cas.next = Next::Write(self.now);
                }
                tenure.valid_until = tenure.valid_until.max(valid_until);
                let valid_until = tenure.valid_until;
                let known = std::mem::replace(&mut tenure.announced, true);
                if known {
                    self.out.changes.push(Change::Renewed { valid_until });
                } else if tenure.ending.is_none() {
                    let epoch = record.epoch;
                    self.out.changes.push(Change::Won {
                        epoch,
                        valid_until,
                        adopted: true,
                        released: None,
                    });
                }
            }
        }
    }

    /// What was read decides about a claim or a lease whose last write was refused.
    pub(super) fn settle(&mut self, revision: Revision, found: Option<&LeaseRecord>) {
        let retry = self.config.timing.retry();
        match &mut self.part {
            Part::Standby => {}
            // What was refused is not visible yet: the reader was behind.
            Part::Claiming(claim) if claim.cas.expected == Some(revision) => {
                claim.cas.next = Next::Write(self.now + retry);
            }
            Part::Claiming(claim) => {
                let own = found.filter(|found| {
                    found.instance == claim.record.instance && found.epoch == claim.record.epoch
                });
                match (own, claim.cas.landed(revision)) {
                    (Some(found), Some(sent)) if !found.released => {
                        self.stored(sent, revision, found);
                    }
                    // Whatever is there is waited for like anything else.
                    _ => self.part = Part::Standby,
                }
            }
            Part::Holding(_) => self.settle_held(revision, found),
        }
    }

    fn settle_held(&mut self, revision: Revision, found: Option<&LeaseRecord>) {
        let retry = self.config.timing.retry();
        let Part::Holding(tenure) = &mut self.part else { return };
        match tenure.reads(found) {
            Reading::Own => {
                if let (Some(sent), Some(found)) = (tenure.cas.landed(revision), found) {
                    self.stored(sent, revision, found);
                } else {
                    tenure.moved(self.now, revision, retry);
                }
            }
            Reading::Earlier => {
                if let Some(found) = found {
                    tenure.record.acquired_at.clone_from(&found.acquired_at);
                }
                tenure.moved(self.now, revision, retry);
            }
            Reading::Nothing if tenure.announced => tenure.moved(self.now, revision, retry),
            Reading::OwnRelease => {
                self.part = Part::Standby;
                self.out.changes.push(Change::Released);
            }
            Reading::Nothing | Reading::Others => self.lose(LossReason::Superseded),
        }
    }
}
