//! Compaction and retention beside a capture, by the real plans; everything is a hundred times
//! faster than by default.

use std::collections::VecDeque;
use std::time::Duration;

use ccm_types::Monotonic;
use ccm_wal_ltx::plan::{Compaction, Retention, Schedule, due, expired, forward};
use ccm_wal_ltx::store::{Fence, LtxInfo};

use crate::files::Running;
use crate::nats::{Ask, Object, Said};
use crate::scenario::HostId;
use crate::world::World;

/// Between two passes.
const EVERY: Duration = Duration::from_secs(3);

/// How far a pass is.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// The bucket is being listed: what is to be merged?
    Due,
    /// These are put, one after another.
    Putting(VecDeque<Object>),
    /// The bucket is being listed: what is to go?
    Expired,
    /// These are deleted, one after another.
    Deleting(VecDeque<Ask>),
}

/// A compactor that runs.
#[derive(Debug, Default)]
pub(crate) struct Compact {
    at: Monotonic,
    stage: Stage,
    call: u64,
}

fn schedule() -> Schedule {
    let intervals = [2, 8, 30].map(Duration::from_secs).to_vec();
    Schedule { intervals, bytes_max: 1 << 30 }
}

fn retention() -> Retention {
    let (history, level0) = (Duration::from_secs(20), Duration::from_secs(3));
    Retention { level0, level0_files_max: 50, ..Retention::new(history) }
}

impl World {
    fn compact_of(&mut self, host: HostId) -> Option<&mut Compact> {
        match &mut self.lane_of(host)?.running {
            Running::Capturing(capture) => Some(&mut capture.compact),
            Running::Nothing | Running::Following(_) => None,
        }
    }

    /// Begins a pass when one is due.
    pub(crate) fn compact(&mut self, host: HostId) {
        let now = self.local(host);
        let Some(compact) = self.compact_of(host) else { return };
        if now >= compact.at && matches!(compact.stage, Stage::Idle) {
            compact.at = now + EVERY;
            self.compact_ask(host, Stage::Due, Ask::List);
        }
    }

    fn compact_ask(&mut self, host: HostId, stage: Stage, ask: Ask) {
        let call = self.ask(host, ask);
        if let Some(compact) = self.compact_of(host) {
            compact.stage = stage;
            compact.call = call;
        }
    }

    /// An answer for the compactor; `false` when it is somebody else's.
    pub(crate) fn compact_said(&mut self, host: HostId, call: u64, said: &Said) -> bool {
        let wall = self.hosts[host].clock.wall(self.now);
        let fence = self.lane_of(host).and_then(|lane| lane.fence);
        let Some(compact) = self.compact_of(host).filter(|compact| compact.call == call) else {
            return false;
        };
        compact.call = 0;
        let stage = std::mem::take(&mut compact.stage);
        match (stage, said, fence) {
            (Stage::Due, Said::Files { files, .. }, Some(fence)) => {
                let mut merged = VecDeque::new();
                for compaction in due(files, wall, &schedule()) {
                    merged.extend(self.merge(&compaction, fence, &merged));
                }
                let later = forward(files, wall, Duration::ZERO, &retention(), u64::MAX);
                merged.extend(later.and_then(|snapshot| self.merge(&snapshot, fence, &merged)));
                self.compact_on(host, Stage::Putting(merged), fence);
            }
            (stage @ Stage::Putting(_), Said::Stored(_), Some(fence)) => {
                self.compact_on(host, stage, fence);
            }
            (Stage::Expired, Said::Files { files, .. }, Some(fence)) => {
                let names = expired(files, wall, Duration::ZERO, &retention());
                let deletions = names.into_iter().map(|name| Ask::Delete { fence, name });
                self.compact_on(host, Stage::Deleting(deletions.collect()), fence);
            }
            (stage @ Stage::Deleting(_), Said::Stored(_), Some(fence)) => {
                self.compact_on(host, stage, fence);
            }
            // Whatever was done stays; the rest is for another pass.
            (_, _, _) => {}
        }
        true
    }

    fn compact_on(&mut self, host: HostId, stage: Stage, fence: Fence) {
        match stage {
            Stage::Putting(mut merged) => match merged.pop_front() {
                Some(object) => {
                    let name = object.info.name;
                    self.say(host, || format!("merges into {name}"));
                    let ask = Ask::Put { fence, object: Box::new(object) };
                    self.compact_ask(host, Stage::Putting(merged), ask);
                }
                None => self.compact_ask(host, Stage::Expired, Ask::List),
            },
            Stage::Deleting(mut deletions) => {
                if let Some(ask) = deletions.pop_front() {
                    self.compact_ask(host, Stage::Deleting(deletions), ask);
                }
            }
            Stage::Idle | Stage::Due | Stage::Expired => {}
        }
    }

    /// The result of a compaction; `None` when an input is not there any more.
    fn merge(
        &self,
        compaction: &Compaction,
        fence: Fence,
        merged: &VecDeque<Object>,
    ) -> Option<Object> {
        let find = |name| {
            let made = merged.iter().find(|object| object.info.name == name);
            made.cloned().or_else(|| self.nats.object(name))
        };
        let first = find(*compaction.inputs.first()?)?;
        let last = find(*compaction.inputs.last()?)?;
        let name = compaction.output()?;
        let epoch = Some(fence.epoch);
        let info = LtxInfo { name, size: 4096, timestamp_ms: last.info.timestamp_ms, epoch };
        // A whole database in the middle makes everything before it superfluous.
        let inputs = compaction.inputs.iter().filter_map(|name| find(*name));
        let whole = inputs.filter(|object| object.from.is_none()).count() > 0;
        let from = if whole { None } else { first.from };
        Some(Object { info, header: last.header, from, to: last.to })
    }
}
