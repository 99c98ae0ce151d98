//! The client: at the switch like everybody, and knowing only what is on the wire.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use ccm_harness::Http;

use crate::network::Namespace;
use crate::run::Ran;
use crate::switch::{INTERFACE, Port, Switch};

/// The client's address is 10.0.1.50.
pub(crate) const PORT: Port = Port(50);

/// The client.
#[derive(Debug, Clone)]
pub struct Client {
    namespace: Namespace,
}

impl Client {
    pub(crate) fn connect(switch: &Switch) -> Result<Self> {
        let namespace = Namespace::new()?;
        switch.connect(PORT, &namespace)?;
        Ok(Self { namespace })
    }

    /// Runs a command where the client is.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn exec(&self, command: &[&str]) -> Result<Ran> {
        Ran::of(&self.command(command))
    }

    /// A command where the client is, to be started.
    #[must_use]
    pub fn command(&self, command: &[&str]) -> Command {
        let (program, arguments) = command.split_first().unwrap_or((&"true", &[]));
        let mut entering = self.namespace.command(program);
        entering.args(arguments);
        entering
    }

    /// GETs `path` from `server`; the status code and the body.
    ///
    /// # Errors
    /// When nobody answers within `within`.
    pub fn get(&self, server: SocketAddr, path: &str, within: Duration) -> Result<(u16, String)> {
        self.namespace.run(|| Ok(Http::at(server, within).get(path)?))
    }

    /// Where the client's kernel believes that an address is, as ip(8) shows it.
    ///
    /// # Errors
    /// When ip(8) fails.
    pub fn neighbour(&self, address: IpAddr) -> Result<String> {
        self.namespace.ip(&format!("neigh show {address} dev {INTERFACE}"))
    }

    /// A thread whose sockets are the client's.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        self.namespace.spawn(name, work)
    }

    /// The beginning of a command line that enters where the client is, for another process.
    #[must_use]
    pub fn entry(&self) -> Vec<String> {
        let network = format!("--net={}", self.namespace.path().display());
        ["nsenter", &network, "--"].map(String::from).to_vec()
    }
}
