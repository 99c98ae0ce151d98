//! The way to the guard: found or started, kept, armed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccm_guard::{Armed, BackendState, GuardClient, GuardError, GuardEvent, Hello, Launch, VipName};
use ccm_role::Event;
use tokio::sync::{mpsc, watch};

use crate::outcome;
use crate::tasks::Tasks;

/// How long a guard may take to answer after it was started.
const GUARD_WITHIN: Duration = Duration::from_secs(5);

/// Between two tries to reach a guard.
const RETRY: Duration = Duration::from_millis(200);

/// How often a guard with another virtual IP is asked to make room, should it come back.
const REPLACE_TRIES: u32 = 3;

/// A guard and what it reports.
type Guard = (GuardClient, mpsc::Receiver<GuardEvent>);

/// The guard that was there or was started first.
#[derive(Debug)]
pub(crate) struct Met {
    guard: Guard,
    pub(crate) hello: Hello,
    /// Virtual IPs that guards of earlier daemons had and that are not configured any more.
    pub(crate) former_vips: Vec<VipName>,
}

/// How to start a guard.
#[derive(Debug, Clone)]
pub(crate) struct GuardProgram {
    pub(crate) launch: Launch,
    pub(crate) socket: PathBuf,
    /// The virtual IP that is among the arguments.
    pub(crate) vip: Option<VipName>,
    /// The backend is the guard's child, and ends with it.
    pub(crate) is_parent: bool,
}

/// The guard of this node, as long as it is there.
#[derive(Debug)]
pub(crate) struct GuardLink {
    client: watch::Sender<Option<Arc<GuardClient>>>,
    wanted: watch::Sender<Wanted>,
    /// Why the guard is to be replaced as soon as it guards nothing.
    outdated: watch::Sender<Option<String>>,
}

/// What the guard is to keep.
#[derive(Debug, Clone)]
enum Wanted {
    /// Not decided yet: a deadline that is found stays, it may cover a backend that is adopted.
    AsFound,
    /// Nothing.
    Nothing,
    /// This deadline.
    Deadline(Armed),
}

impl GuardLink {
    /// Takes over `first` and keeps a guard at hand from then on.
    pub(crate) fn start(
        first: Met,
        program: GuardProgram,
        serving: watch::Receiver<bool>,
        events: mpsc::Sender<Event>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            client: watch::Sender::new(None),
            wanted: watch::Sender::new(Wanted::AsFound),
            outdated: watch::Sender::new(outdated(&program, &first.hello)),
        });
        let first = first.guard;
        tasks.spawn("guard link", Arc::clone(&link).keep(first, program, serving, events));
        tasks.spawn("guard arming", Arc::clone(&link).push());
        link
    }

    /// Sets the deadline to keep, or that there is none; the newest counts.
    pub(crate) fn arm(&self, armed: Option<Armed>) {
        self.wanted.send_replace(armed.map_or(Wanted::Nothing, Wanted::Deadline));
    }

    /// The deadline that is to be kept.
    pub(crate) fn armed(&self) -> Option<Armed> {
        match &*self.wanted.borrow() {
            Wanted::AsFound | Wanted::Nothing => None,
            Wanted::Deadline(armed) => Some(armed.clone()),
        }
    }

    /// What is wrong with the guard, in words, until it is replaced.
    pub(crate) fn outdated(&self) -> Option<String> {
        self.outdated.borrow().clone()
    }

    /// The guard, waited for; `None` when there is none within five seconds.
    pub(crate) async fn client(&self) -> Option<Arc<GuardClient>> {
        let mut client = self.client.subscribe();
        let there = client.wait_for(Option::is_some);
        tokio::time::timeout(GUARD_WITHIN, there).await.ok()?.ok()?.clone()
    }

    async fn keep(
        self: Arc<Self>,
        first: Guard,
        program: GuardProgram,
        serving: watch::Receiver<bool>,
        events: mpsc::Sender<Event>,
    ) {
        let mut next = Some(first);
        // It is tried again and again: the same failure is said once.
        let mut said = String::new();
        loop {
            let (client, mut news) = match next.take() {
                Some(guard) => guard,
                None => match connect(&program).await {
                    Ok(guard) => guard,
                    Err(error) => {
                        let problem = outcome::words(&error);
                        if problem != said {
                            tracing::warn!(%problem, "there is no guard: trying again");
                            said = problem;
                        }
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                },
            };
            said.clear();
            self.client.send_replace(Some(Arc::new(client)));
            loop {
                let why = match news.recv().await {
                    Some(GuardEvent::BackendExited { why }) => why,
                    Some(GuardEvent::GuardLost) | None => break,
                };
                report(&serving, &events, why).await;
            }
            self.client.send_replace(None);
            if self.outdated.send_replace(None).is_some() {
                tracing::info!("the guard of an earlier configuration has ended");
                continue;
            }
            if program.is_parent {
                tracing::warn!(
                    "the guard has ended, and the backend, which is its child, with it: another \
                     one is started; find out what killed it"
                );
                report(&serving, &events, String::from("its guard has ended")).await;
            } else {
                // The next one is told the deadline; meanwhile only the daemon keeps it.
                tracing::warn!(
                    "the guard has ended: another one is started; find out what killed it"
                );
            }
        }
    }

    /// Passes every new deadline on, and the present one to a new guard.
    async fn push(self: Arc<Self>) {
        let mut wanted = self.wanted.subscribe();
        let mut client = self.client.subscribe();
        loop {
            let (keep, guard) =
                (wanted.borrow_and_update().clone(), client.borrow_and_update().clone());
            if let Some(guard) = guard {
                let done = match keep {
                    Wanted::AsFound => Ok(()),
                    Wanted::Deadline(armed) => guard.arm(armed).await,
                    Wanted::Nothing => match guard.disarm().await {
                        // With nothing to guard it makes room for one that is up to date.
                        Ok(()) if self.outdated().is_some() => guard.quit().await,
                        disarmed => disarmed,
                    },
                };
                if let Err(error) = done {
                    tracing::debug!(error = %outcome::words(&error), "the guard was not armed");
                }
            }
            tokio::select! {
                changed = wanted.changed() => if changed.is_err() { return },
                changed = client.changed() => if changed.is_err() { return },
            }
        }
    }
}

/// Finds the guard of this node or starts one. One that has another virtual IP than is configured
/// makes room, unless it guards something: then it stays until that is over.
pub(crate) async fn meet(program: &GuardProgram) -> Result<Met, GuardError> {
    let mut former_vips = Vec::new();
    let mut tries = 0;
    loop {
        let guard = connect(program).await?;
        let hello = guard.0.hello().await?;
        tries += 1;
        if hello.vip == program.vip {
            return Ok(Met { guard, hello, former_vips });
        }
        former_vips.extend(hello.vip.clone());
        if guards(&hello) || tries > REPLACE_TRIES || guard.0.quit().await.is_err() {
            return Ok(Met { guard, hello, former_vips });
        }
    }
}

fn guards(hello: &Hello) -> bool {
    let armed = hello.armed.is_some() && !hello.expired;
    match hello.backend {
        BackendState::Running { .. } | BackendState::Stopping => true,
        BackendState::Stopped | BackendState::Exited { .. } | BackendState::External => armed,
    }
}

fn outdated(program: &GuardProgram, hello: &Hello) -> Option<String> {
    if hello.vip == program.vip {
        return None;
    }
    let said = |vip: &Option<VipName>| {
        vip.as_ref().map_or_else(|| String::from("none"), VipName::to_string)
    };
    let words = format!(
        "the guard of an earlier daemon keeps the lease's deadline for another virtual IP ({}) \
         than is configured ({}): move the primary away and back when convenient (`ccm demote`)",
        said(&hello.vip),
        said(&program.vip)
    );
    tracing::warn!("{words}");
    Some(words)
}

/// Finds the guard or starts one.
async fn connect(program: &GuardProgram) -> Result<Guard, GuardError> {
    GuardClient::connect_or_launch(&program.launch, &program.socket, GUARD_WITHIN).await
}

/// The end of a backend that was told to end is no news.
async fn report(serving: &watch::Receiver<bool>, events: &mpsc::Sender<Event>, why: String) {
    if *serving.borrow() {
        // The loop has ended when nobody listens.
        events.send(Event::BackendExited { why }).await.ok();
    }
}
