//! The virtual IP at the end of a lease: taken away until it is seen to be gone.

use std::time::Duration;

use ccm_types::Monotonic;

use super::Effect;

/// Between two tries to take it away.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// What the guard has to do with the virtual IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Vip {
    /// There is none.
    None,
    /// A daemon's to take and to give up.
    Free,
    /// The lease has run out; the next try.
    Going(Monotonic),
}

impl Vip {
    pub(super) fn new(has_vip: bool) -> Self {
        if has_vip { Self::Free } else { Self::None }
    }

    /// The lease has run out.
    pub(super) fn expire(&mut self, now: Monotonic) {
        *self = match *self {
            Self::None => Self::None,
            Self::Free | Self::Going(_) => Self::Going(now),
        };
    }

    /// A new lease is armed.
    pub(super) fn renew(&mut self) {
        *self = match *self {
            Self::None => Self::None,
            Self::Free | Self::Going(_) => Self::Free,
        };
    }

    /// A try, if one is due.
    pub(super) fn press(&mut self, now: Monotonic, out: &mut Vec<Effect>) {
        if let Self::Going(at) = self
            && *at <= now
        {
            *at = now + TRY_EVERY;
            out.push(Effect::DropVip);
        }
    }

    pub(super) fn dropped(&mut self, now: Monotonic, gone: bool) {
        *self = match *self {
            Self::Going(_) if gone => Self::Free,
            Self::Going(at) => Self::Going(at.max(now)),
            Self::None => Self::None,
            Self::Free => Self::Free,
        };
    }

    pub(super) fn is_going(self) -> bool {
        match self {
            Self::Going(_) => true,
            Self::None | Self::Free => false,
        }
    }

    pub(super) fn next_deadline(self) -> Option<Monotonic> {
        match self {
            Self::Going(at) => Some(at),
            Self::None | Self::Free => None,
        }
    }
}
