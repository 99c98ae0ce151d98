//! Jobs of systemd, and waiting for their end.

use futures_util::StreamExt as _;

use crate::UnitError;
use crate::link::Link;
use crate::state::result_in_words;

/// A job that systemd runs for a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    Start,
    Stop,
}

impl Job {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    /// Runs it for `unit` and waits for its end, which the caller bounds.
    pub(crate) async fn run(self, link: &Link, unit: &str) -> Result<(), UnitError> {
        let doing = self.word();
        let refused = |source| UnitError::from_bus(doing, unit, source);
        let began = began(link, unit).await.map_err(refused)?;
        let manager = link.manager().await.map_err(refused)?;
        // Before the job is made, or its end could be missed.
        let mut ended = manager.receive_job_removed().await.map_err(refused)?;
        // "replace" puts it in the place of a job that contradicts it.
        let job = match self {
            Self::Start => manager.start_unit(unit, "replace").await,
            Self::Stop => manager.stop_unit(unit, "replace").await,
        };
        let job = job.map_err(refused)?;
        while let Some(signal) = ended.next().await {
            let args = signal.args().map_err(refused)?;
            if *args.job() == job {
                return self.ended(link, unit, args.result(), began).await;
            }
        }
        let gone = std::io::Error::from(std::io::ErrorKind::ConnectionAborted);
        Err(refused(zbus::Error::InputOutput(gone.into())))
    }

    /// What the result of a job comes to, when the unit had last begun to start at
    /// `began_before`.
    async fn ended(
        self,
        link: &Link,
        unit: &str,
        result: &str,
        began_before: u64,
    ) -> Result<(), UnitError> {
        match (self, result) {
            // Nothing to stop is as good as stopped.
            (Self::Start | Self::Stop, "done") | (Self::Stop, "skipped") => return Ok(()),
            (Self::Start | Self::Stop, _) => {}
        }
        let doing = self.word();
        let failed = |source| UnitError::from_bus(doing, unit, source);
        let (_, service) = link.objects(unit).await.map_err(failed)?;
        let of_unit = service.result().await.map_err(failed)?;
        let status = service.exec_main_status().await.map_err(failed)?;
        let name = String::from(unit);
        // The result stays that of the end before, so it mostly does not name the limit. But a
        // start that failed without having begun, for no lack of anything, was not allowed.
        let begun = began(link, unit).await.map_err(failed)? != began_before;
        let limited = result == "failed" && !begun && of_unit != "resources";
        if self == Self::Start && limited {
            return Err(UnitError::StartLimit { doing, unit: name });
        }
        let why = in_words(result, &of_unit, status);
        Err(UnitError::Failed { doing, unit: name, why })
    }
}

/// When the unit last began to start.
async fn began(link: &Link, unit: &str) -> zbus::Result<u64> {
    link.objects(unit).await?.0.inactive_exit_timestamp_monotonic().await
}

/// A job's result in words (org.freedesktop.systemd1(5), "JobRemoved").
fn in_words(job: &str, unit: &str, exit_status: i32) -> String {
    let words = match job {
        "failed" | "timeout" if unit != "success" => return result_in_words(unit, exit_status),
        "timeout" => "it took longer than JobTimeoutSec= of the unit allows",
        "canceled" => "the job was canceled, or another took its place",
        "dependency" => "a unit that it requires did not start",
        "assert" => "an Assert…= of the unit does not hold",
        other => return format!("the job ended with '{other}'"),
    };
    String::from(words)
}
