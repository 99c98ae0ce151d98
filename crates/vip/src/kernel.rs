//! Looking for an address, adding it and taking it off. Everything here blocks, for as long as
//! the kernel takes, which is a fraction of a millisecond unless it is busy with interfaces.

use std::collections::BTreeSet;
use std::io;

use rustix::io::Errno;

use crate::netlink::{self, Address, Link, Netlink};
use crate::{Found, LinkState, Mac, Released, VipConfig, VipError, VipState, frame, packet};

/// Times an address is taken off before it is said that something adds it again.
const REMOVE_TRIES: u32 = 5;

/// What there is at one moment.
#[derive(Debug)]
pub(crate) struct Sight {
    /// The interface.
    pub(crate) link: Option<Link>,
    /// Exactly the address, on any interface.
    found: Vec<Address>,
}

impl Sight {
    pub(crate) fn link_state(&self) -> LinkState {
        match &self.link {
            None => LinkState::Missing,
            Some(link) if !link.is_up() => LinkState::Down,
            Some(link) if !link.has_carrier() => LinkState::NoCarrier,
            Some(_) => LinkState::Up,
        }
    }

    /// The address on the interface.
    fn here(&self) -> impl Iterator<Item = &Address> {
        let index = self.link.as_ref().map(|link| link.index);
        self.found.iter().filter(move |address| Some(address.index) == index)
    }

    /// Whether the host answers for it on the interface.
    pub(crate) fn is_usable(&self) -> bool {
        self.here().any(Address::is_usable)
    }

    /// Whether the interface has it.
    pub(crate) fn is_here(&self) -> bool {
        self.here().next().is_some()
    }
}

/// Looks.
pub(crate) fn look(config: &VipConfig) -> Result<Sight, VipError> {
    asked(config, "look for", look_with)
}

/// Looks, in the words of the public types.
pub(crate) fn state(config: &VipConfig) -> Result<VipState, VipError> {
    asked(config, "look for", |netlink, config| {
        let sight = look_with(netlink, config)?;
        Ok(VipState {
            link: sight.link_state(),
            prefix_lens: sight.here().map(|address| address.prefix_len).collect(),
            usable: sight.is_usable(),
            elsewhere: elsewhere(netlink, &sight)?,
        })
    })
}

/// The name that the interface with this index has now.
pub(crate) fn name_of(config: &VipConfig, index: u32) -> Result<Option<String>, VipError> {
    asked(config, "look for", |netlink, _| Ok(netlink.link_at(index)?.map(|link| link.name)))
}

/// The Ethernet addresses of this host.
pub(crate) fn own_macs(config: &VipConfig) -> Result<BTreeSet<[u8; 6]>, VipError> {
    asked(config, "look for", |netlink, _| {
        let links = netlink.links()?;
        Ok(links.into_iter().filter_map(|link| link.mac).map(Mac::octets).collect())
    })
}

/// Other interfaces of this host that have the address.
pub(crate) fn others(config: &VipConfig) -> Result<Vec<String>, VipError> {
    Ok(state(config)?.elsewhere)
}

/// Makes the interface have exactly the address with exactly the prefix, and sees that it does.
/// Where the interface with the index `formerly` has it, which had the name when the address was
/// added, it moves.
pub(crate) fn add(config: &VipConfig, formerly: Option<u32>) -> Result<Found, VipError> {
    let added = asked(config, "add", |netlink, config| {
        let sight = look_with(netlink, config)?;
        let Some(link) = &sight.link else { return Err(Errno::NODEV.into()) };
        let right = |one: &&Address| one.prefix_len == config.prefix_len() && one.is_usable();
        let there = sight.here().any(|one| right(&one));
        let wrong: Vec<&Address> = sight.here().filter(|one| !right(one)).collect();
        let left =
            sight.found.iter().filter(|one| one.index != link.index && Some(one.index) == formerly);
        for one in left {
            remove_one(netlink, one, &mut Released::default())?;
        }
        // To IPv6 it is one address whatever its prefix, so the wrong one goes first.
        for one in &wrong {
            remove_one(netlink, one, &mut Released::default())?;
        }
        if !there {
            match netlink.add(config.address(), config.prefix_len(), link.index) {
                Err(error) if netlink::is(&error, Errno::EXIST) => {}
                result => result?,
            }
        }
        let found = match (there, wrong.is_empty()) {
            (_, false) => Found::Corrected,
            (true, true) => Found::AlreadyThere,
            (false, true) => Found::Nothing,
        };
        Ok((found, look_with(netlink, config)?.is_here()))
    })?;
    match added {
        (found, true) => Ok(found),
        (_, false) => {
            let gone = io::Error::other("the kernel said yes, and does not have it");
            Err(VipError::refused("add", config, gone))
        }
    }
}

/// Takes the address off, and sees that it is gone: from the interface, and from the one with
/// the index `also`, which had its name when the address was added. Where the interface is gone,
/// the address can only be on one that was renamed, so it is taken off wherever it is.
pub(crate) fn release(config: &VipConfig, also: Option<u32>) -> Result<Released, VipError> {
    let mut done = Released::default();
    for _ in 0..REMOVE_TRIES {
        let left = asked(config, "remove", |netlink, config| {
            let sight = look_with(netlink, config)?;
            let index = sight.link.as_ref().map(|link| link.index);
            let ours = |one: &&Address| {
                index.is_none() || Some(one.index) == index || Some(one.index) == also
            };
            let (ours, others): (Vec<&Address>, Vec<&Address>) = sight.found.iter().partition(ours);
            if ours.is_empty() {
                done.elsewhere = names(netlink, &others)?;
                return Ok(0);
            }
            for address in &ours {
                remove_one(netlink, address, &mut done)?;
            }
            Ok(ours.len())
        })?;
        if left == 0 {
            return Ok(done);
        }
        done.removed = done.removed.saturating_add(u32::try_from(left).unwrap_or(u32::MAX));
    }
    let (address, interface) = (config.address(), String::from(config.interface()));
    Err(VipError::Stays { address, interface, tries: REMOVE_TRIES })
}

/// Tells the neighbours once.
pub(crate) fn announce(config: &VipConfig, link: &Link) -> Result<(), VipError> {
    // Where there are no neighbours, nobody has to be told.
    let Some(own) = link.speaks_from() else { return Ok(()) };
    let said = packet::say(link, &frame::announcements(own, config.address()));
    said.map_err(|source| VipError::refused("announce", config, source))
}

fn asked<T>(
    config: &VipConfig,
    doing: &'static str,
    ask: impl FnOnce(&mut Netlink, &VipConfig) -> io::Result<T>,
) -> Result<T, VipError> {
    let mut netlink = Netlink::open().map_err(|e| VipError::refused(doing, config, e))?;
    ask(&mut netlink, config).map_err(|source| VipError::refused(doing, config, source))
}

fn look_with(netlink: &mut Netlink, config: &VipConfig) -> io::Result<Sight> {
    let link = netlink.link_named(config.interface())?;
    let mut found = netlink.addresses(config.address())?;
    found.retain(|one| one.local == config.address());
    Ok(Sight { link, found })
}

fn elsewhere(netlink: &mut Netlink, sight: &Sight) -> io::Result<Vec<String>> {
    let index = sight.link.as_ref().map(|link| link.index);
    let others: Vec<&Address> = sight.found.iter().filter(|one| Some(one.index) != index).collect();
    names(netlink, &others)
}

/// The names of the interfaces that have these addresses.
fn names(netlink: &mut Netlink, addresses: &[&Address]) -> io::Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for address in addresses {
        names.extend(netlink.link_at(address.index)?.map(|link| link.name));
    }
    Ok(names.into_iter().collect())
}

/// Takes one off. With the first address of an IPv4 subnet the kernel takes off the others of
/// that subnet (`promote_secondaries` is 0 by default), the host's own among them: these are put
/// back.
fn remove_one(netlink: &mut Netlink, address: &Address, done: &mut Released) -> io::Result<()> {
    let before = netlink.addresses(address.local)?;
    match netlink.delete(address) {
        // Gone, or its interface is.
        Err(e) if netlink::is(&e, Errno::ADDRNOTAVAIL) || netlink::is(&e, Errno::NODEV) => {
            return Ok(());
        }
        result => result?,
    }
    let may_go = |one: &&Address| {
        one.index == address.index && one.is_secondary() && one.local != address.local
    };
    let mut candidates = before.iter().filter(may_go).peekable();
    if candidates.peek().is_none() {
        return Ok(());
    }
    let after = netlink.addresses(address.local)?;
    for one in candidates.filter(|one| !after.iter().any(|there| there.is_same(one))) {
        match netlink.put_back(one) {
            Err(error) if !netlink::is(&error, Errno::EXIST) => {
                tracing::error!(address = %one.local, %error, "an address was not put back");
                done.lost.push(one.local);
            }
            _there => done.put_back.push(one.local),
        }
    }
    Ok(())
}
