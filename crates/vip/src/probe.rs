//! Does anyone else have the address?

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use crate::netlink::Link;
use crate::packet::{Ear, is_silent};
use crate::{Mac, VipConfig, VipError, frame};

/// Questions, as one frame may be lost (RFC 5227 has as many).
pub(crate) const QUESTIONS: u32 = 3;

/// How long an answer to one may take. RFC 5227 waits for seconds, for hosts that know nothing of
/// each other; a neighbour on a working link answers within milliseconds.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(100);

/// Whether another host has the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// Nobody has answered.
    Free,
    /// Another host has it, or is about to take it.
    Held {
        /// The other host.
        mac: Mac,
    },
    /// Nobody could be asked: the interface is down, has no carrier, or has no neighbours.
    Unasked,
    /// They are asked now that it has been taken; another holder becomes a
    /// [`VipEvent::Conflict`](crate::VipEvent::Conflict).
    Later,
}

/// Asks the neighbours. `own` are the Ethernet addresses of this host: it may hear itself over
/// another interface of the same link.
pub(crate) async fn probe(
    config: &VipConfig,
    link: &Link,
    own: &BTreeSet<[u8; 6]>,
) -> Result<Probe, VipError> {
    let Some(mac) = link.speaks_from() else { return Ok(Probe::Unasked) };
    if !link.is_up() || !link.has_carrier() {
        return Ok(Probe::Unasked);
    }
    let asking = async {
        let ear = Ear::open(link, config.address())?;
        let question = frame::probe(mac, config.address());
        for _ in 0..QUESTIONS {
            let answer = async {
                ear.ask(&question).await?;
                other(&ear, own).await
            };
            if let Ok(answer) = timeout(ANSWER_WITHIN, answer).await {
                return Ok(Probe::Held { mac: answer? });
            }
        }
        Ok(Probe::Free)
    };
    match asking.await {
        Err(error) if is_silent(&error) => Ok(Probe::Unasked),
        result => result.map_err(|source| VipError::refused("probe for", config, source)),
    }
}

/// The next claim of another host.
async fn other(ear: &Ear, own: &BTreeSet<[u8; 6]>) -> std::io::Result<Mac> {
    loop {
        let mac = ear.claim().await?.mac();
        if !own.contains(&mac.octets()) {
            return Ok(mac);
        }
    }
}
