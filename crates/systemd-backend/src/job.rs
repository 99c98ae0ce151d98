//! Jobs of systemd, and waiting for their end.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};
use zbus::OwnedObjectPath;

use crate::bus::JobRemovedStream;
use crate::decide::{Asked, Ended, JobResult, Meaning, limited, meaning, unseen, verdict};
use crate::link::Link;
use crate::{ActiveState, LastLines, UnitError};

/// A look at a job without news: its end is missed when the bus or systemd has been away.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How long news that have arrived take to be read.
const NEWS_WITHIN: Duration = Duration::from_millis(50);

/// A job that systemd has queued.
#[derive(Debug)]
pub(crate) struct Job {
    asked: Asked,
    link: Link,
    unit: String,
    path: OwnedObjectPath,
    removed: JobRemovedStream,
    /// When the unit had begun to start before.
    began: u64,
}

impl Job {
    /// Queues it, in the place of one that contradicts it. A stop cannot be undone by a start
    /// that somebody else asks for before it is done.
    pub(crate) async fn queue(asked: Asked, link: &Link, unit: &str) -> Result<Self, UnitError> {
        let queueing = async {
            let began = began(link, unit).await?;
            let manager = link.manager().await?;
            // Before the job is made, or its end could be missed.
            let removed = manager.receive_job_removed().await?;
            let path = match asked {
                Asked::Start => manager.start_unit(unit, "replace").await?,
                Asked::Stop => manager.stop_unit(unit, "replace-irreversibly").await?,
            };
            Ok((began, removed, path))
        };
        let refused = |source| UnitError::from_bus(asked.word(), unit, source);
        let (began, removed, path) = queueing.await.map_err(refused)?;
        Ok(Self { asked, link: link.clone(), unit: String::from(unit), path, removed, began })
    }

    /// Waits for its end, which the caller bounds; also beyond a bus that goes and comes back.
    pub(crate) async fn ended(mut self) -> Result<(), UnitError> {
        let result = loop {
            match timeout(LOOK_EVERY, self.removed()).await {
                Ok(Some(result)) => break result,
                // The connection is gone.
                Ok(None) => sleep(LOOK_EVERY).await,
                Err(_elapsed) => {}
            }
            if let Ok(Some(result)) = self.look().await {
                break result;
            }
        };
        self.came_to(result).await
    }

    /// Its end, as systemd tells it; `None` when no news come any more.
    async fn removed(&mut self) -> Option<JobResult> {
        while let Some(signal) = self.removed.next().await {
            if let Ok(args) = signal.args()
                && *args.job() == self.path
            {
                return Some(JobResult::parse(args.result()));
            }
        }
        None
    }

    /// Whether it is there still; if not, how it ended.
    async fn look(&mut self) -> zbus::Result<Option<JobResult>> {
        let (unit, _) = self.link.objects(&self.unit).await?;
        let (_, path) = unit.job().await?;
        if path == self.path {
            return Ok(None);
        }
        if let Ok(Some(told)) = timeout(NEWS_WITHIN, self.removed()).await {
            return Ok(Some(told));
        }
        let active = ActiveState::parse(&unit.active_state().await?);
        Ok(Some(unseen(self.asked, verdict(active, &unit.sub_state().await?))))
    }

    async fn came_to(self, result: JobResult) -> Result<(), UnitError> {
        let (doing, unit) = (self.asked.word(), self.unit.clone());
        let without = |why: &str| (String::from(why), LastLines::default());
        let (why, lines) = match meaning(self.asked, result) {
            Meaning::Done => return Ok(()),
            Meaning::Replaced => return Err(UnitError::Replaced { doing, unit }),
            Meaning::Because(words) => without(words),
            Meaning::OfUnit(words) => {
                let failed = |source| UnitError::from_bus(doing, &unit, source);
                let (object, service) = self.link.objects(&unit).await.map_err(failed)?;
                let of_unit = service.result().await.map_err(failed)?;
                let code = service.exec_main_code().await.map_err(failed)?;
                let status = service.exec_main_status().await.map_err(failed)?;
                let lines = match self.asked {
                    Asked::Start => {
                        let id = object.invocation_id().await.map_err(failed)?;
                        LastLines::read(&unit, &id).await
                    }
                    Asked::Stop => LastLines::default(),
                };
                let begun = began(&self.link, &unit).await.map_err(failed)? != self.began;
                if limited(self.asked, result, begun, &of_unit) {
                    return Err(UnitError::StartLimit { doing, unit, lines });
                }
                let ended = Ended { result: &of_unit, code, status };
                let why = if of_unit == "success" { String::from(words) } else { ended.in_words() };
                (why, lines)
            }
        };
        Err(UnitError::Failed { doing, unit, why, lines })
    }
}

/// When the unit last began to start.
async fn began(link: &Link, unit: &str) -> zbus::Result<u64> {
    link.objects(unit).await?.0.inactive_exit_timestamp_monotonic().await
}
