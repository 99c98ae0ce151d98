//! The Debian package: an `ar` of a version, what dpkg is told, and a tar of the tree.

mod ar;
mod control;

use anyhow::Result;

use crate::archive;
use crate::entry::{Entry, ForWhom};
use crate::release::Release;

/// The version of the format.
const FORMAT: &[u8] = b"2.0\n";

pub(crate) fn make(release: &Release, contents: &[Entry]) -> Result<Vec<u8>> {
    let mut entries = contents.to_vec();
    entries.retain(|entry| entry.for_whom != ForWhom::Rpm);
    let control = archive::tar_gz(release, ".", &control::files(release, &entries)?)?;
    let data = archive::tar_gz(release, ".", &entries)?;
    let members = [
        ("debian-binary", FORMAT),
        ("control.tar.gz", control.as_slice()),
        ("data.tar.gz", data.as_slice()),
    ];
    Ok(ar::archive(release.epoch, &members))
}
