//! Objects, read to their end.

use std::io::BufReader;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::codec::{LtxDecoder, LtxHeader};
use crate::plan::Finding;
use crate::restore::RestoreError;
use crate::restore::bring::blocking;
use crate::restore::download::{Broken, Stream};
use crate::restore::pipe::{Pipe, pipe};
use crate::store::{LtxInfo, LtxStore, StoreError};

/// Bytes decoded at a time.
const READ_LEN: usize = 64 << 10;

/// What is in an LTX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Its header.
    pub header: LtxHeader,
    /// How many pages it has.
    pub pages: u32,
    /// Which ones: first and last of each run.
    pub runs: Vec<(u32, u32)>,
}

/// Reads one object to its end and proves it: digest, format, checksum, and that it is what its
/// name says.
///
/// # Errors
/// [`RestoreError::Damaged`], [`RestoreError::Unfit`], [`RestoreError::Store`] (also when the
/// object is gone), [`RestoreError::Stalled`] when nothing comes for `stall`.
pub async fn contents<S: LtxStore>(
    store: &S,
    info: &LtxInfo,
    stall: Duration,
    count: impl Fn(u64) + Send + Sync,
) -> Result<Contents, RestoreError> {
    let (feed, content) = pipe();
    let of = info.clone();
    let reading = blocking(move || read(&of, content));
    let (streamed, read) = tokio::join!(Stream::new(store, info, stall, &count).run(feed), reading);
    match streamed {
        Err(Broken::Failed(error)) => Err(error),
        Ok(()) | Err(Broken::Closed) => read,
    }
}

fn read(info: &LtxInfo, content: Pipe) -> Result<Contents, RestoreError> {
    let damaged = |source| RestoreError::Damaged { name: info.name, source };
    let reader = BufReader::with_capacity(READ_LEN, content);
    let mut decoder = LtxDecoder::new(reader).map_err(damaged)?;
    let header = *decoder.header();
    let (mut page, mut pages, mut runs) = (Vec::new(), 0, Vec::<(u32, u32)>::new());
    while let Some(pgno) = decoder.next_page(&mut page).map_err(damaged)? {
        pages += 1;
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == pgno => *last = pgno,
            Some(_) | None => runs.push((pgno, pgno)),
        }
    }
    decoder.finish().map_err(damaged)?;
    let unfit = |why| Err(RestoreError::Unfit { name: info.name, why });
    if (header.min, header.max) != (info.name.min, info.name.max) {
        return unfit(format!("it contains transactions {} to {}", header.min, header.max));
    }
    if header.timestamp_ms != info.timestamp_ms {
        let (inside, outside) = (header.timestamp_ms, info.timestamp_ms);
        return unfit(format!("its time is {inside} ms, the bucket says {outside} ms"));
    }
    Ok(Contents { header, pages, runs })
}

/// Reads all these objects to their end; returns what is wrong with them. Objects that are gone
/// meanwhile are left out. `report` hears how many bytes of how many were read.
///
/// # Errors
/// [`RestoreError`] when the bucket cannot be read on.
pub async fn objects<S: LtxStore>(
    store: &S,
    files: &[LtxInfo],
    stall: Duration,
    report: impl Fn(u64, u64) + Send + Sync,
) -> Result<Vec<Finding>, RestoreError> {
    let total = files.iter().map(|file| file.size).sum();
    let done = AtomicU64::new(0);
    let count = |bytes| {
        let before = done.fetch_add(bytes, Ordering::Relaxed);
        report((before + bytes).min(total), total);
    };
    let mut findings = Vec::new();
    let mut page_size = None;
    for file in files {
        match contents(store, file, stall, &count).await {
            Ok(contents) => {
                let is = contents.header.page_size;
                let first = *page_size.get_or_insert(is);
                if is != first {
                    let what = format!("its page size is {is}, that of others {first}");
                    findings.push(Finding::problem(file.name, what));
                }
            }
            Err(RestoreError::Store(StoreError::NotFound { .. })) => {}
            Err(RestoreError::Damaged { source, .. }) => {
                findings.push(Finding::problem(file.name, source.to_string()));
            }
            Err(
                RestoreError::Unfit { why, .. }
                | RestoreError::Store(StoreError::Damaged { why, .. }),
            ) => findings.push(Finding::problem(file.name, why)),
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}
