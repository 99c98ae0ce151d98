//! `log`: what is logged, and how.

use super::json::Problem;
use super::section::Section;
use crate::logging::{self, Format, LogSettings};

pub(super) fn read(log: &Section<'_>) -> Result<LogSettings, Problem> {
    log.allow(&["level", "format"])?;
    let level = log.parsed("level", |text| {
        let checked = logging::check_level(text).map(|()| String::from(text));
        checked
            .map_err(|error| format!("it is no log filter like info or ccm_agent=debug: {error}"))
    })?;
    let format = log.parsed("format", |text| match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        "journal" => Ok(Format::Journal),
        _ => Err("it must be \"text\", \"json\" or \"journal\""),
    })?;
    Ok(LogSettings { level, format })
}
