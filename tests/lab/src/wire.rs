//! Asking the wire, every few milliseconds, who has an address: whether two ever answer at once is
//! what a client would suffer from.

mod arp;
mod ndp;

use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv,
    send, socket_with,
};

use crate::client::{self, Client};
use crate::switch::INTERFACE;

/// Between two questions; what comes meanwhile answers the last one.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long one look at the socket waits.
const LISTEN_FOR: Duration = Duration::from_millis(2);
/// Bytes of an Ethernet header.
const HEADER: usize = 14;

/// An Ethernet address.
type Mac = [u8; 6];

/// Somebody has said that the address is his.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    mac: Mac,
    /// An answer to us; else an announcement to all.
    answer: bool,
}

#[derive(Debug, Default)]
struct Heard {
    questions: u64,
    /// Who has answered the last question.
    answered: Vec<Mac>,
    /// Who has ever answered, in the order of the first time.
    holders: Vec<Mac>,
    /// Questions that two have answered, in words.
    two: Vec<String>,
    /// Announcements so far.
    announcements: u64,
    /// The last time that somebody answered, and who it was.
    last: Option<(Instant, Mac)>,
    /// How long nobody answered when it went from one to another.
    moves: Vec<Duration>,
}

/// A thread at the client that asks for one address.
#[derive(Debug)]
pub struct Wire {
    stop: Arc<AtomicBool>,
    heard: Arc<Mutex<Heard>>,
    thread: Option<JoinHandle<Result<Result<()>>>>,
}

impl Wire {
    /// Starts to ask.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn watch(client: &Client, address: IpAddr) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&heard));
        let thread = client.spawn("wire", move || ask_on(address, &stopped, &noted))?;
        Ok(Self { stop, heard, thread: Some(thread) })
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it has asked.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.heard().questions
    }

    /// The Ethernet addresses that have answered so far, in the order of the first time.
    #[must_use]
    pub fn holders(&self) -> Vec<String> {
        self.heard().holders.iter().map(|mac| shown(*mac)).collect()
    }

    /// How often somebody has announced the address unasked.
    #[must_use]
    pub fn announcements(&self) -> u64 {
        self.heard().announcements
    }

    /// How long nobody answered, each time that the address went from one to another.
    #[must_use]
    pub fn moves(&self) -> Vec<Duration> {
        self.heard().moves.clone()
    }

    /// Questions that two have answered so far, in words.
    #[must_use]
    pub fn two(&self) -> Vec<String> {
        self.heard().two.clone()
    }

    /// When somebody last answered, and who.
    #[must_use]
    pub fn last(&self) -> Option<(Instant, String)> {
        self.heard().last.map(|(at, mac)| (at, shown(mac)))
    }

    /// Stops, and says whether two have ever answered one question.
    ///
    /// # Errors
    /// When they have, when it could not ask, or when nobody ever answered.
    pub fn never_two(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().map_err(|_| anyhow!("the thread at the wire panicked"))???;
        }
        let heard = self.heard();
        ensure!(heard.two.is_empty(), "two had the address at once: {}", heard.two.join("; "));
        ensure!(!heard.holders.is_empty(), "nobody has ever answered for the address");
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn shown(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn ask_on(address: IpAddr, stop: &AtomicBool, noted: &Mutex<Heard>) -> Result<()> {
    let link = link().context("the client has no interface")?;
    let own = link.addr().context("the client's interface has no address")?;
    let socket = open(&link, address).context("could not listen to the wire")?;
    let question = match address {
        IpAddr::V4(address) => arp::question(own, client::PORT.address(), address),
        IpAddr::V6(address) => ndp::question(own, client::PORT.address6(), address),
    };
    while !stop.load(Ordering::Relaxed) {
        {
            let mut heard = noted.lock().unwrap_or_else(PoisonError::into_inner);
            heard.questions += 1;
            heard.answered.clear();
        }
        send(&socket, &question, SendFlags::empty()).context("could not ask the wire")?;
        let until = Instant::now() + ASK_EVERY;
        while Instant::now() < until {
            let mut frame = [0; 256];
            // Nothing to hear within a moment is no failure.
            let Ok((length, _)) = recv(&socket, &mut frame, RecvFlags::empty()) else { continue };
            let frame = &frame[..length];
            let claim = match address {
                IpAddr::V4(address) => arp::claim(frame, address, own),
                IpAddr::V6(address) => ndp::claim(frame, address, own),
            };
            if let Some(claim) = claim {
                let mut heard = noted.lock().unwrap_or_else(PoisonError::into_inner);
                heard.note(claim);
            }
        }
    }
    Ok(())
}

impl Heard {
    fn note(&mut self, claim: Claim) {
        if !claim.answer {
            self.announcements += 1;
            return;
        }
        let now = Instant::now();
        if let Some((at, mac)) = self.last
            && mac != claim.mac
        {
            self.moves.push(now - at);
        }
        self.last = Some((now, claim.mac));
        if !self.holders.contains(&claim.mac) {
            self.holders.push(claim.mac);
        }
        if !self.answered.contains(&claim.mac) {
            self.answered.push(claim.mac);
            if self.answered.len() == 2 {
                let both: Vec<String> = self.answered.iter().map(|mac| shown(*mac)).collect();
                self.two.push(format!("{} at question {}", both.join(" and "), self.questions));
            }
        }
    }
}

/// The link-layer address of the client's interface, which names the interface to the kernel.
fn link() -> Option<LinkAddr> {
    let mut all = getifaddrs().ok()?.filter(|one| one.interface_name == INTERFACE);
    all.find_map(|one| one.address?.as_link_addr().copied())
}

fn open(link: &LinkAddr, address: IpAddr) -> Result<OwnedFd> {
    let frames = if address.is_ipv4() { arp::ETHERTYPE } else { ndp::ETHERTYPE };
    // In the order of the wire.
    let frames = RawProtocol::new(u32::from(frames.to_be())).map(Protocol::from_raw);
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, frames)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(LISTEN_FOR))?;
    bind(socket.as_raw_fd(), link)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_answers_to_one_question_are_noted_and_one_after_the_other_are_not() {
        let claim = |last| Claim { mac: [2, 0x77, 0, 0, 0, last], answer: true };
        let mut heard = Heard::default();
        heard.note(claim(11));
        heard.note(claim(11));
        heard.answered.clear();
        heard.note(claim(12));
        assert!(heard.two.is_empty(), "{heard:?}");
        heard.note(claim(11));
        assert_eq!(heard.two.len(), 1, "{heard:?}");
        assert_eq!(heard.holders.len(), 2);
    }
}
