//! The fuzz targets on a stable compiler: the committed corpus, then mutations of it.
//!
//! Every run takes a fresh seed. `CCM_FUZZ_SEED` repeats one, `CCM_FUZZ_SECONDS` sets how long
//! each target runs. What fails is kept in a file that is named, to be put into the corpus.
//! `fuzz/` runs the same bodies under cargo-fuzz, which needs a nightly compiler.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bodies;
mod corpus;
#[path = "../random/dice.rs"]
mod dice;
mod mutate;

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dice::Dice;
use mutate::mutate;

/// How long a target runs when nothing else is asked for.
const SECONDS: u64 = 2;

/// Inputs between two looks at the clock.
const ROUND: u32 = 50;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

/// Keeps the input when the target fails.
struct Input<'a> {
    target: &'a str,
    bytes: &'a [u8],
    seed: u64,
}

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let path: PathBuf = std::env::temp_dir().join(format!("ccm-fuzz-{}", self.target));
            let kept = std::fs::write(&path, self.bytes);
            eprintln!("CCM_FUZZ_SEED={}: the input is {}: {kept:?}", self.seed, path.display());
        }
    }
}

fn run(target: &str, body: fn(&[u8])) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("CCM_FUZZ_SEED").unwrap_or(now.subsec_nanos().into());
    let within = Duration::from_secs(number("CCM_FUZZ_SECONDS").unwrap_or(SECONDS));
    let corpus = corpus::read(target);
    assert!(corpus.len() > 2, "the corpus of {target} is not there");
    let attempt = |bytes: &[u8]| {
        let input = Input { target, bytes, seed };
        body(input.bytes);
    };
    corpus.iter().for_each(|bytes| attempt(bytes));
    let (end, mut dice, mut inputs) = (Instant::now() + within, Dice::new(seed), 0);
    while Instant::now() < end {
        for _ in 0..ROUND {
            attempt(&mutate(&mut dice, &corpus));
        }
        inputs += ROUND;
    }
    println!("{target}: {} files, {inputs} mutations", corpus.len());
}

#[test]
fn no_bytes_break_the_ltx_decoder() {
    run("ltx", bodies::ltx);
}

#[test]
fn no_bytes_break_merging() {
    run("merge", bodies::merging);
}

#[test]
fn no_bytes_break_the_wal_reader() {
    run("wal", bodies::wal);
}
