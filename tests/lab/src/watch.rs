//! Looking into every host at once, by one clock: who has the address, and who runs the backend.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::PATIENCE;
use crate::deadline::wait_for;
use crate::host::{Host, Power};
use crate::network::is_here;

/// Between two looks at everything.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// One time that a host had something, as far as looks can tell.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// When the last look began that had not found it yet.
    not_before: Instant,
    /// When the first look ended that has found it.
    first: Instant,
    /// When the last look began that has found it.
    last: Instant,
    /// When the first look ended that has not found it any more.
    over: Option<Instant>,
}

/// What one host had, in the order of time.
#[derive(Debug, Default, Clone)]
struct Spans {
    all: Vec<Span>,
    absent: Option<Instant>,
}

impl Spans {
    fn note(&mut self, here: bool, began: Instant, ended: Instant) {
        let open = self.all.last_mut().filter(|span| span.over.is_none());
        match (here, open) {
            (true, Some(span)) => span.last = began,
            (true, None) => {
                let not_before = self.absent.unwrap_or(began);
                self.all.push(Span { not_before, first: ended, last: began, over: None });
            }
            (false, Some(span)) => span.over = Some(ended),
            (false, None) => {}
        }
        if !here {
            self.absent = Some(began);
        }
    }
}

impl Span {
    /// Whether both had it at one moment, for certain.
    fn overlaps(&self, other: &Self) -> bool {
        self.first < other.last && other.first < self.last
    }
}

#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    address: Vec<Spans>,
    backend: Vec<Spans>,
}

/// A thread that looks.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Looks for `address` and for the unit `backend` on all `hosts`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(hosts: &[Host], address: IpAddr, backend: &str) -> Result<Self> {
        let spans = || vec![Spans::default(); hosts.len()];
        let seen = Seen { looks: 0, address: spans(), backend: spans() };
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(seen)));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&seen));
        let (hosts, backend) = (hosts.to_vec(), String::from(backend));
        let thread = std::thread::Builder::new().name(String::from("watch")).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                look(&hosts, address, &backend, &noted);
                std::thread::park_timeout(LOOK_EVERY);
            }
        })?;
        Ok(Self { stop, seen, thread: Some(thread) })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it has looked.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.seen().looks
    }

    /// Whether the backend has ever run on two hosts at once. Who is frozen runs nothing.
    ///
    /// # Errors
    /// When it has, or when nothing was seen.
    pub fn one_backend(&self) -> Result<()> {
        never_two("the backend", &self.seen().backend)
    }

    /// Whether the kernels of two hosts have ever had the address at once.
    ///
    /// # Errors
    /// When they have, or when nothing was seen.
    pub fn one_address(&self) -> Result<()> {
        never_two("the address", &self.seen().address)
    }

    /// How long, at the least, nobody had the address, and how long no backend ran, between the
    /// last time of host `from` and the first time of host `to` after it. Both numbers count from
    /// 1.
    ///
    /// # Errors
    /// When either never had it.
    pub fn gaps(&self, from: u8, to: u8) -> Result<(Duration, Duration)> {
        // What was seen elsewhere before this call is seen here, too.
        let goal = self.looks() + 2;
        wait_for(PATIENCE, "two more looks", || (self.looks() >= goal).then_some(()))?;
        let seen = self.seen();
        let address = gap(&seen.address, from, to).context("the address did not move")?;
        let backend = gap(&seen.backend, from, to).context("the backend did not move")?;
        Ok((address, backend))
    }

    /// When the address, and when the backend, were last seen to be gone from a host, its number
    /// counting from 1.
    #[must_use]
    pub fn gone(&self, host: u8) -> Option<(Instant, Instant)> {
        let seen = self.seen();
        let over = |spans: &[Spans]| spans.get(usize::from(host) - 1)?.all.last()?.over;
        Some((over(&seen.address)?, over(&seen.backend)?))
    }

    /// When the address first came, and when the backend first ran, on a host after `since`.
    #[must_use]
    pub fn came(&self, host: u8, since: Instant) -> (Option<Instant>, Option<Instant>) {
        let seen = self.seen();
        let first = |spans: &[Spans]| {
            let mut all = spans.get(usize::from(host) - 1)?.all.iter();
            all.find(|span| span.first > since).map(|span| span.first)
        };
        (first(&seen.address), first(&seen.backend))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn look(hosts: &[Host], address: IpAddr, backend: &str, noted: &Mutex<Seen>) {
    let mut looks = Vec::with_capacity(hosts.len());
    for host in hosts {
        let began = Instant::now();
        let held = host.namespace().is_some_and(|own| own.enter().is_ok_and(|()| is_here(address)));
        let runs = !host.unit(backend).is_empty() && host.power() != Power::Frozen;
        looks.push((began, Instant::now(), held, runs));
    }
    let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
    seen.looks += 1;
    for (index, (began, ended, held, runs)) in looks.into_iter().enumerate() {
        seen.address[index].note(held, began, ended);
        seen.backend[index].note(runs, began, ended);
    }
}

fn never_two(what: &str, hosts: &[Spans]) -> Result<()> {
    ensure!(hosts.iter().any(|spans| !spans.all.is_empty()), "{what} was never seen anywhere");
    for (index, one) in hosts.iter().enumerate() {
        for (other, two) in hosts.iter().enumerate().skip(index + 1) {
            let mut pairs = one.all.iter().flat_map(|a| two.all.iter().map(move |b| (a, b)));
            if let Some((a, b)) = pairs.find(|(a, b)| a.overlaps(b)) {
                let both = a.last.min(b.last) - a.first.max(b.first);
                bail!("{what} was on node-{} and node-{} for {both:?}", index + 1, other + 1);
            }
        }
    }
    Ok(())
}

fn gap(hosts: &[Spans], from: u8, to: u8) -> Option<Duration> {
    let of = |host: u8| hosts.get(usize::from(host).checked_sub(1)?);
    let over = of(from)?.all.last()?.over?;
    let next = of(to)?.all.iter().find(|span| span.first >= over)?;
    // Zero when the looks cannot tell.
    Some(next.not_before.saturating_duration_since(over))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks of 1 ms, one every 10 ms: `x` found it, `.` did not.
    fn spans(start: Instant, looks: &str) -> Spans {
        let mut spans = Spans::default();
        for (index, look) in (0_u32..).zip(looks.chars()) {
            let began = start + Duration::from_millis(10) * index;
            spans.note(look == 'x', began, began + Duration::from_millis(1));
        }
        spans
    }

    #[test]
    fn two_at_once_are_told_from_two_in_turn() {
        let start = Instant::now();
        let table = [
            (["xxx...", "...xxx"], true),
            (["xxxx..", "...xxx"], true),
            (["xxxxx.", "...xxx"], false),
            (["xxxxxx", "..xx.."], false),
            (["xx..xx", "..xx.."], true),
        ];
        for (looks, fine) in table {
            let hosts = looks.map(|looks| spans(start, looks));
            assert_eq!(never_two("it", &hosts).is_ok(), fine, "{looks:?}");
        }
        assert!(never_two("it", &[Spans::default()]).is_err(), "never seen at all");
    }

    #[test]
    fn a_gap_is_what_the_looks_prove() {
        let start = Instant::now();
        let hosts = [spans(start, "xx......"), spans(start, ".....xxx")];
        // Gone when the look at 20 ms has ended, not there yet when that at 40 ms began.
        assert_eq!(gap(&hosts, 1, 2), Some(Duration::from_millis(19)));
        assert_eq!(gap(&hosts, 2, 1), None);
        let hosts = [spans(start, "xx..."), spans(start, "..xxx")];
        assert_eq!(gap(&hosts, 1, 2), Some(Duration::ZERO));
    }
}
