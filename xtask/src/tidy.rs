//! `cargo xtask tidy`: what the compiler does not check.

mod layers;
mod sources;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Bytes a file may have.
const BYTES_MAX: u64 = 200_000;
/// Files that may be larger.
const LARGE: [&str; 1] = ["Cargo.lock"];
/// Lines the first page of the repository may have.
const README_LINES_MAX: usize = 120;

/// Checks sources, manifests, layers and pages; names everything that is wrong.
pub(crate) fn run() -> Result<()> {
    let mut wrong = layers::check()?;
    for file in files()? {
        let path = crate::root().join(&file);
        let shown = file.display().to_string();
        let bytes = path.metadata().with_context(|| format!("could not read {shown}"))?.len();
        if bytes > BYTES_MAX && !LARGE.contains(&shown.as_str()) {
            wrong.push(format!("{shown}: {bytes} bytes, at most {BYTES_MAX}"));
        }
        if file.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("could not read {shown}"))?;
            wrong.extend(sources::check(&file, &text));
        }
    }
    wrong.extend(pages());
    ensure!(wrong.is_empty(), "not tidy:\n  {}", wrong.join("\n  "));
    Ok(())
}

/// Everything git knows that is still there.
fn files() -> Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached"]).current_dir(crate::root());
    let listed = String::from_utf8(git.output().context("could not run git")?.stdout)?;
    Ok(listed.lines().map(PathBuf::from).filter(|p| crate::root().join(p).exists()).collect())
}

fn pages() -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, text) in crate::docs::pages() {
        if std::fs::read_to_string(crate::root().join(path)).ok() != Some(text) {
            wrong.push(format!("{path} is not what the code says: run `cargo xtask docs`"));
        }
    }
    let readme = std::fs::read_to_string(crate::root().join("README.md")).unwrap_or_default();
    let lines = readme.lines().count();
    if !(1..=README_LINES_MAX).contains(&lines) {
        wrong.push(format!("README.md: {lines} lines, 1 to {README_LINES_MAX}"));
    }
    wrong
}
