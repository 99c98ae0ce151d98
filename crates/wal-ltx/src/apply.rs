//! LTX files into the replica, page by page, so that a crash at any instruction leaves either a
//! database at a known position or a record that says it is none.
//!
//! A batch of files is verified completely before the first page is written. Then: intent
//! written and synced · pages written in place, the file cut or grown to each file's size. More
//! batches may follow before [`Local::flush`]: replica synced · position written and synced. The
//! intent makes the replica count as torn until the position has reached it; that pages are not
//! durable yet only the process knows that has written them, so after a crash all batches since
//! the last flush are one that was interrupted. Any files that lead from the recorded position to
//! the intent or further repair it, whether or not they are the ones that were interrupted,
//! because every page that may have changed is in them as a whole. Without such files [`rebuild`]
//! makes a new replica beside the old one and renames it.
//!
//! Memory: one page and one file's page index, beyond what [`Content::Memory`] holds.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ccm_types::{Epoch, Position, Txid};

use crate::codec::{LtxDecoder, LtxError, LtxHeader};
use crate::local::{Local, LocalError, PositionRecord, Replica, Writable, sync_dir};
use crate::store::{LtxInfo, LtxName};

/// Permissions of a new replica: it gets those of the data file when it is served.
const REPLICA_MODE: u32 = 0o600;

/// Why LTX files could not be applied. The replica is what it was, or torn and known to be.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A file's content breaks the format or its checksum; nothing was written.
    #[error("the object {name} is damaged")]
    Damaged {
        /// The object.
        name: LtxName,
        /// What is wrong.
        #[source]
        source: LtxError,
    },
    /// A file is not what its name says, or does not fit the replica; nothing was written.
    #[error("the object {name} does not fit: {why}")]
    Unfit {
        /// The object.
        name: LtxName,
        /// What does not fit.
        why: String,
    },
    /// Increments need a replica.
    #[error("there is no replica to apply increments to")]
    NoReplica,
    /// The replica or a record could not be written.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// The content of one LTX file, fetched from the store.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Memory(Bytes),
    /// In a file, which is removed when this is dropped.
    Spooled(Spooled),
}

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub struct Spooled(PathBuf);

impl Spooled {
    /// Takes a file over, whether it exists yet or not.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        // What cannot be removed now is removed with the whole spool at the next start.
        std::fs::remove_file(&self.0).ok();
    }
}

/// One LTX file on this side of the store.
#[derive(Debug)]
pub struct Fetched {
    /// What the store says about it.
    pub info: LtxInfo,
    /// What is in it.
    pub content: Content,
}

type Decoder<'a> = LtxDecoder<Box<dyn Read + 'a>>;

impl Fetched {
    fn damaged(&self, source: LtxError) -> ApplyError {
        ApplyError::Damaged { name: self.info.name, source }
    }

    fn unfit(&self, why: String) -> ApplyError {
        ApplyError::Unfit { name: self.info.name, why }
    }

    /// A decoder whose header belongs to the file's name.
    fn decode(&self) -> Result<Decoder<'_>, ApplyError> {
        let reader: Box<dyn Read + '_> = match &self.content {
            Content::Memory(bytes) => Box::new(Cursor::new(bytes)),
            Content::Spooled(file) => {
                let opened = File::open(file.path());
                Box::new(BufReader::new(opened.map_err(LocalError::io("open", file.path()))?))
            }
        };
        let decoder = LtxDecoder::new(reader).map_err(|e| self.damaged(e))?;
        let LtxHeader { min, max, .. } = *decoder.header();
        let name = self.info.name;
        if (min, max) != (name.min, name.max) {
            return Err(self.unfit(format!("it contains transactions {min} to {max}")));
        }
        Ok(decoder)
    }

    /// The header.
    pub(crate) fn header(&self) -> Result<LtxHeader, ApplyError> {
        Ok(*self.decode()?.header())
    }

    /// Proves the content without writing anything.
    fn verify(&self) -> Result<LtxHeader, ApplyError> {
        let decoder = self.decode()?;
        let header = *decoder.header();
        decoder.finish().map_err(|e| self.damaged(e))?;
        Ok(header)
    }

    /// Writes the pages to `file` and gives it its size; proves the content on the way.
    fn write_to(&self, file: &Writable) -> Result<LtxHeader, ApplyError> {
        let mut decoder = self.decode()?;
        let header = *decoder.header();
        let page_size = u64::from(header.page_size);
        let mut page = Vec::new();
        while let Some(pgno) = decoder.next_page(&mut page).map_err(|e| self.damaged(e))? {
            file.write_at(&page, (u64::from(pgno) - 1) * page_size)?;
        }
        decoder.finish().map_err(|e| self.damaged(e))?;
        file.set_len(u64::from(header.commit) * page_size)?;
        Ok(header)
    }

    /// The position after this file, which follows `epoch`.
    fn record(&self, header: &LtxHeader, epoch: Epoch) -> PositionRecord {
        PositionRecord {
            epoch: self.info.epoch.unwrap_or(Epoch::NONE).max(epoch),
            txid: header.max,
            page_size: header.page_size,
            pages: header.commit,
            timestamp_ms: Some(self.info.timestamp_ms),
        }
    }
}

/// Checks that each file is sound and goes on where the one before ended; returns the position
/// after the last one.
fn verify(from: PositionRecord, batch: &[Fetched]) -> Result<PositionRecord, ApplyError> {
    let mut at = from;
    for file in batch {
        let header = file.verify()?;
        if header.page_size != at.page_size {
            let (is, was) = (header.page_size, at.page_size);
            return Err(file.unfit(format!(
                "its page size is {is}, the replica's {was}: remove the replica so that it is \
                 rebuilt from a snapshot"
            )));
        }
        if header.min > at.txid.next() || header.max <= at.txid {
            return Err(file.unfit(format!("it does not follow transaction {}", at.txid)));
        }
        at = file.record(&header, at.epoch);
    }
    Ok(at)
}

/// Applies files, oldest first, to the replica in place. Blocks; takes its turn at the files.
/// Durable after [`Local::flush`]: a crash before that leaves a torn replica.
///
/// # Errors
/// [`ApplyError::Damaged`] and [`ApplyError::Unfit`] before anything is written;
/// [`ApplyError::NoReplica`]; [`ApplyError::Local`].
pub fn apply(local: &Local, batch: &[Fetched]) -> Result<Position, ApplyError> {
    let _turn = local.turn();
    local.finish_moves()?;
    let (from, torn_to) = match local.replica()? {
        Replica::None => return Err(ApplyError::NoReplica),
        Replica::At(record) => (record, Txid::ZERO),
        Replica::Torn { from, to } => (from, to),
    };
    let after = verify(from, batch)?;
    if batch.is_empty() {
        return Ok(after.position());
    }
    // While the replica is torn the end never goes back: pages of the interrupted batch may still
    // be there.
    let writing = local.announce(from.position(), after.txid.max(torn_to))?;
    for fetched in batch {
        fetched.write_to(writing.file())?;
    }
    local.applied(writing, after)?;
    Ok(after.position())
}

/// Makes a new replica of a file that contains a whole database, and puts it in the place of the
/// old one, which stays until then. Blocks; takes its turn at the files.
///
/// # Errors
/// [`ApplyError::Damaged`], [`ApplyError::Unfit`] (not a whole database),
/// [`ApplyError::Local`]. The old replica is what it was.
pub fn rebuild(local: &Local, base: &Fetched) -> Result<Position, ApplyError> {
    let _turn = local.turn();
    local.finish_moves()?;
    if base.info.name.min != Txid::new(1) {
        return Err(base.unfit(String::from("it does not contain the whole database")));
    }
    let file = Writable::create(&local.record("rebuild"), REPLICA_MODE)?;
    let header = base.write_to(&file)?;
    file.sync()?;
    sync_dir(local.state_dir())?;
    let record = base.record(&header, Epoch::NONE);
    local.install_rebuild(&record)?;
    Ok(record.position())
}

#[cfg(test)]
mod tests;
