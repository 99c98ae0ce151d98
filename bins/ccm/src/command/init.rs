//! `ccm init`: the configuration of a new node.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use ccm_agent::without_secret;
use serde_json::{Map, Value, json};

use crate::cli::{Init, Kind, Shared};
use crate::config::{self, Config};
use crate::exit::{Ended, Exit, Failure};
use crate::print;

pub(crate) fn run(init: &Init, shared: &Shared) -> Ended {
    let path = config::path(shared.config.as_deref());
    let value = document(init)?;
    let text = format!("{value:#}\n");
    let config = Config::parse(&text, &path).map_err(|error| {
        let words = format!("these options do not make a usable configuration: {error}");
        Failure::usage(words)
    })?;
    write(&path, &text, init.force)?;
    if shared.json {
        print::json(&json!({ "ok": true, "path": path, "config": without_secrets(value) }))?;
    } else {
        print::text(&words(&config, &path))?;
    }
    Ok(Exit::Done)
}

/// What was written, to be shown: the file has what the servers' URLs let somebody in with.
fn without_secrets(mut document: Value) -> Value {
    let servers = document.pointer_mut("/nats/servers").and_then(Value::as_array_mut);
    for server in servers.into_iter().flatten() {
        if let Some(text) = server.as_str() {
            *server = Value::from(without_secret(text));
        }
    }
    document
}

/// What is written: the keys an operator will want to see, and those that were given.
fn document(init: &Init) -> Result<Value, Failure> {
    let mut nats = object(json!({ "servers": init.nats }));
    put(&mut nats, "credentials", init.credentials.as_ref());
    put(&mut nats, "replicas", init.nats_replicas.as_ref());
    let mut backend = Map::new();
    match init.backend_kind {
        Kind::Systemd => {
            let unit = init.service_name.as_deref().unwrap_or("convex-backend");
            backend.insert(String::from("serviceName"), json!(unit));
        }
        Kind::Process => {
            backend.insert(String::from("kind"), json!("process"));
        }
    }
    let command = init.backend_command.as_deref().map(words_of).transpose()?;
    put(&mut backend, "command", command.as_ref());
    let health = init.health_endpoint.as_deref().unwrap_or("http://localhost:3210/health");
    backend.insert(String::from("healthEndpoint"), json!(health));
    put(&mut backend, "dataPath", Some(&path_or(init.data_path.as_deref(), "data.db")));

    let mut top = object(json!({ "clusterId": init.cluster_id, "nodeId": init.node_id }));
    put(&mut top, "address", init.address.as_ref());
    put(&mut top, "nats", Some(&nats));
    let election = json!({
        "leaderTtlMs": init.ttl_ms.unwrap_or(10_000),
        "heartbeatIntervalMs": init.heartbeat_ms.unwrap_or(3_000),
    });
    put(&mut top, "election", Some(&election));
    let wal = json!({
        "streamRetention": init.retention.as_deref().unwrap_or("24h"),
        "snapshotIntervalMs": init.snapshot_interval_ms.unwrap_or(3_600_000),
        "replicaPath": path_or(init.replica_path.as_deref(), "replica.db"),
    });
    put(&mut top, "wal", Some(&wal));
    put(&mut top, "backend", Some(&backend));
    if let Some(address) = init.vip {
        let usual = if address.is_ipv4() { 24 } else { 64 };
        let netmask = init.vip_netmask.unwrap_or(usual);
        let vip = json!({ "address": address, "netmask": netmask, "interface": init.interface });
        put(&mut top, "vip", Some(&vip));
    }
    let mut http = Map::new();
    put(&mut http, "healthListen", init.health_listen.as_ref());
    put(&mut http, "metricsListen", init.metrics_listen.as_ref());
    if !http.is_empty() {
        put(&mut top, "http", Some(&http));
    }
    Ok(Value::Object(top))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn put<T: serde::Serialize>(map: &mut Map<String, Value>, key: &str, value: Option<&T>) {
    if let Some(value) = value {
        map.insert(String::from(key), json!(value));
    }
}

fn path_or(given: Option<&Path>, name: &str) -> std::path::PathBuf {
    given.map_or_else(|| Path::new("/var/lib/convex").join(name), Path::to_path_buf)
}

/// A command as a list: JSON, or split at spaces.
fn words_of(command: &str) -> Result<Vec<String>, Failure> {
    if command.trim_start().starts_with('[') {
        return serde_json::from_str(command).map_err(|error| {
            Failure::usage(format!("--backend-command is not a JSON list of strings: {error}"))
        });
    }
    Ok(command.split_whitespace().map(String::from).collect())
}

/// Writes the whole file or nothing; a file that is there stays unless `force`.
fn write(path: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let shown = path.display();
    let exists =
        || Failure::usage(format!("{shown} exists already: nothing changed; --force replaces it"));
    if !force && path.exists() {
        return Err(exists());
    }
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> anyhow::Result<bool> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = Path::new(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let placed = if force {
            fs::rename(beside, path)
        } else {
            // Unlike a rename, a link does not replace a file that has come meanwhile.
            fs::hard_link(beside, path).and_then(|()| fs::remove_file(beside))
        };
        if placed.is_err() {
            fs::remove_file(beside).ok();
        }
        match placed {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(false),
            placed => placed?,
        }
        File::open(folder)?.sync_all()?;
        Ok(true)
    };
    let written = write().with_context(|| format!("could not write {shown}"));
    if written.map_err(|error| Failure::new(Exit::Usage, error))? { Ok(()) } else { Err(exists()) }
}

fn words(config: &Config, path: &Path) -> String {
    let settings = config.view();
    let shown = path.display();
    let flag = if path == Path::new(config::DEFAULT_PATH) {
        String::new()
    } else {
        format!(" --config {shown}")
    };
    let mut text = format!(
        "✓ Cluster configuration initialized\n  Config file: {shown}\n  Cluster ID:  {}\n  \
         Node ID:     {}\n  NATS:        [{}]\n",
        settings.cluster,
        settings.node,
        crate::words::servers(&settings.nats.servers),
    );
    if let Some(vip) = &settings.vip {
        let line = format!(
            "  VIP:         {}/{} on {}\n",
            vip.address(),
            vip.prefix_len(),
            vip.interface()
        );
        text.push_str(&line);
    }
    text.push_str(&format!(
        "\nNext steps:\n  ccm join{flag}      # on a further node of a cluster that has data\n  \
         ccm daemon{flag}    # or: systemctl start convex-cluster-manager\n"
    ));
    text
}
