//! What is about to be applied, written down before the first page is.
//!
//! Two slots of one sector each, written in turn and in place: that is durable without the file
//! system's journal. What counts is the later end of the two. The one that is not being written
//! covers every page that is in the replica by then, so whatever a power loss makes of the other
//! one, the end is not too early; one that is too late only asks for files that go further.

use std::path::Path;

use ccm_types::Txid;
use serde::Serialize;

use super::{Intent, LocalError, Writable, disk};

/// Bytes of a slot.
const SLOT: usize = 512;

/// The file, while this process announces.
#[derive(Debug)]
pub(super) struct Intents {
    file: Writable,
    /// The slot that was written last.
    last: usize,
}

impl Intents {
    /// Writes the first one: replaces the file.
    pub(super) fn begin(path: &Path, intent: Intent) -> Result<Self, LocalError> {
        let content = [slot(path, &intent)?, vec![b' '; SLOT]].concat();
        disk::replace(path, &content)?;
        Ok(Self { file: Writable::open(path)?, last: 0 })
    }

    /// Writes the next one; durable when it returns.
    pub(super) fn announce(&mut self, path: &Path, intent: Intent) -> Result<(), LocalError> {
        let next = 1 - self.last;
        self.file.write_at(&slot(path, &intent)?, (next * SLOT) as u64)?;
        self.file.sync_data()?;
        self.last = next;
        Ok(())
    }

    /// Whether the file is still there.
    pub(super) fn is_named(&self) -> Result<bool, LocalError> {
        self.file.is_named()
    }
}

/// A record in the length of a slot: JSON and a line break, filled up with spaces.
pub(super) fn slot<T: Serialize>(path: &Path, record: &T) -> Result<Vec<u8>, LocalError> {
    let damaged = |source| LocalError::Record { path: path.to_path_buf(), source };
    let mut bytes = serde_json::to_vec(record).map_err(damaged)?;
    bytes.resize(SLOT - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// The last transaction of which pages may be in the replica; `None` when nothing was ever
/// announced.
///
/// # Errors
/// [`LocalError::Io`]; [`LocalError::Record`] when neither slot can be read.
pub(super) fn read(path: &Path) -> Result<Option<Txid>, LocalError> {
    let Some(bytes) = disk::read(path)? else { return Ok(None) };
    let none: &[u8] = &[];
    let slots = bytes.chunks(SLOT).chain(bytes.is_empty().then_some(none));
    let (mut end, mut problem) = (None, None);
    for slot in slots {
        match serde_json::from_slice::<Intent>(slot) {
            Ok(intent) => end = end.max(Some(intent.to)),
            Err(source) => problem = Some(source),
        }
    }
    match (end, problem) {
        (None, Some(source)) => Err(LocalError::Record { path: path.to_path_buf(), source }),
        (end, _) => Ok(end),
    }
}
