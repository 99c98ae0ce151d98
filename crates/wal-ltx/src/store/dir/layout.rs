//! Paths of a folder of LTX files.

use std::io;
use std::path::{Path, PathBuf};

use crate::store::{Level, LtxName, StoreError};

/// Letters and digits of the id of a file on its way.
const ID_LEN: usize = 22;

/// The folder and what is where in it.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

/// What a name in the folder of a level is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// An object.
    Object(LtxName),
    /// Says which epoch wrote an object.
    Epoch(LtxName),
    /// A file on its way under this id, or what is left of one.
    Upload(String),
    /// Of somebody else.
    Foreign,
}

impl Layout {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(super) fn ltx(&self) -> PathBuf {
        self.root.join("ltx")
    }

    pub(super) fn level(&self, level: Level) -> PathBuf {
        self.ltx().join(level.get().to_string())
    }

    pub(super) fn object(&self, name: LtxName) -> PathBuf {
        self.root.join(name.to_string())
    }

    pub(super) fn epoch(&self, name: LtxName) -> PathBuf {
        self.root.join(format!("{name}.epoch"))
    }

    pub(super) fn upload(&self, name: LtxName, id: &str) -> PathBuf {
        self.root.join(format!("{name}.{id}.tmp"))
    }

    pub(super) fn fence(&self) -> PathBuf {
        self.root.join("ccm-fence")
    }

    pub(super) fn fence_upload(&self) -> PathBuf {
        self.root.join("ccm-fence.tmp")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("ccm-lock")
    }

    /// What a file of this name in the folder of `level` is.
    pub(super) fn entry(level: Level, file: &str) -> Entry {
        let name = |file: &str| format!("ltx/{}/{file}", level.get()).parse::<LtxName>().ok();
        if let Some(name) = name(file) {
            return Entry::Object(name);
        }
        let parsed = || {
            if let Some(object) = file.strip_suffix(".epoch") {
                return name(object).map(Entry::Epoch);
            }
            let (object, id) = file.strip_suffix(".tmp")?.rsplit_once('.')?;
            let ours = id.len() == ID_LEN && id.chars().all(|c| c.is_ascii_alphanumeric());
            (ours && name(object).is_some()).then(|| Entry::Upload(String::from(id)))
        };
        parsed().unwrap_or(Entry::Foreign)
    }

    /// The error for what could not be done in the folder; nothing has happened.
    pub(super) fn failed(&self, doing: &str, path: &Path, source: io::Error) -> StoreError {
        let what = format!("{doing} {}", path.display());
        StoreError::Unavailable { what, source: source.into() }
    }

    pub(super) fn foreign(&self, why: impl Into<String>) -> StoreError {
        StoreError::ForeignBucket { bucket: self.root.display().to_string(), why: why.into() }
    }
}

/// All levels.
pub(super) fn levels() -> impl Iterator<Item = Level> {
    (0..=Level::SNAPSHOT.get()).filter_map(Level::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        let object = "0000000000000001-0000000000000002.ltx";
        let entry = |file: &str| Layout::entry(Level::L0, file);
        let name: LtxName = format!("ltx/0/{object}").parse().unwrap();
        assert_eq!(entry(object), Entry::Object(name));
        assert_eq!(entry(&format!("{object}.epoch")), Entry::Epoch(name));
        let id = nuid::next().to_string();
        assert_eq!(entry(&format!("{object}.{id}.tmp")), Entry::Upload(id));
        for file in ["x", ".", &format!("{object}.tmp"), ".epoch"] {
            assert_eq!(entry(file), Entry::Foreign, "{file}");
        }
    }
}
