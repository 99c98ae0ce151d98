//! Names of LTX objects: `ltx/<level>/<min>-<max>.ltx`, TXIDs as 16 hexadecimal digits.
//!
//! Source: Litestream 0.5's replicas in NATS and in files, which have the same layout.

use std::fmt;
use std::str::FromStr;

use ccm_types::Txid;

/// A compaction level: 0 (as captured) to 8, and 9 for snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(u8);

impl Level {
    /// As captured, one file per group of commits.
    pub const L0: Self = Self(0);
    /// Whole databases.
    pub const SNAPSHOT: Self = Self(9);

    /// The level with this number, 0 to 9.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 9 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Level and TXID range of one LTX file; its object name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LtxName {
    /// The level.
    pub level: Level,
    /// The first transaction contained.
    pub min: Txid,
    /// The last transaction contained.
    pub max: Txid,
}

impl fmt::Display for LtxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ltx/{}/{}-{}.ltx", self.level.0, self.min.to_hex(), self.max.to_hex())
    }
}

/// The text is not the name of an LTX object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not ltx/<level>/<min>-<max>.ltx")]
pub struct NameError(String);

impl FromStr for LtxName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parse = || {
            let rest = text.strip_prefix("ltx/")?.strip_suffix(".ltx")?;
            let (level, range) = rest.split_once('/')?;
            let (min, max) = range.split_once('-')?;
            let txid = |t: &str| if t.len() == 16 { Txid::from_hex(t).ok() } else { None };
            let name =
                Self { level: Level::new(level.parse().ok()?)?, min: txid(min)?, max: txid(max)? };
            (name.min <= name.max && name.min > Txid::ZERO).then_some(name)
        };
        parse().ok_or_else(|| NameError(String::from(text)))
    }
}
