//! The task that watches an address and its interface, and holds it while it is to be held.

use std::io;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::defence::Defence;
use crate::error::in_words;
use crate::frame::{self, Claim};
use crate::keeper::{Keeper, LOOK_EVERY, Step, View};
use crate::kernel::{self, Sight};
use crate::netlink::{Link, News};
use crate::shared::{Shared, Taken};
use crate::{Schedule, VipError, VipEvent};

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
    taken: Option<Taken>,
    renamed_to: Option<String>,
}

#[derive(Debug)]
struct Holder {
    shared: Arc<Shared>,
    keeper: Keeper,
    /// The address, while it is held.
    taken: Option<Taken>,
    /// The interface, as seen last.
    link: Option<Link>,
    /// Announcements to come, from the moment they are counted from.
    plan: Option<(Instant, Peekable<Schedule>)>,
    defence: Defence,
}

/// Runs until `stop`.
pub(crate) async fn run(shared: Arc<Shared>, news: News, stop: CancellationToken) {
    let mut holder = Holder {
        shared,
        keeper: Keeper::default(),
        taken: None,
        link: None,
        plan: None,
        defence: Defence::default(),
    };
    let mut news = Some(news);
    let mut news_not_before = Instant::now();
    loop {
        holder.look().await;
        holder.announce_what_is_due().await;
        holder.listen_and_ask().await;
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
                    holder.defence.failed(&error);
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
        [self.next_announcement(), self.defence.listen_at(now), self.defence.ask_at()]
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
        tokio::select! {
            biased;
            () = stop.cancelled() => Woken::Stop,
            () = self.shared.changed.notified() => Woken::Look,
            result = changed => Woken::News(result),
            () = sleep_until(at.into()) => Woken::Look,
            result = self.defence.claim() => Woken::Claim(result),
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
            self.follow(looked.taken);
            let view = View {
                wanted: looked.taken.is_some(),
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
            Ok(Looked { sight, taken: intent.taken, renamed_to })
        };
        self.shared.blocking("look for", measuring).await
    }

    /// Plans the announcements of an address that was taken since the last look. The first one
    /// was sent with the taking.
    fn follow(&mut self, taken: Option<Taken>) {
        if taken != self.taken {
            self.taken = taken;
            self.plan = taken.map(|taken| {
                let mut plan = Schedule::new(self.shared.config.announce()).peekable();
                plan.next();
                (taken.since, plan)
            });
            self.defence.plan(taken);
        }
    }

    /// Hears claims to an address that is held, and asks for them when that is due.
    async fn listen_and_ask(&mut self) {
        let link = self.link.as_ref().filter(|_| self.taken.is_some());
        self.defence.listen(link, self.shared.config.address());
        let from = link.and_then(Link::speaks_from);
        let question = from.map(|mac| frame::probe(mac, self.shared.config.address()));
        self.defence.ask_what_is_due(Instant::now(), question).await;
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
                    let put_back = self.shared.blocking("put back", Shared::put_back).await;
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
        if let Err(error) = self.shared.blocking("announce", Shared::announce).await {
            self.shared.tell(VipEvent::NotAnnounced { problem: in_words(&error) });
        }
    }

    /// Tells of another host that has the address, and announces that it is ours.
    async fn defend(&mut self, claim: Claim) {
        let now = Instant::now();
        let Some(mac) = self.defence.doubt(now, claim) else { return };
        let own = self.shared.blocking("look for", |shared| kernel::own_macs(&shared.config)).await;
        if own.is_ok_and(|own| own.contains(&mac.octets())) {
            return;
        }
        self.defence.told(now);
        self.shared.tell(VipEvent::Conflict { mac });
        self.announce().await;
    }
}
