//! What another configuration changes in a daemon that runs. Pure.

use ccm_agent::{
    BackendKind, BackendSettings, FileSettings, HttpSettings, NatsSettings, Settings, Tunables,
};
use ccm_discovery::Service;
use ccm_election::Timing;
use ccm_vip::VipConfig;

use super::Config;

/// The keys that are different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reload {
    /// Their new values are in force from now on.
    pub(crate) applied: Vec<String>,
    /// Their old values stay in force until the daemon is restarted.
    pub(crate) refused: Vec<String>,
}

impl Reload {
    fn apply<T: PartialEq>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.applied.push(String::from(key));
        }
    }

    fn refuse<T: PartialEq>(&mut self, key: &str, old: &T, new: &T) {
        if old != new {
            self.refused.push(String::from(key));
        }
    }
}

/// Compares what is in force with what was read; every key has its place here.
pub(crate) fn diff(old: &Config, new: &Config) -> Reload {
    let mut reload = Reload::default();
    let Config { settings: old_settings, log: old_log } = old;
    let Config { settings: new_settings, log: new_log } = new;
    settings(&mut reload, old_settings, new_settings);
    reload.apply("log.level", &old_log.level, &new_log.level);
    reload.apply("log.format", &old_log.format, &new_log.format);
    reload
}

/// What is in force after that: the new values of what can change, the old ones of the rest.
pub(crate) fn merge(old: &Config, new: &Config) -> Config {
    let Settings { services, backend, files, .. } = new.settings.clone();
    let settings = Settings {
        services,
        backend: BackendSettings {
            health: backend.health,
            health_interval: backend.health_interval,
            health_timeout: backend.health_timeout,
            ..old.settings.backend.clone()
        },
        files: FileSettings {
            snapshot_interval: files.snapshot_interval,
            retention: files.retention,
            diverged_max: files.diverged_max,
            ..old.settings.files.clone()
        },
        ..old.settings.clone()
    };
    Config { settings, log: new.log.clone() }
}

/// What the daemon is told.
pub(crate) fn tunables(merged: &Config, reload: &Reload) -> Tunables {
    Tunables { waiting: reload.refused.clone(), ..merged.settings.tunables() }
}

fn settings(reload: &mut Reload, old: &Settings, new: &Settings) {
    let Settings {
        cluster,
        node,
        address,
        nats: nats_settings,
        timing: Timing { ttl, heartbeat },
        priority,
        candidate,
        files: file_settings,
        backend: backend_settings,
        vip: vip_config,
        services: service_list,
        http: HttpSettings { health, metrics },
        guard,
        // These are not of the file.
        guard_program: _,
        guard_home: _,
    } = new;
    reload.refuse("clusterId", &old.cluster, cluster);
    reload.refuse("nodeId", &old.node, node);
    reload.refuse("address", &old.address, address);
    nats(reload, &old.nats, nats_settings);
    reload.refuse("election.leaderTtlMs", &old.timing.ttl, ttl);
    reload.refuse("election.heartbeatIntervalMs", &old.timing.heartbeat, heartbeat);
    files(reload, &old.files, file_settings);
    backend(reload, &old.backend, backend_settings);
    vip(reload, old.vip.as_ref(), vip_config.as_ref());
    services(reload, &old.services, service_list);
    reload.refuse("http.healthListen", &old.http.health, health);
    reload.refuse("http.metricsListen", &old.http.metrics, metrics);
    reload.refuse("guard.enabled", &old.guard, guard);
    reload.refuse("node.priority", &old.priority, priority);
    reload.refuse("node.candidate", &old.candidate, candidate);
}

fn nats(reload: &mut Reload, old: &NatsSettings, new: &NatsSettings) {
    let NatsSettings {
        servers,
        credentials,
        user,
        token,
        nkey_seed,
        tls_ca,
        tls_client,
        tls_first,
        replicas,
    } = new;
    let parts = |user: &Option<(String, String)>| user.clone().unzip();
    let ((old_name, old_password), (name, password)) = (parts(&old.user), parts(user));
    let files = |client: &Option<(std::path::PathBuf, std::path::PathBuf)>| client.clone().unzip();
    let ((old_cert, old_key), (cert, key)) = (files(&old.tls_client), files(tls_client));
    reload.refuse("nats.servers", &old.servers, servers);
    reload.refuse("nats.credentials", &old.credentials, credentials);
    reload.refuse("nats.user", &old_name, &name);
    reload.refuse("nats.password", &old_password, &password);
    reload.refuse("nats.token", &old.token, token);
    reload.refuse("nats.nkeySeed", &old.nkey_seed, nkey_seed);
    reload.refuse("nats.tls.ca", &old.tls_ca, tls_ca);
    reload.refuse("nats.tls.cert", &old_cert, &cert);
    reload.refuse("nats.tls.key", &old_key, &key);
    reload.refuse("nats.tls.first", &old.tls_first, tls_first);
    reload.refuse("nats.replicas", &old.replicas, replicas);
}

fn files(reload: &mut Reload, old: &FileSettings, new: &FileSettings) {
    let FileSettings { data, replica, owner, snapshot_interval, retention, diverged_max } = new;
    reload.apply("wal.snapshotIntervalMs", &old.snapshot_interval, snapshot_interval);
    reload.apply("wal.streamRetention", &old.retention, retention);
    reload.apply("wal.divergedMaxBytes", &old.diverged_max, diverged_max);
    reload.refuse("wal.replicaPath", &old.replica, replica);
    reload.refuse("backend.dataPath", &old.data, data);
    let parts = |owner: &Option<(u32, u32)>| owner.unzip();
    let ((old_user, old_group), (user, group)) = (parts(&old.owner), parts(owner));
    reload.refuse("backend.user", &old_user, &user);
    reload.refuse("backend.group", &old_group, &group);
}

fn backend(reload: &mut Reload, old: &BackendSettings, new: &BackendSettings) {
    let BackendSettings {
        kind,
        enabled_unit,
        health,
        start_timeout,
        stop_timeout,
        health_interval,
        health_timeout,
    } = new;
    match (&old.kind, kind) {
        (BackendKind::Systemd(old), BackendKind::Systemd(new)) => {
            reload.refuse("backend.serviceName", old, new);
        }
        (BackendKind::Process(old), BackendKind::Process(new)) => {
            reload.refuse("backend.command", old, new);
        }
        (BackendKind::Systemd(_), BackendKind::Process(_))
        | (BackendKind::Process(_), BackendKind::Systemd(_)) => {
            reload.refused.push(String::from("backend.kind"));
        }
    }
    reload.refuse("backend.enabledUnit", &old.enabled_unit, enabled_unit);
    reload.apply("backend.healthEndpoint", &old.health, health);
    reload.apply("backend.healthIntervalMs", &old.health_interval, health_interval);
    reload.apply("backend.healthTimeoutMs", &old.health_timeout, health_timeout);
    reload.refuse("backend.startTimeoutMs", &old.start_timeout, start_timeout);
    reload.refuse("backend.stopTimeoutMs", &old.stop_timeout, stop_timeout);
}

fn vip(reload: &mut Reload, old: Option<&VipConfig>, new: Option<&VipConfig>) {
    let (Some(old), Some(new)) = (old, new) else {
        return reload.refuse("vip", &old.is_some(), &new.is_some());
    };
    reload.refuse("vip.address", &old.address(), &new.address());
    reload.refuse("vip.netmask", &old.prefix_len(), &new.prefix_len());
    reload.refuse("vip.interface", &old.interface(), &new.interface());
    let (old, new) = (old.announce(), new.announce());
    reload.refuse("vip.arpCount", &old.count, &new.count);
    reload.refuse("vip.arpIntervalMs", &old.interval, &new.interval);
    reload.refuse("vip.refreshMs", &old.refresh, &new.refresh);
}

/// By the names of the services that are new, gone or different.
fn services(reload: &mut Reload, old: &[Service], new: &[Service]) {
    let in_both = |service: &&Service| old.contains(service) && new.contains(service);
    let changed = old.iter().chain(new).filter(|service| !in_both(service));
    let mut keys: Vec<String> = changed.map(|one| format!("services.{}", one.name)).collect();
    keys.sort();
    keys.dedup();
    reload.applied.extend(keys);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("cluster.json")).unwrap()
    }

    /// With every key that a daemon reads; `from` becomes `to`.
    fn changed(from: &str, to: &str) -> Config {
        let all = r#"{
            "clusterId": "c", "nodeId": "n", "address": "10.0.0.1",
            "nats": { "servers": ["nats://h"], "credentials": "/creds", "user": "u",
                "password": "p", "token": "t", "nkeySeed": "SU", "replicas": 1,
                "tls": { "ca": "/ca", "cert": "/cert", "key": "/key", "first": false } },
            "election": { "leaderTtlMs": 10000, "heartbeatIntervalMs": 3000 },
            "wal": { "streamRetention": "24h", "snapshotIntervalMs": 3600000,
                "replicaPath": "/r", "divergedMaxBytes": 7 },
            "backend": { "serviceName": "s", "healthEndpoint": "http://h/", "dataPath": "/d",
                "startTimeoutMs": 5000, "stopTimeoutMs": 5001, "healthIntervalMs": 5002,
                "healthTimeoutMs": 5003, "user": "1", "group": "2" },
            "vip": { "address": "10.0.0.9", "netmask": 24, "interface": "e", "arpCount": 3,
                "arpIntervalMs": 500, "refreshMs": 4000 },
            "services": { "a": { "port": 1 }, "b": { "port": 2 } },
            "http": { "healthListen": "0.0.0.0:8080", "metricsListen": "0.0.0.0:9090" },
            "guard": { "enabled": true },
            "node": { "priority": 9, "candidate": true },
            "log": { "level": "info", "format": "text" }
        }"#;
        assert_eq!(all.matches(from).count(), 1, "{from}");
        config(&all.replace(from, to))
    }

    /// What is replaced by what, and the keys that are named.
    const APPLIED: [(&str, &str, &[&str]); 11] = [
        ("\"24h\"", "\"25h\"", &["wal.streamRetention"]),
        ("3600000", "60000", &["wal.snapshotIntervalMs"]),
        (": 7 ", ": 8 ", &["wal.divergedMaxBytes"]),
        ("http://h/", "http://h/x", &["backend.healthEndpoint"]),
        ("5002", "6000", &["backend.healthIntervalMs"]),
        ("5003", "6000", &["backend.healthTimeoutMs"]),
        ("\"port\": 2", "\"port\": 3", &["services.b"]),
        ("\"a\": { \"port\": 1 }, ", "", &["services.a"]),
        ("\"a\":", "\"z\":", &["services.a", "services.z"]),
        ("\"info\"", "\"debug\"", &["log.level"]),
        ("\"text\"", "\"json\"", &["log.format"]),
    ];

    const REFUSED: [(&str, &str, &[&str]); 35] = [
        ("\"c\"", "\"d\"", &["clusterId"]),
        ("\"n\"", "\"m\"", &["nodeId"]),
        ("10.0.0.1", "10.0.0.2", &["address"]),
        ("nats://h", "nats://i", &["nats.servers"]),
        ("/creds", "/other", &["nats.credentials"]),
        ("\"u\"", "\"v\"", &["nats.user"]),
        ("\"p\"", "\"q\"", &["nats.password"]),
        ("\"t\"", "\"x\"", &["nats.token"]),
        ("\"SU\"", "\"SV\"", &["nats.nkeySeed"]),
        ("/ca\"", "/cb\"", &["nats.tls.ca"]),
        ("/cert", "/cort", &["nats.tls.cert"]),
        ("/key", "/kay", &["nats.tls.key"]),
        ("\"first\": false", "\"first\": true", &["nats.tls.first"]),
        ("\"replicas\": 1", "\"replicas\": 3", &["nats.replicas"]),
        ("10000", "20000", &["election.leaderTtlMs"]),
        ("3000 ", "2000 ", &["election.heartbeatIntervalMs"]),
        ("\"/r\"", "\"/s\"", &["wal.replicaPath"]),
        ("\"s\"", "\"t2\"", &["backend.serviceName"]),
        (
            "\"serviceName\": \"s\"",
            "\"kind\": \"process\", \"command\": [\"a\"]",
            &["backend.kind"],
        ),
        ("\"/d\"", "\"/e\"", &["backend.dataPath"]),
        ("5000", "6000", &["backend.startTimeoutMs"]),
        ("5001", "6000", &["backend.stopTimeoutMs"]),
        ("\"user\": \"1\"", "\"user\": \"3\"", &["backend.user"]),
        ("\"group\": \"2\"", "\"group\": \"3\"", &["backend.group"]),
        ("10.0.0.9", "10.0.0.8", &["vip.address"]),
        ("24,", "23,", &["vip.netmask"]),
        ("\"e\"", "\"f\"", &["vip.interface"]),
        ("\"arpCount\": 3", "\"arpCount\": 4", &["vip.arpCount"]),
        ("500,", "501,", &["vip.arpIntervalMs"]),
        ("4000", "4001", &["vip.refreshMs"]),
        ("0.0.0.0:8080", "0.0.0.0:8081", &["http.healthListen"]),
        ("0.0.0.0:9090", "off", &["http.metricsListen"]),
        ("\"enabled\": true", "\"enabled\": false", &["guard.enabled"]),
        ("\"priority\": 9", "\"priority\": 8", &["node.priority"]),
        ("\"candidate\": true", "\"candidate\": false", &["node.candidate"]),
    ];

    fn same() -> Config {
        changed("\"c\"", "\"c\"")
    }

    #[test]
    fn what_can_change_is_applied_and_named() {
        assert_eq!(diff(&same(), &same()), Reload::default());
        for (from, to, keys) in APPLIED {
            let new = changed(from, to);
            let reload = diff(&same(), &new);
            assert_eq!((reload.applied.as_slice(), reload.refused.len()), (&strings(keys)[..], 0));
            let merged = merge(&same(), &new);
            assert_eq!(diff(&merged, &new), Reload::default(), "{from}");
        }
    }

    #[test]
    fn everything_else_is_refused_by_its_key_and_stays_as_it_is() {
        for (from, to, keys) in REFUSED {
            let new = changed(from, to);
            let reload = diff(&same(), &new);
            assert_eq!((reload.refused.as_slice(), reload.applied.len()), (&strings(keys)[..], 0));
            let merged = merge(&same(), &new);
            assert_eq!(diff(&same(), &merged), Reload::default(), "{from}");
            assert_eq!(tunables(&merged, &reload).waiting, strings(keys));
        }
    }

    #[test]
    fn both_at_once_are_told_apart() {
        let both = config(
            r#"{ "clusterId": "c", "nodeId": "n", "nats": { "servers": ["nats://h"] },
                "vip": { "address": "10.0.0.9", "interface": "e" },
                "backend": { "healthEndpoint": "off" } }"#,
        );
        let old =
            config(r#"{ "clusterId": "c", "nodeId": "n", "nats": { "servers": ["nats://h"] } }"#);
        let expected =
            Reload { applied: strings(&["backend.healthEndpoint"]), refused: strings(&["vip"]) };
        assert_eq!(diff(&old, &both), expected);
        let merged = merge(&old, &both);
        assert_eq!((merged.settings.backend.health, merged.settings.vip), (None, None));
    }

    fn strings(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|&key| String::from(key)).collect()
    }
}
