//! What the callers and the task that holds the address have in common.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, broadcast};
use tokio::time::timeout;

use crate::error::in_words;
use crate::event::EVENTS_KEPT;
use crate::netlink::Link;
use crate::{Found, LinkState, Released, VipConfig, VipError, VipEvent, kernel};

/// How long the kernel may take for one step. It takes a fraction of a millisecond, unless it is
/// busy with interfaces.
const KERNEL_WITHIN: Duration = Duration::from_secs(3);

/// Steps that may wait for the kernel at a time, those included that have been given up: each
/// has a thread.
const STEPS_MAX: usize = 8;

/// Says at any moment whether the address may be held.
pub(crate) struct MayHold(pub(crate) Box<dyn Fn() -> bool + Send + Sync>);

impl fmt::Debug for MayHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MayHold").field(&(self.0)()).finish()
    }
}

/// One address, for everyone who deals with it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: VipConfig,
    may_hold: MayHold,
    intent: Mutex<Intent>,
    /// The intent has changed.
    pub(crate) changed: Notify,
    pub(crate) events: broadcast::Sender<VipEvent>,
    /// Announcements that were sent.
    announced: AtomicU64,
    /// [`STEPS_MAX`]
    steps: Arc<Semaphore>,
}

/// When the neighbours are asked whether they have the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Before it was taken.
    Before,
    /// Now that it is.
    After,
}

/// The address, since it was taken and first announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) since: Instant,
    pub(crate) asked: Asked,
}

/// What is wanted. Whoever adds, removes or announces has this locked, so nothing is added or
/// announced once a release has returned.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    /// While it is to be held.
    pub(crate) taken: Option<Taken>,
    /// The interface it was added to, until it has been taken off.
    index: Option<u32>,
    /// Releases so far: a taking that began before the last one comes too late.
    releases: u64,
}

impl Shared {
    pub(crate) fn new(config: VipConfig, may_hold: MayHold) -> Self {
        Self {
            config,
            may_hold,
            intent: Mutex::default(),
            changed: Notify::new(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            announced: AtomicU64::new(0),
            steps: Arc::new(Semaphore::new(STEPS_MAX)),
        }
    }

    /// Releases so far.
    pub(crate) fn releases(&self) -> u64 {
        self.intent().releases
    }

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

    /// Takes the address, unless it was released since there were so many `releases`.
    pub(crate) fn take(
        &self,
        releases: u64,
        asked: Asked,
    ) -> Result<(Found, LinkState, Option<String>), VipError> {
        let config = &self.config;
        let mut intent = self.intent();
        if intent.releases != releases {
            let (address, interface) = (config.address(), String::from(config.interface()));
            return Err(VipError::Overtaken { address, interface });
        }
        let found = self.add(&intent)?.ok_or_else(|| {
            let (address, interface) = (config.address(), String::from(config.interface()));
            VipError::NotAllowed { address, interface }
        })?;
        let sight = kernel::look(config)?;
        let link = sight.link.as_ref().ok_or_else(|| VipError::no_interface("add", config))?;
        intent.index = Some(link.index);
        intent.taken = Some(Taken { since: Instant::now(), asked });
        let announced = self.say(link);
        Ok((found, sight.link_state(), announced.err().map(|error| in_words(&error))))
    }

    /// Announcements that were sent.
    pub(crate) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Relaxed)
    }

    fn say(&self, link: &Link) -> Result<(), VipError> {
        kernel::announce(&self.config, link)?;
        self.announced.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Adds the address while it may be held. A process may be stopped between asking and adding,
    /// and go on when the answer has changed: so it is asked again, and taken off.
    fn add(&self, intent: &Intent) -> Result<Option<Found>, VipError> {
        if !(self.may_hold.0)() {
            return Ok(None);
        }
        let found = kernel::add(&self.config, intent.index)?;
        if !(self.may_hold.0)() {
            kernel::release(&self.config, intent.index)?;
            return Ok(None);
        }
        Ok(Some(found))
    }

    /// Takes the address off.
    pub(crate) fn give_up(&self) -> Result<Released, VipError> {
        let mut intent = self.intent();
        intent.releases += 1;
        intent.taken = None;
        let released = kernel::release(&self.config, intent.index)?;
        intent.index = None;
        Ok(released)
    }

    /// Adds the address again, unless it has been released in the meantime.
    pub(crate) fn put_back(&self) -> Result<(), VipError> {
        let mut intent = self.intent();
        if intent.taken.is_some() && self.add(&intent)?.is_some() {
            let link = kernel::look(&self.config)?.link;
            intent.index = link.map(|link| link.index).or(intent.index);
        }
        Ok(())
    }

    /// Announces the address, where it is there and somebody can hear it, unless it has been
    /// released in the meantime.
    pub(crate) fn announce(&self) -> Result<(), VipError> {
        let intent = self.intent();
        if intent.taken.is_none() || !(self.may_hold.0)() {
            return Ok(());
        }
        let sight = kernel::look(&self.config)?;
        match &sight.link {
            // When it comes up, it is announced from the beginning.
            Some(link) if sight.is_here() && link.is_up() => self.say(link),
            Some(_) | None => Ok(()),
        }
    }
}
