//! Who else starts a unit, and putting an end to that.

use ccm_systemd_backend::SelfStart;

use crate::support::with_systemd;

const BACKEND: &str = "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=default.target\n";
const STATIC: &str = "[Service]\nExecStart=/bin/sleep 1000\n";

#[test]
fn a_unit_that_is_enabled_is_noticed_and_can_be_disabled_while_it_runs() {
    with_systemd(&[("backend.service", BACKEND)], async |systemd| {
        let unit = systemd.unit("backend").await;
        assert_eq!(unit.starts_itself().await.unwrap(), SelfStart::No);
        for how in [&["enable", "backend"][..], &["enable", "--runtime", "backend"]] {
            systemd.systemctl(how);
            systemd.systemctl(&["start", "backend"]);
            assert_eq!(unit.starts_itself().await.unwrap(), SelfStart::Enabled, "{how:?}");
            let pid = unit.state().await.unwrap().main_pid;
            assert_eq!(unit.disable().await.unwrap(), SelfStart::No, "{how:?}");
            assert_eq!(unit.starts_itself().await.unwrap(), SelfStart::No, "{how:?}");
            assert_eq!(unit.state().await.unwrap().main_pid, pid);
            systemd.systemctl(&["stop", "backend"]);
        }
    });
}

#[test]
fn a_link_made_by_hand_is_found_as_well_as_one_of_an_install_section() {
    with_systemd(&[("backend.service", STATIC)], async |systemd| {
        let unit = systemd.unit("backend").await;
        assert_eq!(unit.starts_itself().await.unwrap(), SelfStart::No);
        systemd.systemctl(&["add-wants", "default.target", "backend.service"]);
        systemd.systemctl(&["daemon-reload"]);
        assert_eq!(unit.starts_itself().await.unwrap(), SelfStart::Enabled);
        assert_eq!(unit.disable().await.unwrap(), SelfStart::No);
    });
}

#[test]
fn what_triggers_it_is_named_and_cannot_be_disabled_with_it() {
    let timer = "[Timer]\nOnActiveSec=1h\n";
    let needy = "[Unit]\nRequires=along.service\n[Service]\nExecStart=/bin/sleep 1000\n";
    let units = [
        ("backend.service", STATIC),
        ("backend.timer", timer),
        ("along.service", STATIC),
        ("needy.service", needy),
    ];
    with_systemd(&units, async |systemd| {
        systemd.systemctl(&["start", "backend.timer", "needy.service"]);
        let unit = systemd.unit("backend").await;
        let timed = SelfStart::PulledIn { by: vec![String::from("backend.timer")] };
        assert_eq!(unit.starts_itself().await.unwrap(), timed);
        assert_eq!(unit.disable().await.unwrap(), timed);

        let along = systemd.unit("along").await.starts_itself().await.unwrap();
        assert_eq!(along, SelfStart::Along { with: vec![String::from("needy.service")] });
        assert!(timed.is_by_itself() && !along.is_by_itself());
    });
}

#[test]
fn a_unit_that_nobody_can_start_is_not_started_by_itself() {
    with_systemd(&[("masked.service", "")], async |systemd| {
        for name in ["masked", "nobody"] {
            let unit = systemd.unit(name).await;
            assert_eq!(unit.starts_itself().await.unwrap(), SelfStart::No, "{name}");
        }
    });
}
