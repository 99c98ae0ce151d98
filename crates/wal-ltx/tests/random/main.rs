//! Random SQL of an application that is killed again and again, through capture, bucket and
//! follower, compared byte for byte.
//!
//! Every run takes a fresh seed and prints it when it fails. `CCM_RANDOM_SEED` repeats the
//! choices of one run (not how processes interleave), `CCM_RANDOM_SECONDS` makes it longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod application;
mod dice;
mod expected;
mod world;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ccm_harness::NatsServer;
use ccm_wal_ltx::store::{LtxStore, MemStore, NatsStore, NatsStoreConfig};

use dice::Dice;
use world::World;

/// How long a run takes when nothing else is asked for.
const SECONDS: u64 = 8;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|value| value.parse().unwrap())
}

/// Prints the seed when the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("CCM_RANDOM_SEED={}", self.0);
        }
    }
}

async fn run<S: LtxStore + Clone>(store: S, seconds: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = Seed(number("CCM_RANDOM_SEED").unwrap_or(now.subsec_nanos().into()));
    let within = Duration::from_secs(number("CCM_RANDOM_SECONDS").unwrap_or(seconds));
    let end = std::time::Instant::now() + within;
    let mut world = World::new(store, Dice::new(seed.0)).await;
    while std::time::Instant::now() < end {
        world.step().await;
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_byte_for_byte_what_a_reckless_application_has_committed() {
    run(MemStore::default(), SECONDS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_a_real_server() {
    let nats = NatsServer::start();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let config = NatsStoreConfig {
        bucket: String::from("convex-test-wal"),
        replicas: 1,
        create: true,
        timeout: Duration::from_secs(5),
        max_age: None,
    };
    run(NatsStore::open(client, config).await.unwrap(), SECONDS / 2).await;
}
