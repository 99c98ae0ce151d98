//! A node without a daemon: a folder, a configuration, and commands.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("not JSON: {}", self.out))
    }
}

/// Runs ccm.
pub(crate) fn ccm(args: &[&str]) -> Ran {
    let mut ccm = Command::new(env!("CARGO_BIN_EXE_ccm"));
    let output = ccm.args(args).env_remove("CCM_CONFIG").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

pub(crate) struct Node {
    pub(crate) dir: TempDir,
    pub(crate) name: String,
}

impl Node {
    pub(crate) fn new(name: &str, nats: &str) -> Self {
        let node = Self { dir: tempfile::tempdir().unwrap(), name: String::from(name) };
        node.configure(&json!({
            "clusterId": "test",
            "nodeId": name,
            "nats": { "servers": [nats] },
            "wal": { "replicaPath": node.path("replica.db") },
            "backend": { "dataPath": node.path("data.db") },
        }));
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn configure(&self, config: &Value) {
        std::fs::write(self.path("cluster.json"), config.to_string()).unwrap();
    }

    pub(crate) fn ccm(&self, args: &[&str]) -> Ran {
        let config = self.path("cluster.json").display().to_string();
        ccm(&[args, &["--config", &config]].concat())
    }
}
