//! The way to the guard: found or started, kept, armed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccm_guard::{Armed, GuardClient, GuardError, GuardEvent};
use ccm_role::Event;
use tokio::sync::{mpsc, watch};

use crate::outcome;
use crate::tasks::Tasks;

/// How long a guard may take to answer after it was started.
const GUARD_WITHIN: Duration = Duration::from_secs(5);

/// Between two tries to reach a guard.
const RETRY: Duration = Duration::from_millis(200);

/// A guard and what it reports.
pub(crate) type Guard = (GuardClient, mpsc::Receiver<GuardEvent>);

/// How to start a guard.
#[derive(Debug, Clone)]
pub(crate) struct GuardProgram {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) socket: PathBuf,
}

/// The guard of this node, as long as it is there.
#[derive(Debug)]
pub(crate) struct GuardLink {
    client: watch::Sender<Option<Arc<GuardClient>>>,
    wanted: watch::Sender<Wanted>,
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
        first: Guard,
        program: GuardProgram,
        serving: watch::Receiver<bool>,
        events: mpsc::Sender<Event>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            client: watch::Sender::new(None),
            wanted: watch::Sender::new(Wanted::AsFound),
        });
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
        loop {
            let (client, mut news) = match next.take() {
                Some(guard) => guard,
                None => match connect(&program).await {
                    Ok(guard) => guard,
                    Err(error) => {
                        tracing::warn!(error = %outcome::words(&error), "no guard: trying again");
                        tokio::time::sleep(RETRY).await;
                        continue;
                    }
                },
            };
            self.client.send_replace(Some(Arc::new(client)));
            loop {
                let why = match news.recv().await {
                    Some(GuardEvent::BackendExited { why }) => why,
                    Some(GuardEvent::GuardLost) | None => break,
                };
                report(&serving, &events, why).await;
            }
            self.client.send_replace(None);
            tracing::warn!("the guard has ended, and the backend with it: starting another guard");
            report(&serving, &events, String::from("its guard has ended")).await;
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
                    Wanted::Nothing => guard.disarm().await,
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

/// Finds the guard of this node or starts one.
pub(crate) async fn connect(program: &GuardProgram) -> Result<Guard, GuardError> {
    GuardClient::connect_or_spawn(&program.program, &program.args, &program.socket, GUARD_WITHIN)
        .await
}

/// The end of a backend that was told to end is no news.
async fn report(serving: &watch::Receiver<bool>, events: &mpsc::Sender<Event>, why: String) {
    if *serving.borrow() {
        // The loop has ended when nobody listens.
        events.send(Event::BackendExited { why }).await.ok();
    }
}
