//! The election against a real nats-server.
//!
//! The interleavings, each a test:
//!
//! - the holder's daemon is killed (its task ends, nothing is released): the other takes over,
//!   and not before the holder's lease and its time to stop are over;
//! - NATS is killed for less than the lease: the holder goes on, nobody else wins;
//! - NATS is killed for longer: the holder is told in time, and leads again by itself later;
//! - the connection stands and nothing comes through it: the same, with requests that hang;
//! - a planned release to one of two others;
//! - somebody else writes the key under the holder;
//! - a daemon is restarted within its lease.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod contender;
mod freezer;
mod opening;

use std::time::Duration;

use ccm_election::{Adoption, Campaign, Change, Held, LossReason, Timing};
use ccm_harness::NatsServer;
use ccm_types::{BootClock, Epoch, Txid};
use serde_json::json;

use self::contender::{BUCKET, Contender, PATIENCE, node};
use self::freezer::Freezer;

const SHORT: Timing =
    Timing { ttl: Duration::from_millis(1500), heartbeat: Duration::from_millis(300) };
const LONG: Timing =
    Timing { ttl: Duration::from_millis(8000), heartbeat: Duration::from_millis(300) };

fn is_lost(change: &Change) -> Option<LossReason> {
    if let Change::Lost(why) = change { Some(*why) } else { None }
}

#[tokio::test]
async fn a_killed_holder_is_replaced_when_it_must_have_stopped_and_not_before() {
    let nats = NatsServer::start();
    let mut a = Contender::start(&nats.url(), "a", SHORT).await;
    a.election.campaign(Campaign::On);
    assert_eq!(a.won().await.0, Epoch::new(1));
    let mut b = Contender::start(&nats.url(), "b", SHORT).await;
    b.election.campaign(Campaign::On);
    assert_eq!(b.sees_leader().await, node("a"));

    a.renewed_after(BootClock.now()).await;
    let valid_until = a.kill().await;
    let (epoch, _) = b.won().await;
    assert!(BootClock.now() >= valid_until + SHORT.stop(), "a may still be serving");
    assert_eq!(epoch, Epoch::new(2));
    assert_eq!(b.sees_leader().await, node("b"));
}

#[tokio::test]
async fn nats_may_be_away_for_less_than_the_lease() {
    let mut nats = NatsServer::start();
    let mut a = Contender::start(&nats.url(), "a", LONG).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    let mut b = Contender::start(&nats.url(), "b", LONG).await;
    b.election.campaign(Campaign::On);
    b.sees_leader().await;

    nats.restart();
    // Panics at anything but a renewal.
    a.renewed_after(BootClock.now() + LONG.valid_for()).await;
    a.renewed_after(BootClock.now() + LONG.valid_for()).await;
    assert!(b.heard().iter().all(|change| !matches!(change, Change::Won { .. })));
    assert_eq!(a.status().leader.map(|held| held.epoch), Some(Epoch::new(1)));
}

#[tokio::test]
async fn nats_away_for_longer_ends_the_lease_in_time_and_it_comes_back_by_itself() {
    let mut nats = NatsServer::start();
    let mut a = Contender::start(&nats.url(), "a", SHORT).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    nats.kill();
    let why = a.until("the end of the lease", is_lost).await;
    assert_eq!(why, LossReason::Expired);
    assert!(BootClock.now() < a.valid_until() + SHORT.stop(), "told too late to stop");
    assert_eq!(a.status().valid_until, None);
    assert!(!a.status().connected);

    nats.restart();
    assert_eq!(a.won().await.0, Epoch::new(2));
    a.renewed_after(BootClock.now()).await;
    assert!(a.status().connected);
    assert!(a.status().last_renewal_latency.is_some());
    assert!(a.status().failed_writes > 0);
}

#[tokio::test]
async fn a_connection_that_is_silent_ends_the_lease_in_time() {
    let nats = NatsServer::start();
    let freezer = Freezer::start(nats.port()).await;
    let mut a = Contender::start(&freezer.url(), "a", SHORT).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    let mut b = Contender::start(&nats.url(), "b", SHORT).await;
    b.election.campaign(Campaign::On);
    b.sees_leader().await;

    freezer.freeze(true);
    let why = a.until("the end of the lease", is_lost).await;
    assert_eq!(why, LossReason::Expired);
    assert!(BootClock.now() < a.valid_until() + SHORT.stop(), "told too late to stop");
    b.won().await;
    assert!(BootClock.now() >= a.valid_until() + SHORT.stop(), "a may still be serving");

    // What a has written meanwhile arrives late, and is refused.
    freezer.freeze(false);
    assert_eq!(a.until("the new leader", leader(Epoch::new(2))).await, node("b"));
    b.renewed_after(BootClock.now() + SHORT.valid_for()).await;
}

fn leader(epoch: Epoch) -> impl Fn(&Change) -> Option<ccm_types::NodeId> {
    move |change| {
        let Change::Leader(Some(held)) = change else { return None };
        (held.epoch == epoch).then(|| held.node.clone())
    }
}

#[tokio::test]
async fn a_release_goes_to_the_successor_that_is_named() {
    let nats = NatsServer::start();
    let mut a = Contender::start(&nats.url(), "a", LONG).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    let mut b = Contender::start(&nats.url(), "b", LONG).await;
    let mut c = Contender::start(&nats.url(), "c", LONG).await;
    b.election.campaign(Campaign::On);
    c.election.campaign(Campaign::On);
    b.sees_leader().await;
    c.sees_leader().await;

    a.election.release(Txid::new(42), Some(node("b")));
    a.until("the release", |change| matches!(change, Change::Released).then_some(())).await;
    assert_eq!(b.won().await.0, Epoch::new(2));
    assert!(b.status().last_win.unwrap().before.unwrap().released);
    assert_eq!(c.until("the new leader", leader(Epoch::new(2))).await, node("b"));
    assert!(c.heard().iter().all(|change| !matches!(change, Change::Won { .. })));
    assert!(a.heard().iter().all(|change| !matches!(change, Change::Won { .. })));

    b.election.campaign(Campaign::Off);
    c.election.campaign(Campaign::Off);
    b.election.release(Txid::new(43), None);
    b.until("the release", |change| matches!(change, Change::Released).then_some(())).await;
    assert_eq!(a.won().await.0, Epoch::new(3));
}

#[tokio::test]
async fn a_release_carries_the_final_position() {
    let nats = NatsServer::start();
    let mut a = Contender::start(&nats.url(), "a", LONG).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    a.election.campaign(Campaign::Off);
    a.election.release(Txid::new(42), Some(node("b")));
    a.until("the release", |change| matches!(change, Change::Released).then_some(())).await;
    let record = contender::record(&nats);
    assert_eq!(record["released"], true);
    assert_eq!(record["txid"], 42);
    assert_eq!(record["successor"], "b");
    assert_eq!(record["nodeId"], "a");
    assert_eq!(record["epoch"], 1);
    assert_eq!(record["ttlMs"], 8000);
    assert!(record["acquiredAt"].as_str().unwrap().ends_with('Z'), "{record}");
}

#[tokio::test]
async fn whoever_writes_the_key_under_the_holder_ends_its_lease() {
    let nats = NatsServer::start();
    let mut a = Contender::start(&nats.url(), "a", LONG).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    let mut record = contender::record(&nats);
    record["nodeId"] = json!("x");
    record["epoch"] = json!(9);
    let ack = nats.request(&format!("$KV.{BUCKET}.leader"), &record);
    assert!(ack["seq"].is_u64(), "{ack}");
    assert_eq!(a.until("the loss", is_lost).await, LossReason::Superseded);
    let held = Held {
        node: node("x"),
        epoch: Epoch::new(9),
        address: String::from("192.0.2.1"),
        released: false,
        txid: None,
    };
    assert_eq!(a.status().leader, Some(held));
    let now = contender::record(&nats);
    assert_eq!(now, record, "the holder has written over it");
}

#[tokio::test]
async fn a_daemon_that_is_back_within_the_lease_carries_on_with_it() {
    let nats = NatsServer::start();
    let mut a = Contender::start(&nats.url(), "a", LONG).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    let acquired = contender::record(&nats)["acquiredAt"].clone();
    let instance = a.instance.clone();
    let valid_until = a.kill().await;

    let mut again = Contender::start(&nats.url(), "a", LONG).await;
    let adoption = Adoption { epoch: Epoch::new(1), instance, valid_until };
    again.election.adopt(adoption.clone());
    let (epoch, until, adopted) = again.won_somehow().await;
    assert!(adopted);
    assert_eq!(epoch, Epoch::new(1));
    assert!(until > valid_until);
    again.renewed_after(until).await;
    assert_eq!(contender::record(&nats)["acquiredAt"], acquired);

    // A second one finds that the name it knows is gone.
    let mut late = Contender::start(&nats.url(), "a", LONG).await;
    late.election.adopt(adoption);
    assert_eq!(late.until("the loss", is_lost).await, LossReason::Superseded);
    again.renewed_after(BootClock.now() + LONG.valid_for()).await;
}

#[tokio::test]
async fn who_does_not_campaign_does_not_lead() {
    let nats = NatsServer::start();
    let mut idle = Contender::start(&nats.url(), "idle", SHORT).await;
    let nobody = |change: &Change| matches!(change, Change::Leader(None)).then_some(());
    idle.until("a first look", nobody).await;
    let mut a = Contender::start(&nats.url(), "a", SHORT).await;
    a.election.campaign(Campaign::On);
    a.won().await;
    a.kill().await;
    idle.until("the first leader", leader(Epoch::new(1))).await;
    let mut b = Contender::start(&nats.url(), "b", SHORT).await;
    b.election.campaign(Campaign::On);
    b.won().await;
    b.kill().await;
    idle.until("the second leader", leader(Epoch::new(2))).await;
    assert_eq!(idle.heard(), []);
    // It knows that it could.
    let mut status = idle.election.status();
    let free = tokio::time::timeout(PATIENCE, status.wait_for(|status| status.free)).await;
    assert_eq!(free.unwrap().unwrap().last_win, None);
    idle.election.campaign(Campaign::On);
    assert_eq!(idle.won().await.0, Epoch::new(3));
    let win = idle.status().last_win.unwrap();
    let before = win.before.unwrap();
    assert_eq!((before.node, before.released, win.epoch), (node("b"), false, Epoch::new(3)));
    assert!(win.claimed >= win.last_sign + SHORT.takeover_after());
    assert!(!idle.status().free);
}
