//! An application that commits, one row at a time.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::database::{self, Random, WalEnd, WalIndex};
use crate::numbers::percentile;
use crate::table;

/// How long a commit waits for a lock.
const BUSY: Duration = Duration::from_secs(30);
/// Rows above this are blobs of which a part changes.
const TEXT_MAX: usize = 4096;
/// Between two looks at the size of the WAL.
const WAL_LOOK: Duration = Duration::from_millis(10);
/// A commit that takes longer has stalled.
const STALL: Duration = Duration::from_millis(100);

/// An application that commits.
#[derive(Debug, Clone, Args)]
pub(crate) struct Write {
    /// The database.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// For so long, in milliseconds.
    #[arg(long)]
    pub(crate) for_ms: u64,
    /// Commits per second, at random moments; 0 is without a pause.
    #[arg(long)]
    pub(crate) rate: u32,
    /// Bytes of a row.
    #[arg(long)]
    pub(crate) bytes: usize,
    /// Update rows 1 to this one, by chance, instead of adding rows; 0 adds.
    #[arg(long)]
    pub(crate) update: u32,
    /// `PRAGMA synchronous`.
    #[arg(long)]
    pub(crate) synchronous: String,
    /// `PRAGMA wal_autocheckpoint`.
    #[arg(long)]
    pub(crate) autocheckpoint: u32,
    /// Between two commits whose place in the WAL is noted, in microseconds.
    #[arg(long)]
    pub(crate) mark_us: u64,
    /// Where the marks go.
    #[arg(long)]
    pub(crate) marks: PathBuf,
}

/// A commit and its place in the WAL.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// When COMMIT returned.
    pub(crate) at: u64,
    /// Where it ends.
    pub(crate) end: WalEnd,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Commits.
    pub(crate) commits: u64,
    /// In so many nanoseconds.
    pub(crate) nanos: u64,
    /// Of the time that a commit took, in nanoseconds.
    pub(crate) p50: u64,
    /// The same.
    pub(crate) p99: u64,
    /// The worst.
    pub(crate) worst: u64,
    /// Commits that took longer than 100 ms.
    pub(crate) stalls: u64,
    /// The largest `-wal`, in bytes.
    pub(crate) wal_max: u64,
    /// When the last COMMIT returned.
    pub(crate) ended_at: u64,
}

impl Write {
    /// The arguments of the child.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let pairs = [
            ("--data", self.data.display().to_string()),
            ("--for-ms", self.for_ms.to_string()),
            ("--rate", self.rate.to_string()),
            ("--bytes", self.bytes.to_string()),
            ("--update", self.update.to_string()),
            ("--synchronous", self.synchronous.clone()),
            ("--autocheckpoint", self.autocheckpoint.to_string()),
            ("--mark-us", self.mark_us.to_string()),
            ("--marks", self.marks.display().to_string()),
        ];
        let named = pairs.into_iter().flat_map(|(name, value)| [String::from(name), value]);
        std::iter::once(String::from("write")).chain(named).collect()
    }

    /// Commits, and prints what became of it.
    pub(super) fn run(&self) -> Result<()> {
        let connection = Connection::open(&self.data).context("could not open the database")?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "synchronous", &self.synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", self.autocheckpoint)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let index = WalIndex::open(&self.data)?;
        let wal = database::wal(&self.data);
        let mut random = Random::new(u64::from(std::process::id()));
        let mut marks = Vec::new();
        let mut times = Vec::new();
        let mut statement = connection.prepare(match self.update {
            0 => "INSERT INTO t(v) VALUES (?1)",
            _ => "UPDATE t SET v = ?1 WHERE id = ?2",
        })?;
        let (begin, mut wal_max, mut looked) = (clock::now(), 0, 0);
        let mut row = Row::new(self.bytes, &mut random);
        let mut due = begin;
        let until = begin + self.for_ms * 1_000_000;
        while clock::now() < until {
            due = self.pause(begin, due, &mut random);
            let before = clock::now();
            row.write(&mut statement, self.update, &mut random)?;
            let after = clock::now();
            times.push(after - before);
            let last = marks.last().map_or(0, |mark: &Mark| mark.at);
            if clock::between(last, after) >= Duration::from_micros(self.mark_us) {
                marks.push(Mark { at: after, end: index.end()? });
            }
            if clock::between(looked, after) >= WAL_LOOK {
                wal_max = std::fs::metadata(&wal).map_or(wal_max, |wal| wal.len().max(wal_max));
                looked = after;
            }
        }
        let ended_at = clock::now();
        marks.push(Mark { at: ended_at, end: index.end()? });
        let text = marks.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        std::fs::write(&self.marks, text.join("\n")).context("could not write the marks")?;
        times.sort_unstable();
        let written = Written {
            commits: u64::try_from(times.len())?,
            nanos: ended_at - begin,
            p50: percentile(&times, 500),
            p99: percentile(&times, 990),
            worst: percentile(&times, 1000),
            stalls: u64::try_from(
                times.iter().filter(|nanos| Duration::from_nanos(**nanos) > STALL).count(),
            )?,
            wal_max,
            ended_at,
        };
        table::line(&serde_json::to_string(&written)?);
        std::io::stdout().flush()?;
        // Whoever closes last would checkpoint; the replication has yet to read the WAL.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        Ok(())
    }

    /// Waits for the moment of the next commit; returns it.
    fn pause(&self, begin: u64, due: u64, random: &mut Random) -> u64 {
        if self.rate == 0 {
            return begin;
        }
        let gap = Duration::from_secs_f64(-random.fraction().ln() / f64::from(self.rate));
        let due = due + u64::try_from(gap.as_nanos()).unwrap_or(0);
        loop {
            let left = clock::between(clock::now(), due);
            if left.is_zero() {
                return due;
            }
            std::thread::park_timeout(left);
        }
    }
}

/// What is written.
#[derive(Debug)]
enum Row {
    Text(usize),
    Blob(Vec<u8>),
}

impl Row {
    fn new(bytes: usize, random: &mut Random) -> Self {
        if bytes <= TEXT_MAX {
            return Self::Text(bytes);
        }
        let words = std::iter::repeat_with(|| random.next().to_le_bytes());
        Self::Blob(words.take(bytes / 8).flatten().collect())
    }

    fn write(
        &mut self,
        statement: &mut rusqlite::Statement<'_>,
        update: u32,
        random: &mut Random,
    ) -> Result<()> {
        match self {
            Self::Text(bytes) => {
                let mut text = String::with_capacity(*bytes + 16);
                while text.len() < *bytes {
                    write!(text, "{:016x}", random.next())?;
                }
                statement.raw_bind_parameter(1, &text[..*bytes])?;
            }
            Self::Blob(blob) => {
                for part in blob[..1024].chunks_exact_mut(8) {
                    part.copy_from_slice(&random.next().to_le_bytes());
                }
                statement.raw_bind_parameter(1, &blob[..])?;
            }
        }
        if update > 0 {
            let row = 1 + random.next() % u64::from(update);
            statement.raw_bind_parameter(2, i64::try_from(row)?)?;
        }
        statement.raw_execute()?;
        Ok(())
    }
}
