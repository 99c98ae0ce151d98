//! Making a failing scenario smaller while it fails in the same way.

use crate::mutant::Mutant;
use crate::run::run;
use crate::scenario::Scenario;
use crate::time::MS;

/// Runs that may be spent on it.
const RUNS_MAX: u32 = 3000;

/// The smallest scenario found that breaks the same property.
#[must_use]
pub fn shrink(scenario: &Scenario, mutant: Option<Mutant>) -> Scenario {
    let Some(wanted) = run(scenario, mutant, false).violation else { return scenario.clone() };
    let mut runs = 0;
    let mut fails = |candidate: &Scenario| {
        runs += 1;
        let violation = run(candidate, mutant, false).violation;
        runs <= RUNS_MAX && violation.is_some_and(|found| found.property == wanted.property)
    };
    let mut best = scenario.clone();
    loop {
        let before = best.clone();
        for smaller in candidates(&best) {
            if fails(&smaller) {
                best = smaller;
                break;
            }
        }
        if best == before {
            return best;
        }
    }
}

/// Scenarios that are a little smaller, the boldest first.
fn candidates(scenario: &Scenario) -> Vec<Scenario> {
    let mut out = Vec::new();
    let faults = scenario.faults.len();
    for at in 0..faults {
        let mut smaller = scenario.clone();
        smaller.faults.remove(at);
        out.push(smaller);
    }
    let named = scenario.faults.iter().flat_map(|(_, fault)| fault.named()).flatten().max();
    if scenario.nodes > 2 && named.is_none_or(|host| host + 1 < scenario.hosts()) && !scenario.twin
    {
        out.push(Scenario { nodes: scenario.nodes - 1, ..scenario.clone() });
    }
    if scenario.twin && named.is_none_or(|host| host + 1 < scenario.hosts()) {
        out.push(Scenario { twin: false, ..scenario.clone() });
    }
    let last = scenario.faults.iter().map(|(at, fault)| at + fault.lasts()).max().unwrap_or(0);
    let calm = last / (1000 * MS) * (1000 * MS) + 1000 * MS;
    if calm < scenario.calm_at {
        out.push(Scenario { calm_at: calm, ..scenario.clone() });
    }
    out
}
