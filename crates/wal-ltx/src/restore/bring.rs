//! Bringing the database in a work directory to a state.

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use ccm_types::{Epoch, Txid};

use super::download::{self, Broken, Counter, Stream};
use super::image::{Image, Saved, Shape};
use super::patience::Patience;
use super::pipe::pipe;
use super::resume::{Record, Seen, portions};
use super::work::Work;
use super::{Progress, RestoreError, check, room};
use crate::codec::LtxHeader;
use crate::local::disk::{parent, remove};
use crate::plan::{RestorePlan, Target};
use crate::store::{LtxInfo, LtxStore};

/// Files larger than this go through a file.
const MEMORY_MAX: u64 = 16 << 20;

/// Going on from an earlier attempt, the room is looked at when more is to be downloaded.
const LOOK_ABOVE: u64 = 16 << 20;

/// Bytes of files after which the database is brought to the disk. A kill needs it never, and a
/// power loss costs no more than this. After every file it would cost more than all the rest.
const SYNC_EVERY: u64 = 512 << 20;

/// Small files that are applied at a time.
const PORTION_FILES: usize = 256;

/// Bytes of small files that are applied at a time.
const PORTION_BYTES: u64 = 16 << 20;

/// Plans that are made when the files of the bucket are replaced meanwhile.
const PLANS_MAX: u32 = 20;

/// The state that was reached, and what it took.
#[derive(Debug, Clone)]
pub(crate) struct Brought {
    pub(crate) plan: RestorePlan,
    pub(crate) shape: Shape,
    pub(crate) epoch: Option<Epoch>,
    /// Files that were applied.
    pub(crate) files: usize,
    /// Bytes that have come from the bucket.
    pub(crate) downloaded: u64,
    /// Bytes of the plan that an earlier attempt had left here.
    pub(crate) resumed: bool,
}

/// What it takes to bring a database somewhere.
pub(crate) struct Bringing<'a, S> {
    pub(crate) store: &'a S,
    pub(crate) stall: Duration,
    pub(crate) report: &'a (dyn Fn(Progress) + Send + Sync),
}

impl<S: LtxStore> Bringing<'_, S> {
    /// Brings the database to the state and has it checked; thoroughly: by SQLite.
    pub(crate) async fn checked(
        &self,
        work: &mut Work,
        target: Target,
        thorough: bool,
    ) -> Result<Brought, RestoreError> {
        let (image, brought) = self.to(work, target, None).await?;
        drop(image);
        self.check(work, brought.shape, thorough).await?;
        Ok(brought)
    }

    /// Checks the database.
    pub(crate) async fn check(
        &self,
        work: &Work,
        shape: Shape,
        thorough: bool,
    ) -> Result<(), RestoreError> {
        (self.report)(Progress::Checking);
        let database = work.database();
        blocking(move || {
            check::shape(&database, shape)?;
            if thorough { check::quick_check(&database, shape) } else { Ok(()) }
        })
        .await
    }

    /// Fetches and applies what leads to the state that `target` means.
    pub(crate) async fn to(
        &self,
        work: &mut Work,
        target: Target,
        mut saved: Option<Saved>,
    ) -> Result<(Image, Brought), RestoreError> {
        let counter = Counter::default();
        let (mut applied, mut resumed) = (0, false);
        for _ in 0..PLANS_MAX {
            let files = Patience::new(self.stall).insist(async || self.store.list().await).await?;
            let (mut image, plan) = work.take_up(&files, target)?;
            image.save(saved.take());
            resumed |= image.shape().is_some();
            if image.shape().is_none() || plan.bytes() > LOOK_ABOVE {
                self.check_room(work, &plan).await?;
            }
            let epoch = plan.files.last().map(|file| file.epoch);
            match self.apply_all(work, image, &plan, &counter, &mut applied).await {
                Ok(image) => {
                    let Some(shape) = image.shape() else { return Err(RestoreError::Interrupted) };
                    let downloaded = counter.get();
                    let epoch = epoch.flatten();
                    let files = applied;
                    let brought = Brought { plan, shape, epoch, files, downloaded, resumed };
                    return Ok((image, brought));
                }
                Err(error) if error.is_vanished() => {
                    tracing::info!(%error, "the bucket has changed meanwhile: planning again");
                }
                Err(error) => return Err(error),
            }
        }
        Err(RestoreError::Moving { times: PLANS_MAX })
    }

    /// Fails when there is no room for what the plan leads to.
    async fn check_room(&self, work: &Work, plan: &RestorePlan) -> Result<(), RestoreError> {
        let mut database = 0;
        for info in plan.files.first().into_iter().chain(plan.files.last()) {
            // What is wrong with a file is said when it is its turn.
            if let Some(header) = self.header(info).await? {
                let len = u64::from(header.commit) * u64::from(header.page_size);
                database = len.max(database);
            }
        }
        let large = plan.files.iter().filter(|file| is_large(file)).map(|file| file.size).max();
        let first = plan.files.first().filter(|file| is_large(file));
        let record = work.object().1;
        let object_here = first.map_or(0, |file| download::bytes_here(&record, file));
        let path = work.database();
        blocking(move || {
            let here = (room::taken(&path), object_here);
            room::check(parent(&path), room::needed(database, large.unwrap_or(0), here))
        })
        .await
    }

    /// The header of a file; `None` when it has none that can be read.
    async fn header(&self, info: &LtxInfo) -> Result<Option<LtxHeader>, RestoreError> {
        let mut patience = Patience::new(self.stall);
        let head = if is_large(info) {
            let asked = patience.insist(async || self.store.piece(info.name, None).await).await;
            asked.map(|piece| piece.chunks.into_iter().next().unwrap_or_default())
        } else {
            patience.insist(async || self.store.get(info.name).await).await
        };
        match head {
            Ok(head) => Ok(LtxHeader::parse(&head).ok()),
            Err(error) if error.is_damage() || error.is_vanished() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn apply_all(
        &self,
        work: &mut Work,
        mut image: Image,
        plan: &RestorePlan,
        counter: &Counter,
        applied_files: &mut usize,
    ) -> Result<Image, RestoreError> {
        let here = plan.files.first().filter(|file| is_large(file));
        let here = here.map_or(0, |file| download::bytes_here(&work.object().1, file));
        let total_bytes = counter.get() + plan.bytes();
        let count = |bytes| {
            let done_bytes = (counter.add(bytes) + here).min(total_bytes);
            (self.report)(Progress::Fetching { done_bytes, total_bytes });
        };
        count(0);
        let to = plan.state.txid;
        image = announce(work, image, to).await?;
        let portions = portions(plan.files.clone(), is_large, PORTION_FILES, PORTION_BYTES);
        let mut portions = portions.into_iter().peekable();
        let (mut unsynced, mut ahead) = (0, None);
        while let Some(portion) = portions.next() {
            let (Some(first), Some(last)) = (portion.first(), portion.last()) else { continue };
            let mut fetched = Ok(None);
            if is_large(first) {
                image = self.large(work, image, first.clone(), &count).await?;
            } else {
                let contents = match ahead.take() {
                    Some(contents) => contents,
                    None => self.fetch(&portion, &count).await?,
                };
                let next = portions.peek().filter(|next| !next.iter().any(is_large));
                let next = async {
                    match next {
                        Some(next) => self.fetch(next, &count).await.map(Some),
                        None => Ok(None),
                    }
                };
                let applied;
                (applied, fetched) = tokio::join!(small(image, &portion, contents), next);
                image = applied?;
            }
            *applied_files += portion.len();
            unsynced += portion.iter().map(|file| file.size).sum::<u64>();
            let durable = unsynced >= SYNC_EVERY;
            if durable {
                image = synced(image).await?;
                unsynced = 0;
            }
            finish(work, &image, (first, last, to), durable)?;
            ahead = fetched?;
        }
        synced(image).await
    }

    async fn fetch(
        &self,
        portion: &[LtxInfo],
        count: download::Count<'_>,
    ) -> Result<Vec<Bytes>, RestoreError> {
        download::small(self.store, portion, self.stall, count).await
    }

    /// Downloads and applies at the same time.
    async fn large(
        &self,
        work: &Work,
        image: Image,
        info: LtxInfo,
        count: download::Count<'_>,
    ) -> Result<Image, RestoreError> {
        let (feed, content) = pipe();
        let stream = Stream::new(self.store, &info, self.stall, count);
        let of = info.clone();
        let applying = blocking(move || {
            let mut image = image;
            image.apply(&of, content)?;
            Ok(image)
        });
        let (streamed, applied) = tokio::join!(stream.run_through(feed, work.object()), applying);
        let (object, record) = work.object();
        match (streamed, applied) {
            (Err(Broken::Failed(error)), _) => Err(error),
            (Ok(()) | Err(Broken::Closed), Err(error)) => {
                if error.is_damage() {
                    remove(&record)?;
                    remove(&object)?;
                }
                Err(error)
            }
            // It was read to its end, so everything was sent.
            (Ok(()) | Err(Broken::Closed), Ok(image)) => {
                remove(&record)?;
                remove(&object)?;
                Ok(image)
            }
        }
    }
}

/// Applies small files.
async fn small(
    image: Image,
    portion: &[LtxInfo],
    contents: Vec<Bytes>,
) -> Result<Image, RestoreError> {
    let files: Vec<(LtxInfo, Bytes)> = portion.iter().cloned().zip(contents).collect();
    blocking(move || {
        let mut image = image;
        for (info, content) in files {
            image.apply(&info, Cursor::new(content))?;
        }
        Ok(image)
    })
    .await
}

fn is_large(info: &LtxInfo) -> bool {
    info.size > MEMORY_MAX
}

async fn synced(image: Image) -> Result<Image, RestoreError> {
    blocking(move || {
        image.sync()?;
        Ok(image)
    })
    .await
}

/// Writes down that pages up to this transaction may be in the database, before they are.
async fn announce(work: &mut Work, mut image: Image, torn_to: Txid) -> Result<Image, RestoreError> {
    if let Some(record) = work.record().filter(|record| record.torn_to < torn_to).cloned() {
        image = synced(image).await?;
        work.note(Record { torn_to, ..record }, true)?;
    }
    Ok(image)
}

/// Writes down that the database is as far as `last`, on the way to `to`.
fn finish(
    work: &mut Work,
    image: &Image,
    (first, last, to): (&LtxInfo, &LtxInfo, Txid),
    durable: bool,
) -> Result<(), RestoreError> {
    let Some(Shape { txid, page_size, pages }) = image.shape() else { return Ok(()) };
    let (base, torn_to) = match work.record() {
        Some(record) => (record.base.clone(), record.torn_to.max(to)),
        None => (Seen::of(first), to),
    };
    let last = Seen::of(last);
    work.note(Record { base, last, txid, torn_to, page_size, pages, boot: None }, durable)?;
    Ok(())
}

/// Runs work that blocks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(RestoreError::Interrupted))
}
