//! `cargo xtask tidy`: what the compiler does not check.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Lines a source file may have.
const LINES_MAX: usize = 600;
/// Characters a source line may have.
const COLUMNS_MAX: usize = 100;
/// File names that say nothing.
const NAMES_BANNED: [&str; 5] = ["util.rs", "common.rs", "helpers.rs", "misc.rs", "mod.rs"];
/// What each crate of the workspace may depend on.
const LAYERS: [(&str, &[&str]); 3] =
    [("ccm-types", &[]), ("ccm-wal-ltx", &["ccm-types", "ccm-harness"]), ("ccm-harness", &[])];
/// Folders that name no I/O.
const PURE: [&str; 3] =
    ["crates/wal-ltx/src/codec", "crates/wal-ltx/src/wal", "crates/wal-ltx/src/plan"];
/// Words of I/O.
const IMPURE: [&str; 4] = ["tokio", "async_nats", "Instant::now", "SystemTime"];

/// Checks sources and layers; names everything that is wrong.
pub(crate) fn run() -> Result<()> {
    let mut wrong = layers()?;
    for file in sources()? {
        let text = std::fs::read_to_string(crate::root().join(&file))
            .with_context(|| format!("could not read {}", file.display()))?;
        wrong.extend(check(&file, &text));
    }
    ensure!(wrong.is_empty(), "not tidy:\n  {}", wrong.join("\n  "));
    Ok(())
}

fn sources() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--", "*.rs"]).current_dir(crate::root());
    let listed = String::from_utf8(git.output().context("could not run git")?.stdout)?;
    Ok(listed.lines().map(PathBuf::from).filter(|p| crate::root().join(p).exists()).collect())
}

fn check(file: &Path, text: &str) -> Vec<String> {
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
        if line.chars().count() > COLUMNS_MAX {
            wrong.push(format!("{shown}:{}: longer than {COLUMNS_MAX} columns", index + 1));
        }
    }
    if PURE.iter().any(|pure| file.starts_with(pure) || file.with_extension("").starts_with(pure)) {
        for word in IMPURE.iter().filter(|word| text.contains(**word)) {
            wrong.push(format!("{shown}: {word} in a pure folder"));
        }
    }
    wrong
}

fn layers() -> Result<Vec<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(crate::root());
    let metadata: serde_json::Value = serde_json::from_slice(&cargo.output()?.stdout)?;
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().context("no packages in cargo metadata")? {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else { continue };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            if on.starts_with("ccm-") && !allowed.contains(&on) {
                wrong.push(format!("{name} may not depend on {on}"));
            }
        }
    }
    Ok(wrong)
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
            ("crates/wal-ltx/src/plan.rs", String::from("//! x\nuse tokio::fs;\n"), 1),
            ("a/b.rs", String::from("//! x\nuse tokio::fs;\n"), 0),
        ];
        for (file, text, expected) in table {
            assert_eq!(check(Path::new(file), &text).len(), expected, "{file}");
        }
    }
}
