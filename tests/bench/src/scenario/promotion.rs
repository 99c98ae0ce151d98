//! A replica that has caught up takes over: from the lease to data in place and captured. The
//! ladder then asks for the backend.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Effort;
use crate::database;
use crate::figures::{Figures, live};
use crate::numbers::nanos_to_ms;
use crate::observer::Observer;
use crate::process::Process;
use crate::servers::Servers;
use crate::system::{BEGIN_WITHIN, Case, Load, System};

/// The rungs, in order, and the name of each figure.
const RUNGS: [(&str, &str); 5] = [
    ("fence", "fence ms"),
    ("catch_up", "final catch-up ms"),
    ("place", "compare and place ms"),
    ("capture", "start capture ms"),
    ("total", "together ms"),
];

/// 10 MB and 1 GB.
pub(crate) async fn run(effort: Effort) -> Result<Figures> {
    let mut figures = Figures::new("promotion of a replica that has caught up");
    let servers = Servers::single();
    for round in 0..effort.rounds {
        for size in effort.pick(vec![10, 1000], vec![10]) {
            let setting = format!("{size} MB");
            let values = measure(&servers, size).await?;
            live(round, &setting, System::Ccm.name(), &values);
            figures.add(&setting, System::Ccm.name(), round, &values);
        }
    }
    Ok(figures)
}

async fn measure(servers: &Servers, size: u64) -> Result<Vec<(&'static str, f64)>> {
    let mut case = Case::prepare(System::Ccm, servers).await?;
    database::fill(&case.data(), size)?;
    let observer = Observer::start(servers, &case.bucket).await?;
    case.replicate(servers, None)?;
    case.begun(&observer).await?;
    // Some more transactions, as a replica that follows has seen.
    let (writer, _) = case.write(Load::small(100, Duration::from_secs(1))).await?;
    drop(writer);
    case.pause().await?;
    let dir = case.path("passive");
    std::fs::create_dir(&dir)?;
    let bucket = case.bucket(servers);
    let dir = dir.display().to_string();
    let arguments = [
        "promote",
        "--url",
        &bucket.url,
        "--bucket",
        &bucket.bucket,
        "--dir",
        &dir,
        "--epoch",
        "2",
    ];
    let mut promote = Process::own(&arguments.map(String::from))?;
    let line = promote.first_line(BEGIN_WITHIN).await?;
    let rungs: Value = serde_json::from_str(&line)?;
    promote.ended(BEGIN_WITHIN, || {}).await?;
    case.end(servers).await?;
    let value = |(key, name): (&str, &'static str)| {
        let nanos = rungs[key].as_u64().context("a rung without its time")?;
        Ok((name, nanos_to_ms(nanos)))
    };
    RUNGS.into_iter().map(value).collect()
}
