//! `cargo xtask docs`: the pages that are written from the code.

use anyhow::{Context, Result};

/// Every such page: its path and what it has to say.
pub(crate) fn pages() -> Vec<(&'static str, String)> {
    vec![("docs/state-machine.md", ccm_role::state_machine_markdown())]
}

/// Writes every page that says something else.
pub(crate) fn run() -> Result<()> {
    for (path, text) in pages() {
        let file = crate::root().join(path);
        if std::fs::read_to_string(&file).is_ok_and(|old| old == text) {
            continue;
        }
        let write = || {
            std::fs::create_dir_all(crate::root().join("docs"))?;
            std::fs::write(&file, text)
        };
        write().with_context(|| format!("could not write {path}"))?;
        println!("docs: {path}");
    }
    Ok(())
}
