//! The machine of the lease: what to ask of the key, and what the answers mean.
//!
//! Pure: time is an argument, requests are returned. One request is under way at a time; one
//! that is not answered in time counts as unanswered, and its answer is ignored when it comes.
//!
//! The rules, and what each is for:
//!
//! - A deadline that has passed comes before every input. A reply that arrives after the end of
//!   the lease, or a host that was suspended over it, cannot prolong it.
//! - Validity runs from the step that returned the write, which is before it is sent, and so
//!   before anybody can have seen it.
//! - Every write is a compare-and-set on a revision that was seen. A refused one says only that
//!   the key has moved: a read tells by whom. If the record is this holder's, one of the writes
//!   that went unanswered had been stored; it counts from the earliest of them.
//! - Takeover needs own silence: the revision did not change for the holder's whole ttl by the
//!   taker's own clock, and a recent read shows that it still has not.
//! - An epoch ends with its lease and is never renewed again, by whatever means.

mod hold;
mod seen;
mod tenure;
mod words;

use std::time::Duration;

use ccm_types::{Epoch, Monotonic, NodeId};

use self::seen::Seen;
use self::tenure::{Cas, Claim, Next, Tenure};
pub use self::words::{Input, ReadOutcome, Request, RequestId, Step, WriteOutcome};
use crate::{Campaign, Change, Held, LeaseRecord, Revision, Timing, Win};

/// Looks after a hint that found nothing new: a subscriber may hear of a write before the
/// stream has stored it.
const LOOKS_AFTER_HINT: u8 = 3;

/// Between two of them.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Who competes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseConfig {
    /// This node.
    pub node: NodeId,
    /// This daemon; unique per run.
    pub instance: String,
    /// The address in the record, for people and peers.
    pub address: String,
    /// The numbers of the lease.
    pub timing: Timing,
    /// How much longer than the others to wait before taking a free lease.
    pub priority_delay: Duration,
    /// The highest epoch known from elsewhere than the key, which may have been lost: the next
    /// leadership has a higher one, and a key that is gone is not free at once.
    pub floor: Epoch,
}

#[derive(Debug, Clone)]
enum Part {
    Standby,
    Claiming(Claim),
    Holding(Tenure),
}

#[derive(Debug, Clone)]
enum Sent {
    Read,
    Write(LeaseRecord),
}

#[derive(Debug, Clone)]
struct InFlight {
    id: RequestId,
    sent: Monotonic,
    until: Monotonic,
    what: Sent,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Lease {
    config: LeaseConfig,
    campaign: Campaign,
    part: Part,
    seen: Option<Seen>,
    /// The highest epoch ever seen.
    highest: Epoch,
    in_flight: Option<InFlight>,
    /// When to look at the key as a standby.
    look_at: Monotonic,
    hinted: Monotonic,
    looks_left: u8,
    last_id: u64,
    /// A look at the key has failed since the last one that did not.
    blind: bool,
    /// What the user was told about the leader.
    told: Option<Option<Held>>,
    last_win: Option<Win>,
    now: Monotonic,
    out: Step,
}

impl Lease {
    /// A standby that has seen nothing and campaigns for nothing.
    #[must_use]
    pub fn new(config: LeaseConfig) -> Self {
        Self {
            campaign: Campaign::Off,
            part: Part::Standby,
            seen: None,
            highest: config.floor,
            in_flight: None,
            look_at: Monotonic::default(),
            hinted: Monotonic::default(),
            looks_left: 0,
            last_id: 0,
            blind: false,
            told: None,
            last_win: None,
            now: Monotonic::default(),
            out: Step::default(),
            config,
        }
    }

    /// Takes one input at one moment.
    pub fn step(&mut self, now: Monotonic, input: Input) -> Step {
        self.now = self.now.max(now);
        self.expire();
        if let Some(late) = self.in_flight.take_if(|f| f.until <= self.now) {
            self.unanswered(&late);
        }
        match input {
            Input::Tick => {}
            Input::Campaign(campaign) => self.campaign = campaign,
            Input::Release { txid, successor } => self.release(txid, successor),
            Input::Adopt(adoption) => self.adopt(adoption),
            Input::Hint => {
                self.hinted = self.now;
                self.looks_left = LOOKS_AFTER_HINT;
                self.look_at = self.look_at.min(self.now);
            }
            Input::Read { id, outcome } => {
                if let Some(flight) = self.in_flight.take_if(|f| f.id == id) {
                    self.read(&flight, outcome);
                }
            }
            Input::Written { id, outcome } => {
                if let Some(flight) = self.in_flight.take_if(|f| f.id == id) {
                    self.written(flight, outcome);
                }
            }
        }
        self.act();
        self.tell_leader();
        std::mem::take(&mut self.out)
    }

    /// When to send the next [`Input::Tick`]; always later than the last step.
    #[must_use]
    pub fn next_deadline(&self) -> Monotonic {
        let free_at = match (self.campaign, &self.part, &self.seen) {
            (Campaign::On, Part::Standby, Some(seen)) => {
                Some(seen.free_at(&self.config, self.highest)).filter(|at| *at > self.now)
            }
            (
                Campaign::On | Campaign::Off,
                Part::Standby | Part::Claiming(_) | Part::Holding(_),
                _,
            ) => None,
        };
        let next = match (&self.in_flight, &self.part) {
            (Some(flight), _) => flight.until,
            (None, Part::Standby) => free_at.map_or(self.look_at, |at| at.min(self.look_at)),
            (None, Part::Claiming(claim)) => claim.cas.next.at(),
            (None, Part::Holding(tenure)) => tenure.cas.next.at(),
        };
        self.valid_until().map_or(next, |end| end.min(next))
    }

    /// When the lease ends unless it is renewed; `None` when it is not held. Also of one that is
    /// being adopted.
    #[must_use]
    pub fn valid_until(&self) -> Option<Monotonic> {
        match &self.part {
            Part::Holding(tenure) => Some(tenure.valid_until),
            Part::Standby | Part::Claiming(_) => None,
        }
    }

    /// Whether a node that campaigns would take the lease now.
    #[must_use]
    pub fn is_free(&self) -> bool {
        matches!(self.part, Part::Standby) && self.free().is_some()
    }

    /// How the last lease was won, of those that were not adopted.
    #[must_use]
    pub fn last_win(&self) -> Option<&Win> {
        self.last_win.as_ref()
    }

    /// When the lease counts as free here unless a renewal is seen before; `None` when it is held
    /// or nothing was seen.
    #[must_use]
    pub fn free_at(&self) -> Option<Monotonic> {
        match (&self.part, &self.seen) {
            (Part::Standby | Part::Claiming(_), Some(seen)) => {
                Some(seen.free_at(&self.config, self.highest))
            }
            (Part::Holding(_), _) | (_, None) => None,
        }
    }

    /// Who leads, as far as this node has seen.
    #[must_use]
    pub fn leader(&self) -> Option<Held> {
        self.seen.as_ref()?.record.as_ref().map(Held::from)
    }

    fn unanswered(&mut self, flight: &InFlight) {
        match &flight.what {
            Sent::Read => self.read(flight, ReadOutcome::Failed),
            Sent::Write(_) => self.written(flight.clone(), WriteOutcome::NoAnswer),
        }
    }

    /// The key has been looked at.
    fn read(&mut self, flight: &InFlight, outcome: ReadOutcome) {
        match outcome {
            ReadOutcome::Failed => {
                self.blind = true;
                let again = self.now.max(flight.sent + self.config.timing.retry());
                self.look_at = again;
                match &mut self.part {
                    Part::Standby => {}
                    Part::Claiming(Claim { cas, .. }) | Part::Holding(Tenure { cas, .. }) => {
                        cas.next = Next::Read(again);
                    }
                }
            }
            ReadOutcome::Found { revision, record } => {
                self.note_look(flight.sent, revision);
                self.see(revision, record.clone(), self.now, flight.sent);
                self.settle(revision, record.as_ref());
            }
        }
    }

    /// When to look again.
    fn note_look(&mut self, sent: Monotonic, revision: Revision) {
        let changed = self.seen.as_ref().is_none_or(|seen| seen.revision != revision);
        self.look_at = if self.looks_left > 0 && sent < self.hinted {
            self.now
        } else if self.looks_left > 0 && !changed {
            self.looks_left -= 1;
            self.now + LOOK_AGAIN
        } else {
            self.looks_left = 0;
            self.now + self.config.timing.poll()
        };
    }

    fn see(
        &mut self,
        revision: Revision,
        record: Option<LeaseRecord>,
        since: Monotonic,
        confirmed: Monotonic,
    ) {
        if let Some(record) = &record {
            self.highest = self.highest.max(record.epoch);
        }
        match &mut self.seen {
            Some(seen) if seen.is(revision, record.as_ref()) => {
                let timing = &self.config.timing;
                let ours = record.is_some_and(|r| r.instance == self.config.instance);
                let long = confirmed.since(seen.confirmed) > timing.blind_after();
                if std::mem::take(&mut self.blind) && long && !ours {
                    seen.not_before = self.now + timing.grace();
                }
                seen.confirmed = confirmed;
            }
            Some(_) | None => {
                let not_before = Monotonic::default();
                self.seen = Some(Seen { revision, record, since, confirmed, not_before });
            }
        }
    }

    /// Asks for at most one thing.
    fn act(&mut self) {
        if self.in_flight.is_some() {
            return;
        }
        if matches!((&self.part, self.campaign), (Part::Claiming(_), Campaign::Off)) {
            self.part = Part::Standby;
        }
        if matches!(self.part, Part::Standby) {
            self.claim_if_free();
        }
        let now = self.now;
        match &self.part {
            Part::Standby if now >= self.look_at => self.ask_read(),
            Part::Standby => {}
            Part::Claiming(Claim { record, cas, .. }) => self.ask(cas.clone(), record.clone()),
            Part::Holding(tenure) => self.ask(tenure.cas.clone(), tenure.to_write()),
        }
    }

    fn claim_if_free(&mut self) {
        let Some(seen) = self.free().filter(|_| self.campaign == Campaign::On) else { return };
        let before = seen.record.as_ref().map(Held::from);
        let (last_sign, claimed) = (seen.since, self.now);
        let record = self.config.record(self.highest.next());
        let win = Win { epoch: record.epoch, before, last_sign, claimed };
        let cas = Cas::on(seen.revision, self.now);
        self.part = Part::Claiming(Claim { record, cas, win });
    }

    /// What was seen at the key, when that may be taken at present.
    fn free(&self) -> Option<&Seen> {
        // A revision that was not looked at lately has probably changed.
        let fresh = |seen: &&Seen| seen.confirmed + self.config.timing.poll() * 2 >= self.now;
        let free = |seen: &&Seen| seen.free_at(&self.config, self.highest) <= self.now;
        self.seen.as_ref().filter(fresh).filter(free)
    }

    fn ask(&mut self, cas: Cas, record: LeaseRecord) {
        match (cas.next, cas.expected) {
            (next, _) if next.at() > self.now => {}
            (Next::Write(_), Some(expected)) => {
                let timeout = self.config.timing.request_timeout();
                let id = self.sending(timeout, Sent::Write(record.clone()));
                self.out.requests.push(Request::Write { id, expected, record, timeout });
            }
            (Next::Read(_), _) | (Next::Write(_), None) => self.ask_read(),
        }
    }

    fn ask_read(&mut self) {
        let timeout = self.config.timing.request_timeout();
        let id = self.sending(timeout, Sent::Read);
        self.out.requests.push(Request::Read { id, timeout });
    }

    fn sending(&mut self, timeout: Duration, what: Sent) -> RequestId {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        self.in_flight = Some(InFlight { id, sent: self.now, until: self.now + timeout, what });
        id
    }

    fn tell_leader(&mut self) {
        if self.seen.is_none() {
            return;
        }
        let leader = self.leader();
        if self.told.as_ref() != Some(&leader) {
            self.told = Some(leader.clone());
            self.out.changes.push(Change::Leader(leader));
        }
    }
}
