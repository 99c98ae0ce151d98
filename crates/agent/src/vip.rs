//! The virtual IP: a lane that takes it and gives it up, and what becomes of it in between.
//!
//! It is held for as long as the deadline that the guard has, and no longer: a daemon that was
//! stopped for a while does not take back what the guard has taken off.

mod news;
mod problem;

use std::sync::Arc;
use std::time::Duration;

use ccm_guard::VipName;
use ccm_health::metrics::Counts;
use ccm_role::{Event, OpId, Outcome};
use ccm_types::{BootClock, Monotonic};
use ccm_vip::{Acquired, Probe, Released, Vip, VipConfig, VipError, VipState};
use tokio::sync::{OnceCell, mpsc, watch};

use crate::outcome;
use news::Trouble;

/// How long a look may take: whoever asks for the status does not wait for longer.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// What the lane is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Take it and announce it.
    Acquire {
        /// When the lease ends that it is asked for under.
        until: Monotonic,
        /// The holder before says that it has given it up.
        handed_over: bool,
    },
    /// Give it up; done when the kernel no longer has it.
    Release,
}

/// The virtual IP of this host.
#[derive(Debug)]
pub(crate) struct VipPort {
    config: VipConfig,
    vip: OnceCell<Vip>,
    /// Until when it may be held.
    hold_until: watch::Sender<Option<Monotonic>>,
    trouble: watch::Sender<Trouble>,
}

impl VipPort {
    pub(crate) fn new(config: VipConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            vip: OnceCell::new(),
            hold_until: watch::Sender::new(None),
            trouble: watch::Sender::default(),
        })
    }

    /// `address/prefix`
    pub(crate) fn address(&self) -> String {
        format!("{}/{}", self.config.address(), self.config.prefix_len())
    }

    /// Sets until when it may be held; `None` for not at all.
    pub(crate) fn hold_until(&self, until: Option<Monotonic>) {
        self.hold_until.send_replace(until);
    }

    /// Opened at the first use, and tried again when that fails.
    async fn vip(&self) -> Result<&Vip, VipError> {
        let open = || async {
            let until = self.hold_until.subscribe();
            Vip::open_while(self.config.clone(), move || is_ahead(*until.borrow()))
        };
        self.vip.get_or_try_init(open).await
    }

    /// Whether it may be held at this moment.
    fn may_hold(&self) -> bool {
        is_ahead(*self.hold_until.borrow())
    }

    async fn acquire(&self, handed_over: bool) -> Result<(), VipError> {
        let vip = self.vip().await?;
        // This node holds the lease, so the address is its own whoever has it.
        let acquired = if handed_over { vip.take_over().await? } else { vip.acquire(true).await? };
        self.say_acquired(&acquired);
        Ok(())
    }

    /// Takes it off, whoever has put it there.
    pub(crate) async fn release(&self) -> Result<(), VipError> {
        let released = self.vip().await?.release().await?;
        self.trouble.send_replace(Trouble::default());
        self.say_released(&released);
        Ok(())
    }

    /// Whether it is here, and what is wrong with that in this phase.
    pub(crate) async fn measure(&self, phase: ccm_role::Phase) -> (bool, Option<String>) {
        let looking = async { self.vip().await?.state().await };
        let state: Result<VipState, String> = tokio::time::timeout(LOOK_WITHIN, looking)
            .await
            .map_err(|_| format!("the kernel does not say within {LOOK_WITHIN:?}"))
            .and_then(|looked| looked.map_err(|error| outcome::words(&error)));
        let held = state.as_ref().is_ok_and(VipState::is_held);
        let trouble = self.trouble.borrow().clone();
        let problem = problem::of(&self.config, phase, &state, &trouble, BootClock.now());
        (held, problem)
    }

    /// How often it was announced.
    pub(crate) fn announced(&self) -> u64 {
        self.vip.get().map_or(0, Vip::announced)
    }

    /// Whether it is here; `None` when the kernel does not say.
    pub(crate) async fn is_held(&self) -> Option<bool> {
        let looking = async { self.vip().await?.state().await };
        let looked = tokio::time::timeout(LOOK_WITHIN, looking).await;
        Some(looked.ok()?.ok()?.is_held())
    }

    fn say_acquired(&self, acquired: &Acquired) {
        let (vip, interface) = (self.config.address(), self.config.interface());
        match acquired.probe {
            Probe::Held { mac } => {
                tracing::warn!(
                    %vip, interface, %mac,
                    "another host had the virtual IP; it is taken here, because this node holds \
                     the lease: `ccm vip release` there takes it off"
                );
                self.trouble.send_modify(|trouble| trouble.conflict(mac, BootClock.now()));
            }
            Probe::Free | Probe::Unasked | Probe::Later => {}
        }
        for other in &acquired.elsewhere {
            tracing::warn!(%vip, interface, other, "the virtual IP is on another interface too");
        }
        if let Some(problem) = acquired.link.problem(interface) {
            tracing::warn!(%vip, "the virtual IP is added, but {problem}");
        }
        if let Some(problem) = &acquired.not_announced {
            tracing::warn!(%vip, interface, %problem, "the virtual IP is not announced yet");
        }
        tracing::info!(%vip, interface, "the virtual IP is here");
    }

    fn say_released(&self, released: &Released) {
        let (vip, interface) = (self.config.address(), self.config.interface());
        if released.removed > 0 {
            tracing::info!(%vip, interface, "the virtual IP is off");
        }
        if !released.lost.is_empty() {
            tracing::warn!(
                interface, addresses = ?released.lost,
                "the kernel took these addresses off along with the virtual IP and they could not \
                 be put back: add them, or give the virtual IP a netmask of 32 (128 for IPv6)"
            );
        }
        for other in &released.elsewhere {
            tracing::warn!(
                %vip, other,
                "the virtual IP is on another interface of this host: take it off there"
            );
        }
    }
}

fn is_ahead(until: Option<Monotonic>) -> bool {
    until.is_some_and(|until| BootClock.now() < until)
}

/// The lane.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) port: Arc<VipPort>,
    pub(crate) events: mpsc::Sender<Event>,
    /// The last release; interrupts an earlier taking.
    pub(crate) release_asked: watch::Receiver<OpId>,
}

impl Lane {
    /// Serves requests in order until the queue is closed.
    pub(crate) async fn run(self, mut requests: mpsc::Receiver<(OpId, Request)>) {
        // The machine tries again and again: the same failure is said once.
        let mut said = None;
        while let Some((op, request)) = requests.recv().await {
            let done = match request {
                Request::Acquire { until, handed_over } => {
                    match self.acquire(op, until, handed_over).await {
                        Ok(done) => done,
                        Err(words) => {
                            self.tell(op, Outcome::Transient(String::from(words))).await;
                            continue;
                        }
                    }
                }
                Request::Release => self.port.release().await,
            };
            let outcome = match &done {
                Ok(()) => Outcome::Ok,
                Err(error) if error.is_transient() => Outcome::Transient(outcome::words(error)),
                Err(error) => Outcome::Permanent(outcome::words(error)),
            };
            let what = match request {
                Request::Acquire { .. } => "taken",
                Request::Release => "given up",
            };
            let failure = done.err().map(|error| (what, outcome::words(&error)));
            let new = failure.as_ref().filter(|failure| said.as_ref() != Some(*failure));
            if let Some((what, problem)) = new {
                tracing::warn!(%problem, "the virtual IP could not be {what}: trying again");
            }
            said = failure;
            self.tell(op, outcome).await;
        }
    }

    /// `Err` when it is not wanted any more. The lease may be renewed meanwhile, so its end is
    /// looked at again when the address is about to be added ([`VipPort::hold_until`]).
    async fn acquire(
        &self,
        op: OpId,
        until: Monotonic,
        handed_over: bool,
    ) -> Result<Result<(), VipError>, &'static str> {
        if !is_ahead(Some(until)) {
            return Err("the lease it was asked for under has ended");
        }
        let mut release_asked = self.release_asked.clone();
        tokio::select! {
            biased;
            _ = release_asked.wait_for(|release| *release > op) => {
                Err("a release has taken its place")
            }
            done = self.port.acquire(handed_over) => Ok(done),
        }
    }

    async fn tell(&self, op: OpId, outcome: Outcome) {
        // The loop has ended when nobody listens.
        self.events.send(Event::Done { op, outcome }).await.ok();
    }
}

/// Says what happens to the address, one line each.
pub(crate) async fn watch(port: Arc<VipPort>, counts: Arc<Counts>) {
    news::forward(&port, &counts).await;
}

/// The address as the guard knows it.
pub(crate) fn name(config: &VipConfig) -> VipName {
    VipName {
        address: config.address(),
        prefix_len: config.prefix_len(),
        interface: String::from(config.interface()),
    }
}

/// Takes an address off that is not configured any more.
pub(crate) async fn forget(name: &VipName) {
    let done = match VipConfig::new(name.address, name.prefix_len, &name.interface) {
        Ok(config) => VipPort::new(config).release().await.map_err(|error| outcome::words(&error)),
        Err(error) => Err(outcome::words(&error)),
    };
    if let Err(problem) = done {
        tracing::warn!(
            vip = %name, %problem,
            "the virtual IP of an earlier configuration could not be taken off: do it by hand"
        );
    }
}
