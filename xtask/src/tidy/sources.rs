//! What a source file looks like.

use std::path::Path;

/// Lines a source file may have.
const LINES_MAX: usize = 600;
/// Characters a source line may have.
const COLUMNS_MAX: usize = 100;
/// File names that say nothing.
const NAMES_BANNED: [&str; 5] = ["util.rs", "common.rs", "helpers.rs", "misc.rs", "mod.rs"];
/// Files and folders that name no I/O and no clock.
const PURE: [&str; 19] = [
    "crates/discovery/src/export",
    "crates/discovery/src/filter",
    "crates/discovery/src/health",
    "crates/discovery/src/record",
    "crates/discovery/src/view",
    "crates/election/src/lease",
    "crates/election/src/record",
    "crates/election/src/timing",
    "crates/history/src/event",
    "crates/history/src/kept",
    "crates/history/src/kind",
    "crates/history/src/phases",
    "crates/history/src/what",
    "crates/role/src",
    "crates/view/src",
    "crates/systemd-backend/src/decide",
    "crates/wal-ltx/src/codec",
    "crates/wal-ltx/src/plan",
    "crates/wal-ltx/src/wal",
];
/// Words of I/O and of clocks.
const IMPURE: [&str; 7] =
    ["tokio", "async_nats", "Instant::now", "SystemTime", "std::fs", "std::net", "std::process"];
/// Words that say a file is not finished; put together here so that this file does not have them.
const UNFINISHED: [[&str; 2]; 3] = [["TO", "DO"], ["FIX", "ME"], ["dbg", "!("]];

/// Everything that is wrong with one file.
pub(crate) fn check(file: &Path, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let shown = file.display();
    let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    if NAMES_BANNED.contains(&name.as_str()) {
        wrong.push(format!("{shown}: the name says nothing about the content"));
    }
    if !text.starts_with("//!") {
        wrong.push(format!("{shown}: a file begins with //! and what it is for"));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        wrong.push(format!("{shown}: {lines} lines, at most {LINES_MAX}"));
    }
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.chars().count() > COLUMNS_MAX {
            wrong.push(format!("{shown}:{number}: longer than {COLUMNS_MAX} columns"));
        }
        for word in UNFINISHED.map(|halves| halves.concat()) {
            if line.contains(&word) {
                wrong.push(format!("{shown}:{number}: {word}"));
            }
        }
    }
    let among = |pure: &str| file.starts_with(pure) || file.with_extension("").starts_with(pure);
    // The tests of a pure file may read their data.
    if name != "tests.rs" && PURE.iter().any(|pure| among(pure)) {
        for word in IMPURE.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{shown}: {word} in a pure file"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_names_the_file_that_breaks_it() {
        let table = [
            ("a/mod.rs", String::from("//! x\n"), 1),
            ("a/b.rs", String::from("fn x() {}\n"), 1),
            ("a/b.rs", format!("//! x\n{}", "\n".repeat(600)), 1),
            ("a/b.rs", format!("//! {}\n", "x".repeat(100)), 1),
            ("a/b.rs", format!("//! x\n// {}: later\n", ["TO", "DO"].concat()), 1),
            ("crates/wal-ltx/src/plan.rs", String::from("//! x\nuse tokio::fs;\n"), 1),
            ("crates/wal-ltx/src/wal/cursor.rs", String::from("//! x\nuse std::fs;\n"), 1),
            ("crates/role/src/machine.rs", String::from("//! x\nInstant::now();\n"), 1),
            ("crates/wal-ltx/src/wal/tests.rs", String::from("//! x\nuse std::fs;\n"), 0),
            ("crates/role/tests/it.rs", String::from("//! x\nuse std::fs;\n"), 0),
            ("a/b.rs", String::from("//! x\nuse tokio::fs;\n"), 0),
        ];
        for (file, text, expected) in table {
            assert_eq!(check(Path::new(file), &text).len(), expected, "{file}");
        }
    }
}
