//! keepalived makes the same address move beside us: how long nobody has it, and what the wire
//! shows when two have it, which is also the proof that the wire shows it.

use std::time::Instant;

use anyhow::{Result, ensure};
use ccm_lab::{Host, Lab, PATIENCE, Site, SiteOptions, VIP, Wire, wait_for};

use crate::stage::{on_lab, on_site};

/// VRRP as Debian's manual page has it: adverts every second, the address with the first host.
fn install(host: &Host) -> Result<()> {
    let (state, priority) = if host.number() == 1 { ("MASTER", 150) } else { ("BACKUP", 100) };
    host.write(
        "etc/keepalived/keepalived.conf",
        &format!(
            "vrrp_instance convex {{
  state {state}
  interface eth0
  virtual_router_id 51
  priority {priority}
  advert_int 1
  nopreempt
  virtual_ipaddress {{
    {VIP}/24
  }}
}}
"
        ),
    )?;
    host.done(&["systemctl", "start", "keepalived"]).map(drop)
}

fn wait_holder(wire: &Wire, host: &Host, since: Instant) -> Result<()> {
    wait_for(PATIENCE, &format!("{} to answer for the address", host.name()), || {
        wire.last().filter(|(at, mac)| *at > since && *mac == host.mac()).map(drop)
    })
}

#[test]
fn keepalived_moves_the_address_and_has_it_twice_when_the_hosts_do_not_hear_each_other() {
    let test =
        "keepalived_moves_the_address_and_has_it_twice_when_the_hosts_do_not_hear_each_other";
    on_lab(test, 2, |lab: &Lab| {
        let (one, two) = (lab.host(1)?, lab.host(2)?);
        let wire = Wire::watch(lab.client(), VIP)?;
        let begun = Instant::now();
        install(one)?;
        wait_holder(&wire, one, begun)?;
        install(two)?;

        one.done(&["systemctl", "stop", "keepalived"])?;
        wait_holder(&wire, two, Instant::now())?;
        one.done(&["systemctl", "start", "keepalived"])?;
        let cut = Instant::now();
        two.cut()?;
        wait_holder(&wire, one, cut)?;
        let moves = wire.moves();
        println!("keepalived: nobody had the address for {moves:?} (stopped, power cut)");
        ensure!(moves.len() == 2 && wire.two().is_empty(), "{moves:?}, {:?}", wire.two());

        two.boot()?;
        install(two)?;
        one.isolate()?;
        two.isolate()?;
        wait_for(PATIENCE, "the wire to show two", || wire.two().pop())?;
        ensure!(wire.never_two().is_err(), "the wire has not said so");
        Ok(())
    });
}

#[test]
fn ccm_moves_the_same_address_and_has_it_once_also_then() {
    let test = "ccm_moves_the_same_address_and_has_it_once_also_then";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (one, two) = (site.host(1)?, site.host(2)?);
        let (watch, wire) = (site.watch()?, site.wire()?);
        wait_holder(&wire, one, Instant::now())?;
        one.done(&["ccm", "demote"])?;
        wait_holder(&wire, two, Instant::now())?;
        site.wait_serves(2)?;
        site.wait_follows(1)?;
        let cut = Instant::now();
        two.cut()?;
        wait_holder(&wire, one, cut)?;
        site.wait_serves(1)?;
        let moves = wire.moves();
        println!("ccm: nobody had the address for {moves:?} (demoted, power cut)");
        ensure!(moves.len() == 2, "{moves:?}");
        two.boot()?;
        site.wait_follows(2)?;

        one.isolate()?;
        two.isolate()?;
        // NATS hears both, and only that counts.
        let questions = wire.questions() + 300;
        wait_for(PATIENCE, "questions", || (wire.questions() > questions).then_some(()))?;
        site.wait_serves(1)?;
        site.wait_follows(2)?;
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()
    });
}
