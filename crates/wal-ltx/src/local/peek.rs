//! Looking at a replica that another process may be working on.

use std::path::Path;

use super::{Intent, LocalError, PositionRecord, Replica, disk, records, resolve};

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
    let intent: Option<Intent> = disk::read_record(&state.join("intent.json"))?;
    Ok(records::replica(record, intent.as_ref(), disk::len(&replica)?))
}
