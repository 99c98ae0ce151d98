//! What the service manager is told (sd_notify(3)): ready, alive, busy, and a line for people.
//!
//! Without a service manager nothing is said. Nothing here waits: a message that the manager does
//! not take in at once is dropped, and the next one says the same or something newer.

mod heartbeat;
mod report;
mod status_line;

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(crate) use heartbeat::Heartbeat;
pub(crate) use report::Report;
pub(crate) use status_line::Seen;

/// Where the manager listens.
const SOCKET: &str = "NOTIFY_SOCKET";
/// The manager ends a service that was silent for so long, in microseconds.
const WATCHDOG: &str = "WATCHDOG_USEC";
/// The process that this is about.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// Why the service manager cannot be told anything.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// It is neither a path nor an abstract name.
    #[error(
        "{SOCKET} is {address:?}, which is neither a path nor an abstract name: the service \
         manager is told nothing"
    )]
    Address {
        /// As it was given.
        address: OsString,
    },
    /// No socket.
    #[error("could not make a socket for {SOCKET}: the service manager is told nothing")]
    Socket(#[source] std::io::Error),
}

/// The service manager, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Supervisor {
    to: Option<Arc<To>>,
    watchdog: Option<Duration>,
}

#[derive(Debug)]
struct To {
    socket: UnixDatagram,
    address: SocketAddr,
    /// It knows that the service runs.
    ready: AtomicBool,
}

impl Supervisor {
    /// The one that the environment names; none when it names none.
    ///
    /// # Errors
    /// [`SupervisorError`] when what it names cannot be used.
    pub fn from_env() -> Result<Self, SupervisorError> {
        let Some(address) = std::env::var_os(SOCKET).filter(|address| !address.is_empty()) else {
            return Ok(Self::default());
        };
        let text = |name| std::env::var(name).ok();
        let own = std::process::id();
        Self::at(&address, watchdog(text(WATCHDOG).as_deref(), text(WATCHDOG_PID).as_deref(), own))
    }

    /// The one at an address as in `NOTIFY_SOCKET`: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// [`SupervisorError`]
    pub fn at(address: &OsStr, watchdog: Option<Duration>) -> Result<Self, SupervisorError> {
        let wrong = || SupervisorError::Address { address: address.to_owned() };
        let resolved = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(address),
            _ => return Err(wrong()),
        };
        let socket = UnixDatagram::unbound().map_err(SupervisorError::Socket)?;
        socket.set_nonblocking(true).map_err(SupervisorError::Socket)?;
        let address = resolved.map_err(|_| wrong())?;
        let to = To { socket, address, ready: AtomicBool::new(false) };
        Ok(Self { to: Some(Arc::new(to)), watchdog })
    }

    /// The service does what it is for; said once.
    pub fn ready(&self) {
        if self.to.as_ref().is_some_and(|to| !to.ready.swap(true, Ordering::Relaxed)) {
            self.send("READY=1");
        }
    }

    /// One line for `systemctl status`.
    pub fn status(&self, line: &str) {
        self.send(&format!("STATUS={}", one_line(line)));
    }

    /// The configuration is being read again; [`Supervisor::reloaded`] ends that.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// It was read, or refused. A service that is not ready yet stays so.
    pub fn reloaded(&self) {
        if self.to.as_ref().is_some_and(|to| to.ready.load(Ordering::Relaxed)) {
            self.send("READY=1");
        }
    }

    fn send(&self, message: &str) {
        let Some(to) = &self.to else { return };
        if let Err(error) = to.socket.send_to_addr(message.as_bytes(), &to.address) {
            tracing::debug!(%error, "the service manager was not told {message:?}");
        }
    }
}

/// How long the manager waits for a sign of life of this process.
fn watchdog(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid.parse().is_ok_and(|pid: u32| pid == own));
    let micros = micros?.parse::<u64>().ok().filter(|micros| meant && *micros > 0);
    micros.map(Duration::from_micros)
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    let parts = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let read = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    #[test]
    fn both_forms_of_an_address_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let at_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("ccm-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let at_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
        for (address, socket) in
            [(path.into_os_string(), at_path), (OsString::from(format!("@{name}")), at_name)]
        {
            let supervisor = Supervisor::at(&address, None).unwrap();
            supervisor.reloaded();
            supervisor.ready();
            supervisor.ready();
            assert_eq!(heard(&socket), "READY=1");
            supervisor.status("two\nlines\n");
            assert_eq!(heard(&socket), "STATUS=two; lines");
            supervisor.reloading();
            let said = heard(&socket);
            let micros = said.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            assert!(micros.parse::<u64>().unwrap() > 0, "{said}");
            supervisor.reloaded();
            assert_eq!(heard(&socket), "READY=1");
        }
    }

    #[test]
    fn without_a_manager_nothing_happens_and_a_wrong_address_is_named() {
        Supervisor::default().ready();
        let error = Supervisor::at(OsStr::new("vsock:2:1234"), None).unwrap_err().to_string();
        assert!(error.contains("\"vsock:2:1234\""), "{error}");
        // A manager that is gone is no reason to fail.
        let dir = tempfile::tempdir().unwrap();
        Supervisor::at(dir.path().join("gone").as_os_str(), None).unwrap().status("x");
    }

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        let two = Some(Duration::from_secs(2));
        let table = [
            (Some("2000000"), None, two),
            (Some("2000000"), Some("7"), two),
            (Some("2000000"), Some("8"), None),
            (Some("2000000"), Some("x"), None),
            (Some("0"), None, None),
            (Some("soon"), None, None),
            (None, Some("7"), None),
        ];
        for (micros, pid, expected) in table {
            assert_eq!(watchdog(micros, pid, 7), expected, "{micros:?} {pid:?}");
        }
    }
}
