//! Whether what was made of the files is a database.

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::RestoreError;
use super::image::Shape;
use crate::local::LocalError;

/// How every database begins (SQLite file format, section 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Findings of SQLite that are told.
const FINDINGS_MAX: u32 = 5;

/// Length and header are those of a database of this shape.
pub(crate) fn shape(path: &Path, shape: Shape) -> Result<(), RestoreError> {
    let failed = LocalError::io("read", path);
    let look = || {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut header = [0; 100];
        if len > 0 {
            file.read_exact_at(&mut header, 0)?;
        }
        Ok((len, header))
    };
    let (len, header): (u64, [u8; 100]) = look().map_err(failed)?;
    let malformed = |why| Err(RestoreError::Malformed { txid: shape.txid, why });
    let expected = u64::from(shape.page_size) * u64::from(shape.pages);
    if len != expected {
        return malformed(format!("it has {len} bytes instead of {expected}"));
    }
    if len == 0 {
        return Ok(());
    }
    if !header.starts_with(MAGIC) {
        return malformed(String::from("it does not begin like a SQLite database"));
    }
    let field = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let page_size = match u32::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65536,
        size => size,
    };
    if page_size != shape.page_size {
        let is = shape.page_size;
        return malformed(format!("its header says pages of {page_size} bytes, they have {is}"));
    }
    // The size in the header counts only when the version that wrote it wrote last.
    if field(24) == field(92) && field(28) != 0 && field(28) != shape.pages {
        let (says, is) = (field(28), shape.pages);
        return malformed(format!("its header says {says} pages, there are {is}"));
    }
    Ok(())
}

/// SQLite reads the whole database and finds it in order. Leaves nothing beside it.
pub(crate) fn quick_check(path: &Path, shape: Shape) -> Result<(), RestoreError> {
    let uncheckable = |source| RestoreError::Uncheckable { source };
    let findings = findings(path).map_err(uncheckable)?;
    if findings == ["ok"] {
        return Ok(());
    }
    let findings = findings.join("; ");
    Err(RestoreError::Unsound { txid: shape.txid, findings, kept: path.to_path_buf() })
}

fn findings(path: &Path) -> rusqlite::Result<Vec<String>> {
    let connection = open_unchanging(path)?;
    let mut check = connection.prepare(&format!("PRAGMA quick_check({FINDINGS_MAX})"))?;
    let rows = check.query_map([], |row| row.get(0))?;
    rows.collect()
}

/// Opens a database that nobody writes, without a lock and without any file beside it
/// (sqlite.org/uri.html, `immutable`).
pub(crate) fn open_unchanging(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags)
}
