//! Looking at a replica that another process may be working on.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::{LocalError, PositionRecord, Replica, disk, intent, records, resolve};

/// What the replica is, without taking the files of the node. What was true may not be any more
/// when this returns: look again to know.
pub(crate) fn peek(replica: &Path) -> Result<Replica, LocalError> {
    let replica = resolve(replica)?;
    let state = disk::with_suffix(&replica, "-ccm");
    if disk::exists(&state.join("moves.json"))? {
        // Files are being renamed.
        return Ok(Replica::None);
    }
    let record: Option<PositionRecord> = disk::read_record(&state.join("position.json"))?;
    let announced = intent::read(&state.join("intent.json"))?;
    let found = records::replica(record, announced, disk::len(&replica)?);
    let Replica::Torn { to, .. } = found else { return Ok(found) };
    if !is_held(&state.join("lock"))? {
        return Ok(found);
    }
    // It is written in place: a part of it may be from before.
    let reached: Option<PositionRecord> =
        disk::read_record(&state.join("reached.json")).ok().flatten();
    let reached = reached.filter(|reached| reached.txid == to);
    match records::replica(reached, announced, disk::len(&replica)?) {
        at @ Replica::At(_) => Ok(at),
        Replica::None | Replica::Torn { .. } => Ok(found),
    }
}

/// Whether some process works with the files.
fn is_held(lock: &Path) -> Result<bool, LocalError> {
    let file = match File::open(lock) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(LocalError::io("open", lock)(source)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(LocalError::io("look at", lock)(source)),
    }
}
