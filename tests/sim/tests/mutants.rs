//! The simulation proves itself: every variant that is broken on purpose is caught, by a property
//! that has to do with what is broken, within a stated number of seeds.

#![expect(clippy::panic, reason = "a test fails by panicking")]

use ccm_sim::{Mutant, Scenario, run};

/// The properties that may catch a variant, and the seeds that it takes at most.
fn expected(mutant: Mutant) -> (&'static [&'static str], u64) {
    const SERVING: &[&str] = &["single_writer", "silent_before_next", "vip"];
    const KEY: &[&str] = &["epoch_grows", "single_writer", "silent_before_next"];
    const DATA: &[&str] = &["planned_move", "newest_data", "prefix"];
    const FENCE: &[&str] = &["fence", "prefix", "liveness"];
    match mutant {
        // What the margin leaves is small: reply, drift and a backend that stays must conspire.
        Mutant::LeaseFromReply => (SERVING, 20_000),
        Mutant::NoMargin | Mutant::LateVip | Mutant::NoGuard => (SERVING, 500),
        Mutant::HopefulRenewal | Mutant::BlindTakeover => (KEY, 500),
        Mutant::ReleaseBeforeFlush => (&["planned_move", "silent_before_next"], 500),
        Mutant::CaptureBeforeBackend | Mutant::NoCompare => (DATA, 1000),
        Mutant::NoFence | Mutant::LateFence => (FENCE, 2000),
        // Takes a bucket that is lost between a release and a takeover without the end.
        Mutant::ForgottenRelease => (&["planned_move"], 100_000),
    }
}

fn caught(mutant: Mutant) {
    let (properties, seeds) = expected(mutant);
    for seed in 1..=seeds {
        let scenario = Scenario::of_seed(seed, None);
        if let Some(found) = run(&scenario, Some(mutant), false).violation {
            assert!(
                properties.contains(&found.property),
                "{mutant} was caught by {} (seed {seed}): {}",
                found.property,
                found.words
            );
            return;
        }
    }
    panic!("{mutant} was not caught by {seeds} seeds");
}

#[test]
fn a_lease_counted_from_the_reply_is_caught() {
    caught(Mutant::LeaseFromReply);
}

#[test]
fn every_other_variant_is_caught() {
    for mutant in Mutant::ALL.into_iter().filter(|mutant| *mutant != Mutant::LeaseFromReply) {
        caught(mutant);
    }
}
