//! Three real nats-servers that are one cluster, for streams with replicas.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};

use crate::nats::Ended;
use crate::{NatsServer, nats_wire, wait};

/// Servers in the cluster.
const SIZE: usize = 3;

/// How long the servers may take to elect leaders, and a replica to have everything.
const AGREE_WITHIN: Duration = Duration::from_secs(60);

/// A server without a leader does not answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Attempts to find ports for the routes that nobody takes meanwhile.
const ATTEMPTS: u32 = 5;

/// Three servers with JetStream on free ports; killed and their stores removed when dropped.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts three servers and waits until they have elected a leader.
    #[must_use]
    pub fn start() -> Self {
        for _ in 0..ATTEMPTS {
            if let Ok(cluster) = Self::try_start() {
                return cluster;
            }
        }
        panic!("no three ports for the routes between nats-servers");
    }

    /// Every server must know the routes to the others when it starts, so their ports are chosen
    /// here.
    fn try_start() -> Result<Self, Ended> {
        let free: Vec<TcpListener> =
            (0..SIZE).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
        let ports: Vec<u16> = free.iter().map(|l| l.local_addr().unwrap().port()).collect();
        drop(free);
        let url = |port: &u16| format!("nats://127.0.0.1:{port}");
        let routes = ports.iter().map(url).collect::<Vec<_>>().join(",");
        let mut servers = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let name = name(index);
            let route = url(port);
            let extra = ["--name", &name, "--cluster_name", "harness", "--cluster", &route];
            let extra = extra.into_iter().chain(["--routes", &routes]).map(String::from);
            let mut server = NatsServer::prepared(extra.collect());
            server.spawn(-1);
            servers.push(server);
        }
        for server in &mut servers {
            server.listening()?;
        }
        let cluster = Self { servers };
        wait::until(AGREE_WITHIN, "the nats-servers to elect a leader", || {
            cluster.ask("$JS.API.INFO", &json!({})).filter(|info| info["error"].is_null())
        });
        Ok(cluster)
    }

    /// The client URL of every server, also of those that were killed.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// One of the servers, 0 to 2.
    #[must_use]
    pub fn server(&self, index: usize) -> &NatsServer {
        &self.servers[index]
    }

    /// SIGKILLs a server; its store stays.
    pub fn kill(&mut self, index: usize) {
        self.servers[index].kill();
    }

    /// Starts a server again on its ports with its store.
    pub fn restart(&mut self, index: usize) {
        self.servers[index].restart();
    }

    /// Starts every server again that was killed.
    pub fn restart_killed(&mut self) {
        self.servers.iter_mut().filter(|server| !server.runs()).for_each(NatsServer::restart);
    }

    /// Which server leads the stream; waits for an election.
    #[must_use]
    pub fn leader(&self, stream: &str) -> usize {
        wait::until(AGREE_WITHIN, "the stream to have a leader", || {
            let leader = &self.info(stream)?["cluster"]["leader"];
            (0..SIZE).find(|index| *leader == name(*index) && self.servers[*index].runs())
        })
    }

    /// SIGKILLs the server that leads the stream; returns which one it was.
    pub fn kill_leader(&mut self, stream: &str) -> usize {
        let leader = self.leader(stream);
        self.kill(leader);
        leader
    }

    /// Waits until every replica of the stream has everything.
    pub fn wait_in_sync(&self, stream: &str) {
        wait::until(AGREE_WITHIN, "the replicas of the stream to be in sync", || {
            let info = self.info(stream)?;
            let replicas = info["cluster"]["replicas"].as_array()?;
            let current = |replica: &Value| {
                replica["current"] == true && replica["offline"] != true && replica["lag"].is_null()
            };
            (replicas.len() + 1 == SIZE && replicas.iter().all(current)).then_some(())
        });
    }

    /// Messages in the stream, as its leader counts them.
    #[must_use]
    pub fn messages(&self, stream: &str) -> u64 {
        wait::until(AGREE_WITHIN, "the stream to be counted", || {
            self.info(stream)?["state"]["messages"].as_u64()
        })
    }

    fn info(&self, stream: &str) -> Option<Value> {
        let info = self.ask(&format!("$JS.API.STREAM.INFO.{stream}"), &json!({}))?;
        info["error"].is_null().then_some(info)
    }

    /// The answer that a server that runs has got.
    fn ask(&self, subject: &str, body: &Value) -> Option<Value> {
        let server = self.servers.iter().find(|server| server.runs())?;
        nats_wire::request(server.port(), subject, body, ANSWER_WITHIN).ok()
    }
}

fn name(index: usize) -> String {
    format!("nats-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_outlives_its_leader() {
        let mut cluster = NatsCluster::start();
        let config = json!({ "name": "S", "subjects": ["s"], "num_replicas": 3 });
        wait::until(AGREE_WITHIN, "the stream to be made", || {
            let made = cluster.ask("$JS.API.STREAM.CREATE.S", &config)?;
            made["error"].is_null().then_some(())
        });
        let first = cluster.kill_leader("S");
        assert_ne!(cluster.leader("S"), first);
        cluster.restart_killed();
        cluster.wait_in_sync("S");
        assert_eq!(cluster.messages("S"), 0);
    }
}
