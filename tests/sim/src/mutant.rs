//! Variants that are broken on purpose: a simulation that does not catch them proves nothing.
//!
//! Each is a small change of what lies between the real machines and the world; the machines
//! themselves have no switches.

use std::fmt;
use std::str::FromStr;

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// The lease counts from the answer to a renewal, not from its send.
    LeaseFromReply,
    /// The holder serves until the very end of its ttl.
    NoMargin,
    /// Takeover writes whatever is there instead of comparing.
    BlindTakeover,
    /// A planned move releases the lease before the final flush.
    ReleaseBeforeFlush,
    /// A planned move ends replication before the backend.
    CaptureBeforeBackend,
    /// The fence is not moved.
    NoFence,
    /// The fence is moved after the catch-up.
    LateFence,
    /// The replica is promoted whatever the data file holds.
    NoCompare,
    /// The virtual IP is given up long after everything else.
    LateVip,
    /// The guard does nothing while its daemon does nothing.
    NoGuard,
    /// A renewal that is not answered counts as stored.
    HopefulRenewal,
    /// Whoever wins does not look at the position that the lease was released at.
    ForgottenRelease,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::LeaseFromReply,
        Self::NoMargin,
        Self::BlindTakeover,
        Self::ReleaseBeforeFlush,
        Self::CaptureBeforeBackend,
        Self::NoFence,
        Self::LateFence,
        Self::NoCompare,
        Self::LateVip,
        Self::NoGuard,
        Self::HopefulRenewal,
        Self::ForgottenRelease,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::LeaseFromReply => "lease-from-reply",
            Self::NoMargin => "no-margin",
            Self::BlindTakeover => "blind-takeover",
            Self::ReleaseBeforeFlush => "release-before-flush",
            Self::CaptureBeforeBackend => "capture-before-backend",
            Self::NoFence => "no-fence",
            Self::LateFence => "late-fence",
            Self::NoCompare => "no-compare",
            Self::LateVip => "late-vip",
            Self::NoGuard => "no-guard",
            Self::HopefulRenewal => "hopeful-renewal",
            Self::ForgottenRelease => "forgotten-release",
        }
    }
}

impl fmt::Display for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mutant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|mutant| mutant.name() == text);
        found.ok_or_else(|| format!("no mutant is called '{text}'"))
    }
}
