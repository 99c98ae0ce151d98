//! Whether the bucket is ahead of a data file of its own epoch.
//!
//! With `synchronous=NORMAL` a power loss takes the end of the WAL away although the bucket has
//! it: what was shipped had been committed, not fsynced. Such a file is of the newest epoch and
//! older than the bucket all the same.

use super::WalEnd;
use super::next::tip;
use crate::codec::LtxHeader;
use crate::local::Stamp;
use crate::store::{Level, LtxInfo};

/// How many times a WAL may have started over between the two that are compared. The first salt
/// grows by one each time (SQLite file format, section 4.1); a WAL that was made anew has a random
/// one, which this bound keeps from looking like an old one.
const RESTARTS_MAX: u32 = 1000;

/// The file whose end tells, by [`ends_before`], whether a data file with this stamp is behind;
/// `None` when nothing can tell.
#[must_use]
pub fn last_of(stamp: Stamp, files: &[LtxInfo]) -> Option<&LtxInfo> {
    let tip = tip(files);
    files
        .iter()
        .find(|f| f.name.level == Level::L0 && f.name.max == tip && f.epoch == Some(stamp.epoch))
}

/// Whether a WAL ends before what the file with this header covers.
#[must_use]
pub fn ends_before(end: WalEnd, shipped: &LtxHeader) -> bool {
    if (end.salt1, end.salt2) == (shipped.wal_salt1, shipped.wal_salt2) {
        return end.offset < shipped.wal_offset + shipped.wal_size;
    }
    (1..=RESTARTS_MAX).contains(&shipped.wal_salt1.wrapping_sub(end.salt1))
}

#[cfg(test)]
mod tests {
    use ccm_types::Txid;

    use super::*;

    #[test]
    fn a_wal_is_behind_when_it_ends_earlier_or_is_an_earlier_one() {
        let shipped = LtxHeader {
            page_size: 4096,
            commit: 3,
            min: Txid::new(9),
            max: Txid::new(9),
            timestamp_ms: 1,
            wal_offset: 4152,
            wal_size: 4120,
            wal_salt1: 7,
            wal_salt2: 70,
        };
        let table = [
            (7, 70, 8272, false),
            (7, 70, 12_392, false),
            (7, 70, 4152, true),
            (6, 60, 90_000, true),
            (8, 80, 32, false),
            (7, 71, 32, false),
            (4_000_000_000, 1, 32, false),
        ];
        for (salt1, salt2, offset, behind) in table {
            let end = WalEnd { salt1, salt2, offset };
            assert_eq!(ends_before(end, &shipped), behind, "{end:?}");
        }
    }
}
