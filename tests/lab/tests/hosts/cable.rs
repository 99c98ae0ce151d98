//! The cable of the primary is pulled: it serves nobody, and must end before another begins.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_lab::{PATIENCE, Site, SiteOptions, VIP, wait_for};

use crate::stage::{LOST_AGE_MAX, on_site, outage};

#[test]
fn a_pulled_cable_ends_backend_and_address_before_the_other_begins() {
    let test = "a_pulled_cable_ends_backend_and_address_before_the_other_begins";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("cable")?);
        load.wait_more(300)?;

        site.host(1)?.unplug()?;
        let pulled = Instant::now();
        site.wait_serves(2)?;
        load.wait_served_since(Instant::now())?;
        let (address, backend) = watch.gaps(1, 2)?;
        println!("cable: nobody had the address for {address:?}, no backend ran for {backend:?}");
        ensure!(address > Duration::ZERO && backend > Duration::ZERO, "no gap");
        outage("cable", &load, pulled)?;
        ensure!(site.journal(1)?.contains("eth0 has no carrier"), "nobody has said so");

        site.host(1)?.plug()?;
        site.wait_follows(1)?;
        wait_for(PATIENCE, "the address to be off the host that was cut off", || {
            (!site.host(1).ok()?.has(VIP)).then_some(())
        })?;
        load.wait_more(100)?;
        let (lost, age) = site.lost(&load.stop()?, pulled)?;
        println!("cable: {lost} acknowledged writes lost, the oldest {age:?} old");
        ensure!(age <= LOST_AGE_MAX, "lost a write that was {age:?} old");
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()
    });
}
