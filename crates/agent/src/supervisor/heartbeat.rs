//! The sign of life of the loop, sent by the loop itself.

use std::time::Duration;

use ccm_types::{BootClock, Monotonic};

use super::Supervisor;

/// Between two signs without a watchdog: only an end that takes long needs them.
const USUALLY: Duration = Duration::from_secs(1);

/// The longest pause of a loop that beats.
const WAKE_EVERY: Duration = Duration::from_millis(500);

/// Until when the next sign of life must come while the service stops.
const EXTEND: Duration = Duration::from_secs(15);

/// What a planned move may need beside the stop of the backend.
const MOVE_MAX: Duration = Duration::from_secs(300);

/// Signs of life. One that is late tells the manager that the loop is stuck.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    supervisor: Supervisor,
    last: Option<Monotonic>,
    /// How long a move may keep the manager waiting.
    patience: Duration,
    /// Since when the service stops.
    stopping: Option<Monotonic>,
}

impl Heartbeat {
    /// `stop_timeout` is what the backend may take to stop.
    pub(crate) fn new(supervisor: Supervisor, stop_timeout: Duration) -> Self {
        Self { supervisor, last: None, patience: stop_timeout + MOVE_MAX, stopping: None }
    }

    /// The longest that whoever beats may wait for something else.
    pub(crate) fn wake_within(&self) -> Duration {
        self.supervisor.watchdog.map_or(WAKE_EVERY, |limit| WAKE_EVERY.min(limit / 6))
    }

    /// The service begins to end.
    pub(crate) fn stop(&mut self, now: Monotonic) {
        if self.stopping.is_none() {
            self.stopping = Some(now);
            self.supervisor.send("STOPPING=1");
        }
    }

    /// The loop turns; `moving` while it gives the leadership away in order.
    pub(crate) fn beat(&mut self, now: Monotonic, moving: bool) {
        let every = self.supervisor.watchdog.map_or(USUALLY, |limit| limit / 3);
        if self.last.is_some_and(|last| now.since(last) < every) {
            return;
        }
        self.last = Some(now);
        let message = message(
            self.supervisor.watchdog.is_some(),
            self.stopping.filter(|_| moving).map(|since| now.since(since)),
            self.patience,
        );
        if !message.is_empty() {
            self.supervisor.send(&message);
        }
    }

    /// Beats until `done` is; for what is waited for outside the loop.
    pub(crate) async fn until<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            self.beat(BootClock.now(), false);
            if let Ok(value) = tokio::time::timeout(self.wake_within(), &mut done).await {
                return value;
            }
        }
    }
}

/// `moving` is for how long a planned move has kept the manager waiting.
fn message(watched: bool, moving: Option<Duration>, patience: Duration) -> String {
    let alive = watched.then(|| String::from("WATCHDOG=1"));
    let more = moving.filter(|took| *took < patience);
    let more = more.map(|_| format!("EXTEND_TIMEOUT_USEC={}", EXTEND.as_micros()));
    alive.into_iter().chain(more).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn a_loop_that_turns_beats_three_times_within_the_watchdog_and_one_that_does_not_is_silent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let watchdog = Some(Duration::from_secs(3));
        let supervisor = Supervisor::at(path.as_os_str(), watchdog).unwrap();
        let mut heartbeat = Heartbeat::new(supervisor, Duration::from_secs(30));
        assert_eq!(heartbeat.wake_within(), Duration::from_millis(500));
        let heard = || {
            let mut buffer = [0; 256];
            let read = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..read]).into_owned())
        };
        let mut said = Vec::new();
        for millis in [0, 400, 900, 1000, 1500, 2100, 3100] {
            heartbeat.beat(Monotonic::from_millis(millis), false);
            said.push(heard());
        }
        let alive = || Some(String::from("WATCHDOG=1"));
        assert_eq!(said, [alive(), None, None, alive(), None, alive(), alive()]);
        heartbeat.stop(Monotonic::from_millis(3200));
        heartbeat.stop(Monotonic::from_millis(3300));
        assert_eq!((heard().as_deref(), heard()), (Some("STOPPING=1"), None));
        heartbeat.beat(Monotonic::from_millis(4200), true);
        assert_eq!(heard().as_deref(), Some("WATCHDOG=1\nEXTEND_TIMEOUT_USEC=15000000"));
    }

    #[test]
    fn a_move_that_takes_too_long_is_left_to_the_manager() {
        let at = |took| message(false, Some(Duration::from_secs(took)), Duration::from_secs(330));
        assert_eq!(at(329), "EXTEND_TIMEOUT_USEC=15000000");
        assert_eq!(at(330), "");
        assert_eq!(message(true, None, Duration::ZERO), "WATCHDOG=1");
    }
}
