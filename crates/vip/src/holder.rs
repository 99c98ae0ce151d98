//! The task that watches an address and its interface, and holds it while it is to be held.

use std::io;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::frame::Claim;
use crate::keeper::{Keeper, LOOK_EVERY, Step, View};
use crate::kernel::{self, Sight};
use crate::netlink::{Link, News};
use crate::packet::Ear;
use crate::vip::{Hold, Shared, in_words};
use crate::{Schedule, VipError, VipEvent};

/// Between two conflicts that are told and answered: two hosts that both hold the address would
/// otherwise answer each other without end.
const CONFLICT_PAUSE: Duration = Duration::from_secs(1);

/// Between two tries to hear claims: the kernel ends the hearing when an interface goes down.
const EAR_PAUSE: Duration = Duration::from_millis(250);

/// Looks in a row when each leads to another: one that sees the loss and one that sees it mended.
const LOOKS_IN_A_ROW: u32 = 3;

/// What has ended a wait.
#[derive(Debug)]
enum Woken {
    Stop,
    /// Something may have changed.
    Look,
    News(io::Result<()>),
    Claim(io::Result<Claim>),
}

/// What the kernel has, and what is wanted, at one moment.
#[derive(Debug)]
struct Looked {
    sight: Sight,
    hold: Option<Hold>,
    renamed_to: Option<String>,
}

#[derive(Debug)]
struct Holder {
    shared: Arc<Shared>,
    keeper: Keeper,
    /// What is being held.
    hold: Option<Hold>,
    /// The interface, as seen last.
    link: Option<Link>,
    /// Announcements to come, from the moment they are counted from.
    plan: Option<(Instant, Peekable<Schedule>)>,
    /// Hears claims while the address is held, on the interface with this index.
    ear: Option<(u32, Ear)>,
    /// After an ear has failed.
    ear_not_before: Option<Instant>,
    conflict_not_before: Option<Instant>,
}

/// Runs until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, news: News, stop: CancellationToken) {
    let mut holder = Holder {
        shared,
        keeper: Keeper::default(),
        hold: None,
        link: None,
        plan: None,
        ear: None,
        ear_not_before: None,
        conflict_not_before: None,
    };
    let mut news = Some(news);
    let mut news_not_before = Instant::now();
    loop {
        holder.look().await;
        holder.announce_what_is_due().await;
        holder.listen();
        // Not later for all the claims that come in between.
        let at = holder.next_turn();
        loop {
            match holder.wait(at, &mut news, &stop).await {
                Woken::Stop => return,
                Woken::Look | Woken::News(Ok(())) => break,
                Woken::News(Err(error)) => {
                    holder.shared.tell(VipEvent::Deaf { problem: error.to_string() });
                    news = None;
                    news_not_before = Instant::now() + LOOK_EVERY;
                    break;
                }
                Woken::Claim(Ok(claim)) => holder.defend(claim).await,
                Woken::Claim(Err(error)) => {
                    tracing::debug!(%error, again = ?EAR_PAUSE, "claims are not heard");
                    holder.ear = None;
                    holder.ear_not_before = Some(Instant::now() + EAR_PAUSE);
                    break;
                }
            }
        }
        if news.is_none() && news_not_before <= Instant::now() {
            news = News::open().ok();
        }
    }
}

impl Holder {
    /// When to go on without having been woken.
    fn next_turn(&mut self) -> Instant {
        let now = Instant::now();
        [self.next_announcement(), self.ear_not_before.filter(|at| *at > now)]
            .into_iter()
            .flatten()
            .fold(self.keeper.look_at(now), Instant::min)
    }

    async fn wait(
        &mut self,
        at: Instant,
        news: &mut Option<News>,
        stop: &CancellationToken,
    ) -> Woken {
        let config = &self.shared.config;
        let index = self.link.as_ref().map(|link| link.index);
        let changed = async {
            match news {
                None => std::future::pending().await,
                Some(news) => news.changed(config.address(), config.interface(), index).await,
            }
        };
        let claimed = async {
            match &mut self.ear {
                None => std::future::pending().await,
                Some((_, ear)) => ear.claim().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Woken::Stop,
            () = self.shared.changed.notified() => Woken::Look,
            result = changed => Woken::News(result),
            () = sleep_until(at.into()) => Woken::Look,
            result = claimed => Woken::Claim(result),
        }
    }

    /// Looks, and does what follows.
    async fn look(&mut self) {
        for _ in 0..LOOKS_IN_A_ROW {
            let looked = match self.measure().await {
                Ok(looked) => looked,
                Err(error) => {
                    tracing::warn!(error = in_words(&error), "could not look at the address");
                    return;
                }
            };
            self.follow(looked.hold);
            let view = View {
                wanted: looked.hold.is_some(),
                held: looked.sight.is_usable(),
                link: looked.sight.link_state(),
                renamed_to: looked.renamed_to,
            };
            // Of an interface that is gone, the index still says what has become of it.
            if looked.sight.link.is_some() {
                self.link = looked.sight.link;
            }
            let steps = self.keeper.see(Instant::now(), view);
            if !self.carry_out(steps).await {
                return;
            }
        }
    }

    async fn measure(&self) -> Result<Looked, VipError> {
        let last = self.link.as_ref().map(|link| link.index);
        let measuring = move |shared: &Shared| {
            // Locked, so that what is there and what is wanted belong together.
            let intent = shared.intent();
            let sight = kernel::look(&shared.config)?;
            let renamed_to = match (&sight.link, last) {
                (None, Some(index)) => kernel::name_of(&shared.config, index)?,
                (Some(_), _) | (None, None) => None,
            };
            Ok(Looked { sight, hold: intent.hold, renamed_to })
        };
        self.shared.blocking("look for", measuring).await
    }

    /// Plans the announcements of an address that was taken since the last look. The first one
    /// was sent with the taking.
    fn follow(&mut self, hold: Option<Hold>) {
        let taken = |hold: &Option<Hold>| hold.map(|hold| hold.since);
        if taken(&hold) != taken(&self.hold) {
            self.plan = hold.map(|hold| {
                let mut plan = Schedule::new(self.shared.config.announce()).peekable();
                plan.next();
                (hold.since, plan)
            });
        }
        self.hold = hold;
    }

    /// Whether there is reason to look again.
    async fn carry_out(&mut self, steps: Vec<Step>) -> bool {
        let mut again = false;
        for step in steps {
            match step {
                Step::Tell(event) => self.shared.tell(event),
                Step::Announce => {
                    let plan = Schedule::new(self.shared.config.announce()).peekable();
                    self.plan = Some((Instant::now(), plan));
                }
                Step::PutBack => {
                    let put_back = self.shared.blocking("put back", put_back).await;
                    let outcome = put_back.map_err(|error| in_words(&error));
                    let steps = self.keeper.tried(Instant::now(), outcome);
                    for step in steps {
                        if let Step::Tell(event) = step {
                            self.shared.tell(event);
                        }
                    }
                    again = true;
                }
            }
        }
        again
    }

    fn next_announcement(&mut self) -> Option<Instant> {
        let (start, plan) = self.plan.as_mut()?;
        plan.peek().map(|after| *start + *after)
    }

    /// Announces once, however many are due: they tell the same.
    async fn announce_what_is_due(&mut self) {
        let now = Instant::now();
        let mut due = false;
        while self.next_announcement().is_some_and(|at| at <= now) {
            due = true;
            if let Some((_, plan)) = &mut self.plan {
                plan.next();
            }
        }
        if due {
            self.announce().await;
        }
    }

    async fn announce(&self) {
        let announcing = |shared: &Shared| {
            // Locked, so that nothing is announced after a release.
            let intent = shared.intent();
            if intent.hold.is_none() {
                return Ok(());
            }
            let sight = kernel::look(&shared.config)?;
            match &sight.link {
                Some(link) if sight.is_here() => kernel::announce(&shared.config, link),
                Some(_) | None => Ok(()),
            }
        };
        if let Err(error) = self.shared.blocking("announce", announcing).await {
            self.shared.tell(VipEvent::NotAnnounced { problem: in_words(&error) });
        }
    }

    /// Hears claims on the interface that it is now, while the address is held.
    fn listen(&mut self) {
        let hears = |link: &&Link| link.is_up() && link.speaks_from().is_some();
        let link = self.link.as_ref().filter(hears).filter(|_| self.hold.is_some());
        let Some(link) = link else {
            self.ear = None;
            return;
        };
        if self.ear.as_ref().is_some_and(|(index, _)| *index == link.index) {
            return;
        }
        self.ear = None;
        let now = Instant::now();
        if self.ear_not_before.is_some_and(|at| now < at) {
            return;
        }
        match Ear::open(link, self.shared.config.address()) {
            Ok(ear) => self.ear = Some((link.index, ear)),
            Err(error) => {
                self.ear_not_before = Some(now + EAR_PAUSE);
                tracing::debug!(%error, again = ?EAR_PAUSE, "claims are not heard");
            }
        }
    }

    /// Tells of another host that has the address, and announces that it is ours.
    async fn defend(&mut self, claim: Claim) {
        let mac = match claim {
            Claim::Holder(mac) => mac,
            // The kernel answers it.
            Claim::Prober(_) => return,
        };
        let now = Instant::now();
        if self.conflict_not_before.is_some_and(|at| now < at) {
            return;
        }
        let own = self.shared.blocking("look for", |shared| kernel::own_macs(&shared.config)).await;
        if own.is_ok_and(|own| own.contains(&mac.octets())) {
            return;
        }
        self.conflict_not_before = Some(now + CONFLICT_PAUSE);
        self.shared.tell(VipEvent::Conflict { mac });
        self.announce().await;
    }
}

/// Adds the address again, unless it has been released in the meantime.
fn put_back(shared: &Shared) -> Result<(), VipError> {
    let mut intent = shared.intent();
    let Some(hold) = &mut intent.hold else { return Ok(()) };
    kernel::add(&shared.config, Some(hold.index))?;
    let link = kernel::look(&shared.config)?.link;
    hold.index = link.map_or(hold.index, |link| link.index);
    Ok(())
}
