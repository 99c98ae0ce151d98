//! A host and its neighbour, at the two ends of a cable.

use std::fs::File;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;
use std::time::Duration;

use ccm_harness::wait::until_async;
use ccm_vip::{AnnounceConfig, Mac, Vip, VipConfig, VipEvent, VipEvents};
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::bind;
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv,
    send, socket_with,
};

/// Long enough for anything that should happen.
const SOON: Duration = Duration::from_secs(20);

/// The host's interface, which has [`HOST_MAC`].
pub(crate) const ETH: &str = "eth0";
/// The neighbour's, which has [`PEER_MAC`].
const PEER_ETH: &str = "eth1";

pub(crate) const HOST_MAC: Mac = Mac::new([2, 0, 0, 0, 0, 0xa]);
pub(crate) const PEER_MAC: Mac = Mac::new([2, 0, 0, 0, 0, 0xb]);

/// The addresses of the tests, with their prefixes.
pub(crate) const FOUR: (&str, u8) = ("10.0.1.100", 24);
pub(crate) const SIX: (&str, u8) = ("2001:db8::10", 64);

/// Looks until `look` gives a value.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until_async(SOON, what, tokio::time::sleep, || std::future::ready(look())).await
}

/// A network namespace for the test with one end of a cable, and one with the other.
#[derive(Debug)]
pub(crate) struct Lab {
    peer: File,
}

/// Runs `test` in a lab of its own, on a thread of its own: a namespace belongs to a thread, and
/// to those that it starts. Both namespaces go with the last socket in them.
pub(crate) fn in_lab(test: impl AsyncFnOnce(Lab) + Send) {
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let peer = new_namespace();
            let _own = new_namespace();
            let lab = Lab { peer };
            lab.plug();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(test(lab));
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
    String::from_utf8(output.stdout).unwrap()
}

impl Lab {
    /// Makes a cable with both ends up.
    pub(crate) fn plug(&self) {
        let peer = format!("/proc/{}/fd/{}", std::process::id(), self.peer.as_raw_fd());
        self.ip(&format!(
            "link add {ETH} address {HOST_MAC} type veth \
             peer name {PEER_ETH} address {PEER_MAC} netns {peer}"
        ));
        self.ip(&format!("link set {ETH} up"));
        self.peer_ip(&format!("link set {PEER_ETH} up"));
    }

    /// Runs ip(8) on the host.
    pub(crate) fn ip(&self, words: &str) -> String {
        ip(words)
    }

    /// Runs ip(8) on the neighbour.
    pub(crate) fn peer_ip(&self, words: &str) -> String {
        self.at_peer(|| ip(words))
    }

    /// Writes a setting of the host, such as `ipv6/conf/eth0/disable_ipv6`.
    pub(crate) fn set(&self, setting: &str, value: &str) {
        std::fs::write(format!("/proc/sys/net/{setting}"), value).unwrap();
    }

    fn at_peer<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                setns(&self.peer, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// What ip(8) says about the addresses of an interface of the host, one a line.
    pub(crate) fn addresses(&self, interface: &str) -> Vec<String> {
        let lines = self.ip(&format!("-o address show dev {interface}"));
        lines.lines().filter_map(|line| line.split_whitespace().nth(3).map(String::from)).collect()
    }

    /// Whether the host has the address with this prefix on [`ETH`], as ip(8) sees it.
    pub(crate) fn has(&self, (address, prefix_len): (&str, u8)) -> bool {
        self.addresses(ETH).contains(&format!("{address}/{prefix_len}"))
    }

    /// Where the neighbour believes that the address is.
    pub(crate) fn peer_believes(&self, address: &str) -> String {
        self.peer_ip(&format!("neigh show {address} dev {PEER_ETH}"))
    }

    /// The neighbour's ear and mouth.
    pub(crate) fn peer_wire(&self) -> Wire {
        self.at_peer(Wire::open)
    }
}

/// All frames of the neighbour's interface.
#[derive(Debug)]
pub(crate) struct Wire(OwnedFd);

impl Wire {
    fn open() -> Self {
        // ETH_P_ALL
        let all = RawProtocol::new(u32::from(3_u16.to_be())).map(Protocol::from_raw);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, flags, all).unwrap();
        let mut interfaces = getifaddrs().unwrap().filter(|one| one.interface_name == PEER_ETH);
        let address = interfaces.find_map(|one| one.address?.as_link_addr().copied()).unwrap();
        bind(socket.as_raw_fd(), &address).unwrap();
        Self(socket)
    }

    pub(crate) fn say(&self, frame: &[u8]) {
        send(&self.0, frame, SendFlags::empty()).unwrap();
    }

    /// Waits for a frame that fits.
    pub(crate) async fn hear(&self, what: &str, fits: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        until(what, || self.heard().into_iter().find(|frame| fits(frame))).await
    }

    /// What has come since the last look.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok((length, _)) = recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
            frames.push(buffer[..length].to_vec());
        }
        frames
    }
}

/// The address on [`ETH`], announced six times within half a second.
pub(crate) fn config((address, prefix_len): (&str, u8)) -> VipConfig {
    let announce = AnnounceConfig {
        count: 6,
        interval: Duration::from_millis(100),
        refresh: Duration::from_secs(1),
    };
    let config = VipConfig::new(address.parse().unwrap(), prefix_len, ETH).unwrap();
    config.with_announce(announce).unwrap()
}

pub(crate) fn vip(address: (&str, u8)) -> Vip {
    Vip::open(config(address)).unwrap()
}

/// Waits for `event`, and returns those before it.
pub(crate) async fn event(events: &mut VipEvents, event: &VipEvent) -> Vec<VipEvent> {
    let mut before = Vec::new();
    let waiting = async {
        while let Some(next) = events.next().await {
            if next == *event {
                return;
            }
            before.push(next);
        }
    };
    let waited = tokio::time::timeout(SOON, waiting).await;
    assert!(waited.is_ok(), "waited for {event:?}, there were {before:?}");
    before
}

/// An ARP packet for [`FOUR`] that the neighbour sends.
pub(crate) fn arp(operation: u8, sender: [u8; 4]) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(PEER_MAC.octets());
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(PEER_MAC.octets());
    frame.extend(sender);
    frame.extend([0; 6]);
    frame.extend([10, 0, 1, 100]);
    frame
}

/// What of [`HOST_MAC`] announces the address of [`FOUR`], with this operation.
pub(crate) fn announces(frame: &[u8], operation: u8) -> bool {
    is_arp(frame, operation, [10, 0, 1, 100])
}

/// What of [`HOST_MAC`] asks who has the address of [`FOUR`], without a word about itself.
pub(crate) fn asks(frame: &[u8]) -> bool {
    is_arp(frame, 1, [0; 4])
}

fn is_arp(frame: &[u8], operation: u8, sender: [u8; 4]) -> bool {
    frame.len() >= 42
        && frame[6..12] == HOST_MAC.octets()
        && frame[12..14] == [8, 6]
        && frame[21] == operation
        && frame[28..32] == sender
        && frame[38..42] == [10, 0, 1, 100]
}
