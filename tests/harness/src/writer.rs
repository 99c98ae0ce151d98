//! A load of small writes to whoever serves, and the memory of what was acknowledged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Http;

/// How long one write may take before its client calls it failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Between two rounds over all nodes while nobody serves.
const RETRY: Duration = Duration::from_millis(5);

/// One acknowledged write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The client's name.
    pub client: String,
    /// The client's own count.
    pub n: i64,
    /// The row id the backend answered with.
    pub id: i64,
    /// Index of the node that answered.
    pub node: usize,
    /// When the acknowledgement arrived.
    pub at: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    failed: AtomicU64,
    acks: Mutex<Vec<Ack>>,
}

/// Clients that write at a steady rate, each over its own connection.
///
/// A write without an answer is never sent again: whether it is in the database is unknown, and
/// nobody promised anything about it.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Starts `clients` that together send `rate` writes a second to whichever of `ports` serves.
    /// `name` tells this writer's rows from another's.
    #[must_use]
    pub fn start(ports: &[u16], name: &str, clients: u32, rate: u32) -> Self {
        let shared = Arc::new(Shared::default());
        let pause = Duration::from_secs(1) * clients / rate;
        let client = |index: u32| {
            let (shared, ports) = (Arc::clone(&shared), ports.to_vec());
            let name = format!("{name}-{index}");
            std::thread::spawn(move || write_on(&shared, &ports, &name, pause))
        };
        let threads = (0..clients).map(client).collect();
        Self { shared, threads }
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.shared.acks.lock().unwrap().len()
    }

    /// How many tries had no answer or a refusal, those against nodes that do not serve included.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    /// The acknowledged writes so far, in the order of their acknowledgement.
    #[must_use]
    pub fn acks(&self) -> Vec<Ack> {
        self.shared.acks.lock().unwrap().clone()
    }

    /// The first acknowledgement after `since` by a node other than `not_by`.
    #[must_use]
    pub fn first_ack(&self, since: Instant, not_by: Option<usize>) -> Option<Ack> {
        let acks = self.shared.acks.lock().unwrap();
        let later = acks.partition_point(|ack| ack.at <= since);
        acks[later..].iter().find(|ack| Some(ack.node) != not_by).cloned()
    }

    /// The longest time without an acknowledgement since `since`, the time after the last one not
    /// counted.
    #[must_use]
    pub fn longest_gap(&self, since: Instant) -> Duration {
        let acks = self.shared.acks.lock().unwrap();
        let later = acks.partition_point(|ack| ack.at <= since).saturating_sub(1);
        let gaps = acks[later..].windows(2).map(|two| two[1].at - two[0].at);
        gaps.max().unwrap_or_default()
    }

    /// Stops and gives everything that was acknowledged.
    #[must_use]
    pub fn stop(mut self) -> Vec<Ack> {
        self.halt();
        self.acks()
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.halt();
    }
}

fn write_on(shared: &Shared, ports: &[u16], client: &str, pause: Duration) {
    let mut nodes: Vec<Http> = ports.iter().map(|&p| Http::new(p, ANSWER_WITHIN)).collect();
    let mut node = 0;
    let mut refused = 0;
    let mut due = Instant::now();
    for n in 1.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let answer = nodes[node].post("/write", &json!({ "client": client, "n": n }));
        let id = answer
            .ok()
            .filter(|(code, _)| *code == 200)
            .and_then(|(_, body)| serde_json::from_str::<Value>(&body).ok()?["id"].as_i64());
        if let Some(id) = id {
            refused = 0;
            let client = String::from(client);
            // The time is taken under the lock, so that the list is in the order of time.
            let mut acks = shared.acks.lock().unwrap();
            acks.push(Ack { client, n, id, node, at: Instant::now() });
            drop(acks);
            due = (due + pause).max(Instant::now() - pause);
            std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        } else {
            shared.failed.fetch_add(1, Ordering::Relaxed);
            node = (node + 1) % nodes.len();
            refused += 1;
            if refused >= nodes.len() {
                refused = 0;
                std::thread::park_timeout(RETRY);
            }
        }
    }
}
