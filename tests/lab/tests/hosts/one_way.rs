//! A switch that forwards one way only: the primary is not heard any more, or hears nobody.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_lab::{Host, Site, SiteOptions};

use crate::stage::{LOST_AGE_MAX, on_site, outage};

fn one_way(test: &str, what: &str, strike: impl FnOnce(&Host) -> Result<()>) {
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("one-way")?);
        load.wait_more(300)?;

        strike(site.host(1)?)?;
        let struck = Instant::now();
        site.wait_serves(2)?;
        load.wait_served_since(Instant::now())?;
        let (address, backend) = watch.gaps(1, 2)?;
        println!("{what}: nobody had the address for {address:?}, no backend for {backend:?}");
        ensure!(address > Duration::ZERO && backend > Duration::ZERO, "no gap");
        outage(what, &load, struck)?;

        site.host(1)?.heal()?;
        site.wait_follows(1)?;
        load.wait_more(100)?;
        let (lost, age) = site.lost(&load.stop()?, struck)?;
        println!("{what}: {lost} acknowledged writes lost, the oldest {age:?} old");
        ensure!(age <= LOST_AGE_MAX, "lost a write that was {age:?} old");
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()
    });
}

#[test]
fn a_primary_that_nobody_hears_ends_before_the_other_begins() {
    let test = "a_primary_that_nobody_hears_ends_before_the_other_begins";
    one_way(test, "mute", Host::mute);
}

#[test]
fn a_primary_that_hears_nobody_ends_before_the_other_begins() {
    let test = "a_primary_that_hears_nobody_ends_before_the_other_begins";
    one_way(test, "deaf", Host::deafen);
}
