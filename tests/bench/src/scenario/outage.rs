//! The server is killed under load and comes back: all systems share the outage, each with a
//! database, a writer and a bucket of its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::Effort;
use crate::child::{Mark, Written};
use crate::clock;
use crate::coverage::durable;
use crate::figures::{Figures, live};
use crate::numbers::{megabytes, millis, number};
use crate::observer::{File, Observer};
use crate::process::Process;
use crate::servers::{Servers, wait_for};
use crate::system::{Case, Load, System, in_turn};

/// Everything that is compared.
const SYSTEMS: [System; 3] = [System::Ccm, System::Tuned, System::Stock];
/// Commits per second.
const RATE: u32 = 200;
/// A bucket that has had no new transaction for so long has all of them.
const QUIET: Duration = Duration::from_secs(5);

/// When things were, by both clocks.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: Duration,
    monotonic: u64,
}

impl Moment {
    fn now() -> Result<Self> {
        Ok(Self { wall: SystemTime::now().duration_since(UNIX_EPOCH)?, monotonic: clock::now() })
    }
}

/// 200 commits a second each, before, through and after the outage.
pub(crate) async fn run(effort: Effort) -> Result<Figures> {
    let mut figures = Figures::new("NATS outage under load");
    let setting = format!("{} s, {RATE} commits/s", effort.outage.as_secs());
    for round in 0..effort.rounds {
        for (system, values) in outage(effort, round).await? {
            live(round, &setting, system.name(), &values);
            figures.add(&setting, system.name(), round, &values);
        }
    }
    Ok(figures)
}

async fn outage(effort: Effort, round: usize) -> Result<Vec<(System, Vec<(&'static str, f64)>)>> {
    let (before, after) = effort.pick((3, 20), (2, 6));
    let (before, after) = (Duration::from_secs(before), Duration::from_secs(after));
    let mut servers = Servers::single();
    let mut running: Vec<(Case, Process)> = Vec::new();
    for system in in_turn(&SYSTEMS, round) {
        let mut case = Case::prepare(system, &servers).await?;
        let observer = Observer::start(&servers, &case.bucket).await?;
        case.begin(&servers, &observer).await?;
        let time = before + effort.outage + after;
        let writer = case.writer(Load::small(RATE, time))?;
        running.push((case, writer));
    }
    tokio::time::sleep(before).await;
    servers.kill();
    tokio::time::sleep(effort.outage).await;
    servers.restart();
    let returned = Moment::now()?;
    let mut results = Vec::new();
    for (case, mut writer) in running {
        let line = writer.first_line(after * 3 + effort.outage).await?;
        let written: Written = serde_json::from_str(&line)?;
        let files = everything(&servers, &case).await?;
        let values = analyse(returned, &case.marks()?, &files);
        let mut values = values.context(case.system.name())?;
        values.push(("largest WAL MB", megabytes(written.wal_max)));
        drop(writer);
        results.push((case.system, values));
        case.end(&servers).await?;
    }
    Ok(results)
}

/// All files, once no more come.
async fn everything(servers: &Servers, case: &Case) -> Result<Vec<File>> {
    let observer = Observer::start(servers, &case.bucket).await?;
    let begin = clock::now();
    wait_for(QUIET * 20, "the backlog to be shipped", || {
        (clock::since(observer.last().1.max(begin)) > QUIET).then_some(())
    })
    .await?;
    observer.files().await
}

/// When shipping went on, and when everything from before the return was there.
fn analyse(returned: Moment, marks: &[Mark], files: &[File]) -> Result<Vec<(&'static str, f64)>> {
    let resumed = files.iter().map(|file| file.seen.stored).find(|at| *at >= returned.wall);
    let resumed = resumed.context("nothing was shipped after the outage")?;
    let backlog: Vec<Mark> =
        marks.iter().filter(|mark| mark.at <= returned.monotonic).copied().collect();
    let last = durable(&backlog, files).last().copied();
    let last = last.with_context(|| {
        let empty = files.iter().filter(|file| file.header.is_none()).count();
        let (commits, files) = (backlog.len(), files.len());
        format!(
            "none of {commits} commits before the server's return is known to be in one of \
             {files} files, {empty} of which were gone before they were read"
        )
    })?;
    let file = files.iter().find(|file| file.seen.name.max.get() == last.txid);
    let drained = file.context("the file of a transaction")?.seen.stored;
    let waiting = backlog.iter().filter(|mark| {
        durable(&[**mark], files).first().is_some_and(|of| stored(files, of.txid) >= resumed)
    });
    let waiting = number(u64::try_from(waiting.count())?);
    let after = |at: Duration| millis(at.saturating_sub(returned.wall));
    let took = drained.saturating_sub(resumed).as_secs_f64().max(0.001);
    Ok(vec![
        ("resumes after ms", after(resumed)),
        ("drained after ms", after(drained)),
        ("commits waiting", waiting),
        ("drained commits/s", waiting / took),
    ])
}

fn stored(files: &[File], txid: u64) -> Duration {
    let file = files.iter().find(|file| file.seen.name.max.get() == txid);
    file.map_or(Duration::ZERO, |file| file.seen.stored)
}
