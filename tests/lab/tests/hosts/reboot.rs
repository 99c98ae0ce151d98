//! The primary's host is rebooted in order, as after an upgrade of its kernel.

use std::time::Instant;

use anyhow::{Result, ensure};
use ccm_lab::{Site, SiteOptions};

use crate::stage::{on_site, outage};

#[test]
fn a_reboot_of_the_primary_moves_it_and_loses_nothing() {
    let test = "a_reboot_of_the_primary_moves_it_and_loses_nothing";
    on_site(test, 2, SiteOptions::default(), |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("reboot")?);
        load.wait_more(300)?;
        let boots = site.host(1)?.boots();

        let asked = Instant::now();
        site.host(1)?.reboot()?;
        site.wait_other_serves(1)?;
        site.host(1)?.wait_booted_again(boots)?;
        site.wait_follows(1)?;
        site.wait_serves(2)?;
        load.wait_more(100)?;
        outage("reboot", &load, asked)?;
        let attempts = load.stop()?;
        let (lost, _) = site.lost(&attempts, asked)?;
        ensure!(lost == 0, "{lost} of {} acknowledged writes lost", attempts.len());
        watch.one_backend()?;
        watch.one_address()?;
        wire.never_two()
    });
}
