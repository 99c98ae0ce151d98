//! Where our own programs are, and building them once.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The folder of `ccm` and `demo-backend`: `$CCM_BIN_DIR`, else the debug folder of the target
/// directory.
#[must_use]
pub fn bin_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CCM_BIN_DIR") {
        return PathBuf::from(dir);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR");
    target.map_or_else(|| root.join("target"), |dir| root.join(dir)).join("debug")
}

/// `cargo`, without what the cargo that runs the tests says of their package: build scripts that
/// look at it would run again, each time, and everything that depends on them.
#[must_use]
pub fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    for (key, _) in std::env::vars_os() {
        let name = key.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&key);
        }
    }
    cargo
}

/// Builds both programs unless `$CCM_BIN_DIR` says they are there; once per process.
pub fn build() {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        if std::env::var_os("CCM_BIN_DIR").is_some() {
            return;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let mut cargo = cargo();
        cargo.args(["build", "--quiet", "-p", "ccm", "-p", "demo-backend"]).current_dir(root);
        assert!(cargo.status().unwrap().success(), "could not build ccm and demo-backend");
    });
}
