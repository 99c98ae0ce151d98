//! The lab itself: what it promises to every scenario.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ccm_harness::bound;
use ccm_harness::processes::{self, Signal};
use ccm_lab::{Host, Lab, PATIENCE, Power, traces, wait_for};

use crate::stage::on_lab;

/// When a datagram that has not come will not come any more; it takes microseconds.
const HEARD_WITHIN: Duration = Duration::from_millis(300);

#[test]
fn a_host_boots_is_cut_and_boots_again() {
    on_lab("a_host_boots_is_cut_and_boots_again", 2, |lab| {
        let (one, two) = (lab.host(1)?, lab.host(2)?);
        for host in [one, two] {
            assert_eq!(host.wait_running()?, "running");
            assert_eq!(host.done(&["cat", "/proc/1/comm"])?, "systemd\n");
            assert_eq!(host.done(&["uname", "-n"])?, format!("{}\n", host.name()));
        }
        let boot = one.done(&["cat", "/proc/sys/kernel/random/boot_id"])?;
        assert_ne!(boot, two.done(&["cat", "/proc/sys/kernel/random/boot_id"])?);
        one.sh("echo kept > /var/lib/kept; echo lost > /run/lost; systemd-run sleep 600")?.ok()?;

        one.cut()?;
        assert_eq!(one.power(), Power::Off);
        assert_eq!(two.power(), Power::On);
        let refused = one.exec(&["true"]).map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(refused, Err(String::from("node-1 is off")));

        one.boot()?;
        assert_eq!(one.wait_running()?, "running");
        assert_eq!(one.done(&["cat", "/var/lib/kept"])?, "kept\n");
        assert!(!one.path("run/lost").exists());
        assert_ne!(boot, one.done(&["cat", "/proc/sys/kernel/random/boot_id"])?);

        let boots = one.boots();
        one.reboot()?;
        one.wait_booted_again(boots)?;
        assert_eq!(one.wait_running()?, "running");
        one.power_off()?;
        assert_eq!(one.power(), Power::Off);
        Ok(())
    });
}

#[test]
fn what_happens_on_the_way_happens_in_the_direction_that_was_meant() {
    on_lab("what_happens_on_the_way_happens_in_the_direction_that_was_meant", 3, |lab| {
        let (one, two, three) = (lab.host(1)?, lab.host(2)?, lab.host(3)?);
        for (host, other) in [(one, two), (two, one), (one, three), (three, one)] {
            // Who is known needs not be asked for, which would take both directions.
            let (to, mac) = (other.address().to_string(), other.mac());
            host.done(&["ip", "neigh", "replace", &to, "lladdr", &mac, "dev", "eth0"])?;
        }
        let expect = |what: &str, expected: (bool, bool)| -> Result<()> {
            let heard = (hears(one, two)?, hears(two, one)?);
            ensure!(heard == expected, "{what}: (2 hears 1, 1 hears 2) is {heard:?}");
            Ok(())
        };
        expect("as it was made", (true, true))?;
        one.mute()?;
        expect("n1 mute", (false, true))?;
        one.heal()?;
        one.deafen()?;
        expect("n1 deaf", (true, false))?;
        one.heal()?;
        one.silence()?;
        expect("n1 silent", (false, false))?;
        assert!(one.done(&["ip", "link", "show", "eth0"])?.contains("LOWER_UP"));
        one.heal()?;
        expect("n1 healed", (true, true))?;
        one.unplug()?;
        expect("n1 unplugged", (false, false))?;
        assert!(one.done(&["ip", "link", "show", "eth0"])?.contains("NO-CARRIER"));
        one.plug()?;
        wait_for(PATIENCE, "the cable to work again", || hears(one, two).ok()?.then_some(()))?;
        one.island()?;
        three.island()?;
        expect("n1 and n3 on the island", (false, false))?;
        ensure!(hears(one, three)? && hears(three, one)?, "islanders do not hear each other");
        one.mainland()?;
        three.mainland()?;
        expect("on the mainland again", (true, true))?;

        one.freeze()?;
        assert_eq!(one.power(), Power::Frozen);
        expect("n1 frozen, its kernel is not", (true, true))?;
        one.thaw()?;
        assert_eq!(one.power(), Power::On);
        Ok(())
    });
}

/// Whether a datagram from one reaches the other.
fn hears(from: &Host, to: &Host) -> Result<bool> {
    let ear = to.in_network(|| Ok(UdpSocket::bind(("0.0.0.0", 0))?))?;
    ear.set_read_timeout(Some(HEARD_WITHIN))?;
    let at = SocketAddr::from((to.address(), ear.local_addr()?.port()));
    // A host without a carrier cannot even send.
    from.in_network(|| Ok(UdpSocket::bind(("0.0.0.0", 0))?.send_to(b"x", at).is_ok()))?;
    Ok(ear.recv(&mut [0; 8]).is_ok())
}

#[test]
fn a_killed_lab_leaves_no_process_and_the_next_one_sweeps_its_names() {
    let test = "a_killed_lab_leaves_no_process_and_the_next_one_sweeps_its_names";
    let mut left = Vec::new();
    let Some(turn) = ccm_lab::turn(test) else { return };
    ccm_harness::build();
    let killed = killed_lab(&mut left);
    killed.unwrap_or_else(|error| panic!("{error:?}"));
    drop(turn);
    assert!(left.iter().any(|path| path.exists()), "nothing to sweep: {left:?}");
    on_lab(test, 1, |_: &Lab| {
        let still: Vec<_> = left.iter().filter(|path| path.exists()).collect();
        ensure!(still.is_empty(), "not swept: {still:?}");
        Ok(())
    });
}

/// A lab by hand whose process is killed; the names that it has left.
fn killed_lab(left: &mut Vec<std::path::PathBuf>) -> Result<()> {
    let program = env!("CARGO_BIN_EXE_ccm-lab");
    let name = format!("test-{}", std::process::id());
    let verb = |words: &[&str]| Command::new(program).args(["--name", &name]).args(words).output();
    let mut keep = Command::new(program);
    keep.args(["--name", &name, "keep", "--hosts", "1"]);
    let mut keeping = bound(&keep).stdout(Stdio::null()).spawn()?;
    let hello = wait_for(PATIENCE, "the lab to come up", || {
        let ran = verb(&["exec", "1", "--", "uname", "-n"]).ok()?;
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
    })?;
    assert_eq!(hello, "node-1\n");
    let failed = verb(&["exec", "1", "--", "false"])?;
    assert_eq!(failed.status.code(), Some(1));
    let status = String::from_utf8(verb(&["status"])?.stdout)?;
    assert_eq!(
        status,
        "HOST    ADDRESS      POWER   SYSTEM\nnode-1  10.0.1.10    on      running\n"
    );
    let no_host = String::from_utf8(verb(&["cut", "2"])?.stderr)?;
    assert_eq!(no_host, "error: there are hosts 1 to 1, not 2\n");

    *left = traces(keeping.id());
    ensure!(left.len() == 3, "one host and a NATS server have a cgroup and two folders: {left:?}");
    let pids: Vec<i32> = left.iter().flat_map(|path| pids(path)).collect();
    ensure!(pids.len() > 2, "a host has processes: {pids:?}");
    processes::signal(i32::try_from(keeping.id())?, Signal::KILL);
    keeping.wait()?;
    wait_for(PATIENCE, "the killed lab's processes to be gone", || {
        pids.iter().all(|pid| processes::command(*pid).is_none()).then_some(())
    })?;
    let gone = String::from_utf8(verb(&["status"])?.stderr)?;
    assert_eq!(gone, "error: no lab is up: `cargo xtask lab up` makes one\n");
    std::fs::remove_file(format!("/run/ccm-lab/{name}.sock")).context("its socket")
}

/// Every process in a cgroup and below.
fn pids(cgroup: &Path) -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir(cgroup) else { return Vec::new() };
    let mut all: Vec<i32> = std::fs::read_to_string(cgroup.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for entry in entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()) {
        all.extend(pids(&entry.path()));
    }
    all
}
