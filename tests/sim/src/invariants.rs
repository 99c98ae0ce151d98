//! What must hold at every moment, one file per property.
//!
//! Each is checked at the event that could break it. What a property does not promise when NATS
//! or a clock breaks its own word is said in its file.

mod epoch_grows;
mod fence;
mod liveness;
mod newest_data;
mod planned_move;
mod prefix;
mod serial;
mod silent_before_next;
mod single_writer;
mod vip;

pub(crate) use liveness::BOUND;

use ccm_role::OpId;
use ccm_types::Epoch;

use crate::content::Version;
use crate::scenario::HostId;
use crate::time::Time;
use crate::world::World;

/// A property that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which one, by the name of its file.
    pub property: &'static str,
    /// What happened.
    pub words: String,
    /// When, in microseconds of true time.
    pub at: u64,
}

/// What the properties remember.
#[derive(Debug)]
pub(crate) struct Checks {
    pub(crate) violation: Option<Violation>,
    pub(crate) events: u64,
    /// Leaderships so far.
    pub(crate) wins: u64,
    highest: Epoch,
    /// The newest epoch that has passed its fence rung.
    fenced: Epoch,
    /// The newest epoch for which data was put in its place.
    placed: Epoch,
    overlap_since: Option<Time>,
    /// What a primary was told that the bucket has.
    durable: Version,
    /// The last commit of each host, with its epoch.
    last_commit: Vec<Option<(Epoch, Version)>>,
    planned: Option<(HostId, Epoch)>,
    /// The last epoch whose lease was won after its holder had released it.
    handed_over: Option<Epoch>,
    under_way: Vec<serial::UnderWay>,
}

impl Checks {
    pub(crate) fn new(hosts: usize) -> Self {
        Self {
            violation: None,
            events: 0,
            wins: 0,
            highest: Epoch::NONE,
            fenced: Epoch::NONE,
            placed: Epoch::NONE,
            overlap_since: None,
            durable: Version::default(),
            last_commit: vec![None; hosts],
            planned: None,
            handed_over: None,
            under_way: vec![serial::UnderWay::default(); hosts],
        }
    }

    /// The daemon is gone, and all it was doing.
    pub(crate) fn forget(&mut self, host: HostId) {
        self.under_way[host] = serial::UnderWay::default();
    }

    pub(crate) fn ended(&mut self, host: HostId, op: OpId) {
        self.under_way[host].ended(op);
    }

    pub(crate) fn believed_fence(&mut self, epoch: Epoch) {
        self.fenced = self.fenced.max(epoch);
    }
}

impl World {
    /// Notes the first property that does not hold.
    pub(crate) fn violated(&mut self, property: &'static str, words: String) {
        if self.checks.violation.is_none() {
            self.tell(|| format!("!!! {property}: {words}"));
            self.checks.violation = Some(Violation { property, words, at: self.now });
        }
    }
}
