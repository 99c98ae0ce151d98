//! Hearing who else claims an address that is held.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::Mac;
use crate::frame::Claim;
use crate::netlink::Link;
use crate::packet::Ear;
use crate::probe::{ANSWER_WITHIN, QUESTIONS};
use crate::shared::{Asked, Taken};

/// Between two conflicts that are told and answered: two hosts that both hold the address would
/// otherwise answer each other without end.
const CONFLICT_PAUSE: Duration = Duration::from_secs(1);

/// Between two tries to hear claims: the kernel ends the hearing when an interface goes down.
const EAR_PAUSE: Duration = Duration::from_millis(250);

/// Hears claims, and remembers which have been told.
#[derive(Debug, Default)]
pub(crate) struct Defence {
    /// On the interface with this index.
    ear: Option<(u32, Ear)>,
    /// After an ear has failed.
    listen_not_before: Option<Instant>,
    tell_not_before: Option<Instant>,
    /// When the next of so many questions is due.
    questions: Option<(Instant, u32)>,
}

impl Defence {
    /// Hears claims to `address` on `link` from now on; none without one.
    pub(crate) fn listen(&mut self, link: Option<&Link>, address: IpAddr) {
        let Some(link) = link.filter(|link| link.is_up() && link.speaks_from().is_some()) else {
            self.ear = None;
            return;
        };
        if self.ear.as_ref().is_some_and(|(index, _)| *index == link.index) {
            return;
        }
        self.ear = None;
        if self.listen_not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        match Ear::open(link, address) {
            Ok(ear) => self.ear = Some((link.index, ear)),
            Err(error) => self.failed(&error),
        }
    }

    /// The next claim; never when it does not listen. Cancel safe.
    pub(crate) async fn claim(&self) -> io::Result<Claim> {
        match &self.ear {
            None => std::future::pending().await,
            Some((_, ear)) => ear.claim().await,
        }
    }

    /// Asks from the taking on whether anyone else has the address, if nobody was asked before.
    pub(crate) fn plan(&mut self, taken: Option<Taken>) {
        self.questions =
            taken.filter(|taken| taken.asked == Asked::After).map(|taken| (taken.since, QUESTIONS));
    }

    /// When the next question is due.
    pub(crate) fn ask_at(&self) -> Option<Instant> {
        self.questions.map(|(at, _)| at)
    }

    /// Asks, if that is due. While nobody can be asked, nobody is: as [`Probe::Unasked`].
    ///
    /// [`Probe::Unasked`]: crate::Probe::Unasked
    pub(crate) async fn ask_what_is_due(&mut self, now: Instant, question: Option<Vec<u8>>) {
        let Some((at, left)) = self.questions.filter(|(at, _)| *at <= now) else { return };
        self.questions = (left > 1).then(|| (at + ANSWER_WITHIN, left - 1));
        if let (Some((_, ear)), Some(question)) = (&self.ear, question)
            && let Err(error) = ear.ask(&question).await
        {
            tracing::debug!(%error, "the neighbours could not be asked");
        }
    }

    /// Listens again after a pause.
    pub(crate) fn failed(&mut self, error: &io::Error) {
        tracing::debug!(%error, again = ?EAR_PAUSE, "claims are not heard");
        self.ear = None;
        self.listen_not_before = Some(Instant::now() + EAR_PAUSE);
    }

    /// When to try again to listen.
    pub(crate) fn listen_at(&self, now: Instant) -> Option<Instant> {
        self.listen_not_before.filter(|at| *at > now)
    }

    /// Who has the address as well, if that is to be told.
    pub(crate) fn doubt(&self, now: Instant, claim: Claim) -> Option<Mac> {
        match claim {
            Claim::Holder(mac) => self.tell_not_before.is_none_or(|at| at <= now).then_some(mac),
            // The kernel answers it.
            Claim::Prober(_) => None,
        }
    }

    /// It has been told.
    pub(crate) fn told(&mut self, now: Instant) {
        self.tell_not_before = Some(now + CONFLICT_PAUSE);
    }
}
