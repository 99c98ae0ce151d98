//! Checksums as the tools that check them read them.

use std::fmt::Write as _;

use md5::{Digest, Md5};
use sha2::Sha256;

use crate::entry::{Entry, What};

/// For `sha256sum --check`.
pub(crate) fn sha256(files: &[(String, Vec<u8>)]) -> String {
    let lines = files.iter().map(|(name, bytes)| format!("{}  {name}\n", hex::<Sha256>(bytes)));
    lines.collect()
}

/// For `dpkg --verify`: every file but the configuration.
pub(crate) fn md5sums(entries: &[Entry]) -> String {
    let files = entries.iter().filter(|entry| matches!(entry.what, What::File { .. }));
    let files = files.filter(|entry| !entry.is_configuration());
    let line = |entry: &Entry| {
        format!("{}  {}\n", hex::<Md5>(entry.bytes()), entry.path.trim_start_matches('/'))
    };
    files.map(line).collect()
}

fn hex<D: Digest>(bytes: &[u8]) -> String {
    D::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
