//! The virtual IP at the end of a lease: taken away until it is seen to be gone.

use std::time::Duration;

use ccm_types::Monotonic;

use super::Effect;

/// Between two looks whether it has come back.
const LOOK_EVERY: Duration = Duration::from_millis(500);

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
    /// It was gone after the end of the lease; the next look. A daemon that was stopped while it
    /// took the address would go on with it.
    Watched(Monotonic),
}

impl Vip {
    pub(super) fn new(has_vip: bool) -> Self {
        if has_vip { Self::Free } else { Self::None }
    }

    /// The lease has run out.
    pub(super) fn expire(&mut self, now: Monotonic) {
        *self = match *self {
            Self::None => Self::None,
            Self::Free | Self::Going(_) | Self::Watched(_) => Self::Going(now),
        };
    }

    /// A new lease is armed, or a daemon says that there is none.
    pub(super) fn renew(&mut self) {
        *self = match *self {
            Self::None => Self::None,
            Self::Free | Self::Going(_) | Self::Watched(_) => Self::Free,
        };
    }

    /// A try, if one is due.
    pub(super) fn press(&mut self, now: Monotonic, out: &mut Vec<Effect>) {
        let again = match *self {
            Self::Going(at) if at <= now => Self::Going(now + TRY_EVERY),
            Self::Watched(at) if at <= now => Self::Watched(now + LOOK_EVERY),
            Self::None | Self::Free | Self::Going(_) | Self::Watched(_) => return,
        };
        *self = again;
        out.push(Effect::DropVip);
    }

    pub(super) fn dropped(&mut self, now: Monotonic, gone: bool) {
        *self = match *self {
            Self::Going(_) | Self::Watched(_) if gone => Self::Watched(now + LOOK_EVERY),
            Self::Going(at) | Self::Watched(at) => Self::Going(at.max(now).min(now + TRY_EVERY)),
            Self::None => Self::None,
            Self::Free => Self::Free,
        };
    }

    /// Whether it has not been seen to be gone.
    pub(super) fn is_going(self) -> bool {
        match self {
            Self::Going(_) => true,
            Self::None | Self::Free | Self::Watched(_) => false,
        }
    }

    pub(super) fn next_deadline(self) -> Option<Monotonic> {
        match self {
            Self::Going(at) | Self::Watched(at) => Some(at),
            Self::None | Self::Free => None,
        }
    }
}
