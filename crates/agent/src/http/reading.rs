//! One look for one scrape.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::client::RequestErrorKind;
use ccm_discovery::{Filter, Health, Services};
use ccm_health::metrics::{
    Backend, BackendState, History, Level, Nats, Peers, Reading, ReplicationReading, Service,
};
use ccm_history::Counted;
use ccm_kv_state::Nodes;
use ccm_role::Phase;
use ccm_types::{BootClock, Monotonic, Txid};
use ccm_wal_ltx::store::{self, LtxInfo, LtxStore as _, NatsStore};
use tokio::time::timeout;

use super::node::{HttpNode, Known};
use crate::metrics::{PHASES, phase_name};

/// How long each look may take: a scrape has ten seconds by default.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// A list of the bucket's objects is asked for again after this. It costs the server more than
/// anything else here.
const LISTING_LASTS: Duration = Duration::from_secs(15);

/// What was in the bucket.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    at: Monotonic,
    levels: Vec<Level>,
    /// When the newest snapshot was taken, in milliseconds since 1970.
    snapshot_ms: Option<i64>,
}

impl Listing {
    fn of(files: &[LtxInfo], at: Monotonic) -> Self {
        let mut levels = BTreeMap::new();
        // A level that has run empty is shown as such.
        for number in [0, 1, 2, 3, store::Level::SNAPSHOT.get()] {
            levels.insert(number, Level { level: number, objects: 0, bytes: 0 });
        }
        for file in files {
            let number = file.name.level.get();
            let empty = Level { level: number, objects: 0, bytes: 0 };
            let level = levels.entry(number).or_insert(empty);
            level.objects += 1;
            level.bytes += file.size;
        }
        let snapshots = files.iter().filter(|file| file.name.level == store::Level::SNAPSHOT);
        let snapshot_ms = snapshots.map(|file| file.timestamp_ms).max();
        Self { at, levels: levels.into_values().collect(), snapshot_ms }
    }

    fn snapshot_age(&self, now_ms: i64) -> Option<Duration> {
        let age = now_ms.saturating_sub(self.snapshot_ms?);
        Some(Duration::from_millis(u64::try_from(age).unwrap_or(0)))
    }
}

impl HttpNode {
    /// Looks at everything, side by side.
    pub(super) async fn reading(&self) -> Reading {
        let known = self.known.get();
        let services = async { services(&known?.services).await };
        let listing = async { self.list(&known?.store).await };
        let peers = async { peers(&known?.observer.nodes).await };
        let nats = async { Some(self.nats(&known?.observer.client).await) };
        let problem = async {
            match known {
                Some(known) => known.observer.has_problem().await,
                // That NATS was not reached is one.
                None => true,
            }
        };
        let (backend, vip_held, services, listing, nats, problem, peers) = tokio::join!(
            self.port.measure(),
            self.vip_held(),
            services,
            listing,
            nats,
            problem,
            peers
        );
        let snapshot_age = listing
            .as_ref()
            .and_then(|listing| listing.snapshot_age(jiff::Timestamp::now().as_millisecond()));
        let ignored = known.map(|known| known.services.garbage_count());
        Reading {
            cluster: self.settings.cluster.clone(),
            node: self.settings.node.clone(),
            version: env!("CARGO_PKG_VERSION"),
            phase: known.map(|known| phase_name(known.observer.phase())),
            phases: &PHASES,
            candidate: self.settings.candidate,
            problem,
            lease: known.map(|known| known.observer.lease()),
            backend: Backend { state: BackendState::named(backend.status), uptime: backend.uptime },
            replication: known.map(replication),
            vip_held,
            vip_announced: self.vip.as_ref().map(|vip| vip.announced()),
            peers,
            history: history(self.history.counted()),
            nats,
            levels: listing.map(|listing| listing.levels).unwrap_or_default(),
            snapshot_age,
            services: services.unwrap_or_default(),
            services_ignored: ignored,
        }
    }

    async fn vip_held(&self) -> Option<bool> {
        self.vip.as_ref()?.is_held().await
    }

    async fn list(&self, store: &NatsStore) -> Option<Listing> {
        // One scrape lists, the others wait for it.
        let mut listing = self.listing.lock().await;
        let now = BootClock.now();
        if let Some(listing) = listing.as_ref().filter(|old| now.since(old.at) < LISTING_LASTS) {
            return Some(listing.clone());
        }
        let files = timeout(LOOK_WITHIN, store.list()).await.ok()?.ok()?;
        Some(listing.insert(Listing::of(&files, now)).clone())
    }

    /// The server answers for a subject that nobody listens to.
    async fn nats(&self, client: &Client) -> Nats {
        let (cluster, node) = (&self.settings.cluster, self.settings.node.to_token());
        let nobody = format!("convex.{cluster}.svc.{node}.rtt");
        let begun = std::time::Instant::now();
        let asked = timeout(LOOK_WITHIN, client.request(nobody, "".into())).await;
        let answered = match asked {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error.kind() == RequestErrorKind::NoResponders,
            Err(_) => false,
        };
        let connects = &client.statistics().connects;
        Nats {
            connected: client.connection_state() == async_nats::connection::State::Connected,
            connects: connects.load(std::sync::atomic::Ordering::Relaxed),
            rtt: answered.then(|| begun.elapsed()),
        }
    }
}

fn replication(known: &Known) -> ReplicationReading {
    let observer = &known.observer;
    match observer.phase() {
        Phase::Passive => {
            let lag = observer.follows().ok();
            let txid = observer.followed();
            ReplicationReading { txid, lag, ..ReplicationReading::default() }
        }
        Phase::Starting
        | Phase::Promoting
        | Phase::Primary
        | Phase::Demoting
        | Phase::Falling
        | Phase::Left
        | Phase::Stopped => match observer.captured() {
            Some((txid, age, bytes)) => ReplicationReading {
                txid: Some(txid).filter(|txid| *txid > Txid::ZERO),
                lag: Some(age),
                unshipped_age: Some(age),
                unshipped_bytes: Some(bytes),
            },
            None => ReplicationReading::default(),
        },
    }
}

fn history(counted: Counted) -> History {
    let Counted { published, dropped, waiting, ignored } = counted;
    History { published, dropped, waiting, ignored }
}

async fn peers(nodes: &Nodes) -> Option<Peers> {
    let listed = timeout(LOOK_WITHIN, nodes.list()).await.ok()?.ok()?;
    Some(Peers { nodes: listed.len() as u64, ignored: nodes.garbage_count() })
}

async fn services(services: &Services) -> Option<Vec<Service>> {
    let listed = timeout(LOOK_WITHIN, services.list(&Filter::default())).await.ok()?.ok()?;
    let mut counted = BTreeMap::new();
    for record in listed.records {
        let (total, healthy) = counted.entry(record.name).or_insert((0, 0));
        *total += 1;
        *healthy += u64::from(record.health == Health::Passing);
    }
    let service = |(name, (total, healthy))| Service { name, total, healthy };
    Some(counted.into_iter().map(service).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_counted_by_level_and_the_newest_snapshot_has_an_age() {
        let file = |name: &str, size, timestamp_ms| LtxInfo {
            name: name.parse().unwrap(),
            size,
            timestamp_ms,
            epoch: None,
        };
        let one = "0000000000000001";
        let files = [
            file(&format!("ltx/0/{one}-{one}.ltx"), 10, 1),
            file("ltx/0/0000000000000002-0000000000000003.ltx", 20, 2),
            file(&format!("ltx/9/{one}-{one}.ltx"), 1000, 5_000),
            file(&format!("ltx/9/{one}-0000000000000002.ltx"), 1000, 7_000),
        ];
        let listing = Listing::of(&files, Monotonic::default());
        let counted: Vec<_> =
            listing.levels.iter().map(|l| (l.level, l.objects, l.bytes)).collect();
        assert_eq!(counted, [(0, 2, 30), (1, 0, 0), (2, 0, 0), (3, 0, 0), (9, 2, 2000)]);
        assert_eq!(listing.snapshot_age(9_500), Some(Duration::from_millis(2_500)));
        // The clock of the primary is ahead.
        assert_eq!(listing.snapshot_age(6_000), Some(Duration::ZERO));
        assert_eq!(Listing::of(&[], Monotonic::default()).snapshot_age(1), None);
    }
}
