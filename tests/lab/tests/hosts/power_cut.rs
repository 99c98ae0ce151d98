//! The primary's host loses its power under load.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_lab::{Site, SiteOptions};

use crate::stage::{LOST_AGE_MAX, on_site, outage};

/// What may come on top of the lease: the promotion and the backend's own start.
const BEYOND_TTL: Duration = Duration::from_secs(3);

#[test]
fn a_power_cut_is_taken_over_within_the_lease_and_the_host_comes_back_as_a_passive() {
    let test = "a_power_cut_is_taken_over_within_the_lease_and_the_host_comes_back_as_a_passive";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("cut")?);
        load.wait_more(300)?;
        let epoch = site.epoch(1)?;

        site.host(1)?.cut()?;
        let cut = Instant::now();
        site.wait_serves(2)?;
        load.wait_served_since(Instant::now())?;
        ensure!(site.epoch(2)? == epoch + 1, "one failover is one epoch");
        let took = outage("power cut", &load, cut)?;
        let limit = site.options().ttl + BEYOND_TTL;
        ensure!(took <= limit, "served again after {took:?}, at most {limit:?}");
        load.wait_more(100)?;

        // The daemon is enabled, the backend is not: it comes back and follows.
        site.host(1)?.boot()?;
        site.wait_follows(1)?;
        load.wait_more(100)?;
        let (lost, age) = site.lost(&load.stop()?, cut)?;
        println!("power cut: {lost} acknowledged writes lost, the oldest {age:?} old");
        ensure!(age <= LOST_AGE_MAX, "lost a write that was {age:?} old");
        watch.one_backend()?;
        watch.one_address()?;
        ensure!(wire.holders() == [site.host(1)?.mac(), site.host(2)?.mac()]);
        wire.never_two()
    });
}
