//! What was once found: each file says in its first line what it is about, and must hold.

use ccm_sim::{Scenario, run};

#[test]
fn every_regression_holds() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "the regressions are there");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario: Scenario = text.parse().unwrap();
        assert!(!scenario.about.is_empty(), "{} says what it is about", file.display());
        assert_eq!(scenario.to_string(), text, "{} is written as it is read", file.display());
        if let Some(found) = run(&scenario, None, false).violation {
            panic!(
                "{}: {}: {}\nsee it: cargo xtask sim --replay {}",
                scenario.about,
                found.property,
                found.words,
                file.display()
            );
        }
    }
}
