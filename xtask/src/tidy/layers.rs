//! Who may depend on whom, and what every manifest inherits.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

/// What each package may depend on besides the harness of its tests. Pure crates name no I/O,
/// adapters name no other adapter, only the agent knows everyone, only `ccm` knows the operator.
const LAYERS: &[(&str, &[&str])] = &[
    ("ccm-types", &[]),
    ("ccm-election", &["ccm-types"]),
    ("ccm-role", &["ccm-types"]),
    ("ccm-wal-ltx", &["ccm-types"]),
    ("ccm-guard", &["ccm-types"]),
    ("ccm-health", &["ccm-types"]),
    ("ccm-vip", &[]),
    ("ccm-systemd-backend", &["ccm-types"]),
    ("ccm-kv-state", &["ccm-types", "ccm-election"]),
    ("ccm-control", &["ccm-types", "ccm-election"]),
    ("ccm-discovery", &["ccm-types"]),
    ("ccm-history", &["ccm-types"]),
    ("ccm-view", &["ccm-types", "ccm-control", "ccm-discovery", "ccm-history"]),
    ("ccm-agent", &ALL),
    ("ccm", &ALL),
    ("demo-backend", &[]),
    ("ccm-harness", &[]),
    ("ccm-lab", &["ccm-harness"]),
    ("ccm-e2e", &["ccm-harness"]),
    ("ccm-bench", &["ccm-agent", "ccm-harness", "ccm-lab", "ccm-types", "ccm-wal-ltx"]),
    (
        "ccm-sim",
        &["ccm-agent", "ccm-election", "ccm-guard", "ccm-role", "ccm-types", "ccm-wal-ltx"],
    ),
    ("ccm-dist", &[]),
    ("xtask", &["ccm-harness", "ccm-role"]),
];
/// The libraries of the product.
const ALL: [&str; 14] = [
    "ccm-types",
    "ccm-election",
    "ccm-role",
    "ccm-wal-ltx",
    "ccm-guard",
    "ccm-health",
    "ccm-vip",
    "ccm-systemd-backend",
    "ccm-kv-state",
    "ccm-control",
    "ccm-discovery",
    "ccm-history",
    "ccm-view",
    "ccm-agent",
];
/// What tests of every package may use.
const HARNESS: &str = "ccm-harness";
/// What every manifest says, so that lints and versions are in one place.
const INHERITED: [&str; 6] = [
    "[lints]\nworkspace = true",
    "version.workspace = true",
    "edition.workspace = true",
    "rust-version.workspace = true",
    "license.workspace = true",
    "publish.workspace = true",
];

/// Everything that is wrong with the manifests.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(crate::root());
    let metadata: Value =
        serde_json::from_slice(&cargo.output()?.stdout).context("could not read cargo metadata")?;
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().context("no packages in cargo metadata")? {
        wrong.extend(layer(package));
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let text = std::fs::read_to_string(Path::new(manifest))
            .with_context(|| format!("could not read {manifest}"))?;
        wrong.extend(inherits(package["name"].as_str().unwrap_or_default(), &text));
    }
    Ok(wrong)
}

fn layer(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
        return vec![format!("{name} has no place in the layers: add it to {}", file!())];
    };
    let mut wrong = Vec::new();
    // A dependency with a path is one of ours.
    let ours = package["dependencies"].as_array().into_iter().flatten();
    for dependency in ours.filter(|dependency| dependency["path"].is_string()) {
        let on = dependency["name"].as_str().unwrap_or_default();
        let for_tests = dependency["kind"] == "dev" && on == HARNESS;
        if !for_tests && !allowed.contains(&on) {
            wrong.push(format!("{name} may not depend on {on}"));
        }
    }
    wrong
}

fn inherits(name: &str, manifest: &str) -> Vec<String> {
    let missing = INHERITED.iter().filter(|words| !manifest.contains(**words));
    missing.map(|words| format!("{name}: the manifest does not say {words:?}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_dependency_against_the_layers_is_named() {
        let on = |name: &str, kind: Value| json!({ "name": name, "path": "/x", "kind": kind });
        let package = |name: &str, dependencies: Value| {
            layer(&json!({ "name": name, "dependencies": dependencies }))
        };
        assert!(package("ccm-role", json!([on("ccm-types", Value::Null)])).is_empty());
        assert!(package("ccm-role", json!([on("ccm-harness", json!("dev"))])).is_empty());
        assert!(package("ccm-role", json!([{ "name": "thiserror" }])).is_empty());
        assert_eq!(
            package("ccm-role", json!([on("ccm-harness", Value::Null)])),
            ["ccm-role may not depend on ccm-harness"]
        );
        assert_eq!(
            package("ccm-health", json!([on("ccm-guard", json!("dev"))])),
            ["ccm-health may not depend on ccm-guard"]
        );
        assert_eq!(package("ccm-new", json!([])).len(), 1);
    }

    #[test]
    fn a_manifest_that_goes_its_own_way_is_named() {
        let all = INHERITED.join("\n");
        assert!(inherits("x", &all).is_empty());
        assert_eq!(inherits("x", &all.replace("[lints]", "")).len(), 1);
    }
}
