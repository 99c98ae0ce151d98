//! The size of the bucket over that of the database, with both schedules scaled down: levels at
//! 5, 15 and 30 s; a snapshot a minute and a minute of history, which are Litestream's proportions
//! by default (24 h each), and for ccm also those of its own defaults (a snapshot an hour, 24 h).

use std::time::Duration;

use anyhow::Result;

use super::Effort;
use crate::figures::{Figures, live};
use crate::numbers::{megabytes, number};
use crate::observer::Observer;
use crate::process::Process;
use crate::servers::Servers;
use crate::system::{Case, Load, Scaled, System};
use crate::{clock, database};

/// All at once: sizes do not depend on who else runs.
const SYSTEMS: [(System, &str, Scaled); 3] = [
    (System::Ccm, "ccm", Scaled { snapshot: 60, history: 60 }),
    (System::Stock, "litestream 1s", Scaled { snapshot: 60, history: 60 }),
    (System::Ccm, "ccm, 24 in the history", Scaled { snapshot: 5, history: 120 }),
];
/// Rows of the database, one per kilobyte.
const ROWS: u32 = 45_000;
/// Updates per second.
const RATE: u32 = 20;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Figures count from here: a snapshot has passed its time in every system.
const STEADY: Duration = Duration::from_secs(130);

/// Random rows of 45 MB are updated.
pub(crate) async fn run(effort: Effort) -> Result<Figures> {
    let mut figures = Figures::new("size of the bucket");
    let time = Duration::from_secs(effort.pick(260, 6));
    let steady = effort.pick(STEADY, Duration::ZERO);
    let servers = Servers::single();
    let mut running: Vec<(&str, Case, Process, Sizes)> = Vec::new();
    for (system, name, scaled) in SYSTEMS {
        let mut case = Case::prepare(system, &servers).await?;
        database::fill(&case.data(), u64::from(ROWS) / 1000)?;
        case.replicate(&servers, Some(scaled))?;
        let observer = Observer::start(&servers, &case.bucket).await?;
        case.begun(&observer).await?;
        let load = Load { update: ROWS, bytes: 900, ..Load::small(RATE, time) };
        let writer = case.writer(load)?;
        running.push((name, case, writer, Sizes::default()));
    }
    let begin = clock::now();
    while clock::since(begin) < time {
        tokio::time::sleep(LOOK).await;
        for (_, case, _, sizes) in &mut running {
            let state = servers.state(&case.bucket).await?;
            let database = std::fs::metadata(case.data())?.len();
            sizes.look(number(state.bytes) / number(database), clock::since(begin) >= steady);
        }
    }
    for (name, case, writer, sizes) in running {
        let state = servers.state(&case.bucket).await?;
        let tombstones = Observer::tombstones(&servers, &case.bucket).await?;
        let values = [
            ("bucket / database, most", sizes.most),
            ("bucket / database, steady", sizes.steady / sizes.looks.max(1.0)),
            ("most when steady", sizes.steady_most),
            ("bucket MB at the end", megabytes(state.bytes)),
            ("messages at the end", number(state.messages)),
            ("tombstones at the end", number(tombstones)),
        ];
        live(0, "scaled schedule", name, &values);
        figures.add("scaled schedule", name, 0, &values);
        drop(writer);
        case.end(&servers).await?;
    }
    Ok(figures)
}

/// What was seen of a bucket.
#[derive(Debug, Default)]
struct Sizes {
    most: f64,
    steady: f64,
    steady_most: f64,
    looks: f64,
}

impl Sizes {
    fn look(&mut self, ratio: f64, steady: bool) {
        self.most = self.most.max(ratio);
        if steady {
            self.steady += ratio;
            self.looks += 1.0;
            self.steady_most = self.steady_most.max(ratio);
        }
    }
}
