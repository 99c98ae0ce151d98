//! A writer at full speed: what replication takes from it, and whether it keeps up.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::Effort;
use crate::clock;
use crate::coverage::{Durable, durable};
use crate::figures::{Figures, live};
use crate::numbers::{megabytes, millis, nanos_to_ms, number};
use crate::observer::Observer;
use crate::servers::{Servers, wait_for};
use crate::system::{Case, Load, System, in_turn};

/// Everything that is compared.
const SYSTEMS: [System; 6] = [
    System::Alone,
    System::Ccm,
    System::Tuned,
    System::Stock,
    System::Unchecked,
    System::CcmUnchecked,
];
/// A backlog that is not shipped by then is given up.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);
/// A bucket that has had no new transaction for so long has all of them: longer than the longest
/// interval.
const QUIET: Duration = Duration::from_millis(2500);
/// Between two commits that are looked for in the bucket.
const MARK: Duration = Duration::from_millis(10);

/// One-row commits with both settings of `synchronous`, and commits of 1 MB.
pub(crate) async fn run(effort: Effort) -> Result<Figures> {
    let mut figures = Figures::new("writer at full speed");
    let time = Duration::from_secs(effort.pick(6, 1));
    let load = Load { mark: MARK, ..Load::small(0, time) };
    let mut settings = vec![
        ("one row, synchronous=normal", load),
        ("one row, synchronous=full", Load { synchronous: "full", ..load }),
        ("1 MB rows, synchronous=normal", Load { bytes: 1_000_000, mark: Duration::ZERO, ..load }),
    ];
    settings.truncate(effort.pick(3, 1));
    let servers = Servers::single();
    for round in 0..effort.rounds {
        for (setting, load) in &settings {
            let mut rates = Vec::new();
            for system in in_turn(&SYSTEMS, round) {
                let values = measure(&servers, system, *load).await?;
                live(round, setting, system.name(), &values);
                figures.add(setting, system.name(), round, &values);
                rates.extend(values.first().map(|(_, rate)| (system, *rate)));
            }
            let alone = rates.iter().find(|(system, _)| *system == System::Alone);
            let Some((_, alone)) = alone else { continue };
            for (system, rate) in &rates {
                let kept = [("kept of its rate %", 100.0 * rate / alone)];
                figures.add(setting, system.name(), round, &kept);
            }
        }
    }
    Ok(figures)
}

async fn measure(
    servers: &Servers,
    system: System,
    load: Load,
) -> Result<Vec<(&'static str, f64)>> {
    let mut case = Case::prepare(system, servers).await?;
    let observer = Observer::start(servers, &case.bucket).await?;
    case.begin(servers, &observer).await?;
    let begun = observer.last().0;
    let (process_before, nats_before) = (case.usage(), servers.usage());
    let (writer, written) = case.write(load).await?;
    let rate = number(written.commits) / Duration::from_nanos(written.nanos).as_secs_f64();
    let mut values = vec![
        ("commits/s", rate),
        ("commit p99 ms", nanos_to_ms(written.p99)),
        ("worst stall ms", nanos_to_ms(written.worst)),
        ("commits over 100 ms", number(written.stalls)),
        ("largest WAL MB", megabytes(written.wal_max)),
    ];
    if system.replicates() {
        let last = quiet(&observer, written.ended_at).await?;
        let (process, nats) = (case.usage(), servers.usage());
        let marks = case.marks()?;
        let found = durable(&marks, &observer.files().await?);
        // Without its last commit in the bucket a system has not drained, however quiet it is.
        if found.last().map(|found| found.committed) == marks.last().map(|mark| mark.at) {
            values.push(("drained after ms", millis(clock::between(written.ended_at, last))));
        }
        let oldest = found.iter().map(Durable::nanos).max().unwrap_or(0);
        values.push(("oldest not in NATS ms", nanos_to_ms(oldest)));
        values.push(("of it known %", 100.0 * count(found.len()) / count(marks.len())));
        let per_commit = |ms: u64| 1000.0 * number(ms) / number(written.commits);
        let spent = process.cpu_ms.saturating_sub(process_before.cpu_ms);
        values.push(("its CPU µs/commit", per_commit(spent)));
        let spent = nats.cpu_ms.saturating_sub(nats_before.cpu_ms);
        values.push(("NATS CPU µs/commit", per_commit(spent)));
        values.push(("its memory MB", megabytes(process.rss_max)));
        values.push(("files", count(observer.last().0 - begun)));
    }
    drop(writer);
    let said = case.end(servers).await?;
    for line in said.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        values.push(("backlog MB", megabytes(line["unshipped_max"].as_u64().unwrap_or(0))));
        if let Some(why) = line["ended"].as_str() {
            anyhow::bail!("capture ended by itself: {why}");
        }
    }
    Ok(values)
}

/// Waits until no new transaction comes; when the last one came.
async fn quiet(observer: &Observer, from: u64) -> Result<u64> {
    let begin = clock::now();
    wait_for(DRAIN_WITHIN + QUIET, "the backlog to be shipped", || {
        let last = observer.last().1.max(from);
        let done = clock::since(last) > QUIET || clock::since(begin) > DRAIN_WITHIN;
        done.then_some(last)
    })
    .await
}

fn count(items: usize) -> f64 {
    number(u64::try_from(items).unwrap_or(u64::MAX))
}
