//! What SQLite itself has to do: WAL mode, checkpoints, empty databases.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use ccm_types::Txid;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::{LocalError, disk};
use crate::plan::WalEnd;
use crate::wal::{FRAME_HEADER_LEN, WAL_HEADER_LEN, WalHeader};

/// Length of a database's header in bytes.
const HEADER_LEN: usize = 100;

/// How every database begins.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// What the header of a database says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DbHeader {
    pub(super) page_size: u32,
    pub(super) wal_mode: bool,
}

/// Reads the first bytes of a file, fewer when it is shorter; `None` when it does not exist.
fn head(path: &Path, len: usize) -> Result<Option<Vec<u8>>, LocalError> {
    let failed = LocalError::io("read", path);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut bytes = Vec::with_capacity(len);
    file.take(len as u64).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// The header of the database at `path`; `None` when there is no file or an empty one, which
/// SQLite takes for a new database.
pub(super) fn header(path: &Path) -> Result<Option<DbHeader>, LocalError> {
    let Some(bytes) = head(path, HEADER_LEN)? else { return Ok(None) };
    if bytes.is_empty() {
        return Ok(None);
    }
    let not_sqlite = || LocalError::NotSqlite { path: path.to_path_buf() };
    if bytes.len() < HEADER_LEN || !bytes.starts_with(MAGIC) {
        return Err(not_sqlite());
    }
    let page_size = match u32::from(u16::from_be_bytes([bytes[16], bytes[17]])) {
        1 => 65536,
        size => size,
    };
    if !page_size.is_power_of_two() || page_size < 512 {
        return Err(not_sqlite());
    }
    Ok(Some(DbHeader { page_size, wal_mode: bytes[18] == 2 && bytes[19] == 2 }))
}

/// Opens an existing database; never waits for anybody.
fn open(path: &Path) -> Result<Connection, LocalError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |e| LocalError::sqlite("open", path)(e);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::ZERO).map_err(failed)?;
    Ok(connection)
}

fn close(connection: Connection, path: &Path) -> Result<(), LocalError> {
    connection.close().map_err(|(_, e)| LocalError::sqlite("close", path)(e))
}

/// Puts a database into WAL mode; whoever has it open makes it fail.
pub(super) fn ensure_wal_mode(path: &Path) -> Result<(), LocalError> {
    let connection = open(path)?;
    let mode: String = connection
        .query_row("pragma journal_mode = wal", [], |row| row.get(0))
        .map_err(LocalError::sqlite("set WAL mode in", path))?;
    close(connection, path)?;
    if mode != "wal" {
        return Err(LocalError::NotWal { path: path.to_path_buf(), mode });
    }
    Ok(())
}

/// Makes an empty database in WAL mode, durably but for its name.
pub(super) fn create(path: &Path) -> Result<(), LocalError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        disk::remove(&disk::with_suffix(path, suffix))?;
    }
    File::create(path).and_then(|file| file.sync_all()).map_err(LocalError::io("create", path))?;
    ensure_wal_mode(path)
}

/// Copies the whole WAL into the database and leaves no WAL behind.
pub(super) fn checkpoint(path: &Path, txid: Txid) -> Result<(), LocalError> {
    let connection = open(path)?;
    let (busy, log, copied): (i64, i64, i64) = connection
        .query_row("pragma wal_checkpoint(truncate)", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .map_err(LocalError::sqlite("checkpoint", path))?;
    close(connection, path)?;
    if busy != 0 {
        return Err(LocalError::Busy { path: path.to_path_buf() });
    }
    let wal = disk::len(&disk::with_suffix(path, "-wal"))?.unwrap_or(0);
    if log != copied || wal != 0 {
        return Err(LocalError::NotCheckpointed { path: path.to_path_buf(), txid });
    }
    Ok(())
}

/// Where the WAL of a database ends, without changing either; `None` when there is no WAL.
///
/// SQLite's own recovery decides what is committed.
pub(super) fn wal_end(path: &Path, page_size: u32) -> Result<Option<WalEnd>, LocalError> {
    let wal = disk::with_suffix(path, "-wal");
    let Some(bytes) = head(&wal, WAL_HEADER_LEN)? else { return Ok(None) };
    let Ok(bytes) = <[u8; WAL_HEADER_LEN]>::try_from(bytes) else { return Ok(None) };
    let Ok(header) = WalHeader::parse(&bytes) else { return Ok(None) };
    if header.page_size != page_size {
        return Ok(None);
    }
    let connection = open(path)?;
    let failed = |e| LocalError::sqlite("read the WAL of", path)(e);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    connection.query_row("select count(*) from sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    let frames: i64 = connection
        .query_row("pragma wal_checkpoint(noop)", [], |row| row.get(1))
        .map_err(failed)?;
    close(connection, path)?;
    let Ok(frames) = u64::try_from(frames) else { return Ok(None) };
    let frame_len = u64::from(page_size) + FRAME_HEADER_LEN as u64;
    let offset = WAL_HEADER_LEN as u64 + frames * frame_len;
    Ok(Some(WalEnd { salt1: header.salt1, salt2: header.salt2, offset }))
}
