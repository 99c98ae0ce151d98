//! What holds for every LTX file and every history, tried with random ones.
//!
//! Every run takes a fresh seed and prints it when it fails; `CCM_PROPERTY_SEED` repeats one,
//! `CCM_PROPERTY_CASES` sets how many cases each property gets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apply;
mod codec;
#[path = "../random/dice.rs"]
mod dice;
mod history;
mod wal;

use std::time::{SystemTime, UNIX_EPOCH};

use dice::Dice;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

/// Prints the seed of the case that fails.
struct Case(u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("CCM_PROPERTY_CASES=1 CCM_PROPERTY_SEED={}", self.0);
        }
    }
}

/// Runs a property with so many cases, unless others are asked for.
fn for_all(cases: u64, mut property: impl FnMut(&mut Dice)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("CCM_PROPERTY_SEED").unwrap_or(now.subsec_nanos().into());
    let cases = number("CCM_PROPERTY_CASES").unwrap_or(cases);
    for seed in seed..seed + cases {
        let _case = Case(seed);
        property(&mut Dice::new(seed));
    }
}
