//! The backend crashes, hangs, does not start.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_lab::{PATIENCE, Site, SiteOptions, wait_for};

use crate::stage::{BACKEND, on_site, outage};

fn signal(site: &Site, name: &str) -> Result<()> {
    let kill = ["systemctl", "kill", &format!("--signal={name}"), "--kill-whom=main", BACKEND];
    site.host(1)?.done(&kill).map(drop)
}

/// Strikes the backend of the primary and waits until it serves again where it was.
fn comes_back(test: &str, what: &str, strike: &str) {
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("backend")?);
        load.wait_more(300)?;
        let (epoch, before) = (site.epoch(1)?, site.host(1)?.unit(BACKEND));

        let struck = Instant::now();
        signal(site, strike)?;
        wait_for(PATIENCE, "another backend on the same host", || {
            let now = site.host(1).ok()?.unit(BACKEND);
            (!now.is_empty() && now != before).then_some(())
        })?;
        site.wait_serves(1)?;
        load.wait_more(100)?;
        outage(what, &load, struck)?;
        ensure!(site.epoch(1)? == epoch, "a new epoch: it was a failover");
        let (lost, _) = site.lost(&load.stop()?, struck)?;
        ensure!(lost == 0, "{lost} acknowledged writes lost");
        watch.one_backend()?;
        ensure!(wire.holders() == [site.host(1)?.mac()]);
        wire.never_two()
    });
}

#[test]
fn a_backend_that_crashes_is_started_again_where_it_was() {
    let test = "a_backend_that_crashes_is_started_again_where_it_was";
    comes_back(test, "backend crash", "KILL");
}

#[test]
fn a_backend_that_hangs_is_noticed_and_started_again() {
    let test = "a_backend_that_hangs_is_noticed_and_started_again";
    comes_back(test, "backend hang", "STOP");
}

#[test]
fn a_backend_that_does_not_start_is_handed_over() {
    let test = "a_backend_that_does_not_start_is_handed_over";
    let how = SiteOptions { start_timeout: Duration::from_secs(3), ..SiteOptions::default() };
    on_site(test, 2, how, |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("refusal")?);
        load.wait_more(300)?;
        let host = site.host(1)?;
        let refuse = "#!/bin/sh\necho 'cannot open the database' >&2\nexit 3\n";
        host.write_program("usr/bin/convex-local-backend", refuse)?;

        let struck = Instant::now();
        signal(site, "KILL")?;
        site.wait_serves(2)?;
        load.wait_more(100)?;
        outage("backend refuses to start", &load, struck)?;
        site.wait_status(1, "PASSIVE", |status| status["role"] == "PASSIVE")?;
        let (lost, _) = site.lost(&load.stop()?, struck)?;
        ensure!(lost == 0, "{lost} acknowledged writes lost");
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()
    });
}
