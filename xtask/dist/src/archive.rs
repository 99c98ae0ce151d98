//! Tar archives that depend on nothing but what is in them.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::entry::{Entry, What};
use crate::release::Release;

/// The mode of folders.
const FOLDER: u32 = 0o755;
/// What links have instead of a mode.
const LINK: u32 = 0o777;

/// A tar file, compressed, with every path under `prefix` and every folder on the way.
pub(crate) fn tar_gz(release: &Release, prefix: &str, entries: &[Entry]) -> Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let mut all = vec![Entry::folder("")];
    all.extend(with_folders(entries));
    for entry in &all {
        let path = format!("{prefix}{}", entry.path);
        append(&mut builder, release.epoch, &path, entry)
            .with_context(|| format!("could not archive {path}"))?;
    }
    gzip(release, &builder.into_inner()?)
}

/// Compresses without a name and without a time.
pub(crate) fn gzip(release: &Release, bytes: &[u8]) -> Result<Vec<u8>> {
    let compression = Compression::new(release.compression);
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), compression);
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// Sorted by path, and before each entry the folders that it is in.
pub(crate) fn with_folders(entries: &[Entry]) -> Vec<Entry> {
    let mut all: Vec<Entry> = entries.to_vec();
    for entry in entries {
        let parents = entry.path.match_indices('/').map(|(at, _)| &entry.path[..at]);
        all.extend(parents.filter(|parent| !parent.is_empty()).map(Entry::folder));
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all.dedup_by(|a, b| a.path == b.path);
    all
}

fn append(builder: &mut Builder<Vec<u8>>, time: u32, path: &str, entry: &Entry) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mtime(time.into());
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_size(entry.bytes().len() as u64);
    let mut path = String::from(path);
    match &entry.what {
        What::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(FOLDER);
            path.push('/');
        }
        What::File { mode, .. } => {
            header.set_entry_type(EntryType::Regular);
            header.set_mode(*mode);
        }
        What::Link { to } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(LINK);
            header.set_link_name(to)?;
        }
    }
    if !path.starts_with("./") {
        return Ok(builder.append_data(&mut header, path, entry.bytes())?);
    }
    // The library would take away the `./` that dpkg's own archives begin with.
    let field = &mut header.as_old_mut().name;
    ensure!(path.len() < field.len(), "{path} is longer than a tar header has room for");
    field[..path.len()].copy_from_slice(path.as_bytes());
    header.set_cksum();
    Ok(builder.append(&header, entry.bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_once_and_before_what_is_in_them() {
        let entries =
            [Entry::file("/b/c/two", ""), Entry::file("/b/c/one", ""), Entry::folder("/a")];
        let paths: Vec<String> = with_folders(&entries).into_iter().map(|e| e.path).collect();
        assert_eq!(paths, ["/a", "/b", "/b/c", "/b/c/one", "/b/c/two"]);
    }
}
