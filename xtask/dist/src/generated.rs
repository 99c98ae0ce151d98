//! What the program says of itself: completions, man pages; and the changelog of the package.

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::archive::gzip;
use crate::contents::SECOND_NAME;
use crate::entry::{Entry, ForWhom};
use crate::program::{Built, ask};
use crate::release::{MAINTAINER, NAME, Release};

/// Where zsh looks on Debian and elsewhere.
const ZSH: [(ForWhom, &str); 2] = [
    (ForWhom::Debian, "/usr/share/zsh/vendor-completions"),
    (ForWhom::Rpm, "/usr/share/zsh/site-functions"),
];
const BASH: &str = "/usr/share/bash-completion/completions";
const FISH: &str = "/usr/share/fish/vendor_completions.d";
const MAN: &str = "/usr/share/man/man1";

/// The completions of both names, for every shell.
pub(crate) fn completions(built: &Built) -> Result<Vec<Entry>> {
    let mut all = Vec::new();
    for name in [NAME, SECOND_NAME] {
        let script = |shell| ask(&built.path, &["completions", shell, "--name", name]);
        all.push(Entry::file(&format!("{BASH}/{name}"), script("bash")?));
        all.push(Entry::file(&format!("{FISH}/{name}.fish"), script("fish")?));
        let zsh = script("zsh")?;
        for (for_whom, folder) in ZSH {
            let path = format!("{folder}/_{name}");
            all.push(Entry::file(&path, zsh.clone()).only(for_whom));
        }
    }
    Ok(all)
}

/// A page for the program under both names, and one for each command.
pub(crate) fn man_pages(built: &Built, release: &Release) -> Result<Vec<Entry>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_str().context("the folder for temporary files is not UTF-8")?;
    ask(&built.path, &["man", "--dir", path])?;
    let mut all = vec![Entry::link(&format!("{MAN}/{SECOND_NAME}.1.gz"), &format!("{NAME}.1.gz"))];
    for page in std::fs::read_dir(dir.path())? {
        let page = page?;
        let name = page.file_name().to_string_lossy().into_owned();
        let bytes = gzip(release, &std::fs::read(page.path())?)?;
        all.push(Entry::file(&format!("{MAN}/{name}.gz"), bytes));
    }
    Ok(all)
}

/// As Debian wants it: compressed, with a date as in mail.
pub(crate) fn changelog(release: &Release) -> Result<Vec<u8>> {
    let time = Timestamp::from_second(release.epoch.into())?;
    let date = jiff::fmt::rfc2822::to_string(&time.in_tz("UTC")?)?;
    let version = release.deb_version();
    let times = ordinal(release.revision);
    let change = format!("  * Version {}, packaged for the {times} time.", release.version);
    let text = format!(
        "{NAME} ({version}) unstable; urgency=medium\n\n{change}\n\n -- {MAINTAINER}  {date}\n"
    );
    gzip(release, text.as_bytes())
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        (_, _) => "th",
    };
    format!("{number}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_those_of_english() {
        let shown: Vec<String> = [1, 2, 3, 4, 11, 21, 112].map(ordinal).into();
        assert_eq!(shown, ["1st", "2nd", "3rd", "4th", "11th", "21st", "112th"]);
    }
}
