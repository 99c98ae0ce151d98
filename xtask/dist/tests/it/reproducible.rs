//! The same input gives the same bytes.

use std::process::Command;

use crate::made::{self, Made, dist, folder, run};

const ENDINGS: [&str; 4] = [".deb", ".rpm", ".tar.gz", "SHA256SUMS"];

#[test]
fn what_is_made_again_elsewhere_later_and_under_another_mask_is_the_same() {
    let first = made::first();
    let again = folder("again");
    // Nothing of the surroundings but the time of the input may matter.
    let dist = dist(&again);
    let mut sh = Command::new("sh");
    sh.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(dist.get_program()).args(dist.get_args());
    sh.env("SOURCE_DATE_EPOCH", made::EPOCH.to_string());
    sh.env("TZ", "Pacific/Auckland").env("LC_ALL", "C").env("USER", "somebody");
    run(&mut sh);
    for ending in ENDINGS {
        let one = std::fs::read(first.file(ending)).unwrap();
        let name = first.file(ending).file_name().unwrap().to_owned();
        let other = std::fs::read(again.join(name)).unwrap();
        assert!(one == other, "{ending} differs");
    }
}

#[test]
fn another_time_gives_other_bytes() {
    let sums = |made: &Made| std::fs::read_to_string(made.file("SHA256SUMS")).unwrap();
    let first = sums(made::first());
    let later = sums(&Made::make("later", made::EPOCH + 86_400, &[]));
    assert_eq!(first.lines().count(), later.lines().count());
    for (one, other) in first.lines().zip(later.lines()) {
        assert_ne!(one, other);
    }
}
