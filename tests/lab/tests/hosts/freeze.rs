//! The primary's host hangs for longer than the lease, and goes on as if nothing had happened.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ccm_lab::{PATIENCE, Site, SiteOptions, VIP, wait_for};

use crate::stage::{LOST_AGE_MAX, on_site, outage};

#[test]
fn a_host_that_hung_past_the_lease_serves_nobody_when_it_goes_on() {
    let test = "a_host_that_hung_past_the_lease_serves_nobody_when_it_goes_on";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (wire, load) = (site.wire()?, site.load("freeze")?);
        load.wait_more(300)?;

        let first = site.host(1)?;
        // A kernel that hangs answers nobody either.
        first.silence()?;
        first.freeze()?;
        let hung = Instant::now();
        site.wait_serves(2)?;
        load.wait_served_since(Instant::now())?;
        outage("freeze", &load, hung)?;
        ensure!(first.has(VIP), "a host that stands still keeps what its kernel has");

        let on = Instant::now();
        first.thaw()?;
        first.heal()?;
        let gone = wait_for(PATIENCE, "the guard to take backend and address away", || {
            let left = first.has(VIP) || !first.unit("convex-backend.service").is_empty();
            (!left).then(Instant::now)
        })?;
        println!("freeze: backend and address gone {:?} after it went on", gone - on);
        site.wait_follows(1)?;
        load.wait_more(100)?;
        let attempts = load.stop()?;
        // Whatever the thawed backend may have done, nobody was told that it was done: every
        // acknowledged row is the present primary's.
        let (lost, age) = site.lost(&attempts, hung)?;
        println!("freeze: {lost} acknowledged writes lost, the oldest {age:?} old");
        ensure!(age <= LOST_AGE_MAX, "lost a write that was {age:?} old");
        let served_after = attempts.iter().any(|one| one.row.is_some() && one.began > gone);
        ensure!(served_after, "nobody was served after it went on");
        let (_, holder) = wire.last().context("nobody answers")?;
        ensure!(holder == site.host(2)?.mac(), "{holder} has the address");
        wire.never_two()
    });
}
