//! The licences: ours, and the notices of every library that is in the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::release::{NAME, Release, SUMMARY};

/// How the names of files with notices begin.
const NOTICES: [&str; 5] = ["licen", "copying", "copyright", "notice", "unlicense"];
/// How deep below a library's folder they are looked for: what it took from others has its own.
const DEPTH: usize = 3;
/// Between two texts.
const LINE: &str =
    "--------------------------------------------------------------------------------";

/// A library in the program.
#[derive(Debug)]
struct Library {
    name: String,
    version: String,
    licence: String,
    folder: PathBuf,
}

/// The whole file.
pub(crate) fn text(release: &Release) -> Result<String> {
    let libraries = linked(&release.linked.target())?;
    let own = read(&crate::root().join("LICENSE"))?;
    let mut text = format!(
        "{NAME}: {SUMMARY}\n\n{NAME} is under the Apache License, version 2.0, the first text \
         below. The program contains\nthe libraries of this list, each under the licence beside \
         it; their notices follow.\n\n"
    );
    for Library { name, version, licence, .. } in &libraries {
        writeln!(text, "  {:<34} {licence}", format!("{name} {version}"))?;
    }
    writeln!(text, "  {:<34} MIT OR Apache-2.0", "the Rust standard library")?;
    writeln!(text, "  {:<34} public domain", "SQLite")?;
    if release.linked.is_static() {
        writeln!(text, "  {:<34} MIT, Copyright (c) Rich Felker and others", "musl")?;
    }
    write!(text, "\n{LINE}\n{NAME}\n{LINE}\n\n{}\n", own.trim_matches('\n'))?;
    for (notice, of) in notices(&libraries)? {
        // One that says the same as ours need not say it again.
        if words(&notice) == words(&own) {
            continue;
        }
        let of: Vec<String> = of.into_iter().collect();
        write!(text, "\n{LINE}\n{}\n{LINE}\n\n{}\n", of.join("\n"), notice.trim_matches('\n'))?;
    }
    Ok(text)
}

/// What cargo says is linked into the program: neither tools of the build nor of the tests.
fn linked(target: &str) -> Result<Vec<Library>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", target]);
    let said = cargo.current_dir(crate::root()).output().context("could not run cargo metadata")?;
    let why = String::from_utf8_lossy(&said.stderr);
    ensure!(said.status.success(), "cargo metadata ended with {}: {why}", said.status);
    libraries(&serde_json::from_slice(&said.stdout)?)
}

fn libraries(metadata: &Value) -> Result<Vec<Library>> {
    let packages = list(&metadata["packages"]).map(|package| (text_of(&package["id"]), package));
    let packages: BTreeMap<&str, &Value> = packages.collect();
    let nodes = list(&metadata["resolve"]["nodes"]).map(|node| (text_of(&node["id"]), node));
    let nodes: BTreeMap<&str, &Value> = nodes.collect();
    let first = packages.iter().find(|(_, package)| package["name"] == NAME);
    let (first, _) = first.context("cargo metadata does not know ccm")?;
    let mut reached = BTreeSet::from([*first]);
    let mut next = vec![*first];
    while let Some(id) = next.pop() {
        let node = nodes.get(id).with_context(|| format!("cargo metadata has no {id}"))?;
        for dependency in list(&node["deps"]) {
            let on = text_of(&dependency["pkg"]);
            let is_linked = list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
            let is_macro = packages.get(on).is_some_and(|package| runs_in_the_compiler(package));
            if is_linked && !is_macro && reached.insert(on) {
                next.push(on);
            }
        }
    }
    let mut libraries = Vec::new();
    // What has no source is ours.
    let packages = reached.iter().filter_map(|id| packages.get(id));
    for package in packages.filter(|package| package["source"].is_string()) {
        let manifest = Path::new(text_of(&package["manifest_path"]));
        libraries.push(Library {
            name: String::from(text_of(&package["name"])),
            version: String::from(text_of(&package["version"])),
            licence: String::from(package["license"].as_str().unwrap_or("see its notice")),
            folder: manifest.parent().unwrap_or(manifest).to_path_buf(),
        });
    }
    libraries.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(libraries)
}

/// A macro is used by the compiler, and no part of the program.
fn runs_in_the_compiler(package: &Value) -> bool {
    list(&package["targets"]).any(|target| list(&target["kind"]).any(|kind| kind == "proc-macro"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Each text once, with the libraries that have it, in the order of their first.
fn notices(libraries: &[Library]) -> Result<Vec<(String, BTreeSet<String>)>> {
    let mut all: Vec<(String, BTreeSet<String>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for Library { name, version, folder, .. } in libraries {
        for file in files(folder, DEPTH)? {
            let notice = read(&file)?;
            let at = *known.entry(words(&notice)).or_insert_with(|| {
                all.push((notice, BTreeSet::new()));
                all.len() - 1
            });
            all[at].1.insert(format!("{name} {version}"));
        }
    }
    Ok(all)
}

/// The files with notices in a folder and below it, sorted.
fn files(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let listed = std::fs::read_dir(folder)
        .with_context(|| format!("could not list {}", folder.display()))?;
    let mut found = Vec::new();
    for entry in listed {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if path.is_dir() {
            if depth > 0 {
                found.extend(files(&path, depth - 1)?);
            }
        } else if NOTICES.iter().any(|begin| name.starts_with(begin)) && !name.ends_with(".rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Texts are the same that differ in where their lines end only.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn read(path: &Path) -> Result<String> {
    let bytes =
        std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).replace('\r', ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_linked_is_named_and_what_only_builds_or_tests_is_not() {
        let package = |name: &str, source: Value, kind: &str| {
            json!({ "id": name, "name": name, "version": "1.0.0", "source": source,
                    "license": "MIT", "manifest_path": format!("/x/{name}/Cargo.toml"),
                    "targets": [{ "kind": [kind] }] })
        };
        let on = |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let from = json!("registry");
        let metadata = json!({
            "packages": [
                package("ccm", Value::Null, "bin"), package("ccm-types", Value::Null, "lib"),
                package("a", from.clone(), "lib"), package("b", from.clone(), "lib"),
                package("derive", from.clone(), "proc-macro"), package("syn", from.clone(), "lib"),
                package("cc", from.clone(), "lib"), package("testing", from, "lib"),
            ],
            "resolve": { "nodes": [
                { "id": "ccm", "deps": [
                    on("ccm-types", Value::Null), on("testing", json!("dev")),
                ] },
                { "id": "ccm-types", "deps": [on("b", Value::Null), on("derive", Value::Null)] },
                { "id": "b", "deps": [on("a", Value::Null), on("cc", json!("build"))] },
                { "id": "a", "deps": [] }, { "id": "derive", "deps": [on("syn", Value::Null)] },
            ] },
        });
        let names: Vec<String> =
            libraries(&metadata).unwrap().into_iter().map(|library| library.name).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
