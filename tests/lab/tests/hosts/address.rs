//! The virtual IP as an IPv6 address, and what others do to it and to its interface.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ccm_lab::{Host, PATIENCE, Site, SiteOptions, VIP6, wait_for};

use crate::stage::{on_site, outage};

const DAEMON: &str = "convex-cluster-manager.service";
const ADD: &str = "ip address add fd77::100/64 dev eth0 nodad";
const DELETE: &str = "ip address delete fd77::100/64 dev eth0";

#[test]
fn an_ipv6_address_goes_where_the_leadership_goes_and_stays_nowhere_else() {
    let test = "an_ipv6_address_goes_where_the_leadership_goes_and_stays_nowhere_else";
    let six = SiteOptions { vip: VIP6, ..SiteOptions::default() };
    on_site(test, 2, six, |site: &Site| -> Result<()> {
        moves(site)?;
        is_left_nowhere(site)?;
        interface_changes(site)
    });
}

/// It is put back where it was removed, and taken along by a demotion: the wire hears an
/// advertisement that overrides, and the client looks for it at the other host from then on.
fn moves(site: &Site) -> Result<()> {
    let (one, two) = (site.host(1)?, site.host(2)?);
    let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("six")?);
    load.wait_more(100)?;

    let (removed, heard) = (Instant::now(), wire.announcements());
    one.sh(DELETE)?.ok()?;
    wait_for(PATIENCE, "the address to be put back", || one.has(VIP6).then_some(()))?;
    wait_for(PATIENCE, "it to be announced", || (wire.announcements() > heard).then_some(()))?;
    load.wait_served_since(Instant::now())?;
    outage("IPv6 address removed", &load, removed)?;
    ensure!(
        site.journal(1)?.contains("the virtual IP was removed by something else"),
        "nobody has said that it was removed"
    );

    let (demoted, heard) = (Instant::now(), wire.announcements());
    one.done(&["ccm", "demote"])?;
    site.wait_serves(2)?;
    load.wait_served_since(Instant::now())?;
    wait_for(PATIENCE, "it to be announced", || (wire.announcements() > heard).then_some(()))?;
    let believed = site.lab().client().neighbour(VIP6)?;
    ensure!(believed.contains(&two.mac()), "the client looks for it at {believed}");
    outage("IPv6 demote", &load, demoted)?;
    site.wait_follows(1)?;
    let (lost, _) = site.lost(&load.stop()?, demoted)?;
    ensure!(lost == 0, "{lost} acknowledged writes lost");
    ensure!(two.done(&["ccm", "vip", "status"])? == "fd77::100/64 on eth0: held\n");
    watch.one_backend()?;
    watch.one_address()?;
    ensure!(wire.holders() == [one.mac(), two.mac()]);
    wire.never_two()
}

/// What somebody has added to a passive host goes at the daemon's start, and when the daemon ends
/// without having done it.
fn is_left_nowhere(site: &Site) -> Result<()> {
    let one = site.host(1)?;
    one.done(&["systemctl", "stop", DAEMON])?;
    one.sh(ADD)?.ok()?;
    one.done(&["systemctl", "start", DAEMON])?;
    wait_for(PATIENCE, "the start to take it off", || (!one.has(VIP6)).then_some(()))?;
    site.wait_follows(1)?;

    one.sh(ADD)?.ok()?;
    let says = "the virtual IP fd77::100 is on eth0 although this node is not PRIMARY: `ccm vip \
                release` takes it off";
    wait_problem(one, says)?;
    one.sh(&format!(
        "mkdir -p /run/systemd/system/{DAEMON}.d && \
         printf '[Service]\\nRestart=no\\n' > /run/systemd/system/{DAEMON}.d/once.conf && \
         systemctl daemon-reload && systemctl kill --signal=KILL --kill-whom=main {DAEMON}"
    ))?
    .ok()?;
    wait_for(PATIENCE, "ExecStopPost= to take it off", || (!one.has(VIP6)).then_some(()))?;
    let state = one.sh(&format!("systemctl is-failed {DAEMON}"))?.out;
    ensure!(state == "failed\n", "the daemon is {state}");
    one.done(&["systemctl", "start", DAEMON])?;
    site.wait_follows(1)
}

/// An interface that is down, and one that has lost its name: said, and put right with it.
fn interface_changes(site: &Site) -> Result<()> {
    let (one, two) = (site.host(1)?, site.host(2)?);
    one.sh("ip link set eth0 down")?.ok()?;
    wait_problem(one, "the virtual IP fd77::100 could not be here: eth0 is down")?;
    one.sh("ip link set eth0 up")?.ok()?;
    site.wait_follows(1)?;

    // Shorter than NATS needs to notice; the kernel flushes IPv6 addresses on the way.
    two.sh("ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up")?.ok()?;
    let says = "the virtual IP fd77::100 is not on eth0 although this node is PRIMARY: there is no \
                interface eth0";
    wait_problem(two, says)?;
    two.sh("ip link set lan0 down; ip link set lan0 name eth0; ip link set eth0 up")?.ok()?;
    wait_for(PATIENCE, "the address to be put back", || two.has(VIP6).then_some(()))?;
    site.wait_serves(2)
}

/// Waits until the daemon says on the host itself, which needs no network, that this is wrong.
fn wait_problem(host: &Host, words: &str) -> Result<()> {
    let mut last = String::new();
    let ask = ["curl", "--silent", "--max-time", "2", "http://127.0.0.1:8080/status"];
    wait_for(PATIENCE, &format!("{} to say: {words}", host.name()), || {
        last = host.exec(&ask).map(|ran| ran.out).unwrap_or_default();
        last.contains(words).then_some(())
    })
    .with_context(|| format!("it says {last}"))
}
