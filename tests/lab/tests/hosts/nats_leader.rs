//! Three NATS servers on the hosts themselves, and the one that leads the lease's stream is killed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ccm_lab::{PATIENCE, Site, SiteOptions, wait_for};
use serde_json::Value;

use crate::stage::{on_site, outage};

const NATS: &str = "nats-server.service";
/// The port of the server's own monitoring.
const MONITORING: u16 = 8222;
/// What holds the lease, and what holds the data.
const LEASE: &str = "KV_convex-convex-prod-election";
const DATA: &str = "OBJ_convex-convex-prod-wal";
/// How often the leader is killed.
const ROUNDS: usize = 3;
/// Longer than a client ever waits for an answer on a busy machine, shorter than any failover.
const NO_OUTAGE: Duration = Duration::from_secs(1);

#[test]
fn a_killed_nats_leader_demotes_nobody_with_the_recommended_settings() {
    // What the README recommends for a cluster of three.
    let recommended = SiteOptions {
        ttl: Duration::from_secs(15),
        heartbeat: Duration::from_secs(3),
        nats_on_hosts: true,
        ..SiteOptions::default()
    };
    let test = "a_killed_nats_leader_demotes_nobody_with_the_recommended_settings";
    on_site(test, 3, recommended, |site: &Site| -> Result<()> {
        let (watch, wire, load) = (site.watch()?, site.wire()?, site.load("nats")?);
        load.wait_more(300)?;
        let epoch = site.epoch(1)?;
        for host in site.lab().hosts() {
            ensure!(replicas(site, host.number(), LEASE)? == 3, "the lease is not on three");
            ensure!(replicas(site, host.number(), DATA)? == 3, "the data is not on three");
            host.sh(&format!(
                "mkdir -p /run/systemd/system/{NATS}.d && \
                 printf '[Service]\\nRestart=no\\n' > /run/systemd/system/{NATS}.d/once.conf && \
                 systemctl daemon-reload"
            ))?
            .ok()?;
        }
        for round in 1..=ROUNDS {
            let leader = wait_leader(site, None)?;
            let killed = Instant::now();
            let kill = ["systemctl", "kill", "--signal=KILL", NATS];
            site.host(leader)?.done(&kill)?;
            let next = wait_leader(site, Some(leader))?;
            let took = killed.elapsed();
            println!("round {round}: nats{leader} killed, nats{next} leads after {took:?}");
            // Whatever was written meanwhile gets into the bucket, by the same primary.
            site.wait_status(1, "PRIMARY without a problem", |status| {
                status["role"] == "PRIMARY" && status["problem"].is_null()
            })?;
            load.wait_more(300)?;
            let took = outage("NATS leader killed", &load, killed)?;
            ensure!(took < NO_OUTAGE, "clients were not served for {took:?}");
            ensure!(site.epoch(1)? == epoch, "a new epoch: somebody was demoted");
            site.host(leader)?.done(&["systemctl", "start", NATS])?;
            wait_for(PATIENCE, "the killed server to have caught up", || {
                in_sync(site, LEASE).ok()?.then_some(())
            })?;
        }
        let (lost, _) = site.lost(&load.stop()?, Instant::now())?;
        ensure!(lost == 0, "{lost} acknowledged writes lost");
        watch.one_backend()?;
        ensure!(wire.holders() == [site.host(1)?.mac()]);
        wire.never_two()
    });
}

/// What the server of a host says of a stream; `Null` when it knows none.
fn stream(site: &Site, number: u8, name: &str) -> Result<Value> {
    let server = site.host(number)?.address();
    let url = format!("http://{server}:{MONITORING}/jsz?accounts=true&streams=true&config=true");
    let ask = ["curl", "--silent", "--fail", "--max-time", "2", &url];
    let all: Value = serde_json::from_str(&site.lab().client().exec(&ask)?.ok()?)?;
    let accounts = all["account_details"].as_array().cloned().unwrap_or_default();
    let mut streams = accounts
        .iter()
        .flat_map(|account| account["stream_detail"].as_array().cloned().unwrap_or_default());
    Ok(streams.find(|stream| stream["name"] == name).unwrap_or_default())
}

fn replicas(site: &Site, number: u8, name: &str) -> Result<u64> {
    Ok(stream(site, number, name)?["config"]["num_replicas"].as_u64().unwrap_or_default())
}

/// The host whose server leads the lease's stream, other than `not`, as another than that says.
fn wait_leader(site: &Site, not: Option<u8>) -> Result<u8> {
    wait_for(PATIENCE, "a leader of the lease's stream", || {
        let asked = site.lab().hosts().iter().map(ccm_lab::Host::number);
        asked.filter(|number| Some(*number) != not).find_map(|number| {
            let stream = stream(site, number, LEASE).ok()?;
            let leader = stream["cluster"]["leader"].as_str()?.strip_prefix("nats")?;
            leader.parse().ok().filter(|leader| Some(*leader) != not)
        })
    })
}

/// Whether all followers of a stream are current, as its leader says.
fn in_sync(site: &Site, name: &str) -> Result<bool> {
    let leader = wait_leader(site, None)?;
    let followers = stream(site, leader, name)?["cluster"]["replicas"].clone();
    let followers = followers.as_array().cloned().unwrap_or_default();
    Ok(followers.len() == 2 && followers.iter().all(|one| one["current"] == true))
}
