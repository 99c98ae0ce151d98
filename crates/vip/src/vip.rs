//! The address as a daemon has it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::event::VipEvents;
use crate::netlink::{Link, News};
use crate::shared::{Asked, MayHold, Shared};
use crate::{
    Found, LinkState, Probe, Released, VipConfig, VipError, VipState, holder, kernel, probe,
};

/// How taking an address went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// What the neighbours said. [`Probe::Held`] only when it was insisted, [`Probe::Later`] only
    /// from [`Vip::take_over`].
    pub probe: Probe,
    /// What the interface had before.
    pub found: Found,
    /// Whether the interface can carry anything; [`LinkState::problem`] says it in words.
    pub link: LinkState,
    /// Other interfaces of this host that have the address. Empty unless it was insisted or
    /// taken over.
    pub elsewhere: Vec<String>,
    /// Why the first announcement could not be sent; the next ones are as planned.
    pub not_announced: Option<String>,
}

/// A virtual address on an interface of this host.
///
/// While it is held, it is announced as the config says, put back when something removes it, and
/// defended when another host claims it. Dropping leaves the address where it is: a daemon that
/// is restarted goes on holding it. Only [`Vip::release`] and
/// [`release_now`](crate::release_now) take it off.
#[derive(Debug)]
pub struct Vip {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    ends: DropGuard,
}

impl Vip {
    /// Watches the interface from now on. Changes nothing: an address that is left over from
    /// before is still there. Must be called on a runtime of tokio with I/O and time.
    ///
    /// # Errors
    /// [`VipError::Kernel`] when the kernel gives no netlink socket, or there is no runtime.
    pub fn open(config: VipConfig) -> Result<Self, VipError> {
        Self::open_while(config, || true)
    }

    /// The same for a right to the address that ends by itself, as that of a lease does:
    /// `may_hold` is asked whenever the address is about to be added, put back or announced, and
    /// nothing of that is done when it says no. So a process that was stopped, and goes on when
    /// another host has the address, does not take it back before it has noticed.
    ///
    /// It is asked with a lock held and must not wait. What is there already stays: to take it
    /// off is somebody else's work.
    ///
    /// # Errors
    /// Those of [`Vip::open`].
    pub fn open_while(
        config: VipConfig,
        may_hold: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self, VipError> {
        let runtime = Handle::try_current().map_err(io::Error::other);
        let news = runtime.and_then(|_| News::open());
        let news = news.map_err(|source| VipError::refused("watch", &config, source))?;
        let shared = Arc::new(Shared::new(config, MayHold(Box::new(may_hold))));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(holder::run(Arc::clone(&shared), news, stop.clone()));
        tasks.close();
        Ok(Self { shared, tasks, ends: stop.drop_guard() })
    }

    /// What it was opened with.
    #[must_use]
    pub fn config(&self) -> &VipConfig {
        &self.shared.config
    }

    /// Asks the neighbours whether anyone has the address, for 300 ms, then takes it, announces
    /// it once and goes on announcing it. What is there already is set right.
    ///
    /// With `insist`, it is taken whoever else has it: for a caller who knows that it is his, as
    /// the holder of a lease does. The conflict is then in [`Acquired`].
    ///
    /// When it is dropped while it waits, the address may be taken all the same: release it.
    ///
    /// # Errors
    /// [`VipError::HeldElsewhere`], [`VipError::OnOtherInterface`] without `insist`;
    /// [`VipError::NoInterface`], [`VipError::NotPermitted`], [`VipError::Ipv6Disabled`];
    /// [`VipError::Overtaken`] when a release comes in between, [`VipError::NotAllowed`] when the
    /// right to it has ended ([`Vip::open_while`]). Nothing has been changed then.
    /// After [`VipError::TimedOut`] release it, or try again.
    pub async fn acquire(&self, insist: bool) -> Result<Acquired, VipError> {
        let releases = self.shared.releases();
        let (link, own, elsewhere) = self.look_around().await?;
        let config = &self.shared.config;
        let (address, interface) = (config.address(), String::from(config.interface()));
        if !insist && !elsewhere.is_empty() {
            return Err(VipError::OnOtherInterface { address, interface, others: elsewhere });
        }
        let probe = probe::probe(config, &link, &own).await?;
        if let Probe::Held { mac } = probe
            && !insist
        {
            return Err(VipError::HeldElsewhere { address, interface, mac });
        }
        self.take(releases, Asked::Before, probe, elsewhere).await
    }

    /// Takes the address at once, announces it and goes on announcing it, and asks the neighbours
    /// meanwhile: for a caller whose predecessor has said that it gave the address up. Should
    /// somebody have it all the same, that is a [`VipEvent::Conflict`](crate::VipEvent::Conflict),
    /// as if it had been insisted on.
    ///
    /// # Errors
    /// Those of [`Vip::acquire`] with `insist`.
    pub async fn take_over(&self) -> Result<Acquired, VipError> {
        let releases = self.shared.releases();
        let (_, _, elsewhere) = self.look_around().await?;
        self.take(releases, Asked::After, Probe::Later, elsewhere).await
    }

    /// The interface, the Ethernet addresses of this host, and the other interfaces that have the
    /// address.
    async fn look_around(&self) -> Result<(Link, BTreeSet<[u8; 6]>, Vec<String>), VipError> {
        let config = self.shared.config.clone();
        let looking = move |_: &Shared| {
            let link = kernel::look(&config)?.link;
            let link = link.ok_or_else(|| VipError::no_interface("add", &config))?;
            Ok((link, kernel::own_macs(&config)?, kernel::others(&config)?))
        };
        self.shared.blocking("look for", looking).await
    }

    async fn take(
        &self,
        releases: u64,
        asked: Asked,
        probe: Probe,
        elsewhere: Vec<String>,
    ) -> Result<Acquired, VipError> {
        let taken = self.shared.blocking("add", move |shared| shared.take(releases, asked)).await;
        self.shared.changed.notify_one();
        let (found, link, not_announced) = taken?;
        Ok(Acquired { probe, found, link, elsewhere, not_announced })
    }

    /// Takes the address off and sees that it is gone. Nothing is announced or put back once it
    /// has returned. Waits for nothing but the kernel; does nothing when the address is not there.
    /// When it is dropped while it waits, it goes on.
    ///
    /// # Errors
    /// [`VipError::NotPermitted`]; [`VipError::Stays`] when something adds it again and again;
    /// [`VipError::TimedOut`], [`VipError::Kernel`]: try again, the address may be there.
    pub async fn release(&self) -> Result<Released, VipError> {
        let released = self.shared.blocking("remove", Shared::give_up).await;
        self.shared.changed.notify_one();
        released
    }

    /// What the kernel says at this moment.
    ///
    /// # Errors
    /// [`VipError::TimedOut`], [`VipError::Kernel`].
    pub async fn state(&self) -> Result<VipState, VipError> {
        self.shared.blocking("look for", |shared| kernel::state(&shared.config)).await
    }

    /// Whether the interface has exactly this address at this moment.
    ///
    /// # Errors
    /// Those of [`Vip::state`].
    pub async fn is_held(&self) -> Result<bool, VipError> {
        Ok(self.state().await?.is_held())
    }

    /// Whether the interface can carry anything at this moment.
    ///
    /// # Errors
    /// Those of [`Vip::state`].
    pub async fn link_state(&self) -> Result<LinkState, VipError> {
        Ok(self.state().await?.link)
    }

    /// How often the address was announced since this was opened.
    #[must_use]
    pub fn announced(&self) -> u64 {
        self.shared.announced()
    }

    /// What happens from now on.
    #[must_use]
    pub fn watch(&self) -> VipEvents {
        VipEvents(self.shared.events.subscribe())
    }

    /// Stops announcing and watching, and waits until that is done. The address stays.
    pub async fn close(self) {
        drop(self.ends);
        self.tasks.wait().await;
    }
}
