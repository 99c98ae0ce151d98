//! One real nats-server with JetStream, on a port of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use tempfile::TempDir;

use crate::{nats_server, nats_wire, spawn_bound, wait};

/// How long a server may take to listen.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A child nats-server; killed and its store removed when dropped.
#[derive(Debug)]
pub struct NatsServer {
    child: Option<Child>,
    port: u16,
    dir: TempDir,
    listen: &'static str,
    extra: Vec<String>,
}

/// A server that has ended before it listened, its port taken by somebody else for example.
#[derive(Debug)]
pub(crate) struct Ended;

impl NatsServer {
    /// Starts a server on a free port and waits until it listens.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// [`NatsServer::start`] with further command line arguments (`--user`, `--pass`, `-c`, …).
    #[must_use]
    pub fn start_with(extra: &[&str]) -> Self {
        Self::start_on("127.0.0.1", extra)
    }

    /// [`NatsServer::start_with`] on an address other than 127.0.0.1, as `0.0.0.0`.
    pub(crate) fn start_on(listen: &'static str, extra: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("ccm-nats-").tempdir().unwrap();
        let extra = extra.iter().map(|&s| String::from(s)).collect();
        let mut server = Self { child: None, port: 0, dir, listen, extra };
        server.launch(-1);
        server
    }

    /// A server that has not been started; [`NatsServer::spawn`] and [`NatsServer::listening`].
    pub(crate) fn prepared(extra: Vec<String>) -> Self {
        let dir = tempfile::Builder::new().prefix("ccm-nats-").tempdir().unwrap();
        Self { child: None, port: 0, dir, listen: "127.0.0.1", extra }
    }

    /// The client URL, `nats://127.0.0.1:<port>`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The client port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.dir.path().join("nats.log")
    }

    /// SIGKILLs the server; its store stays for [`NatsServer::restart`].
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Whether it runs, as far as the harness has killed and started it.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Stops the server if it runs and starts it again on the same port with the same store.
    pub fn restart(&mut self) {
        self.kill();
        self.launch(i32::from(self.port));
    }

    /// Keeps a copy of everything that is stored, for [`NatsServer::go_back`]. Restarts the server.
    pub fn keep(&mut self) {
        self.kill();
        copy_dir(&self.dir.path().join("store"), &self.dir.path().join("kept"));
        self.launch(i32::from(self.port));
    }

    /// Loses everything that was stored since [`NatsServer::keep`]. Restarts the server.
    pub fn go_back(&mut self) {
        self.kill();
        let (store, kept) = (self.dir.path().join("store"), self.dir.path().join("kept"));
        std::fs::remove_dir_all(&store).unwrap();
        copy_dir(&kept, &store);
        self.launch(i32::from(self.port));
    }

    /// Asks the server's JSON API, for example on `$JS.API.STREAM.INFO.<stream>`.
    #[must_use]
    pub fn request(&self, subject: &str, body: &serde_json::Value) -> serde_json::Value {
        nats_wire::request(self.port, subject, body, nats_wire::ANSWER_WITHIN).unwrap()
    }

    fn launch(&mut self, port: i32) {
        self.spawn(port);
        self.listening().unwrap_or_else(|Ended| panic!("nats-server ended: see its log"));
    }

    /// Starts the process; the port is -1 for a free one.
    pub(crate) fn spawn(&mut self, port: i32) {
        let ports = self.ports();
        if ports.exists() {
            std::fs::remove_dir_all(&ports).unwrap();
        }
        std::fs::create_dir(&ports).unwrap();
        let mut command = Command::new(nats_server());
        command.args(["-a", self.listen, "-p", &port.to_string(), "-js", "-sd"]);
        command.arg(self.dir.path().join("store"));
        command.arg("--ports_file_dir").arg(&ports).arg("-l").arg(self.log()).args(&self.extra);
        self.child = Some(spawn_bound(&command));
    }

    /// Waits until the server listens.
    pub(crate) fn listening(&mut self) -> Result<(), Ended> {
        let ports = self.ports();
        let child = self.child.as_mut().unwrap();
        let file = ports.join(format!("nats-server_{}.ports", child.id()));
        let port = wait::until(START_WITHIN, "nats-server to write its ports file", || {
            if child.try_wait().unwrap().is_some() {
                return Some(Err(Ended));
            }
            let text = std::fs::read_to_string(&file).ok()?;
            let (_, rest) = text.split_once("nats://")?;
            rest.split('"').next()?.rsplit_once(':')?.1.parse().ok().map(Ok)
        })?;
        self.port = port;
        wait::until(START_WITHIN, "nats-server to listen", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Ok(())
    }

    fn ports(&self) -> PathBuf {
        self.dir.path().join("ports")
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("nats-server log, last lines:\n{}\n", tail.join("\n")).as_bytes(),
            )
            .ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_answers() {
        let server = NatsServer::start();
        let info = server.request("$JS.API.INFO", &serde_json::json!({}));
        assert_eq!(info["streams"], 0);
    }

    #[test]
    fn a_killed_server_comes_back_on_its_port() {
        let mut server = NatsServer::start();
        let url = server.url();
        server.kill();
        assert!(std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err());
        server.restart();
        assert_eq!(server.url(), url);
    }
}
