//! A large database: into an empty bucket, and out of it again.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Effort;
use crate::figures::{Figures, live};
use crate::numbers::{megabytes, number};
use crate::observer::Observer;
use crate::process::Process;
use crate::servers::{Servers, wait_for};
use crate::system::{BEGIN_WITHIN, Case, System, in_turn};
use crate::{clock, database};

/// Everything that is compared; Litestream's intervals make no difference here.
const SYSTEMS: [System; 2] = [System::Ccm, System::Stock];
/// Litestream on a bucket of ccm: its own objects have messages of a few bytes.
const STOCK_OF_OURS: &str = "litestream, ccm's bucket";
/// ccm with SQLite's check of the result, as `ccm restore` does it unless told otherwise.
const CHECKED: &str = "ccm, checked";

type Values = Vec<(&'static str, f64)>;

/// 512 MB and 1 GB.
pub(crate) async fn run(effort: Effort) -> Result<Figures> {
    let mut figures = Figures::new("a large database");
    let servers = Servers::single();
    let template = tempfile::Builder::new().prefix("ccm-bench-").tempdir()?;
    for size in effort.pick(vec![512, 1000], vec![40]) {
        let filled = template.path().join(format!("{size}.db"));
        database::fill(&filled, size)?;
        let setting = format!("{size} MB");
        for round in 0..effort.rounds {
            for system in in_turn(&SYSTEMS, round) {
                for (who, values) in measure(&servers, system, &filled, &mut figures).await? {
                    live(round, &setting, who, &values);
                    figures.add(&setting, who, round, &values);
                }
            }
        }
        std::fs::remove_file(&filled)?;
    }
    Ok(figures)
}

async fn measure(
    servers: &Servers,
    system: System,
    filled: &Path,
    figures: &mut Figures,
) -> Result<Vec<(&'static str, Values)>> {
    let mut case = Case::prepare(system, servers).await?;
    let database = std::fs::copy(filled, case.data())?;
    std::fs::File::open(case.data())?.sync_all()?;
    let observer = Observer::start(servers, &case.bucket).await?;
    let snapshot = snapshot(servers, &mut case, &observer).await?;
    case.pause().await?;
    let mut results = vec![(system.name(), snapshot)];
    let mut restores = match system {
        System::Ccm | System::CcmUnchecked => vec![
            (system.name(), ccm(servers, &case, false)?),
            (CHECKED, ccm(servers, &case, true)?),
            (STOCK_OF_OURS, litestream(servers, &case)?),
        ],
        System::Alone | System::Unchecked | System::Tuned | System::Stock => {
            vec![(system.name(), litestream(servers, &case)?)]
        }
    };
    for (who, start) in restores.drain(..) {
        match restore(&case, start, database).await? {
            Some(values) => results.push((who, values)),
            None => figures.note(format!(
                "{who} did not restore {:.0} MB: {}",
                megabytes(database),
                last_words(&case.path("restore.log")),
            )),
        }
    }
    case.end(servers).await?;
    Ok(results)
}

/// From the start of the replication until the whole database is in the bucket.
async fn snapshot(servers: &Servers, case: &mut Case, observer: &Observer) -> Result<Values> {
    let nats = servers.usage();
    let begin = clock::now();
    case.replicate(servers, None)?;
    let first = wait_for(BEGIN_WITHIN, "a first transaction", || {
        observer.level(0).first().or(observer.level(9).first()).map(|seen| seen.at)
    })
    .await?;
    let whole =
        wait_for(BEGIN_WITHIN, "a snapshot", || observer.level(9).first().map(|seen| seen.at))
            .await?;
    let (used, nats_used) = (case.usage(), servers.usage());
    Ok(vec![
        ("first in NATS s", clock::between(begin, first).as_secs_f64()),
        ("snapshot in NATS s", clock::between(begin, whole).as_secs_f64()),
        ("CPU for both s", number(used.cpu_ms) / 1000.0),
        ("NATS CPU for both s", number(nats_used.cpu_ms.saturating_sub(nats.cpu_ms)) / 1000.0),
        ("memory for both MB", megabytes(used.rss_max)),
        ("NATS memory MB", megabytes(nats_used.rss_max)),
    ])
}

type Start = Box<dyn FnOnce() -> Result<Process>>;

fn ccm(servers: &Servers, case: &Case, check: bool) -> Result<Start> {
    let bucket = case.bucket(servers);
    let output = case.path("restored.db").display().to_string();
    let mut arguments: Vec<String> =
        ["restore", "--url", &bucket.url, "--bucket", &bucket.bucket, "--output", &output]
            .map(String::from)
            .to_vec();
    if check {
        arguments.push(String::from("--check"));
    }
    Ok(Box::new(move || Process::own(&arguments)))
}

fn litestream(servers: &Servers, case: &Case) -> Result<Start> {
    let mut command = Command::new(ccm_harness::litestream());
    command.arg("restore").arg("-o").arg(case.path("restored.db"));
    command.arg(format!("{}/{}", servers.url(), case.bucket));
    let log = case.path("restore.log");
    Ok(Box::new(move || Process::other(&command, &log)))
}

/// `None` when it failed.
async fn restore(case: &Case, start: Start, database: u64) -> Result<Option<Values>> {
    let begin = clock::now();
    let mut process = start()?;
    let (used, well) = process.ended(BEGIN_WITHIN, || {}).await?;
    let took = clock::since(begin).as_secs_f64();
    let output = case.path("restored.db");
    let whole = database::rows(&output).ok() == database::rows(&case.data()).ok();
    for left in ["restored.db", "restored.db-shm", "restored.db-wal", "restored.db.tmp"] {
        // Most of them are not there.
        std::fs::remove_file(case.path(left)).ok();
    }
    if !well || !whole {
        return Ok(None);
    }
    Ok(Some(vec![
        ("restore s", took),
        ("restore MB/s", megabytes(database) / took),
        ("restore CPU s", number(used.cpu_ms) / 1000.0),
        ("restore memory MB", megabytes(used.rss_max)),
    ]))
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).context("no log").unwrap_or_default();
    let line = text.lines().rev().find(|line| line.contains("error") || line.contains("Error"));
    // Up to what names files of this run.
    let words = line.or(text.lines().last()).unwrap_or("it said nothing");
    words.chars().take(160).collect()
}
