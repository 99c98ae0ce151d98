//! `ccm watch`: the cluster on the terminal, until the reader has seen enough.
//!
//! The same words as on the status page: [`ccm_view`] makes both.

mod choice;
mod cluster;
mod draw;
mod lists;
mod look;
mod screen;

#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::Duration;

use ccm_types::BootClock;
use ccm_view::{Board, Look, Subject};
use crossterm::event::{Event, EventStream};
use futures_util::StreamExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::cli::Shared;
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use choice::{Choice, Turn};
use screen::Screen;

/// Between two drawings without news: the lease runs down and ages grow.
const DRAW_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(shared: &Shared) -> Ended {
    if shared.json {
        return Err(Failure::usage("ccm watch draws and has no JSON: use ccm status --json"));
    }
    let settings = Config::load(shared.config.as_deref())?.settings();
    on_a_terminal()?;
    let board = Board::new(Subject {
        cluster: settings.cluster.clone(),
        node: settings.node.clone(),
        ttl_ms: u64::try_from(settings.timing.ttl.as_millis()).unwrap_or(u64::MAX),
    });
    // One look waits at most: the next one is not made before it is drawn.
    let (found, looks) = mpsc::channel(1);
    let mut looking = pin!(look::for_ever(settings, found));
    let ends = Ends::new()?;
    let screen = Screen::enter()?;
    tokio::select! {
        () = &mut looking => Err(Failure::again("nothing is looked at any more")),
        ended = watch(screen, board, looks, ends) => ended,
    }
}

/// It draws on a terminal, and there is one.
fn on_a_terminal() -> Result<(), Failure> {
    let told = "use ccm status, or ssh -t for a terminal on another host";
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        let words = format!("ccm watch draws on a terminal, and there is none here: {told}");
        return Err(Failure::usage(words));
    }
    if std::env::var("TERM").is_ok_and(|term| term == "dumb") {
        let words = format!("ccm watch cannot draw on this terminal (TERM is dumb): {told}");
        return Err(Failure::usage(words));
    }
    Ok(())
}

/// The signals that end it, each of which leaves the terminal as it was.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Ends {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

async fn watch(
    mut screen: Screen,
    mut board: Board,
    mut looks: mpsc::Receiver<Look>,
    mut ends: Ends,
) -> Ended {
    let mut choice = Choice::default();
    let mut keys = EventStream::new();
    let mut ticks = every(DRAW_EVERY);
    loop {
        let shown = board.shown(BootClock.now(), jiff::Timestamp::now());
        screen.draw(|frame| draw::draw(frame, &shown, &choice))?;
        tokio::select! {
            Some(look) = looks.recv() => board.note(look),
            event = keys.next() => match event {
                Some(Ok(Event::Key(key))) => match choice.press(key, &shown) {
                    Turn::Stay => {}
                    Turn::Quit => return Ok(Exit::Done),
                },
                Some(Ok(_)) => {}
                // The terminal is gone.
                Some(Err(_)) | None => return Ok(Exit::Done),
            },
            () = ends.come() => return Ok(Exit::Done),
            _ = ticks.tick() => {}
        }
    }
}
