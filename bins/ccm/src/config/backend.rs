//! `backend`: what is run, how it is watched, and where its data is.

use std::path::PathBuf;

use ccm_agent::{BackendKind, BackendSettings, EnabledUnit};

use super::json::Problem;
use super::section::Section;
use super::{DATA_PATH, owner};

/// `backend.serviceName` when it is not given.
const SERVICE: &str = "convex-backend";
/// `backend.healthEndpoint` when it is not given.
const HEALTH: &str = "http://localhost:3210/health";

/// What `backend` says.
pub(super) struct Read {
    pub(super) settings: BackendSettings,
    pub(super) data: PathBuf,
    pub(super) owner: Option<(u32, u32)>,
}

pub(super) fn read(backend: &Section<'_>) -> Result<Read, Problem> {
    backend.allow(&[
        "kind",
        "serviceName",
        "enabledUnit",
        "command",
        "healthEndpoint",
        "dataPath",
        "startTimeoutMs",
        "stopTimeoutMs",
        "healthIntervalMs",
        "healthTimeoutMs",
        "user",
        "group",
    ])?;
    let settings = BackendSettings {
        kind: kind(backend)?,
        enabled_unit: enabled_unit(backend)?,
        health: health(backend)?,
        start_timeout: backend.millis("startTimeoutMs", 100, 60_000)?,
        stop_timeout: backend.millis("stopTimeoutMs", 100, 30_000)?,
        health_interval: backend.millis("healthIntervalMs", 100, 5_000)?,
        health_timeout: backend.millis("healthTimeoutMs", 100, 3_000)?,
    };
    let data = backend.path("dataPath")?.unwrap_or_else(|| PathBuf::from(DATA_PATH));
    Ok(Read { settings, data, owner: owner::read(backend)? })
}

fn kind(backend: &Section<'_>) -> Result<BackendKind, Problem> {
    let service = backend.parsed("serviceName", |name| {
        let odd = |c: char| c.is_whitespace() || c == '/';
        if name.contains(odd) { Err("it must be the name of a systemd unit") } else { Ok(name) }
    });
    let service = service?.map_or_else(|| String::from(SERVICE), String::from);
    match backend.text("kind")? {
        None | Some("systemd") if backend.has("command") => {
            Err(backend.wrong("command", "is only used with backend.kind \"process\""))
        }
        None | Some("systemd") => Ok(BackendKind::Systemd(service)),
        Some("process") => {
            let hint = ": the program and its arguments, as a list of strings";
            let words = backend.texts("command")?;
            let words = words.ok_or_else(|| backend.missing("command", hint))?;
            if words.first().is_none_or(|program| program.is_empty()) {
                return Err(backend.wrong("command", &format!("may not be empty{hint}")));
            }
            Ok(BackendKind::Process(words.into_iter().map(String::from).collect()))
        }
        Some(other) => {
            let what = format!("is {other:?}: it must be \"systemd\" or \"process\"");
            Err(backend.wrong("kind", &what))
        }
    }
}

fn enabled_unit(backend: &Section<'_>) -> Result<EnabledUnit, Problem> {
    let policy = backend.parsed("enabledUnit", |text| match text {
        "refuse" => Ok(EnabledUnit::Refuse),
        "disable" => Ok(EnabledUnit::Disable),
        _ => Err("it must be \"refuse\" or \"disable\""),
    });
    Ok(policy?.unwrap_or_default())
}

fn health(backend: &Section<'_>) -> Result<Option<String>, Problem> {
    let format = "write http://host:port/path, or \"off\" for no probe";
    let url = backend.parsed("healthEndpoint", |text| match text {
        "off" => Ok(None),
        url if is_http_url(url) => Ok(Some(String::from(url))),
        _ => Err(format),
    });
    Ok(url?.unwrap_or_else(|| Some(String::from(HEALTH))))
}

fn is_http_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').filter(|_| !authority.ends_with(']'));
    let host = port.map_or(authority, |(host, _)| host);
    !host.is_empty()
        && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        && port.is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}
