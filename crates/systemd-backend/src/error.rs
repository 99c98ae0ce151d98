//! Why a unit did not do what was asked.

use std::time::Duration;

use zbus::DBusError as _;

use crate::{LastLines, SelfStart};

/// Why systemd or the unit did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// systemd does not answer, or in a way that makes no sense.
    #[error("could not {doing} over D-Bus: does systemd run, and may this user ask it?")]
    Bus {
        /// What was tried.
        doing: &'static str,
        /// The bus's words.
        #[source]
        source: zbus::Error,
    },
    /// There is no such unit.
    #[error(
        "systemd knows no unit {unit}: check backend.serviceName, then systemctl daemon-reload"
    )]
    Missing {
        /// The unit.
        unit: String,
    },
    /// The unit is masked.
    #[error("the unit {unit} is masked: systemctl unmask {unit}")]
    Masked {
        /// The unit.
        unit: String,
    },
    /// systemd cannot use the unit's file.
    #[error("systemd cannot use the file of {unit}: systemctl status {unit} says why")]
    Broken {
        /// The unit.
        unit: String,
    },
    /// A condition of the unit does not hold.
    #[error(
        "systemd did not start {unit} because a Condition…= of it does not hold: systemctl status \
         {unit} says which"
    )]
    Unmet {
        /// The unit.
        unit: String,
    },
    /// systemd wants a password for this.
    #[error(
        "systemd does not let this user {doing} {unit}: run as root or install the polkit rule"
    )]
    Denied {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
    },
    /// The unit was started too often in too short a time.
    #[error(
        "systemd does not {doing} {unit} again so soon (StartLimitBurst=){lines}; journalctl -u \
         {unit} says why it ends, systemctl reset-failed {unit} lets it start"
    )]
    StartLimit {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
        /// What its last run wrote.
        lines: LastLines,
    },
    /// Its file says that nobody starts it by name.
    #[error(
        "{unit} may not be started by name, because its file says RefuseManualStart= or \
         RefuseManualStop=: take that out"
    )]
    Refusing {
        /// The unit.
        unit: String,
    },
    /// Something else of systemd comes first.
    #[error(
        "systemd does not {doing} {unit} now, because a job that cannot be taken back contradicts \
         it: it is being stopped, or the host shuts down; see systemctl list-jobs"
    )]
    Busy {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
    },
    /// Somebody else has asked for something else meanwhile.
    #[error(
        "somebody has canceled the {doing} of {unit}, or asked systemd for the contrary: only ccm \
         starts and stops it"
    )]
    Replaced {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
    },
    /// A boot, a clock or a client starts it.
    #[error("{}", self_start(unit, how))]
    StartsItself {
        /// The unit.
        unit: String,
        /// How that comes.
        how: SelfStart,
    },
    /// The job ended otherwise than well.
    #[error("could not {doing} {unit}: {why}{lines}; journalctl -u {unit} says more")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
        /// How the job ended, and the unit, in words.
        why: String,
        /// What its run wrote last.
        lines: LastLines,
    },
    /// It takes longer than it may; what was asked may still happen.
    #[error("{unit} did not {doing} within {within:?}")]
    TimedOut {
        /// What was tried.
        doing: &'static str,
        /// The unit.
        unit: String,
        /// The time it had.
        within: Duration,
    },
}

impl UnitError {
    /// Worth trying again without a change.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Bus { .. }
            | Self::StartLimit { .. }
            | Self::Busy { .. }
            | Self::Replaced { .. }
            | Self::Failed { .. }
            | Self::TimedOut { .. } => true,
            Self::Missing { .. }
            | Self::Masked { .. }
            | Self::Broken { .. }
            | Self::Unmet { .. }
            | Self::Refusing { .. }
            | Self::StartsItself { .. }
            | Self::Denied { .. } => false,
        }
    }

    /// What was asked may happen all the same.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// What systemd said to a call about `unit`.
    pub(crate) fn from_bus(doing: &'static str, unit: &str, source: zbus::Error) -> Self {
        let name = error_name(&source);
        let unit = String::from(unit);
        match name.as_str() {
            // A name that no unit can have is InvalidArgs.
            "org.freedesktop.systemd1.NoSuchUnit" | "org.freedesktop.DBus.Error.InvalidArgs" => {
                Self::Missing { unit }
            }
            "org.freedesktop.systemd1.UnitMasked" => Self::Masked { unit },
            "org.freedesktop.systemd1.BadUnitSetting" | "org.freedesktop.systemd1.LoadFailed" => {
                Self::Broken { unit }
            }
            "org.freedesktop.systemd1.OnlyByDependency" => Self::Refusing { unit },
            "org.freedesktop.systemd1.TransactionIsDestructive"
            | "org.freedesktop.systemd1.TransactionJobsConflicting"
            | "org.freedesktop.systemd1.ShuttingDown" => Self::Busy { doing, unit },
            "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
            | "org.freedesktop.DBus.Error.AccessDenied" => Self::Denied { doing, unit },
            _other => Self::Bus { doing, source },
        }
    }
}

fn self_start(unit: &str, how: &SelfStart) -> String {
    let mend = format!(
        "systemctl disable {unit}, or set backend.enabledUnit to \"disable\": it would run beside \
         the backend of another node"
    );
    match how {
        SelfStart::Enabled => format!("{unit} is enabled, so every boot starts it: {mend}"),
        SelfStart::PulledIn { by } => format!("{unit} is started by {}: {mend}", by.join(", ")),
        SelfStart::Along { with } => format!(
            "{unit} is started along with {}: give those Requisite= or PartOf= instead of Wants= \
             or Requires=, or it runs beside the backend of another node",
            with.join(", ")
        ),
        SelfStart::No => format!("nothing starts {unit} by itself"),
    }
}

/// The D-Bus name of what came back; empty when it was no error reply. The library keeps the
/// names that D-Bus itself defines apart from all others.
fn error_name(error: &zbus::Error) -> String {
    if let zbus::Error::MethodError(name, _, _) = error {
        name.to_string()
    } else if let zbus::Error::FDO(error) = error {
        error.name().to_string()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the library makes an error of a reply.
    fn said(name: &'static str) -> UnitError {
        let call = zbus::Message::method_call("/", "StartUnit").build(&()).unwrap();
        let reply = zbus::Message::error(&call.header(), name).build(&("words",)).unwrap();
        UnitError::from_bus("start", "x.service", zbus::Error::from(reply))
    }

    #[test]
    fn what_an_operator_can_do_is_said_with_each_refusal() {
        for (name, advice) in [
            ("org.freedesktop.systemd1.NoSuchUnit", "daemon-reload"),
            ("org.freedesktop.systemd1.UnitMasked", "systemctl unmask x.service"),
            ("org.freedesktop.systemd1.BadUnitSetting", "systemctl status x.service"),
            ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "polkit"),
            ("org.freedesktop.DBus.Error.AccessDenied", "polkit"),
        ] {
            let error = said(name);
            assert!(error.to_string().contains(advice), "{name}: {error}");
            assert!(!error.is_transient(), "{name}");
        }
        assert!(said("org.freedesktop.DBus.Error.NoReply").is_transient());
    }

    #[test]
    fn each_refusal_of_systemd_has_its_own_error() {
        let table = [
            ("org.freedesktop.systemd1.NoSuchUnit", "Missing", false),
            ("org.freedesktop.DBus.Error.InvalidArgs", "Missing", false),
            ("org.freedesktop.systemd1.UnitMasked", "Masked", false),
            ("org.freedesktop.systemd1.BadUnitSetting", "Broken", false),
            ("org.freedesktop.systemd1.LoadFailed", "Broken", false),
            ("org.freedesktop.systemd1.OnlyByDependency", "Refusing", false),
            ("org.freedesktop.systemd1.TransactionIsDestructive", "Busy", true),
            ("org.freedesktop.systemd1.TransactionJobsConflicting", "Busy", true),
            ("org.freedesktop.systemd1.ShuttingDown", "Busy", true),
            ("org.freedesktop.DBus.Error.AccessDenied", "Denied", false),
            ("org.freedesktop.DBus.Error.NameHasNoOwner", "Bus", true),
            ("org.example.AWordOfTheFuture", "Bus", true),
        ];
        for (name, expected, transient) in table {
            let error = said(name);
            let shown = format!("{error:?}");
            assert!(shown.starts_with(&format!("{expected} {{")), "{name}: {shown}");
            assert_eq!(error.is_transient(), transient, "{name}");
        }
    }

    #[test]
    fn a_unit_that_something_else_starts_names_it_and_how_to_mend_it() {
        let names = |names: &[&str]| names.iter().copied().map(String::from).collect();
        let by = names(&["multi-user.target", "x.timer"]);
        let table = [
            (SelfStart::Enabled, vec!["enabled", "systemctl disable x.service"]),
            (SelfStart::PulledIn { by }, vec!["multi-user.target, x.timer", "systemctl disable"]),
            (SelfStart::Along { with: names(&["y.service"]) }, vec!["y.service", "Requisite="]),
            (SelfStart::No, vec!["nothing starts"]),
        ];
        for (how, expected) in table {
            let error = UnitError::StartsItself { unit: String::from("x.service"), how };
            for words in expected {
                assert!(error.to_string().contains(words), "{error}");
            }
        }
    }
}
