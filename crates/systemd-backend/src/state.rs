//! What a unit is doing, as measured.

use std::time::Duration;

/// systemd's ActiveState.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveState {
    /// It runs.
    Active,
    /// It runs and reads its configuration again.
    Reloading,
    /// It does not run.
    Inactive,
    /// It does not run and ended badly.
    Failed,
    /// It is starting.
    Activating,
    /// It is stopping.
    Deactivating,
    /// systemd is doing something else with it.
    Maintenance,
}

impl ActiveState {
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "active" => Self::Active,
            "reloading" | "refreshing" => Self::Reloading,
            "inactive" => Self::Inactive,
            "failed" => Self::Failed,
            "activating" => Self::Activating,
            "deactivating" => Self::Deactivating,
            _other => Self::Maintenance,
        }
    }
}

/// A unit at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// Whether it runs.
    pub active: ActiveState,
    /// systemd's SubState, such as `running`, `dead`, `auto-restart`.
    pub sub: String,
    /// systemd's LoadState: `loaded`, `not-found`, `masked`.
    pub load: String,
    /// How it ended: `success`, `exit-code`, `signal` and the like.
    pub result: String,
    /// The main process; 0 when there is none.
    pub main_pid: u32,
    /// When it became active, by CLOCK_MONOTONIC, in microseconds.
    pub(crate) active_since_us: u64,
}

impl UnitState {
    /// For people.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("{:?} ({}), result {}", self.active, self.sub, self.result)
    }

    /// How long it has been active.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000
            + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
        match (self.active, self.active_since_us) {
            (_, 0)
            | (
                ActiveState::Inactive
                | ActiveState::Failed
                | ActiveState::Activating
                | ActiveState::Deactivating
                | ActiveState::Maintenance,
                _,
            ) => Duration::ZERO,
            (ActiveState::Active | ActiveState::Reloading, since) => {
                Duration::from_micros(now.saturating_sub(since))
            }
        }
    }
}
