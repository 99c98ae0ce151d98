//! `cluster.json`: strict, with comments, and checked before anything else happens.

mod backend;
pub(crate) mod duration;
mod json;
mod log;
mod nats;
mod network;
mod owner;
pub(crate) mod reload;
mod section;
mod services;
#[cfg(test)]
mod tests;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use ccm_agent::{FileSettings, GuardHome, Settings};
use ccm_election::Timing;
use ccm_types::{ClusterId, NodeId};

use crate::logging::LogSettings;
use json::Problem;
use section::Section;

/// Where the configuration is unless the operator says otherwise.
pub(crate) const DEFAULT_PATH: &str = "/etc/convex/cluster.json";
/// The environment variable that names another.
pub(crate) const PATH_VARIABLE: &str = "CCM_CONFIG";
/// Bytes that a configuration may have.
const LEN_MAX: u64 = 1 << 20;

/// `election.leaderTtlMs` when it is not given.
const TTL_MS: u64 = 10_000;
/// `election.heartbeatIntervalMs` when it is not given.
const HEARTBEAT_MS: u64 = 3_000;
/// `wal.snapshotIntervalMs` when it is not given.
const SNAPSHOT_MS: u64 = 3_600_000;
/// `wal.streamRetention` when it is not given.
const RETENTION: &str = "24h";
/// `wal.replicaPath` when it is not given.
const REPLICA_PATH: &str = "/var/lib/convex/replica.db";
/// `wal.divergedMaxBytes` when it is not given: 64 GiB.
const DIVERGED_MAX_BYTES: u64 = 64 << 30;
/// `backend.dataPath` when it is not given.
const DATA_PATH: &str = "/var/lib/convex/data.db";
/// `node.priority` when it is not given, and the highest.
const PRIORITY: u64 = 100;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error(
        "could not read the configuration {path}: write one with `ccm init`, or name another \
         with --config"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// What it says is wrong.
    #[error("{path}: {}", in_words(problem))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What and where.
        problem: Problem,
    },
}

fn in_words(problem: &Problem) -> String {
    match problem.place {
        Some(at) => format!("line {}, column {}: {}", at.line, at.column, problem.what),
        None => problem.what.clone(),
    }
}

/// A checked configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    settings: Settings,
    log: LogSettings,
}

impl Config {
    /// Reads the file that `--config`, else `CCM_CONFIG`, else the default names.
    pub(crate) fn load(given: Option<&Path>) -> Result<Self, ConfigError> {
        let path = path(given);
        let read = |source| ConfigError::Read { path: path.clone(), source };
        let mut text = String::new();
        let file = std::fs::File::open(&path).map_err(read)?;
        file.take(LEN_MAX + 1).read_to_string(&mut text).map_err(read)?;
        if text.len() as u64 > LEN_MAX {
            let what = format!("longer than {LEN_MAX} bytes: this is not a configuration");
            return Err(ConfigError::Wrong { path, problem: Problem { place: None, what } });
        }
        Self::parse(&text, &path)
    }

    /// Reads and checks the text of the file `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let wrong = |problem| ConfigError::Wrong { path: path.to_path_buf(), problem };
        json::parse(text).and_then(|node| read(&Section::top(&node)?)).map_err(wrong)
    }

    /// What the daemon needs.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// The same, to look at.
    pub(crate) fn view(&self) -> &Settings {
        &self.settings
    }

    /// What is logged, and how.
    pub(crate) fn log(&self) -> &LogSettings {
        &self.log
    }
}

/// The path of the configuration.
pub(crate) fn path(given: Option<&Path>) -> PathBuf {
    let variable = || std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty());
    given
        .map(Path::to_path_buf)
        .or_else(|| variable().map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))
}

fn read(top: &Section<'_>) -> Result<Config, Problem> {
    top.allow(&[
        "clusterId",
        "nodeId",
        "address",
        "nats",
        "election",
        "wal",
        "backend",
        "vip",
        "services",
        "http",
        "guard",
        "node",
        "log",
    ])?;
    let hint = ": the same on every node of the cluster";
    let cluster = top.parsed("clusterId", ClusterId::new)?;
    let node = top.parsed("nodeId", NodeId::new)?;
    let cluster = cluster.ok_or_else(|| top.missing("clusterId", hint))?;
    let hint = ": a name that no other node of the cluster has";
    let node = node.ok_or_else(|| top.missing("nodeId", hint))?;
    let backend = backend::read(&top.section("backend")?)?;
    let files = files(&top.section("wal")?, backend.data, backend.owner)?;
    let (priority, candidate) = self_of(&top.section("node")?)?;
    let settings = Settings {
        cluster,
        node,
        address: network::address(top, "address")?,
        nats: nats::read(&top.section("nats")?)?,
        timing: timing(&top.section("election")?)?,
        priority,
        candidate,
        files,
        backend: backend.settings,
        vip: network::vip(&top.section("vip")?)?,
        services: services::read(&top.section("services")?)?,
        http: network::http(&top.section("http")?)?,
        guard: guard(&top.section("guard")?)?,
        guard_program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("ccm")),
        guard_home: GuardHome::default(),
    };
    Ok(Config { settings, log: log::read(&top.section("log")?)? })
}

fn timing(election: &Section<'_>) -> Result<Timing, Problem> {
    election.allow(&["leaderTtlMs", "heartbeatIntervalMs"])?;
    let timing = Timing {
        ttl: election.millis("leaderTtlMs", 1, TTL_MS)?,
        heartbeat: election.millis("heartbeatIntervalMs", 1, HEARTBEAT_MS)?,
    };
    match timing.check() {
        Ok(()) => Ok(timing),
        Err(error) => Err(election.wrong_here(&error.to_string())),
    }
}

fn files(
    wal: &Section<'_>,
    data: PathBuf,
    owner: Option<(u32, u32)>,
) -> Result<FileSettings, Problem> {
    wal.allow(&["streamRetention", "snapshotIntervalMs", "replicaPath", "divergedMaxBytes"])?;
    let replica = wal.path("replicaPath")?.unwrap_or_else(|| PathBuf::from(REPLICA_PATH));
    if replica == data {
        return Err(wal.wrong("replicaPath", "must be another file than backend.dataPath"));
    }
    let snapshot_interval = wal.millis("snapshotIntervalMs", 1_000, SNAPSHOT_MS)?;
    let format = "write a duration like 24h, 1h30m, 90s or 500ms";
    let given = wal.parsed("streamRetention", |t| duration::parse(t).ok_or(format))?;
    let retention = given.or_else(|| duration::parse(RETENTION)).unwrap_or_default();
    if retention < snapshot_interval {
        let what = format!(
            "must be at least wal.snapshotIntervalMs ({}): a restore begins with a snapshot",
            snapshot_interval.as_millis()
        );
        return Err(wal.wrong("streamRetention", &what));
    }
    let most = wal.number("divergedMaxBytes", (1, u64::MAX))?;
    let diverged_max = most.unwrap_or(DIVERGED_MAX_BYTES);
    Ok(FileSettings { data, replica, owner, snapshot_interval, retention, diverged_max })
}

fn self_of(node: &Section<'_>) -> Result<(u32, bool), Problem> {
    node.allow(&["priority", "candidate"])?;
    let priority = node.number("priority", (0, PRIORITY))?.unwrap_or(PRIORITY);
    Ok((u32::try_from(priority).unwrap_or_default(), node.flag("candidate", true)?))
}

fn guard(guard: &Section<'_>) -> Result<bool, Problem> {
    guard.allow(&["enabled", "watchdogDevice"])?;
    guard.path("watchdogDevice")?;
    guard.flag("enabled", true)
}
