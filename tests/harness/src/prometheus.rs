//! One real Prometheus, on a port of its own, that scrapes what a file names.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::node::free_port;
use crate::{prometheus, spawn_bound, wait};

/// How long it may take to listen.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A child Prometheus; killed and its data removed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    port: u16,
    dir: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes the targets in `file` as the job `convex-cluster`, and waits until
    /// it answers. The file may come later.
    #[must_use]
    pub fn start(file: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("ccm-prometheus-").tempdir().unwrap();
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "scrape_configs:\n  - job_name: convex-cluster\n    file_sd_configs:\n      - files: \
             ['{}']\n        refresh_interval: 1s\n",
            file.display()
        );
        std::fs::write(&config, text).unwrap();
        let port = free_port();
        let mut command = Command::new(prometheus());
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let server = Self { child: spawn_bound(&command), port, dir };
        wait::until(START_WITHIN, "Prometheus to be ready", || {
            ask(port, "/-/ready").is_ok_and(|answer| answer.contains(" 200 OK")).then_some(())
        });
        server
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.path().join("prometheus.yml")
    }

    /// The active targets, as its API tells of them.
    #[must_use]
    pub fn targets(&self) -> Vec<Value> {
        let told = self.get("/api/v1/targets?state=active");
        told["data"]["activeTargets"].as_array().cloned().unwrap_or_default()
    }

    /// The result of a query whose characters need no encoding in a URL.
    #[must_use]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let told = self.get(&format!("/api/v1/query?query={query}"));
        told["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    fn get(&self, path: &str) -> Value {
        let answer = ask(self.port, path).unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body).unwrap_or(Value::Null)
    }
}

/// The whole answer. In HTTP/1.0 it ends with the connection, however long it is.
fn ask(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    std::io::read_to_string(stream)
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
