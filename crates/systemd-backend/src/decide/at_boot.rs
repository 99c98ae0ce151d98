//! Whether something other than its owner starts a unit.

/// systemd's `UnitFileState` (systemctl(1), "is-enabled").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitFileState {
    /// Enabled for every boot.
    Enabled,
    /// Enabled until the next boot.
    EnabledRuntime,
    /// Its file is a link to one elsewhere.
    Linked,
    /// The same until the next boot.
    LinkedRuntime,
    /// The name is another one of a unit.
    Alias,
    /// Nobody can start it.
    Masked,
    /// Nobody can start it until the next boot.
    MaskedRuntime,
    /// It cannot be enabled, because its file has no `[Install]`.
    Static,
    /// Not enabled.
    Disabled,
    /// Not enabled itself, but it enables others.
    Indirect,
    /// A generator has written it, as for a script in `/etc/init.d`.
    Generated,
    /// A program has made it, and it has no file that stays.
    Transient,
    /// Its file cannot be read.
    Bad,
    /// There is no file, or systemd uses a word that is not known here.
    Unknown,
}

impl UnitFileState {
    /// From systemd's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "enabled" => Self::Enabled,
            "enabled-runtime" => Self::EnabledRuntime,
            "linked" => Self::Linked,
            "linked-runtime" => Self::LinkedRuntime,
            "alias" => Self::Alias,
            "masked" => Self::Masked,
            "masked-runtime" => Self::MaskedRuntime,
            "static" => Self::Static,
            "disabled" => Self::Disabled,
            "indirect" => Self::Indirect,
            "generated" => Self::Generated,
            "transient" => Self::Transient,
            "bad" => Self::Bad,
            _other => Self::Unknown,
        }
    }
}

/// Who starts a unit without having been asked by its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelfStart {
    /// Nobody.
    No,
    /// It is enabled: every boot does, or whoever starts what it is enabled for.
    Enabled,
    /// A target, or a unit that triggers others, although it is not enabled: a link that was
    /// made by hand or by a generator, a timer, a socket, a path.
    PulledIn {
        /// Those units.
        by: Vec<String>,
    },
    /// Only other units that are started themselves, and need it or want it.
    Along {
        /// Those units.
        with: Vec<String>,
    },
}

impl SelfStart {
    /// `starters` are the units that systemd starts it with or that trigger it, as far as they
    /// are loaded.
    #[must_use]
    pub fn of(state: UnitFileState, starters: &[String]) -> Self {
        match state {
            UnitFileState::Enabled | UnitFileState::EnabledRuntime => return Self::Enabled,
            // Whoever wants to start it cannot.
            UnitFileState::Masked | UnitFileState::MaskedRuntime => return Self::No,
            UnitFileState::Linked
            | UnitFileState::LinkedRuntime
            | UnitFileState::Alias
            | UnitFileState::Static
            | UnitFileState::Disabled
            | UnitFileState::Indirect
            | UnitFileState::Generated
            | UnitFileState::Transient
            | UnitFileState::Bad
            | UnitFileState::Unknown => {}
        }
        let mut starters = starters.to_vec();
        starters.sort();
        starters.dedup();
        let (by, with): (Vec<_>, Vec<_>) = starters.into_iter().partition(|name| of_boot(name));
        match (by.is_empty(), with.is_empty()) {
            (false, _) => Self::PulledIn { by },
            (true, false) => Self::Along { with },
            (true, true) => Self::No,
        }
    }

    /// Whether a boot, a clock or a client starts it: it then runs beside the one of another
    /// node.
    #[must_use]
    pub fn is_by_itself(&self) -> bool {
        match self {
            Self::Enabled | Self::PulledIn { .. } => true,
            Self::No | Self::Along { .. } => false,
        }
    }
}

/// A unit that a boot reaches, or that waits for something to happen.
fn of_boot(name: &str) -> bool {
    [".target", ".timer", ".socket", ".path"].iter().any(|kind| name.ends_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: &str, starters: &[&str]) -> SelfStart {
        let starters: Vec<String> = starters.iter().copied().map(String::from).collect();
        SelfStart::of(UnitFileState::parse(word), &starters)
    }

    #[test]
    fn only_what_is_enabled_or_pulled_in_starts_by_itself() {
        let target = ["multi-user.target"];
        let service = ["exporter.service"];
        let pulled = || SelfStart::PulledIn { by: vec![String::from("multi-user.target")] };
        let along = || SelfStart::Along { with: vec![String::from("exporter.service")] };
        // The word, nobody starts it, a target does, a service does.
        let rests = |word| (word, SelfStart::No, pulled(), along());
        let never = |word| (word, SelfStart::No, SelfStart::No, SelfStart::No);
        let always = |word| (word, SelfStart::Enabled, SelfStart::Enabled, SelfStart::Enabled);
        let table = [
            always("enabled"),
            always("enabled-runtime"),
            never("masked"),
            never("masked-runtime"),
            rests("linked"),
            rests("linked-runtime"),
            rests("alias"),
            rests("static"),
            rests("disabled"),
            rests("indirect"),
            rests("generated"),
            rests("transient"),
            rests("bad"),
            rests(""),
            rests("a word of the future"),
        ];
        for (word, alone, with_target, with_service) in table {
            assert_eq!(of(word, &[]), alone, "{word}");
            assert_eq!(of(word, &target), with_target, "{word} of a target");
            assert_eq!(of(word, &service), with_service, "{word} of a service");
        }
    }

    #[test]
    fn every_word_of_systemd_is_known() {
        let words = "enabled enabled-runtime linked linked-runtime alias masked masked-runtime \
                     static disabled indirect generated transient bad";
        for word in words.split(' ') {
            assert_ne!(UnitFileState::parse(word), UnitFileState::Unknown, "{word}");
        }
        assert_eq!(UnitFileState::parse(""), UnitFileState::Unknown);
    }

    #[test]
    fn what_a_boot_or_a_trigger_starts_is_named_before_what_goes_along() {
        let table: [(&[&str], SelfStart); 5] = [
            (&["x.timer"], SelfStart::PulledIn { by: vec![String::from("x.timer")] }),
            (&["x.socket"], SelfStart::PulledIn { by: vec![String::from("x.socket")] }),
            (&["x.path"], SelfStart::PulledIn { by: vec![String::from("x.path")] }),
            (
                &["b.target", "y.service", "a.target", "b.target"],
                SelfStart::PulledIn { by: ["a.target", "b.target"].map(String::from).to_vec() },
            ),
            (&["y.service", "x.slice"], {
                let with = ["x.slice", "y.service"].map(String::from).to_vec();
                SelfStart::Along { with }
            }),
        ];
        for (starters, expected) in table {
            assert_eq!(of("static", starters), expected, "{starters:?}");
        }
        assert!(SelfStart::Enabled.is_by_itself());
        assert!(SelfStart::PulledIn { by: Vec::new() }.is_by_itself());
        assert!(!SelfStart::Along { with: Vec::new() }.is_by_itself());
        assert!(!SelfStart::No.is_by_itself());
    }
}
