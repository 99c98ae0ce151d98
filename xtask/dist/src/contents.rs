//! What goes where: the one list of what a host gets.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::entry::{Entry, ForWhom};
use crate::generated;
use crate::notices;
use crate::program::Built;
use crate::release::{NAME, Release};

/// The program.
const PROGRAM: &str = "/usr/bin/ccm";
/// The name under which it is the same program.
pub(crate) const SECOND_NAME: &str = "convex-cluster-manager";
/// Where documents go; what is in `docs/` and `deploy/` goes there as it lies in the tree, so that
/// the links between the pages hold.
const DOCUMENTS: &str = "/usr/share/doc/ccm";
/// The folders of the tree that are documents.
const DOCUMENTED: [&str; 2] = ["deploy", "docs"];
/// What of them is of no use on a host.
const NOT_DOCUMENTED: [&str; 1] = ["deploy/packages"];
/// Files that are examples only, although their place would be among [`PLACES`]: the unit of the
/// backend is for whoever installs the backend to adapt.
const EXAMPLES: [&str; 1] = ["deploy/convex-backend.service"];

/// The files of a folder of the tree with an ending, and the folder of the host they go to.
#[derive(Debug)]
struct Place {
    folder: &'static str,
    ending: &'static str,
    to: &'static str,
    for_whom: ForWhom,
}

const fn place(
    folder: &'static str,
    ending: &'static str,
    to: &'static str,
    for_whom: ForWhom,
) -> Place {
    Place { folder, ending, to, for_whom }
}

/// Where the system looks for files of ours.
const PLACES: [Place; 7] = [
    place("deploy", "service", "/usr/lib/systemd/system", ForWhom::Everybody),
    place("deploy", "socket", "/usr/lib/systemd/system", ForWhom::Everybody),
    place("deploy/systemd", "service", "/usr/lib/systemd/system", ForWhom::Everybody),
    place("deploy/sysusers.d", "conf", "/usr/lib/sysusers.d", ForWhom::Everybody),
    place("deploy/tmpfiles.d", "conf", "/usr/lib/tmpfiles.d", ForWhom::Everybody),
    place("deploy/polkit", "rules", "/usr/share/polkit-1/rules.d", ForWhom::Everybody),
    place("deploy/needrestart", "conf", "/etc/needrestart/conf.d", ForWhom::Debian),
];

/// Everything, for every format.
pub(crate) fn gather(built: &Built, release: &Release) -> Result<Vec<Entry>> {
    let mut all = vec![
        Entry::program(PROGRAM, built.bytes.clone()),
        Entry::link(&format!("/usr/bin/{SECOND_NAME}"), NAME),
        Entry::folder("/etc/convex"),
        Entry::file(&format!("{DOCUMENTS}/copyright"), notices::text(release)?),
        Entry::file(&format!("{DOCUMENTS}/changelog.Debian.gz"), generated::changelog(release)?)
            .only(ForWhom::Debian),
    ];
    all.extend(generated::completions(built)?);
    all.extend(generated::man_pages(built, release)?);
    for file in tracked()? {
        let source = crate::root().join(&file);
        let bytes = std::fs::read(&source)
            .with_context(|| format!("could not read {}", source.display()))?;
        all.extend(entries(&file, &bytes));
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    for pair in all.windows(2) {
        ensure!(pair[0].path != pair[1].path, "{} comes from two places", pair[0].path);
    }
    Ok(all)
}

/// Where one file of the tree goes.
fn entries(file: &str, bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    if !NOT_DOCUMENTED.iter().any(|of| Path::new(file).starts_with(of)) {
        entries.push(Entry::file(&format!("{DOCUMENTS}/{file}"), bytes));
    }
    if EXAMPLES.contains(&file) {
        return entries;
    }
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let (_, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let places = PLACES.iter().filter(|place| place.folder == folder && place.ending == ending);
    let placed = places.map(|Place { to, for_whom, .. }| {
        Entry::file(&format!("{to}/{name}"), bytes).only(*for_whom)
    });
    entries.extend(placed);
    entries
}

/// What git knows of the folders that go along: nothing that merely lies there.
fn tracked() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--"]).args(DOCUMENTED).current_dir(crate::root());
    let listed = git.output().context("could not run git")?;
    ensure!(listed.status.success(), "git ls-files ended with {}", listed.status);
    let listed = String::from_utf8(listed.stdout)?;
    Ok(listed.lines().map(String::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(file: &str) -> Vec<String> {
        entries(file, b"").into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn a_file_goes_where_its_folder_and_its_ending_say() {
        assert_eq!(
            paths("deploy/convex-cluster-manager.service"),
            [
                "/usr/share/doc/ccm/deploy/convex-cluster-manager.service",
                "/usr/lib/systemd/system/convex-cluster-manager.service",
            ]
        );
        let backend = "deploy/convex-backend.service";
        assert_eq!(paths(backend), [format!("/usr/share/doc/ccm/{backend}")]);
        assert_eq!(paths("docs/lease.md"), ["/usr/share/doc/ccm/docs/lease.md"]);
        assert!(paths("deploy/packages/deb/postinst").is_empty());
    }
}
