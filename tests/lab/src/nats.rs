//! A machine at the switch that runs nothing but a nats-server, for scenarios in which NATS is
//! not what is lost.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Child;

use anyhow::{Context as _, Result};
use ccm_harness::{bound, nats_server};

use crate::PATIENCE;
use crate::deadline::wait_for;
use crate::network::Namespace;
use crate::switch::{Port, Switch};

/// The address is 10.0.1.60.
const PORT: Port = Port(60);

/// The machine. Dropped, it is gone.
#[derive(Debug)]
pub struct NatsBox {
    child: Child,
    folder: PathBuf,
    switch: Switch,
    _namespace: Namespace,
}

impl NatsBox {
    /// Its files are in `folder`, which goes with it.
    pub(crate) fn start(switch: &Switch, folder: PathBuf) -> Result<Self> {
        let namespace = Namespace::new()?;
        switch.connect(PORT, &namespace)?;
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder)?;
        let program = nats_server();
        let mut server = namespace.command(&program.display().to_string());
        server.args(["-a", "0.0.0.0", "-p", "4222", "-js", "-sd"]).arg(folder.join("store"));
        server.arg("-l").arg(folder.join("nats.log"));
        let child = bound(&server).spawn().context("could not start nats-server")?;
        let started = Self { child, folder, switch: switch.clone(), _namespace: namespace };
        wait_for(PATIENCE, "nats-server to listen", || {
            let log = std::fs::read_to_string(started.folder.join("nats.log")).ok()?;
            log.contains("Server is ready").then_some(())
        })?;
        Ok(started)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        PORT.address()
    }

    /// What clients connect to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}:4222", self.address())
    }
}

impl Drop for NatsBox {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        self.switch.disconnect(PORT);
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
