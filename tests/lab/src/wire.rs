//! Asking the wire, every few milliseconds, who has an address: whether two ever answer at once is
//! what a client would suffer from.

use std::net::Ipv4Addr;
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
/// The type of a frame with ARP.
const ETHERTYPE_ARP: u16 = 0x0806;
/// Ethernet, IPv4, and the lengths of their addresses.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Bytes of an Ethernet header, and of it with ARP.
const HEADER: usize = 14;
const FRAME: usize = HEADER + 28;

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
    pub fn watch(client: &Client, address: Ipv4Addr) -> Result<Self> {
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

fn ask_on(address: Ipv4Addr, stop: &AtomicBool, noted: &Mutex<Heard>) -> Result<()> {
    let link = link().context("the client has no interface")?;
    let own = link.addr().context("the client's interface has no address")?;
    let socket = open(&link).context("could not listen to the wire")?;
    let question = question(own, client::PORT.address(), address);
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
            if let Some(claim) = claim(&frame[..length], address, own) {
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

fn open(link: &LinkAddr) -> Result<OwnedFd> {
    // In the order of the wire.
    let arp = RawProtocol::new(u32::from(ETHERTYPE_ARP.to_be())).map(Protocol::from_raw);
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, arp)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(LISTEN_FOR))?;
    bind(socket.as_raw_fd(), link)?;
    Ok(socket)
}

/// Who has `address`? Tell `asker`.
fn question(own: Mac, asker: Ipv4Addr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(own);
    frame.extend(ETHERTYPE_ARP.to_be_bytes());
    frame.extend(ETHERNET_IPV4);
    frame.extend([0, 1]);
    frame.extend(own);
    frame.extend(asker.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

/// What a frame claims about `address`.
fn claim(frame: &[u8], address: Ipv4Addr, own: Mac) -> Option<Claim> {
    let frame = frame.get(..FRAME)?;
    let arp = &frame[HEADER..];
    if frame[12..HEADER] != ETHERTYPE_ARP.to_be_bytes() || arp[..6] != ETHERNET_IPV4 {
        return None;
    }
    let mac: Mac = arp[8..14].try_into().ok()?;
    let sender: [u8; 4] = arp[14..18].try_into().ok()?;
    if mac == own || Ipv4Addr::from(sender) != address {
        return None;
    }
    let reply = arp[7] == 2;
    Some(Claim { mac, answer: reply && frame[..6] == own })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 100);
    const OWN: Mac = [2, 0x77, 0, 0, 0, 50];

    fn reply(from: Mac, to: Mac) -> Vec<u8> {
        let mut frame = question(from, VIP, client::PORT.address());
        frame[..6].copy_from_slice(&to);
        frame[21] = 2;
        frame
    }

    #[test]
    fn an_answer_is_told_from_an_announcement_and_from_what_is_not_about_it() {
        let (one, all) = ([2, 0x77, 0, 0, 0, 11], [0xff; 6]);
        let claimed = |frame: &[u8]| claim(frame, VIP, OWN);
        assert_eq!(claimed(&reply(one, OWN)), Some(Claim { mac: one, answer: true }));
        assert_eq!(claimed(&reply(one, all)), Some(Claim { mac: one, answer: false }));
        assert_eq!(claimed(&question(OWN, client::PORT.address(), VIP)), None);
        assert_eq!(claimed(&reply(one, OWN)[..40]), None);
        assert_eq!(claim(&reply(one, OWN), Ipv4Addr::new(10, 0, 1, 101), OWN), None);
    }

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
