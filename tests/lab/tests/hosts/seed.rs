//! The units as the seed prints them, byte for byte: nothing is ordered, nothing is added.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_lab::{Load, Site, SiteOptions, Source};

use crate::stage::{given_away, on_site, outage};

/// A backend that ends when D-Bus has ended, which only a shutdown ends: no unit orders the two.
const AFTER_THE_BUS: &str = "#!/bin/sh
/usr/bin/demo-backend --db \"$CONVEX_LOCAL_STORAGE\" --listen 0.0.0.0:3210 --ignore-sigterm &
backend=$!
trap : TERM
wait $backend
while grep --quiet --no-messages --line-regexp dbus-daemon /proc/[0-9]*/comm; do sleep 0.05; done
touch /var/lib/convex/after-the-bus
kill -KILL $backend
";

const UNITS: [&str; 2] = ["convex-cluster-manager.service", "convex-backend.service"];

#[test]
fn with_the_units_of_the_seed_a_reboot_of_the_primary_moves_it_and_loses_nothing() {
    let test = "with_the_units_of_the_seed_a_reboot_of_the_primary_moves_it_and_loses_nothing";
    let how = SiteOptions {
        // The seed's.
        ttl: Duration::from_secs(10),
        heartbeat: Duration::from_secs(3),
        source: Source::Seed,
        ..SiteOptions::default()
    };
    on_site(test, 2, how, |site: &Site| -> Result<()> {
        for unit in UNITS {
            let shown = site.host(1)?.done(&["systemctl", "show", "-P", "FragmentPath", unit])?;
            ensure!(shown == format!("/etc/systemd/system/{unit}\n"), "{unit} is {shown}");
        }
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("seed")?);
        load.wait_more(300)?;
        let began = Instant::now();
        let two = site.host(2)?;
        two.write_program("usr/bin/convex-local-backend", AFTER_THE_BUS)?;
        site.host(1)?.done(&["convex-cluster-manager", "switchover", "--to", "node-2"])?;
        site.wait_serves(2)?;
        site.wait_follows(1)?;
        outage("units of the seed: switchover", &load, began)?;
        reboot(site, &load, 2, 1)?;
        ensure!(two.path("var/lib/convex/after-the-bus").exists(), "D-Bus has not gone first");
        reboot(site, &load, 1, 2)?;

        let attempts = load.stop()?;
        let (lost, _) = site.lost(&attempts, began)?;
        ensure!(lost == 0, "{lost} of {} acknowledged writes lost", attempts.len());
        reboot_without_daemon(site, 2)?;
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()
    });
}

/// The primary's host is rebooted in order, and `to` serves.
fn reboot(site: &Site, load: &Load, from: u8, to: u8) -> Result<()> {
    let epoch = site.epoch(from)?;
    load.wait_more(100)?;
    let (host, asked) = (site.host(from)?, Instant::now());
    let boots = host.boots();
    host.reboot()?;
    site.wait_serves(to)?;
    given_away(site, to, epoch + 1)?;
    host.wait_booted_again(boots)?;
    site.wait_follows(from)?;
    load.wait_more(100)?;
    outage("units of the seed: reboot", load, asked).map(drop)
}

/// The daemon is dead when the host goes down, and the bus gone before the guard can ask it: the
/// guard ends with the lease all the same, and does not hold the host up.
fn reboot_without_daemon(site: &Site, from: u8) -> Result<()> {
    let host = site.host(from)?;
    let boots = host.boots();
    host.sh("systemctl kill --signal=KILL --kill-whom=main convex-cluster-manager; \
         systemctl reboot")?;
    site.wait_other_serves(from)?;
    host.wait_booted_again(boots)
}
