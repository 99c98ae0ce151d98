//! The same seed gives the same run, and some seeds for every build; `cargo xtask sim` runs fresh
//! ones.

use ccm_sim::{Scenario, run};

#[test]
fn the_same_seed_gives_the_same_log_twice() {
    for seed in [3, 14, 159] {
        let scenario = Scenario::of_seed(seed, None);
        let (first, second) = (run(&scenario, None, true), run(&scenario, None, true));
        assert!(first.trace.len() > 100, "something happens");
        assert!(first == second, "seed {seed} gives two different runs");
    }
}

#[test]
fn a_scenario_says_all_of_itself_as_text() {
    for seed in 0..200 {
        let scenario = Scenario::of_seed(seed, None);
        let Ok(read) = scenario.to_string().parse::<Scenario>() else {
            panic!("{scenario}");
        };
        assert_eq!(read, scenario);
    }
}

#[test]
fn the_first_seeds_hold() {
    let mut wins = 0;
    for seed in 0..1000 {
        let report = run(&Scenario::of_seed(seed, None), None, false);
        wins += report.wins;
        if let Some(found) = report.violation {
            panic!("{}: {}\nsee it: cargo xtask sim --seed {seed}", found.property, found.words);
        }
    }
    assert!(wins > 1000, "there are failovers in them: {wins}");
}
