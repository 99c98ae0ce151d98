//! What the end of a job comes to.

use super::Verdict;

/// What was asked of systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Start,
    Stop,
}

impl Asked {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }
}

/// How a job ended (org.freedesktop.systemd1(5), "JobRemoved").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobResult {
    Done,
    /// Another job has taken its place, or somebody has canceled it.
    Canceled,
    /// `JobTimeoutSec=`, `JobRunningTimeoutSec=`.
    Timeout,
    Failed,
    Dependency,
    /// It does not apply to the state of the unit.
    Skipped,
    Invalid,
    Assert,
    Unsupported,
    Collected,
    Once,
    /// A word that is not known here.
    Unknown,
}

impl JobResult {
    pub(crate) fn parse(word: &str) -> Self {
        match word {
            "done" => Self::Done,
            "canceled" => Self::Canceled,
            "timeout" => Self::Timeout,
            "failed" => Self::Failed,
            "dependency" => Self::Dependency,
            "skipped" => Self::Skipped,
            "invalid" => Self::Invalid,
            "assert" => Self::Assert,
            "unsupported" => Self::Unsupported,
            "collected" => Self::Collected,
            "once" => Self::Once,
            _other => Self::Unknown,
        }
    }
}

/// What it comes to for who has asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It was done.
    Done,
    /// Somebody else wants something else of the unit.
    Replaced,
    /// It failed as the unit says, or in these words where the unit says nothing.
    OfUnit(&'static str),
    /// It failed for this reason, which is not the unit's.
    Because(&'static str),
}

/// What `result` comes to for who has asked for the job.
pub(crate) fn meaning(asked: Asked, result: JobResult) -> Meaning {
    match (asked, result) {
        (Asked::Start | Asked::Stop, JobResult::Done) => Meaning::Done,
        // Nothing to stop is as good as stopped.
        (Asked::Stop, JobResult::Skipped | JobResult::Collected) => Meaning::Done,
        (Asked::Start | Asked::Stop, JobResult::Canceled) => Meaning::Replaced,
        (Asked::Start | Asked::Stop, JobResult::Timeout) => {
            Meaning::OfUnit("it took longer than JobTimeoutSec= of the unit allows")
        }
        (Asked::Start | Asked::Stop, JobResult::Failed) => {
            Meaning::OfUnit("systemd does not say why")
        }
        (Asked::Start | Asked::Stop, JobResult::Dependency) => {
            Meaning::Because("a unit that it requires did not start")
        }
        (Asked::Start, JobResult::Skipped) => {
            Meaning::Because("systemd has skipped it, because it does not apply to this unit now")
        }
        (Asked::Start, JobResult::Collected) => {
            Meaning::Because("systemd has dropped the job before its turn")
        }
        (Asked::Start | Asked::Stop, JobResult::Invalid) => {
            Meaning::Because("this cannot be done with a unit of this kind")
        }
        (Asked::Start | Asked::Stop, JobResult::Assert) => {
            Meaning::Because("an Assert…= of the unit does not hold")
        }
        (Asked::Start | Asked::Stop, JobResult::Unsupported) => {
            Meaning::Because("this system does not support units of this kind")
        }
        (Asked::Start | Asked::Stop, JobResult::Once) => {
            Meaning::Because("it was started before and may be only once in a boot")
        }
        (Asked::Start | Asked::Stop, JobResult::Unknown) => {
            Meaning::OfUnit("the job ended in a way that is not known here")
        }
    }
}

/// How a job must have ended that went away unseen, by what the unit does since.
pub(crate) fn unseen(asked: Asked, since: Verdict) -> JobResult {
    match (asked, since) {
        (Asked::Start, Verdict::Up) => JobResult::Done,
        (Asked::Start, Verdict::Down | Verdict::Failed | Verdict::Restarting) => JobResult::Failed,
        (Asked::Stop, Verdict::Down | Verdict::Failed) => JobResult::Done,
        // Somebody else is at work.
        (Asked::Start, Verdict::Starting | Verdict::Stopping) => JobResult::Canceled,
        (
            Asked::Stop,
            Verdict::Up | Verdict::Starting | Verdict::Restarting | Verdict::Stopping,
        ) => JobResult::Canceled,
    }
}

/// Whether a start was refused by the start limit.
///
/// The unit's Result stays that of the end before, so it mostly does not name the limit. But a
/// start that failed without having `begun`, for no lack of a resource, was not allowed.
pub(crate) fn limited(asked: Asked, result: JobResult, begun: bool, of_unit: &str) -> bool {
    let refused = asked == Asked::Start && result == JobResult::Failed;
    refused && (of_unit == "start-limit-hit" || (!begun && of_unit != "resources"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a table says of one result: nothing is wrong, try again, or a word of the reason.
    fn said(meaning: Meaning) -> &'static str {
        match meaning {
            Meaning::Done => "done",
            Meaning::Replaced => "replaced",
            Meaning::OfUnit(words) | Meaning::Because(words) => words,
        }
    }

    #[test]
    fn each_result_of_a_job_is_told_apart() {
        let table = [
            ("done", "done", "done"),
            ("canceled", "replaced", "replaced"),
            ("timeout", "JobTimeoutSec=", "JobTimeoutSec="),
            ("failed", "does not say why", "does not say why"),
            ("dependency", "requires did not start", "requires did not start"),
            ("skipped", "does not apply", "done"),
            ("invalid", "unit of this kind", "unit of this kind"),
            ("assert", "Assert…=", "Assert…="),
            ("unsupported", "does not support", "does not support"),
            ("collected", "dropped", "done"),
            ("once", "only once", "only once"),
            ("a word of the future", "not known here", "not known here"),
        ];
        for (word, start, stop) in table {
            let result = JobResult::parse(word);
            assert!(said(meaning(Asked::Start, result)).contains(start), "start {word}");
            assert!(said(meaning(Asked::Stop, result)).contains(stop), "stop {word}");
        }
    }

    #[test]
    fn the_reason_is_asked_of_the_unit_where_it_knows_it() {
        let asks = |word: &str| {
            matches!(meaning(Asked::Start, JobResult::parse(word)), Meaning::OfUnit(_))
        };
        assert!(asks("failed") && asks("timeout") && asks("a word of the future"));
        assert!(!asks("dependency") && !asks("assert") && !asks("skipped"));
    }

    #[test]
    fn a_job_that_ended_unseen_is_judged_by_what_the_unit_does() {
        let table = [
            (Verdict::Up, JobResult::Done, JobResult::Canceled),
            (Verdict::Starting, JobResult::Canceled, JobResult::Canceled),
            (Verdict::Restarting, JobResult::Failed, JobResult::Canceled),
            (Verdict::Stopping, JobResult::Canceled, JobResult::Canceled),
            (Verdict::Down, JobResult::Failed, JobResult::Done),
            (Verdict::Failed, JobResult::Failed, JobResult::Done),
        ];
        for (since, start, stop) in table {
            assert_eq!(unseen(Asked::Start, since), start, "{since:?}");
            assert_eq!(unseen(Asked::Stop, since), stop, "{since:?}");
        }
    }

    #[test]
    fn a_start_that_was_not_allowed_is_told_from_one_that_failed() {
        // The job, begun, the unit's Result.
        let table = [
            (Asked::Start, "failed", false, "exit-code", true),
            (Asked::Start, "failed", false, "success", true),
            (Asked::Start, "failed", true, "start-limit-hit", true),
            (Asked::Start, "failed", true, "exit-code", false),
            (Asked::Start, "failed", false, "resources", false),
            (Asked::Start, "timeout", false, "exit-code", false),
            (Asked::Start, "dependency", false, "success", false),
            (Asked::Start, "canceled", false, "success", false),
            (Asked::Stop, "failed", false, "exit-code", false),
        ];
        for (asked, word, begun, of_unit, expected) in table {
            let result = JobResult::parse(word);
            let case = format!("{asked:?} {word} {begun} {of_unit}");
            assert_eq!(limited(asked, result, begun, of_unit), expected, "{case}");
        }
    }
}
