//! What a data file that was set aside has that the bucket does not have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::scan::scan;
use super::{VerifyError, VerifyOptions};
use crate::codec::LtxHeader;
use crate::local::disk::{exists, len, remove, with_suffix};
use crate::local::{Diverged, LocalError};
use crate::plan::{Restorable, Target, resolve};
use crate::restore::bring::{Bringing, blocking};
use crate::restore::image::Image;
use crate::restore::patience::Patience;
use crate::restore::work::Work;
use crate::restore::{Progress, RestoreError, check, room};
use crate::store::{Level, LtxInfo, LtxStore};
use crate::wal::{WAL_HEADER_LEN, WalCursor, WalHeader};

/// Databases larger than this are not counted row by row.
const COUNT_MAX: u64 = 1 << 30;

/// A WAL, or an LTX file, that is larger is not read for its commits.
const WAL_MAX: u64 = 256 << 20;

/// A table with another number of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDifference {
    /// Its name.
    pub table: String,
    /// Rows in the file; `None` without such a table.
    pub here: Option<u64>,
    /// Rows in the bucket's state; `None` without such a table.
    pub there: Option<u64>,
}

/// What a file has that the bucket does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The state of the bucket that it was compared with.
    pub state: Restorable,
    /// Whether that is the last state that both have had.
    pub exact: bool,
    /// The last state of the bucket.
    pub tip: Restorable,
    /// Commits in the file's WAL that were never in the bucket; `None` when that cannot be told.
    pub commits: Option<u64>,
    /// Page size in bytes.
    pub page_size: u32,
    /// Pages that differ, or that only one of them has.
    pub pages: u64,
    /// The tables with another number of rows; `None` when the database is too large to count.
    pub tables: Option<Vec<TableDifference>>,
}

/// Compares a file with the bucket's state at its position. The file is not changed: a copy of
/// it, with its WAL, is made in the work directory.
///
/// # Errors
/// [`VerifyError`].
pub async fn diverged<S: LtxStore>(
    store: &S,
    file: &Diverged,
    options: &VerifyOptions,
    report: impl Fn(Progress) + Send + Sync,
) -> Result<Difference, VerifyError> {
    let mut work = Work::open(options.dir.clone())?;
    let bringing = Bringing { store, stall: options.stall, report: &report };
    let compared = compare(&bringing, &mut work, file, &options.dir).await;
    for suffix in ["", "-wal", "-journal", "-shm"] {
        remove(&with_suffix(&options.dir.join("aside.db"), suffix)).ok();
    }
    work.remove();
    compared
}

async fn compare<S: LtxStore>(
    bringing: &Bringing<'_, S>,
    work: &mut Work,
    file: &Diverged,
    dir: &Path,
) -> Result<Difference, VerifyError> {
    let ask = async || bringing.store.list().await;
    let files = Patience::new(bringing.stall).insist(ask).await?;
    let (target, exact) = common(&files, file)?;
    let tip = resolve(&files, Target::Newest).map_err(RestoreError::from)?;
    let (image, brought) = bringing.to(work, target, None).await?;
    let (room, bytes) = (dir.to_path_buf(), file.bytes);
    blocking(move || room::check(&room, bytes)).await?;
    let commits = commits(bringing, &files, file).await?;
    (bringing.report)(Progress::Checking);
    let (from, to) = (file.path.clone(), dir.join("aside.db"));
    let copied = to.clone();
    tokio::task::spawn_blocking(move || copy(&from, &copied))
        .await
        .map_err(|_| RestoreError::Interrupted)??;
    let aside = to.clone();
    let pages = blocking(move || differing(&image, &aside)).await?;
    let database = work.database();
    let small = len(&to)?.unwrap_or(0).max(len(&database)?.unwrap_or(0)) <= COUNT_MAX;
    let tables = if small {
        let counted = tokio::task::spawn_blocking(move || tables(&to, &database));
        Some(counted.await.map_err(|_| RestoreError::Interrupted)??)
    } else {
        None
    };
    let (state, page_size) = (brought.plan.state, brought.shape.page_size);
    Ok(Difference { state, exact, tip, commits, page_size, pages, tables })
}

/// The commits in the file's WAL after the last one that was shipped.
async fn commits<S: LtxStore>(
    bringing: &Bringing<'_, S>,
    files: &[LtxInfo],
    file: &Diverged,
) -> Result<Option<u64>, VerifyError> {
    let wal = with_suffix(&file.path, "-wal");
    if len(&wal)?.is_none_or(|len| len == 0 || len > WAL_MAX) {
        return Ok(None);
    }
    let last = files.iter().find(|info| {
        let name = info.name;
        let of_it = name.level == Level::L0 && Some(name.max) == file.txid;
        of_it && info.epoch == Some(file.epoch) && info.size <= WAL_MAX
    });
    let Some(last) = last else { return Ok(None) };
    let ask = async || bringing.store.get(last.name).await;
    let content = match Patience::new(bringing.stall).insist(ask).await {
        Ok(content) => content,
        // What the file holds is told without it.
        Err(error) if error.is_damage() || error.is_vanished() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Ok(shipped) = LtxHeader::parse(&content) else { return Ok(None) };
    let counted = blocking(move || {
        let bytes = fs::read(&wal).map_err(LocalError::io("read", &wal))?;
        Ok(after(&bytes, &shipped))
    });
    Ok(counted.await?)
}

/// The commits of a WAL that lie after what this header says was shipped of it.
fn after(wal: &[u8], shipped: &LtxHeader) -> Option<u64> {
    let (header, frames) = wal.split_first_chunk::<WAL_HEADER_LEN>()?;
    let header = WalHeader::parse(header).ok()?;
    if (header.salt1, header.salt2) != (shipped.wal_salt1, shipped.wal_salt2) {
        return None;
    }
    let end = shipped.wal_offset + shipped.wal_size;
    let scan = WalCursor::start(&header).scan(frames);
    Some(scan.commits.iter().filter(|commit| commit.end_offset > end).count() as u64)
}

/// Pages that differ, or that only one of them has.
fn differing(image: &Image, path: &Path) -> Result<u64, RestoreError> {
    let mut pages = 0;
    scan(image, path, |_, _| pages += 1)?;
    Ok(pages)
}

/// The last state that both have had: at the file's position, or the nearest one before it; the
/// newest one when nobody knows.
fn common(files: &[LtxInfo], file: &Diverged) -> Result<(Target, bool), RestoreError> {
    let Some(txid) = file.txid else { return Ok((Target::Newest, false)) };
    if resolve(files, Target::Txid(txid)).is_ok() {
        return Ok((Target::Txid(txid), true));
    }
    let states = crate::plan::restorable(files);
    let before = states.iter().rfind(|state| state.txid < txid);
    Ok((before.map_or(Target::Newest, |state| Target::Txid(state.txid)), false))
}

/// A copy with everything that belongs to it, as one file.
fn copy(from: &Path, to: &Path) -> Result<(), VerifyError> {
    for suffix in ["", "-wal", "-journal"] {
        let (from, to) = (with_suffix(from, suffix), with_suffix(to, suffix));
        remove(&to)?;
        if exists(&from)? {
            fs::copy(&from, &to).map_err(LocalError::io("copy", &from))?;
        }
    }
    let merge = || -> rusqlite::Result<()> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(to, flags)?;
        // Reading it first recovers what a crash has left.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    };
    merge().map_err(|source| VerifyError::Sqlite { path: from.to_path_buf(), source })
}

fn tables(here: &Path, there: &Path) -> Result<Vec<TableDifference>, VerifyError> {
    let counted = |path: &Path| {
        let failed = |source| VerifyError::Sqlite { path: PathBuf::from(path), source };
        count(path).map_err(failed)
    };
    let (here, there) = (counted(here)?, counted(there)?);
    let names = here.keys().chain(there.keys()).collect::<std::collections::BTreeSet<_>>();
    let difference = |name: &String| {
        let (here, there) = (here.get(name).copied(), there.get(name).copied());
        let table = name.clone();
        (here != there).then_some(TableDifference { table, here, there })
    };
    Ok(names.into_iter().filter_map(difference).collect())
}

/// The rows of every table.
fn count(path: &Path) -> rusqlite::Result<BTreeMap<String, u64>> {
    let connection = check::open_unchanging(path)?;
    let mut list = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    )?;
    let names: Vec<String> =
        list.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut counts = BTreeMap::new();
    for name in names {
        let quoted = name.replace('"', "\"\"");
        let sql = format!("SELECT count(*) FROM \"{quoted}\"");
        // A virtual table whose module is not here cannot be counted.
        if let Ok(rows) = connection.query_row(&sql, [], |row| row.get::<_, i64>(0)) {
            counts.insert(name, u64::try_from(rows).unwrap_or(0));
        }
    }
    Ok(counts)
}
