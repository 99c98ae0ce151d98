//! Every write to the lease as a plain NATS subscriber sees it: ccm's code has no part in it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::nats_wire::NatsWire;

/// Between two tries to connect.
const RETRY: Duration = Duration::from_millis(50);

/// One write to the lease, or a try at one: compare-and-set may have refused it.
#[derive(Debug, Clone)]
pub struct LeaseWrite {
    /// When it arrived here.
    pub at: Instant,
    /// Who wrote.
    pub node: String,
    /// With which epoch.
    pub epoch: u64,
    /// Whether it gave the lease back.
    pub released: bool,
}

/// A thread that subscribes to the leader key of a cluster.
#[derive(Debug)]
pub struct LeaseWatch {
    stop: Arc<AtomicBool>,
    writes: Arc<Mutex<Vec<LeaseWrite>>>,
    thread: Option<JoinHandle<()>>,
}

impl LeaseWatch {
    /// Watches the lease of `cluster` on the server at `port`, through its restarts.
    #[must_use]
    pub fn start(port: u16, cluster: &str) -> Self {
        let subject = format!("$KV.convex-{cluster}-election.leader");
        let stop = Arc::new(AtomicBool::new(false));
        let writes = Arc::new(Mutex::new(Vec::new()));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&writes));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                follow(port, &subject, &stopped, &noted).ok();
                std::thread::park_timeout(RETRY);
            }
        });
        Self { stop, writes, thread: Some(thread) }
    }

    /// All writes so far, oldest first.
    #[must_use]
    pub fn writes(&self) -> Vec<LeaseWrite> {
        self.writes.lock().unwrap().clone()
    }

    /// The last write by `node` up to `until`.
    #[must_use]
    pub fn last_by(&self, node: &str, until: Instant) -> Option<LeaseWrite> {
        let writes = self.writes.lock().unwrap();
        writes.iter().rev().find(|w| w.node == node && w.at <= until).cloned()
    }
}

impl Drop for LeaseWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// One connection, until it breaks or we are told to stop.
fn follow(
    port: u16,
    subject: &str,
    stop: &AtomicBool,
    writes: &Mutex<Vec<LeaseWrite>>,
) -> std::io::Result<()> {
    let mut nats = NatsWire::connect(port)?;
    nats.subscribe(subject)?;
    while !stop.load(Ordering::Relaxed) {
        if let Some(payload) = nats.next()?
            && let Some(write) = parse(&payload)
        {
            writes.lock().unwrap_or_else(PoisonError::into_inner).push(write);
        }
    }
    Ok(())
}

fn parse(payload: &[u8]) -> Option<LeaseWrite> {
    let record: Value = serde_json::from_slice(payload).ok()?;
    Some(LeaseWrite {
        at: Instant::now(),
        node: String::from(record["nodeId"].as_str()?),
        epoch: record["epoch"].as_u64()?,
        // A released record carries more than a flag; absent, null and false mean held.
        released: !matches!(record["released"], Value::Null | Value::Bool(false)),
    })
}
