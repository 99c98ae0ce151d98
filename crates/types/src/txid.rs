//! Transaction numbers and positions.

use std::fmt;
use std::num::ParseIntError;

use serde::{Deserialize, Serialize};

use crate::Epoch;

/// The number of a transaction in the LTX chain; [`Txid::ZERO`] is the empty database.
///
/// File names carry it as 16 hexadecimal digits ([`Txid::to_hex`]); JSON and people see decimals.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Txid(u64);

impl Txid {
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The transaction with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The transaction after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Sixteen lower-case hexadecimal digits, as in LTX file names.
    #[must_use]
    pub fn to_hex(self) -> String {
        format!("{:016x}", self.0)
    }

    /// Reads [`Txid::to_hex`].
    ///
    /// # Errors
    /// When the text is not a hexadecimal number of 64 bits.
    pub fn from_hex(text: &str) -> Result<Self, ParseIntError> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl fmt::Display for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a database is: the last transaction it contains, and the epoch that wrote it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Position {
    /// The epoch of the primary that wrote `txid`.
    pub epoch: Epoch,
    /// The last transaction contained.
    pub txid: Txid,
}

impl Position {
    /// A position from its parts.
    #[must_use]
    pub const fn new(epoch: Epoch, txid: Txid) -> Self {
        Self { epoch, txid }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "epoch {} txid {}", self.epoch, self.txid)
    }
}
