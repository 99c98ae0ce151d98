//! Log lines of the long-running commands: text or JSON on standard error, or the journal.

mod context;
mod event;
mod journal;
mod json;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use rustix::fs::fstat;
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

pub(crate) use context::Context;
use journal::Journal;
use json::JsonLines;

/// The environment variable that chooses what is logged, as `info` or `ccm_agent=debug`.
pub(crate) const LEVEL_VARIABLE: &str = "CCM_LOG";
/// The environment variable that chooses how.
pub(crate) const FORMAT_VARIABLE: &str = "CCM_LOG_FORMAT";
/// What is logged otherwise.
const DEFAULT: &str = "info";
/// A library that tells a lot: heard only when the filter names it.
const QUIET: (&str, &str) = ("async_nats", "async_nats=warn");
/// systemd tells here what standard error is, when that is the journal: `device:inode`.
const STREAM_VARIABLE: &str = "JOURNAL_STREAM";

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people, on standard error
    Text,
    /// One JSON object a line, on standard error
    Json,
    /// To the journal, with fields
    Journal,
}

/// What the configuration says of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// As in [`LEVEL_VARIABLE`].
    pub(crate) level: Option<String>,
    pub(crate) format: Option<Format>,
}

/// What is above the configuration: the command line, then the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Overrides {
    level: Option<String>,
    format: Option<Format>,
    /// The environment said something that nobody understands.
    bad: Vec<String>,
    /// Standard error is the journal.
    is_journal: bool,
}

impl Overrides {
    /// `format` is of the command line.
    pub(crate) fn read(format: Option<Format>) -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let mut bad = Vec::new();
        let level = variable(LEVEL_VARIABLE).filter(|level| {
            let error = EnvFilter::try_new(level).err();
            bad.extend(error.map(|error| format!("{LEVEL_VARIABLE} is not a log filter: {error}")));
            bad.is_empty()
        });
        let of_environment = variable(FORMAT_VARIABLE).and_then(|text| {
            let known = Format::from_str(&text, false).ok();
            if known.is_none() {
                bad.push(format!("{FORMAT_VARIABLE} is {text:?}: write text, json or journal"));
            }
            known
        });
        let stream = variable(STREAM_VARIABLE);
        let is_journal = stream.is_some_and(|stream| is_standard_error(&stream));
        Self { level, format: format.or(of_environment), bad, is_journal }
    }

    fn level<'a>(&'a self, settings: &'a LogSettings) -> &'a str {
        self.level.as_deref().or(settings.level.as_deref()).unwrap_or(DEFAULT)
    }

    fn format(&self, settings: &LogSettings) -> Format {
        let usual = if self.is_journal { Format::Journal } else { Format::Text };
        self.format.or(settings.format).unwrap_or(usual)
    }
}

/// Whether standard error is the file with this `device:inode`.
fn is_standard_error(stream: &str) -> bool {
    let Ok(stat) = fstat(std::io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Which lines are written.
type Filter = reload::Layer<EnvFilter, Registry>;
/// What writes them.
type Output = Box<dyn Layer<Layered<Filter, Registry>> + Send + Sync>;

/// A running log.
pub(crate) struct Log {
    overrides: Overrides,
    context: Context,
    filter: reload::Handle<EnvFilter, Registry>,
    output: reload::Handle<Output, Layered<Filter, Registry>>,
}

impl Log {
    /// Starts to log.
    pub(crate) fn start(overrides: Overrides, settings: &LogSettings, context: Context) -> Self {
        let (filter, filtering) = reload::Layer::new(filter(overrides.level(settings)));
        let (output, problem) = output(overrides.format(settings), &context);
        let (output, writing) = reload::Layer::new(output);
        tracing_subscriber::registry().with(filter).with(output).init();
        for bad in overrides.bad.iter().chain(&problem) {
            tracing::warn!("{bad}");
        }
        Self { overrides, context, filter: filtering, output: writing }
    }

    /// Goes on with other settings.
    pub(crate) fn apply(&self, settings: &LogSettings) {
        let (output, problem) = output(self.overrides.format(settings), &self.context);
        let done = self.filter.reload(filter(self.overrides.level(settings)));
        if let Err(error) = done.and_then(|()| self.output.reload(output)) {
            tracing::warn!(%error, "the log goes on as before");
        }
        if let Some(problem) = problem {
            tracing::warn!("{problem}");
        }
    }
}

/// A filter that was checked before.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::try_new(directives(level)).unwrap_or_else(|_| EnvFilter::new(DEFAULT))
}

fn directives(level: &str) -> String {
    let (library, quiet) = QUIET;
    if level.contains(library) { String::from(level) } else { format!("{level},{quiet}") }
}

/// The output, and what is wrong with it.
fn output(format: Format, context: &Context) -> (Output, Option<String>) {
    match format {
        Format::Text => (text(), None),
        Format::Json => (JsonLines::new(context.clone()).boxed(), None),
        Format::Journal => match Journal::open(context.clone()) {
            Ok(journal) => (journal.boxed(), None),
            Err(error) => {
                let socket = journal::SOCKET;
                let words =
                    format!("the journal does not listen at {socket}, logging text: {error}");
                (text(), Some(words))
            }
        },
    }
}

fn text() -> Output {
    fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .boxed()
}

/// Whether this can be a log filter.
pub(crate) fn check_level(level: &str) -> Result<(), String> {
    EnvFilter::try_new(level).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_above_the_environment_and_that_above_the_configuration() {
        let configured = |format| LogSettings { level: Some("debug".into()), format };
        let over = |format, is_journal| Overrides { format, is_journal, ..Overrides::default() };
        let table = [
            (over(Some(Format::Json), true), Some(Format::Text), Format::Json),
            (over(None, true), Some(Format::Text), Format::Text),
            (over(None, true), None, Format::Journal),
            (over(None, false), None, Format::Text),
        ];
        for (overrides, format, expected) in table {
            assert_eq!(overrides.format(&configured(format)), expected);
        }
        let level = Overrides { level: Some("warn".into()), ..Overrides::default() };
        assert_eq!(level.level(&configured(None)), "warn");
        assert_eq!(Overrides::default().level(&configured(None)), "debug");
        assert_eq!(Overrides::default().level(&LogSettings::default()), DEFAULT);
    }

    #[test]
    fn the_library_of_nats_is_quiet_unless_it_is_asked_for() {
        assert_eq!(directives("debug"), "debug,async_nats=warn");
        assert_eq!(directives("info,async_nats=trace"), "info,async_nats=trace");
    }

    #[test]
    fn standard_error_is_recognized_by_its_device_and_inode() {
        let stat = fstat(std::io::stderr()).unwrap();
        assert!(is_standard_error(&format!("{}:{}", stat.st_dev, stat.st_ino)));
        assert!(!is_standard_error("0:0"));
        assert!(!is_standard_error("x"));
    }
}
