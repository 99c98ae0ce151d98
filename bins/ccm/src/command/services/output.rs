//! A file that is replaced as a whole: whoever reads it sees the old text or the new one.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::exit::{Exit, Failure};

/// Who may read a file that was not there before: everybody, as the reader has a user of its own.
const MODE: u32 = 0o644;

/// A file to write.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    dir: PathBuf,
}

impl Output {
    /// A file that can be written; 64 when it cannot.
    pub(super) fn to(given: &Path) -> Result<Self, Failure> {
        // What a link points to is replaced, not the link.
        let path = match given.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => given.to_path_buf(),
            found => found.map_err(|error| unwritable(given, error))?,
        };
        if path.exists() && !path.is_file() {
            let other = std::io::Error::other("it is there and is no regular file");
            return Err(unwritable(given, other));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or_else(|| Path::new(".")).to_path_buf();
        let output = Self { path, dir };
        output.temporary().map_err(|error| unwritable(given, error))?;
        Ok(output)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts `text` into the file; `false` when that is in it already.
    pub(super) fn replace(&self, text: &str) -> Result<bool, Failure> {
        if std::fs::read(&self.path).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(false);
        }
        self.write(text).map_err(|error| unwritable(&self.path, error))?;
        Ok(true)
    }

    fn write(&self, text: &str) -> std::io::Result<()> {
        let (mut file, temporary) = self.temporary()?;
        file.write_all(text.as_bytes())?;
        if let Ok(there) = std::fs::metadata(&self.path) {
            file.set_permissions(Permissions::from_mode(there.mode()))?;
            // Only root may give a file away; for others the file is theirs anyway.
            std::os::unix::fs::fchown(&file, Some(there.uid()), Some(there.gid())).ok();
        }
        file.sync_all()?;
        std::fs::rename(&temporary.0, &self.path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// A file beside the one to write, removed unless it takes its place.
    fn temporary(&self) -> std::io::Result<(File, Temporary)> {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.path.file_name().ok_or(ErrorKind::IsADirectory)?);
        name.push(format!(".{}", std::process::id()));
        let path = self.dir.join(name);
        // Left by a process that was killed; never followed, wherever it may point to.
        if path.is_symlink() || path.exists() {
            std::fs::remove_file(&path)?;
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path)?;
        Ok((file, Temporary(path)))
    }
}

/// Removed when dropped.
#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing.
        std::fs::remove_file(&self.0).ok();
    }
}

fn unwritable(path: &Path, error: std::io::Error) -> Failure {
    let done: Result<(), std::io::Error> = Err(error);
    let what = || format!("cannot write {}: name another file with --output", path.display());
    match done.with_context(what) {
        Err(error) => Failure::new(Exit::Usage, error),
        Ok(()) => Failure::usage(what()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("targets.json"), dir.path().join("link.json"));
        let output = Output::to(&file).unwrap();
        assert!(output.replace("one\n").unwrap());
        assert!(!output.replace("one\n").unwrap(), "the same was written again");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, MODE);
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let before = File::open(&file).unwrap();
        assert!(Output::to(&link).unwrap().replace("two\n").unwrap());
        assert_eq!(std::io::read_to_string(before).unwrap(), "one\n", "written in place");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two\n");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert!(link.is_symlink(), "the link was replaced");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "something was left behind");
    }

    #[test]
    fn what_cannot_be_written_is_refused_before_anything_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let no_dir = dir.path().join("no/such/dir/targets.json");
        for path in [no_dir.as_path(), dir.path(), Path::new("/dev/null"), Path::new("/")] {
            let failure = Output::to(path).unwrap_err();
            let words = format!("{:#}", failure.error);
            assert_eq!(failure.exit, Exit::Usage);
            assert!(words.starts_with(&format!("cannot write {}", path.display())), "{words}");
        }
        assert!(Path::new("/dev/null").exists());
    }
}
