//! Where the guard runs: in a unit of its own wherever the daemon is one.

use ccm_agent::{GuardHome, Settings};

use crate::logging;

/// Names the unit that is the guard, set by the unit that is the daemon.
const UNIT_VARIABLE: &str = "CCM_GUARD_UNIT";
/// The process that systemd has started: the daemon itself, or something that started the daemon.
const MAIN_VARIABLE: &str = "SYSTEMD_EXEC_PID";
/// What a guard that is made a unit keeps of the environment.
const KEPT: [&str; 2] = [logging::LEVEL_VARIABLE, logging::FORMAT_VARIABLE];

pub(super) fn find(settings: &Settings) -> GuardHome {
    let is_root = rustix::process::geteuid().is_root();
    choose(settings, std::process::id(), is_root, |name| std::env::var(name).ok())
}

fn choose(
    settings: &Settings,
    own: u32,
    is_root: bool,
    variable: impl Fn(&str) -> Option<String>,
) -> GuardHome {
    if let Some(unit) = variable(UNIT_VARIABLE).filter(|unit| !unit.is_empty()) {
        return GuardHome::Unit(unit);
    }
    let is_service = variable(MAIN_VARIABLE).and_then(|pid| pid.parse().ok()) == Some(own);
    if !(is_service && is_root) {
        return GuardHome::Detached;
    }
    let Settings { cluster, node, .. } = settings;
    let kept = KEPT.iter().filter_map(|&name| Some((String::from(name), variable(name)?)));
    GuardHome::Transient {
        name: format!("ccm-guard-{cluster}-{node}.service"),
        variables: kept.collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_guard_is_a_unit_where_the_daemon_is_one() {
        let text = r#"{ "clusterId": "c", "nodeId": "n.x", "nats": { "servers": ["nats://h"] } }"#;
        let settings = Config::parse(text, Path::new("x")).unwrap().settings();
        let home = |set: &[(&str, &str)], is_root| {
            choose(&settings, 7, is_root, |name| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| String::from(*value))
            })
        };
        assert_eq!(home(&[], true), GuardHome::Detached);
        assert_eq!(home(&[(MAIN_VARIABLE, "8")], true), GuardHome::Detached);
        assert_eq!(home(&[(MAIN_VARIABLE, "7")], false), GuardHome::Detached);
        let transient = GuardHome::Transient {
            name: String::from("ccm-guard-c-n.x.service"),
            variables: vec![(String::from("CCM_LOG"), String::from("debug"))],
        };
        assert_eq!(home(&[(MAIN_VARIABLE, "7"), ("CCM_LOG", "debug")], true), transient);
        let named = [(MAIN_VARIABLE, "7"), (UNIT_VARIABLE, "g.service")];
        assert_eq!(home(&named, true), GuardHome::Unit(String::from("g.service")));
    }
}
