//! Hosts with a network of their own: a network namespace each, and a switch between them.
//!
//! The namespaces have no names: each goes with the last process and the last file in it, so
//! nothing is left behind by a test that was killed.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::Arc;

use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns, unshare};

/// The interface of every host.
pub const INTERFACE: &str = "eth0";
/// The address of the switch, where the server and the clients are.
pub const SWITCH: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The switch as an interface.
const BRIDGE: &str = "br0";

/// A namespace with a switch. The calling thread is in it, and so is what it starts.
#[derive(Debug)]
pub struct Lan(());

/// A host at the switch.
#[derive(Debug, Clone)]
pub struct Host {
    number: u8,
    namespace: Arc<File>,
}

/// Runs `test` on a thread in a namespace of its own, in which there is nothing but a switch.
///
/// # Panics
/// With `test`, without root, and without ip(8).
pub fn in_lan(test: impl FnOnce(&Lan) + Send) {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let _own = new_namespace();
            ip("link set lo up");
            // Of its own, or it changes with every port and its neighbours lose it.
            ip(&format!("link add {BRIDGE} address 02:00:00:00:00:ff type bridge"));
            ip(&format!("address add {SWITCH}/24 dev {BRIDGE}"));
            ip(&format!("link set {BRIDGE} up"));
            test(&Lan(()));
        });
        if let Err(panic) = running.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Moves the thread into a namespace that is new.
fn new_namespace() -> File {
    let moved = unshare(CloneFlags::CLONE_NEWNET);
    assert!(moved.is_ok(), "these tests need root: they make network namespaces ({moved:?})");
    File::open("/proc/thread-self/ns/net").unwrap()
}

/// Runs ip(8) in the namespace of the thread.
fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split_whitespace()).output();
    let output =
        output.unwrap_or_else(|e| panic!("no ip ({e}): install the Debian package iproute2"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `work` on a thread of its own in `namespace`.
fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Moves the thread into the namespace.
pub(crate) fn enter(namespace: &File) {
    setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
}

/// Whether an interface of the thread's namespace has the address.
pub(crate) fn is_here(address: IpAddr) -> bool {
    let mut all = getifaddrs().unwrap();
    all.any(|one| {
        one.address.is_some_and(|at| {
            let four = at.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
            let six = at.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip()));
            four.or(six) == Some(address)
        })
    })
}

impl Lan {
    /// Plugs in a host that has just been switched on: its address is 10.77.0.10 + `number`, its
    /// Ethernet address ends with `number`. One with the same number is unplugged.
    #[must_use]
    pub fn plug(&self, number: u8) -> Host {
        let made = std::thread::scope(|scope| {
            let making = scope.spawn(|| {
                let namespace = new_namespace();
                ip("link set lo up");
                namespace
            });
            making.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let host = Host { number, namespace: Arc::new(made) };
        if ip("-brief link").contains(&format!("{}@", host.port())) {
            ip(&format!("link delete {}", host.port()));
        }
        ip(&format!(
            "link add {} type veth peer name {INTERFACE} address {} netns {}",
            host.port(),
            host.mac(),
            host.path()
        ));
        ip(&format!("link set {} master {BRIDGE} up", host.port()));
        host.ip(&format!("address add {}/24 dev {INTERFACE}", host.address()));
        host.ip(&format!("link set {INTERFACE} up"));
        host
    }

    /// Where the clients at the switch believe that an address is, as ip(8) shows it.
    #[must_use]
    pub fn neighbour(&self, address: IpAddr) -> String {
        ip(&format!("neigh show {address} dev {BRIDGE}"))
    }
}

impl Host {
    /// Its own address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 10 + self.number)
    }

    /// Its Ethernet address.
    #[must_use]
    pub fn mac(&self) -> String {
        format!("02:00:00:00:00:{:02x}", self.number)
    }

    /// Runs ip(8) on it.
    pub fn ip(&self, words: &str) -> String {
        inside(&self.namespace, || ip(words))
    }

    /// Whether its kernel has the address at this moment.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        inside(&self.namespace, || is_here(address))
    }

    /// Pulls the cable.
    pub fn unplug(&self) {
        ip(&format!("link set {} down", self.port()));
    }

    pub(crate) fn namespace(&self) -> Arc<File> {
        Arc::clone(&self.namespace)
    }

    /// The namespace as a file that every process may open.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// The port of the switch.
    fn port(&self) -> String {
        format!("port{}", self.number)
    }

    /// `program` on this host, without its arguments.
    pub(crate) fn command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--").arg(program);
        command
    }
}
