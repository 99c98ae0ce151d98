//! At most one host with an address at any moment, as the kernel of each says.

use std::fs::File;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::lan::{self, Host};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A thread that looks for an address on all hosts in turn.
#[derive(Debug)]
pub struct OneHolder {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    two: Vec<String>,
    hosts: Vec<SeenOn>,
}

#[derive(Debug, Default, Clone)]
struct SeenOn {
    /// When the last look began that found it.
    last: Option<Instant>,
    /// Looks that have not found it.
    missed: u64,
}

impl OneHolder {
    /// Watches `address` on `hosts`.
    #[must_use]
    pub fn watch(address: IpAddr, hosts: &[Host]) -> Self {
        let namespaces: Vec<Arc<File>> = hosts.iter().map(Host::namespace).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let hosts = vec![SeenOn::default(); namespaces.len()];
        let seen = Arc::new(Mutex::new(Seen { hosts, ..Seen::default() }));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(address, &namespaces, &noted);
                std::thread::park_timeout(LOOK_EVERY);
            }
        });
        Self { stop, seen, thread: Some(thread) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// How often it has looked.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.seen().looks
    }

    /// When the last look began that found the address on the host.
    #[must_use]
    pub fn last_on(&self, host: usize) -> Option<Instant> {
        self.seen().hosts[host].last
    }

    /// Looks that have not found the address on the host.
    #[must_use]
    pub fn missed_on(&self, host: usize) -> u64 {
        self.seen().hosts[host].missed
    }

    /// Panics when two hosts ever had it at once.
    pub fn assert_never_two(&self) {
        let seen = self.seen();
        assert!(seen.two.is_empty(), "the address on two hosts: {}", seen.two.join(", "));
        assert!(seen.looks > 0, "the watch never looked");
    }
}

impl Drop for OneHolder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// One look takes time: two had it at once only if the first still has it when the second was
/// seen to have it.
fn look(address: IpAddr, namespaces: &[Arc<File>], noted: &Mutex<Seen>) {
    let has = |index: usize| {
        lan::enter(&namespaces[index]);
        lan::is_here(address)
    };
    let looked: Vec<(Instant, bool)> =
        (0..namespaces.len()).map(|index| (Instant::now(), has(index))).collect();
    let holders: Vec<usize> = (0..looked.len()).filter(|index| looked[*index].1).collect();
    let two = holders.len() > 1 && holders.iter().all(|index| has(*index));
    let mut seen = noted.lock().unwrap();
    seen.looks += 1;
    if two {
        let words = format!("{holders:?} in look {}", seen.looks);
        seen.two.push(words);
    }
    for ((began, held), on) in looked.iter().zip(&mut seen.hosts) {
        if *held {
            on.last = Some(*began);
        } else {
            on.missed += 1;
        }
    }
}
