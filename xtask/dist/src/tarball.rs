//! The tarball: the tree of the packages in one folder.

use anyhow::Result;

use crate::archive;
use crate::entry::{Entry, ForWhom};
use crate::release::Release;

pub(crate) fn make(release: &Release, contents: &[Entry]) -> Result<Vec<u8>> {
    let mut entries = contents.to_vec();
    entries.retain(|entry| entry.for_whom != ForWhom::Rpm);
    archive::tar_gz(release, &release.tar_folder(), &entries)
}
