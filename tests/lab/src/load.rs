//! What clients see through the virtual IP: every write they try, when, and what came of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use ccm_harness::Http;
use serde_json::{Value, json};

use crate::PATIENCE;
use crate::client::Client;
use crate::deadline::wait_for;

/// How to load.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Where the service is.
    pub service: SocketAddr,
    /// Tells these rows from another load's.
    pub name: String,
    /// How many clients, each with its own connection, one after the other a little later.
    pub clients: u32,
    /// How often each of them writes.
    pub every: Duration,
    /// When a client gives an attempt up: connecting, sending and hearing may each take so long.
    pub within: Duration,
}

/// One write that a client has tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The client.
    pub client: String,
    /// The client's own count.
    pub n: i64,
    /// When it began.
    pub began: Instant,
    /// When it was answered or given up.
    pub ended: Instant,
    /// The id of the row, when it was acknowledged.
    pub row: Option<i64>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    attempts: Mutex<Vec<Attempt>>,
}

/// Clients that write until told to stop.
///
/// A write without an answer is never sent again: whether it was done is unknown, and nobody has
/// promised anything about it.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
    options: LoadOptions,
}

impl Load {
    /// Starts to write.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(client: &Client, options: LoadOptions) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        let apart = options.every / options.clients.max(1);
        for number in 0..options.clients {
            let (shared, options) = (Arc::clone(&shared), options.clone());
            let name = format!("{}-{number}", options.name);
            let first = Instant::now() + apart * number;
            let work = move || write_on(&shared, &options, &name, first);
            threads.push(client.spawn("load", work)?);
        }
        Ok(Self { shared, threads, options })
    }

    fn attempts(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many writes were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.attempts().iter().filter(|attempt| attempt.row.is_some()).count()
    }

    /// Waits for so many more acknowledged writes.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait_more(&self, more: usize) -> Result<()> {
        let goal = self.acknowledged() + more;
        wait_for(PATIENCE, &format!("{more} more acknowledged writes"), || {
            (self.acknowledged() >= goal).then_some(())
        })
    }

    /// Waits for a write that began after `since` and was acknowledged.
    ///
    /// # Errors
    /// When there is none.
    pub fn wait_served_since(&self, since: Instant) -> Result<Attempt> {
        wait_for(PATIENCE, "a write to be acknowledged", || {
            let attempts = self.attempts();
            let later = attempts.iter().filter(|one| one.began >= since && one.row.is_some());
            later.min_by_key(|one| one.ended).cloned()
        })
    }

    /// The longest time without an acknowledgement that began or ended after `since`: from one
    /// acknowledgement to the next.
    ///
    /// # Errors
    /// When nothing was acknowledged before and after it.
    pub fn outage(&self, since: Instant) -> Result<(Instant, Instant)> {
        let mut acknowledged: Vec<Instant> =
            self.attempts().iter().filter(|one| one.row.is_some()).map(|one| one.ended).collect();
        acknowledged.sort_unstable();
        let later = acknowledged.partition_point(|at| *at <= since).saturating_sub(1);
        let gaps = acknowledged[later..].windows(2).map(|two| (two[0], two[1]));
        gaps.max_by_key(|(last, first)| *first - *last).context("nothing was acknowledged")
    }

    /// Stops; everything that was tried, in the order in which it ended.
    ///
    /// # Errors
    /// When a client could not work at all.
    pub fn stop(mut self) -> Result<Vec<Attempt>> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(self.attempts().clone())
    }

    /// How it was set up.
    #[must_use]
    pub fn options(&self) -> &LoadOptions {
        &self.options
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn write_on(shared: &Shared, options: &LoadOptions, client: &str, first: Instant) {
    let mut http = Http::at(options.service, options.within);
    let mut due = first;
    for n in 1.. {
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let began = Instant::now();
        let answer = http.post("/write", &json!({ "client": client, "n": n }));
        let row = answer
            .ok()
            .filter(|(code, _)| *code == 200)
            .and_then(|(_, body)| serde_json::from_str::<Value>(&body).ok()?["id"].as_i64());
        // The time is taken under the lock, so that the list is in its order.
        let mut attempts = shared.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = Instant::now();
        attempts.push(Attempt { client: String::from(client), n, began, ended, row });
        drop(attempts);
        due = (due + options.every).max(ended);
    }
}
