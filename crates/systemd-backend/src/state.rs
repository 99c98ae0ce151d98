//! What a unit is doing, as measured.

use std::time::Duration;

use crate::decide::{Ended, Verdict, verdict};

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
    /// It is starting, or waits to be started again after its end.
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

    fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::Maintenance => "in maintenance",
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
    /// systemd's LoadState: `loaded`, `not-found`, `masked`, `bad-setting`.
    pub load: String,
    /// How it ended last: `success`, `exit-code`, `signal` and the like.
    pub result: String,
    /// How its last main process ended: 1 by exiting, 2 by a signal, 3 by a signal that dumps
    /// core, 0 not at all (sigaction(2), `CLD_…`).
    pub exit_code: i32,
    /// The exit status of the last main process, or the signal that ended it.
    pub exit_status: i32,
    /// How often systemd has started it again by itself since it was last started.
    pub restarts: u32,
    /// The main process; 0 when there is none.
    pub main_pid: u32,
    /// When it became active, by CLOCK_MONOTONIC, in microseconds; 0 when it never was.
    pub(crate) active_since_us: u64,
}

impl UnitState {
    /// For people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { active, sub, load, result, exit_code, exit_status, .. } = self;
        let ended = Ended { result, code: *exit_code, status: *exit_status };
        let words = match self.verdict() {
            // systemd forgets the end of a unit that nothing refers to.
            Verdict::Down if *exit_code == 0 => String::from(match load.as_str() {
                "not-found" => "there is no unit of this name",
                "masked" => "it is masked",
                _other => "it was stopped, or it never ran",
            }),
            Verdict::Down
            | Verdict::Failed
            | Verdict::Up
            | Verdict::Starting
            | Verdict::Restarting
            | Verdict::Stopping => ended.in_words(),
        };
        format!("{} ({sub}): {words}", active.word())
    }

    /// What that comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        verdict(self.active, &self.sub)
    }

    /// How long it has been active.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now = u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000
            + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000;
        match self.active {
            ActiveState::Active | ActiveState::Reloading if self.active_since_us > 0 => {
                Duration::from_micros(now.saturating_sub(self.active_since_us))
            }
            ActiveState::Active
            | ActiveState::Reloading
            | ActiveState::Inactive
            | ActiveState::Failed
            | ActiveState::Activating
            | ActiveState::Deactivating
            | ActiveState::Maintenance => Duration::ZERO,
        }
    }
}
