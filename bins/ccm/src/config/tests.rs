//! What is accepted, what is refused, and the words of every refusal.

use std::path::Path;
use std::time::Duration;

use ccm_agent::{BackendKind, EnabledUnit, Settings};
use ccm_vip::AnnounceConfig;

use super::Config;

/// The smallest configuration, with `more` keys after the required ones.
fn smallest(more: &str) -> String {
    format!(
        "{{\n  \"clusterId\": \"c\",\n  \"nodeId\": \"n\",\n  \
         \"nats\": {{ \"servers\": [\"nats://h:4222\"] }}\n{more}}}"
    )
}

fn accepted(text: &str) -> Settings {
    match Config::parse(text, Path::new("/c.json")) {
        Ok(config) => config.settings(),
        Err(error) => panic!("{error}\n{text}"),
    }
}

fn refused(text: &str) -> String {
    let error = Config::parse(text, Path::new("/c.json")).unwrap_err().to_string();
    String::from(error.strip_prefix("/c.json: ").unwrap_or(&error))
}

#[test]
fn the_sample_of_the_deploy_folder_is_accepted_and_says_the_defaults() {
    let sample = accepted(include_str!("../../../../deploy/cluster.json"));
    assert_eq!(sample.cluster.as_str(), "convex-prod");
    assert_eq!(sample.nats.servers.len(), 3);
    assert_eq!(sample.nats.credentials.as_deref(), Some(Path::new("/etc/convex/nats.creds")));
    let vip = sample.vip.unwrap();
    assert_eq!((vip.address().to_string(), vip.prefix_len()), (String::from("10.0.1.100"), 24));
    assert_eq!((vip.interface(), vip.announce()), ("eth0", AnnounceConfig::default()));
    let default = accepted(&smallest(""));
    assert_eq!(format!("{:?}", default.files), format!("{:?}", sample.files));
    assert_eq!(format!("{:?}", default.backend), format!("{:?}", sample.backend));
    assert_eq!(default.timing, sample.timing);
}

#[test]
fn what_is_not_given_has_the_documented_default() {
    let settings = accepted(&smallest(""));
    assert_eq!(settings.timing.ttl, Duration::from_secs(10));
    assert_eq!(settings.timing.heartbeat, Duration::from_secs(3));
    assert_eq!(settings.files.data, Path::new("/var/lib/convex/data.db"));
    assert_eq!(settings.files.replica, Path::new("/var/lib/convex/replica.db"));
    assert_eq!(settings.files.retention, Duration::from_secs(24 * 3600));
    assert_eq!(settings.files.snapshot_interval, Duration::from_secs(3600));
    assert_eq!(settings.backend.health.as_deref(), Some("http://localhost:3210/health"));
    assert_eq!(settings.backend.start_timeout, Duration::from_secs(60));
    assert_eq!(settings.backend.stop_timeout, Duration::from_secs(30));
    assert_eq!(settings.backend.health_interval, Duration::from_secs(5));
    assert_eq!(settings.backend.health_timeout, Duration::from_secs(3));
    assert!(
        matches!(settings.backend.kind, BackendKind::Systemd(unit) if unit == "convex-backend")
    );
    assert_eq!(settings.backend.enabled_unit, EnabledUnit::Refuse);
    assert!(settings.vip.is_none() && settings.address.is_none() && settings.files.owner.is_none());
    assert_eq!((settings.priority, settings.candidate, settings.guard), (100, true, true));
}

#[test]
fn every_key_is_read() {
    let settings = accepted(
        r#"// a comment
        { "clusterId": "c", "nodeId": "db1.example.com", "address": "fd00::7",
          "nats": { "servers": ["nats://a:1", "tls://b", "c:4222"], "user": "u",
            "password": "p//w", "token": "t", "nkeySeed": "SU", "replicas": 3,
            "tls": { "ca": "/ca", "cert": "/cert", "key": "/key", "first": true } },
          "election": { "leaderTtlMs": 3000, "heartbeatIntervalMs": 600 },
          "wal": { "streamRetention": "1h30m", "snapshotIntervalMs": 60000, "replicaPath": "/r",
            "divergedMaxBytes": 1000 },
          "backend": { "kind": "process", "command": ["/bin/b", ""], "dataPath": "/d",
            "serviceName": "x", "enabledUnit": "disable",
            "healthEndpoint": "off", "startTimeoutMs": 1000,
            "stopTimeoutMs": 2000, "healthIntervalMs": 300, "healthTimeoutMs": 400,
            "user": "4000", "group": "4001" },
          "vip": { "address": "fd00::1", "netmask": 128, "interface": "eth0", "arpCount": 3,
            "arpIntervalMs": 500, "refreshMs": 5000 },
          "http": { "healthListen": "127.0.0.1:0", "metricsListen": "off" },
          "guard": { "enabled": false, "watchdogDevice": "/dev/watchdog" },
          "node": { "priority": 50, "candidate": false },
          "services": { "syslog": { "port": 1514, "protocol": "tcp",
            "metadata": { "format": "rfc5424" }, "tags": ["logging"] } } }"#,
    );
    let nats = &settings.nats;
    assert_eq!(nats.servers, ["nats://a:1", "tls://b", "c:4222"]);
    assert_eq!(nats.user, Some((String::from("u"), String::from("p//w"))));
    assert_eq!((nats.token.as_deref(), nats.nkey_seed.as_deref()), (Some("t"), Some("SU")));
    assert_eq!((nats.tls_ca.is_some(), nats.tls_client.is_some()), (true, true));
    assert_eq!((nats.tls_first, nats.replicas), (true, Some(3)));
    assert_eq!(settings.timing.heartbeat, Duration::from_millis(600));
    assert_eq!(settings.files.retention, Duration::from_secs(5400));
    assert_eq!(settings.files.snapshot_interval, Duration::from_secs(60));
    assert_eq!(settings.files.replica, Path::new("/r"));
    assert_eq!(settings.files.diverged_max, 1000);
    assert_eq!(settings.files.owner, Some((4000, 4001)));
    assert!(matches!(settings.backend.kind, BackendKind::Process(argv) if argv.len() == 2));
    assert_eq!(settings.backend.enabled_unit, EnabledUnit::Disable);
    assert_eq!(settings.backend.health, None);
    assert_eq!(settings.backend.health_timeout, Duration::from_millis(400));
    let vip = settings.vip.unwrap();
    let (interval, refresh) = (Duration::from_millis(500), Duration::from_secs(5));
    assert_eq!(vip.prefix_len(), 128);
    assert_eq!(vip.announce(), AnnounceConfig { count: 3, interval, refresh });
    assert_eq!((settings.priority, settings.candidate, settings.guard), (50, false, false));
}

#[test]
fn a_required_key_that_is_missing_is_named_with_its_path() {
    let table = [
        ("{ \"nodeId\": \"n\" }", "clusterId is required: the same on every node of the cluster"),
        (
            "{ \"clusterId\": \"c\" }",
            "nodeId is required: a name that no other node of the cluster has",
        ),
        (
            "{ \"clusterId\": \"c\", \"nodeId\": \"n\" }",
            "nats.servers is required: one or more of nats://host:4222",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(refused(text), expected);
    }
}

/// Text after the required keys, at the beginning of line 5, and the refusal.
const REFUSED: [(&str, &str); 37] = [
    (r#", "nodeID": 1"#, "line 5, column 3: unknown key nodeID: did you mean nodeId?"),
    (
        r#", "backend": { "dataPth": "/x" }"#,
        "line 5, column 16: unknown key backend.dataPth: did you mean dataPath?",
    ),
    (
        r#", "node": { "zone": 1 }"#,
        "line 5, column 13: unknown key node.zone: known here are priority, candidate",
    ),
    (r#", "wal": 3"#, "line 5, column 10: wal must be an object, not a number"),
    (
        r#", "election": { "leaderTtlMs": "ten" }"#,
        "line 5, column 32: election.leaderTtlMs must be a whole number, not a string",
    ),
    (
        r#", "election": { "leaderTtlMs": 1.5 }"#,
        "line 5, column 32: election.leaderTtlMs is 1.5: it must be a whole number, 1 to \
         31622400000",
    ),
    (
        r#", "election": { "leaderTtlMs": 3000 }"#,
        "line 5, column 15: election: 2 x heartbeatIntervalMs 3000 + margin 390 (drift 30 + \
         scheduling 60 + stop 300) = 6390 is more than leaderTtlMs 3000: one lost renewal would \
         cost the lease; lower the heartbeat or raise the ttl",
    ),
    (
        r#", "election": { "leaderTtlMs": 999, "heartbeatIntervalMs": 100 }"#,
        "line 5, column 15: election: leaderTtlMs is 999: it must be at least 1000",
    ),
    (
        r#", "wal": { "replicaPath": "r.db" }"#,
        "line 5, column 27: wal.replicaPath is \"r.db\": it must be an absolute path",
    ),
    (
        r#", "wal": { "replicaPath": "/var/lib/" }"#,
        "line 5, column 27: wal.replicaPath is \"/var/lib/\": it must be a file, not a folder",
    ),
    (
        r#", "wal": { "replicaPath": "/var/lib/convex/data.db" }"#,
        "line 5, column 27: wal.replicaPath must be another file than backend.dataPath",
    ),
    (
        r#", "wal": { "streamRetention": "1d" }"#,
        "line 5, column 31: wal.streamRetention is \"1d\": write a duration like 24h, 1h30m, \
         90s or 500ms",
    ),
    (
        r#", "wal": { "streamRetention": "10m" }"#,
        "line 5, column 31: wal.streamRetention must be at least wal.snapshotIntervalMs \
         (3600000): a restore begins with a snapshot",
    ),
    (
        r#", "wal": { "divergedMaxBytes": 0 }"#,
        "line 5, column 32: wal.divergedMaxBytes is 0: it must be a whole number, 1 to \
         18446744073709551615",
    ),
    (
        r#", "wal": { "divergedMaxByte": 1 }"#,
        "line 5, column 12: unknown key wal.divergedMaxByte: did you mean divergedMaxBytes?",
    ),
    (
        r#", "backend": { "kind": "process" }"#,
        "backend.command is required: the program and its arguments, as a list of strings",
    ),
    (
        r#", "backend": { "kind": "process", "command": [] }"#,
        "line 5, column 46: backend.command may not be empty: the program and its arguments, as \
         a list of strings",
    ),
    (
        r#", "backend": { "kind": "process", "command": ["a", 1] }"#,
        "line 5, column 52: backend.command[1] must be a string, not a number",
    ),
    (
        r#", "backend": { "command": ["a"] }"#,
        "line 5, column 27: backend.command is only used with backend.kind \"process\"",
    ),
    (
        r#", "backend": { "enabledUnit": "ignore" }"#,
        "line 5, column 31: backend.enabledUnit is \"ignore\": it must be \"refuse\" or \
         \"disable\"",
    ),
    (
        r#", "backend": { "kind": "docker" }"#,
        "line 5, column 24: backend.kind is \"docker\": it must be \"systemd\" or \"process\"",
    ),
    (
        r#", "backend": { "healthEndpoint": "localhost/health" }"#,
        "line 5, column 34: backend.healthEndpoint is \"localhost/health\": write \
         http://host:port/path, or \"off\" for no probe",
    ),
    (
        r#", "backend": { "stopTimeoutMs": 5 }"#,
        "line 5, column 33: backend.stopTimeoutMs is 5: it must be a whole number, 100 to \
         31622400000",
    ),
    (
        r#", "backend": { "user": "no-such-user" }"#,
        "line 5, column 24: backend.user is \"no-such-user\": there is no such user in \
         /etc/passwd: create it, or write the number",
    ),
    (r#", "backend": { "group": "0" }"#, "backend.user is required where group is given"),
    (
        r#", "vip": { "address": "10.0.1" }"#,
        "line 5, column 23: vip.address is \"10.0.1\": it must be an IPv4 or IPv6 address",
    ),
    (
        r#", "vip": { "address": "10.0.1.1" }"#,
        "vip.interface is required where vip.address is given",
    ),
    (
        r#", "vip": { "interface": "eth0" }"#,
        "vip.address is required: leave out vip to have no virtual IP",
    ),
    (
        r#", "vip": { "address": "10.0.1.1", "netmask": 33, "interface": "eth0" }"#,
        "line 5, column 46: vip.netmask is 33: it must be a whole number, 1 to 32",
    ),
    (
        r#", "vip": { "address": "fd00::1", "netmask": 129, "interface": "eth0" }"#,
        "line 5, column 45: vip.netmask is 129: it must be a whole number, 1 to 128",
    ),
    (
        r#", "vip": { "address": "10.0.1.1", "interface": "eth 0" }"#,
        "line 5, column 48: vip.interface cannot be used: \"eth 0\" cannot be the name of an \
         interface: 1 to 15 bytes without space, slash or colon; `ip link` shows the names",
    ),
    (
        r#", "http": { "healthListen": ":8080" }"#,
        "line 5, column 29: http.healthListen is \":8080\": write an address and a port like \
         0.0.0.0:8080, or \"off\"",
    ),
    (
        r#", "guard": { "enabled": "yes" }"#,
        "line 5, column 25: guard.enabled must be true or false, not a string",
    ),
    (
        r#", "node": { "priority": 101 }"#,
        "line 5, column 25: node.priority is 101: it must be a whole number, 0 to 100",
    ),
    (r#", "services": { "http": {} }"#, "services.http.port is required"),
    (
        r#", "services": { "http": { "port": 1, "path": "x" } }"#,
        "line 5, column 46: services.http.path is \"x\": it must begin with /",
    ),
    (
        r#", "services": { "a.b": { "port": 1 } }"#,
        "line 5, column 24: services.a.b: use letters, digits, '-' and '_' in its name",
    ),
];

#[test]
fn each_mistake_is_refused_with_its_place_and_what_to_do() {
    for (more, expected) in REFUSED {
        assert_eq!(refused(&smallest(more)), expected, "{more}");
    }
}

#[test]
fn mistakes_in_the_required_keys_are_refused_too() {
    let table = [
        (
            ("\"c\"", "\"a.b\""),
            "line 2, column 16: clusterId is \"a.b\": '.' is not allowed in an id: use letters, \
             digits, '-' and '_'",
        ),
        (
            ("\"n\"", "\"node 1\""),
            "line 3, column 13: nodeId is \"node 1\": ' ' is not allowed in an id: use letters, \
             digits, '-', '_' and '.'",
        ),
        (("\"n\"", "\"\""), "line 3, column 13: nodeId may not be empty"),
        (
            ("[\"nats://h:4222\"]", "[]"),
            "line 4, column 24: nats.servers may not be empty: one or more of nats://host:4222",
        ),
        (
            ("\"nats://h:4222\"", "\"nats://h\", \"http://h\""),
            "line 4, column 37: nats.servers[1] is \"http://h\": write nats://host:4222, or \
             tls://host:4222 to demand encryption",
        ),
        (("\"] }", "\"], \"user\": \"u\" }"), "nats.password is required where user is given"),
        (
            ("\"] }", "\"], \"tls\": { \"key\": \"/k\" } }"),
            "nats.tls.cert is required where key is given",
        ),
        (
            ("\"] }", "\"], \"credentials\": 7 }"),
            "line 4, column 58: nats.credentials must be a string, not a number",
        ),
    ];
    for ((from, to), expected) in table {
        assert_eq!(refused(&smallest("").replace(from, to)), expected, "{to}");
    }
}
