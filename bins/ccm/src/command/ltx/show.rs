//! `ccm ltx show`: what is in a file.

use std::time::Duration;

use ccm_wal_ltx::store::{LtxInfo, NatsStore};
use ccm_wal_ltx::verify::{Contents, contents};
use serde_json::json;

use crate::bucket::{file_json, moment, restore_failure};
use crate::cli::Shared;
use crate::exit::{Ended, Exit};
use crate::fetching::Fetching;
use crate::{print, progress, table};

/// Nothing has come for so long.
pub(super) const STALL: Duration = Duration::from_secs(60);
/// Runs of pages that are told.
const RUNS_MAX: usize = 20;

pub(super) async fn run(shared: &Shared, store: &NatsStore, file: &LtxInfo) -> Ended {
    let fetching = Fetching::new(shared.json);
    let done = std::sync::atomic::AtomicU64::new(0);
    let count = |bytes| {
        let before = done.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        fetching.bytes(before + bytes, file.size);
    };
    let work = contents(store, file, STALL, count);
    let contents = fetching.during(work).await?.map_err(restore_failure)?;
    if shared.json {
        print::json(&object(file, &contents))?;
    } else {
        print::text(&text(file, &contents))?;
    }
    Ok(Exit::Done)
}

fn object(file: &LtxInfo, contents: &Contents) -> serde_json::Value {
    let header = &contents.header;
    let mut object = file_json(file);
    let inside = json!({
        "pageSize": header.page_size,
        "databasePages": header.commit,
        "snapshot": header.is_snapshot(),
        "walOffset": header.wal_offset,
        "walSize": header.wal_size,
        "walSalt1": header.wal_salt1,
        "walSalt2": header.wal_salt2,
        "pages": contents.pages,
        "pageRuns": contents.runs,
    });
    if let (Some(object), serde_json::Value::Object(inside)) = (object.as_object_mut(), inside) {
        object.extend(inside);
    }
    object
}

fn text(file: &LtxInfo, contents: &Contents) -> String {
    let header = &contents.header;
    let size = |pages: u32| progress::bytes(u64::from(pages) * u64::from(header.page_size));
    let wal = if header.wal_offset == 0 {
        String::from("not from a WAL")
    } else {
        format!(
            "{} bytes from offset {}, salts {:08x} {:08x}",
            header.wal_size, header.wal_offset, header.wal_salt1, header.wal_salt2
        )
    };
    let epoch = file.epoch.map_or_else(|| String::from("none"), |epoch| epoch.to_string());
    let field = |label: &str, value: &str| format!("{:<14}{value}\n", format!("{label}:"));
    let runs = table::runs(&contents.runs, RUNS_MAX);
    [
        format!("{}\n", file.name),
        field("Transactions", &format!("{} to {}", header.min, header.max)),
        field("Committed", &moment(header.timestamp_ms)),
        field("Epoch", &epoch),
        field("Size", &format!("{} in the bucket", progress::bytes(file.size))),
        field(
            "Pages",
            &format!("{} of {} bytes, {}", contents.pages, header.page_size, size(contents.pages)),
        ),
        field("Database", &format!("{} pages, {}", header.commit, size(header.commit))),
        field("Page numbers", if runs.is_empty() { "none" } else { &runs }),
        field("WAL", &wal),
        String::from("✓ Digest, format and checksum are right\n"),
    ]
    .concat()
}
