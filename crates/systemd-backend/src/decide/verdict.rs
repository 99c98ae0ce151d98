//! What a unit's state comes to.

use crate::ActiveState;

/// What a unit's state comes to for who wants it to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It runs.
    Up,
    /// It is on its way up.
    Starting,
    /// It has ended by itself, and systemd is about to start it again.
    Restarting,
    /// It is on its way down.
    Stopping,
    /// It has ended well, or never ran.
    Down,
    /// It has ended badly.
    Failed,
}

/// Of systemd's ActiveState and SubState.
pub(crate) fn verdict(active: ActiveState, sub: &str) -> Verdict {
    match active {
        ActiveState::Active | ActiveState::Reloading => Verdict::Up,
        // `auto-restart` and `auto-restart-queued`.
        ActiveState::Activating if sub.starts_with("auto-restart") => Verdict::Restarting,
        ActiveState::Activating => Verdict::Starting,
        // Services are not maintained, but what is must not be called down.
        ActiveState::Deactivating | ActiveState::Maintenance => Verdict::Stopping,
        ActiveState::Inactive => Verdict::Down,
        ActiveState::Failed => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_of_a_service_has_a_verdict() {
        let table = [
            ("active", "running", Verdict::Up),
            ("active", "exited", Verdict::Up),
            ("reloading", "reload", Verdict::Up),
            ("refreshing", "refresh", Verdict::Up),
            ("activating", "condition", Verdict::Starting),
            ("activating", "start-pre", Verdict::Starting),
            ("activating", "start", Verdict::Starting),
            ("activating", "start-post", Verdict::Starting),
            ("activating", "auto-restart", Verdict::Restarting),
            ("activating", "auto-restart-queued", Verdict::Restarting),
            ("deactivating", "stop", Verdict::Stopping),
            ("deactivating", "stop-sigterm", Verdict::Stopping),
            ("deactivating", "stop-watchdog", Verdict::Stopping),
            ("deactivating", "stop-sigkill", Verdict::Stopping),
            ("deactivating", "stop-post", Verdict::Stopping),
            ("deactivating", "final-sigkill", Verdict::Stopping),
            ("inactive", "dead", Verdict::Down),
            ("inactive", "dead-before-auto-restart", Verdict::Down),
            ("failed", "failed", Verdict::Failed),
            ("maintenance", "cleaning", Verdict::Stopping),
            ("a word of the future", "", Verdict::Stopping),
        ];
        for (active, sub, expected) in table {
            assert_eq!(verdict(ActiveState::parse(active), sub), expected, "{active} {sub}");
        }
    }
}
