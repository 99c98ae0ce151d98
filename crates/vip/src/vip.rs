//! The address as a daemon has it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::event::{EVENTS_KEPT, VipEvents};
use crate::netlink::News;
use crate::{
    Found, LinkState, Probe, Released, VipConfig, VipError, VipEvent, VipState, holder, kernel,
    probe,
};

/// How long the kernel may take for one step. It takes a fraction of a millisecond, unless it is
/// busy with interfaces.
const KERNEL_WITHIN: Duration = Duration::from_secs(3);

/// Steps that may wait for the kernel at a time, those included that have been given up: each
/// has a thread.
const STEPS_MAX: usize = 8;

/// How taking an address went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acquired {
    /// What the neighbours said. [`Probe::Held`] only when it was insisted.
    pub probe: Probe,
    /// What the interface had before.
    pub found: Found,
    /// Whether the interface can carry anything; [`LinkState::problem`] says it in words.
    pub link: LinkState,
    /// Other interfaces of this host that have the address. Empty unless it was insisted.
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

/// What the callers and the task that holds the address have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: VipConfig,
    intent: Mutex<Intent>,
    /// The intent has changed.
    pub(crate) changed: Notify,
    pub(crate) events: broadcast::Sender<VipEvent>,
    /// [`STEPS_MAX`]
    steps: Arc<Semaphore>,
}

/// What is wanted. Whoever adds, removes or announces has this locked, so nothing is added or
/// announced once a release has returned.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    /// Set while the address is to be held.
    pub(crate) hold: Option<Hold>,
    /// Releases so far: a taking that began before the last one comes too late.
    releases: u64,
}

/// An address that is to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The interface it was added to.
    pub(crate) index: u32,
    /// When it was taken and first announced.
    pub(crate) since: Instant,
}

impl Vip {
    /// Watches the interface from now on. Changes nothing: an address that is left over from
    /// before is still there. Must be called on a runtime of tokio with I/O and time.
    ///
    /// # Errors
    /// [`VipError::Kernel`] when the kernel gives no netlink socket, or there is no runtime.
    pub fn open(config: VipConfig) -> Result<Self, VipError> {
        let runtime = Handle::try_current().map_err(io::Error::other);
        let news = runtime.and_then(|_| News::open());
        let news = news.map_err(|source| VipError::refused("watch", &config, source))?;
        let shared = Arc::new(Shared {
            config,
            intent: Mutex::default(),
            changed: Notify::new(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            steps: Arc::new(Semaphore::new(STEPS_MAX)),
        });
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
    /// [`VipError::Overtaken`] when a release comes in between. Nothing has been changed then.
    /// After [`VipError::TimedOut`] release it, or try again.
    pub async fn acquire(&self, insist: bool) -> Result<Acquired, VipError> {
        let releases = self.shared.intent().releases;
        let config = self.shared.config.clone();
        let (link, own, elsewhere) = self
            .shared
            .blocking("look for", move |_| {
                let link = kernel::look(&config)?.link;
                let link = link.ok_or_else(|| VipError::no_interface("add", &config))?;
                Ok((link, kernel::own_macs(&config)?, kernel::others(&config)?))
            })
            .await?;
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
        let taken = self.shared.blocking("add", move |shared| shared.take(releases)).await;
        self.shared.changed.notify_one();
        let (found, link, not_announced) = taken?;
        Ok(Acquired { probe, found, link, elsewhere, not_announced })
    }

    /// Takes the address off and sees that it is gone. Nothing is announced or put back any more
    /// from the moment of the call. Waits for nothing but the kernel; does nothing when the
    /// address is not there.
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

impl Shared {
    /// What is wanted, locked.
    pub(crate) fn intent(&self) -> MutexGuard<'_, Intent> {
        self.intent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever watches.
    pub(crate) fn tell(&self, event: VipEvent) {
        tracing::debug!(?event, address = %self.config.address(), "virtual address");
        // Nobody may be watching.
        drop(self.events.send(event));
    }

    /// Does what blocks on a thread that may.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, VipError> + Send + 'static,
    ) -> Result<T, VipError> {
        let shared = Arc::clone(self);
        let working = async {
            let step = Arc::clone(&self.steps).acquire_owned().await.map_err(io::Error::other)?;
            let working = tokio::task::spawn_blocking(move || {
                let result = work(&shared);
                drop(step);
                result
            });
            Ok(working.await?)
        };
        match timeout(KERNEL_WITHIN, working).await {
            Ok(Ok(result)) => result,
            Ok(Err(ended)) => Err(VipError::refused(doing, &self.config, ended)),
            Err(_elapsed) => Err(VipError::TimedOut {
                doing,
                address: self.config.address(),
                interface: String::from(self.config.interface()),
                within: KERNEL_WITHIN,
            }),
        }
    }

    fn take(&self, releases: u64) -> Result<(Found, LinkState, Option<String>), VipError> {
        let config = &self.config;
        let mut intent = self.intent();
        if intent.releases != releases {
            let (address, interface) = (config.address(), String::from(config.interface()));
            return Err(VipError::Overtaken { address, interface });
        }
        let formerly = intent.hold.map(|hold| hold.index);
        let found = kernel::add(config, formerly)?;
        let sight = kernel::look(config)?;
        let link = sight.link.as_ref().ok_or_else(|| VipError::no_interface("add", config))?;
        intent.hold = Some(Hold { index: link.index, since: Instant::now() });
        let announced = kernel::announce(config, link);
        Ok((found, sight.link_state(), announced.err().map(|error| in_words(&error))))
    }

    fn give_up(&self) -> Result<Released, VipError> {
        let mut intent = self.intent();
        intent.releases += 1;
        let hold = intent.hold.take();
        kernel::release(&self.config, hold.map(|hold| hold.index))
    }
}

/// An error with its reasons.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        words = format!("{words}: {source}");
        next = source.source();
    }
    words
}
