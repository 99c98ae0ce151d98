//! One run: a scenario from its beginning to rest, or to the first property that does not hold.

use crate::invariants::{BOUND, Violation};
use crate::mutant::Mutant;
use crate::scenario::Scenario;
use crate::time::{S, Time};
use crate::trace::Trace;
use crate::world::World;

/// Between two looks whether the cluster is at rest.
const LOOK_EVERY: Time = S;

/// Looks in a row that must find it at rest.
const LOOKS: u32 = 3;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The first property that did not hold.
    pub violation: Option<Violation>,
    /// How many things have happened.
    pub events: u64,
    /// How many leaderships there were.
    pub wins: u64,
    /// One line per event, when it was asked for.
    pub trace: Vec<String>,
}

/// Runs a scenario; `trace` keeps the log.
#[must_use]
pub fn run(scenario: &Scenario, mutant: Option<Mutant>, trace: bool) -> Report {
    let trace = if trace { Trace::kept() } else { Trace::default() };
    let mut world = World::new(scenario, mutant, trace);
    let calm = scenario.calm_at;
    // A node that leaves or is started again late comes back after the faults.
    let end = calm + BOUND;
    let mut look_at = calm + LOOK_EVERY;
    let mut rested = 0;
    while world.checks.violation.is_none() && rested < LOOKS {
        if !world.turn(end) {
            world.check_rest();
            break;
        }
        if world.now >= look_at {
            look_at = world.now + LOOK_EVERY;
            world.check_waking();
            rested = if world.unrest().is_none() { rested + 1 } else { 0 };
        }
    }
    let (violation, events, wins) =
        (world.checks.violation.clone(), world.checks.events, world.checks.wins);
    Report { violation, events, wins, trace: world.trace.into_lines() }
}
