//! From the return of COMMIT to the moment at which a consumer has the object's metadata, and to
//! the moment at which a passive node has applied it.

use std::time::Duration;

use anyhow::Result;

use super::Effort;
use crate::clock;
use crate::coverage::{Durable, durable};
use crate::figures::{Figures, live};
use crate::numbers::{nanos_to_ms, number, percentile};
use crate::observer::Observer;
use crate::process::Process;
use crate::servers::{Servers, wait_for};
use crate::system::{BEGIN_WITHIN, Case, Load, System, in_turn};

/// Everything that is compared.
const SYSTEMS: [System; 3] = [System::Ccm, System::Tuned, System::Stock];
/// What was committed is in the bucket by then, and applied.
const SETTLE: Duration = Duration::from_secs(3);

/// 20 and 200 commits a second, on one server and on three.
pub(crate) async fn run(effort: Effort) -> Result<Figures> {
    let mut figures = Figures::new("from COMMIT to durable and to applied");
    let time = Duration::from_secs(effort.pick(10, 2));
    let mut clusters = vec![Servers::single()];
    if !effort.quick {
        clusters.push(Servers::three().await?);
    }
    for round in 0..effort.rounds {
        for servers in &clusters {
            for rate in effort.pick(vec![20, 200], vec![200]) {
                let setting = format!("{}, {rate}/s", servers.name());
                for system in in_turn(&SYSTEMS, round) {
                    let values = measure(servers, system, rate, time).await?;
                    live(round, &setting, system.name(), &values);
                    figures.add(&setting, system.name(), round, &values);
                }
            }
        }
    }
    Ok(figures)
}

async fn measure(
    servers: &Servers,
    system: System,
    rate: u32,
    time: Duration,
) -> Result<Vec<(&'static str, f64)>> {
    let mut case = Case::prepare(system, servers).await?;
    let observer = Observer::start(servers, &case.bucket).await?;
    case.begin(servers, &observer).await?;
    let follower = if system == System::Ccm { Some(follow(servers, &case).await?) } else { None };
    let before = case.usage();
    let (writer, written) = case.write(Load::small(rate, time)).await?;
    let used = case.usage();
    let deadline = clock::now();
    wait_for(SETTLE * 2, "the last commits", || (clock::since(deadline) > SETTLE).then_some(()))
        .await?;
    let marks = case.marks()?;
    let found = durable(&marks, &observer.files().await?);
    let mut nanos: Vec<u64> = found.iter().map(Durable::nanos).collect();
    nanos.sort_unstable();
    let known = number(u64::try_from(found.len())?) / number(u64::try_from(marks.len())?);
    let cpu = number(used.cpu_ms.saturating_sub(before.cpu_ms)) * 1e6 / number(written.nanos);
    let mut values = vec![
        ("durable p50 ms", nanos_to_ms(percentile(&nanos, 500))),
        ("durable p99 ms", nanos_to_ms(percentile(&nanos, 990))),
        ("durable max ms", nanos_to_ms(percentile(&nanos, 1000))),
        ("of it known %", 100.0 * known),
        ("its CPU %", 100.0 * cpu),
    ];
    if let Some(follower) = follower {
        let mut nanos = applied(&found, &follower.lines());
        nanos.sort_unstable();
        values.push(("applied p50 ms", nanos_to_ms(percentile(&nanos, 500))));
        values.push(("applied p99 ms", nanos_to_ms(percentile(&nanos, 990))));
        values.push(("applied max ms", nanos_to_ms(percentile(&nanos, 1000))));
        follower.stop().await?;
    }
    drop(writer);
    case.end(servers).await?;
    Ok(values)
}

/// A passive node that has caught up.
async fn follow(servers: &Servers, case: &Case) -> Result<Process> {
    let dir = case.path("passive");
    std::fs::create_dir(&dir)?;
    let bucket = case.bucket(servers);
    let arguments = ["follow", "--url", &bucket.url, "--bucket", &bucket.bucket, "--dir"];
    let mut arguments: Vec<String> = arguments.map(String::from).to_vec();
    arguments.push(dir.display().to_string());
    let mut follower = Process::own(&arguments)?;
    follower.first_line(BEGIN_WITHIN).await?;
    Ok(follower)
}

/// When each commit was in the replica, from `<txid> <nanoseconds>` lines.
fn applied(found: &[Durable], lines: &[String]) -> Vec<u64> {
    let steps = lines.iter().filter_map(|line| {
        let (txid, at) = line.split_once(' ')?;
        Some((txid.parse::<u64>().ok()?, at.parse::<u64>().ok()?))
    });
    let steps: Vec<(u64, u64)> = steps.collect();
    let when = |durable: &Durable| {
        let from = steps.partition_point(|(txid, _)| *txid < durable.txid);
        steps.get(from).map(|(_, at)| at.saturating_sub(durable.committed))
    };
    found.iter().filter_map(when).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_applied_with_the_first_position_that_contains_it() {
        let lines = ["3 100", "5 200", "9 300"].map(String::from);
        let commit = |txid, committed| Durable { committed, seen: committed, txid };
        let found = [commit(4, 150), commit(5, 190), commit(10, 250)];
        assert_eq!(applied(&found, &lines), [50, 10]);
    }
}
