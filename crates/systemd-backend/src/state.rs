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

    /// Nothing runs, and nothing is about to.
    pub(crate) fn is_down(self) -> bool {
        match self {
            Self::Inactive | Self::Failed => true,
            Self::Active
            | Self::Reloading
            | Self::Activating
            | Self::Deactivating
            | Self::Maintenance => false,
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
    /// The exit status of the last main process, or the signal that ended it.
    pub exit_status: i32,
    /// The main process; 0 when there is none.
    pub main_pid: u32,
    /// When it became active, by CLOCK_MONOTONIC, in microseconds; 0 when it never was.
    pub(crate) active_since_us: u64,
}

impl UnitState {
    /// For people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { active, sub, result, exit_status, .. } = self;
        format!("{} ({sub}): {}", active.word(), result_in_words(result, *exit_status))
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

/// systemd's Result of a service, in words (systemd.exec(5), "$SERVICE_RESULT").
pub(crate) fn result_in_words(result: &str, exit_status: i32) -> String {
    let words = match result {
        "success" => "nothing has failed",
        "exit-code" => return format!("its process exited with status {exit_status}"),
        "signal" => return format!("its process was ended by signal {exit_status}"),
        "core-dump" => "its process crashed",
        "timeout" => "it took longer than TimeoutStartSec= or TimeoutStopSec= of the unit allow",
        "watchdog" => "it stopped feeding the watchdog of the unit",
        "oom-kill" => "the kernel ended it because memory ran out",
        "resources" => "systemd lacked a file or a resource that the unit asks for",
        "protocol" => "it did not do what Type= of the unit promises",
        "exec-condition" => "ExecCondition= of the unit said no",
        "start-limit-hit" => "it was started too often in too short a time",
        other => return format!("its result is '{other}'"),
    };
    String::from(words)
}
