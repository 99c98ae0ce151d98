//! The NATS that a scenario runs against: one server, or three with three replicas.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::{self, object_store, stream};
use ccm_harness::{NatsServer, processes};

use crate::process::{LOOK_EVERY, Usage};
use crate::{clock, table};

/// A cluster has elected its leaders by then.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// One server, or three.
#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<NatsServer>,
}

impl Servers {
    /// One server.
    pub(crate) fn single() -> Self {
        Self { servers: vec![NatsServer::start()] }
    }

    /// Three servers; buckets have three replicas.
    pub(crate) async fn three() -> Result<Self> {
        let ports = [free_port()?, free_port()?, free_port()?];
        let route = |port: &u16| format!("nats://127.0.0.1:{port}");
        let routes = ports.iter().map(route).collect::<Vec<_>>().join(",");
        let start = |(number, port): (usize, &u16)| {
            let (name, listen) = (format!("n{number}"), route(port));
            NatsServer::start_with(&[
                "--name",
                &name,
                "--cluster_name",
                "bench",
                "--cluster",
                &listen,
                "--routes",
                &routes,
            ])
        };
        let servers = Self { servers: ports.iter().enumerate().map(start).collect() };
        let begin = clock::now();
        while let Err(error) = servers.create("ready").await {
            if clock::since(begin) > READY_WITHIN {
                return Err(error.context("the three servers did not become a cluster"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        servers.delete("ready").await?;
        Ok(servers)
    }

    /// In words.
    pub(crate) fn name(&self) -> &'static str {
        if self.servers.len() == 1 { "one server" } else { "three servers, R3" }
    }

    /// Where the first one is.
    pub(crate) fn url(&self) -> String {
        self.servers.first().map(NatsServer::url).unwrap_or_default()
    }

    /// What the servers have used so far, together.
    pub(crate) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for server in &self.servers {
            let log = server.log();
            let of = processes::under(log.parent().unwrap_or(Path::new("/")));
            for pid in of.iter().filter_map(|p| u32::try_from(p.pid).ok()) {
                let one = Usage::of(pid).unwrap_or_default();
                sum.cpu_ms += one.cpu_ms;
                sum.rss += one.rss;
                sum.rss_max += one.rss_max;
            }
        }
        sum
    }

    /// SIGKILLs the only server.
    pub(crate) fn kill(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::kill);
    }

    /// Starts it again; it listens when this returns.
    pub(crate) fn restart(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::restart);
    }

    /// A connection of its own.
    pub(crate) async fn jetstream(&self) -> Result<jetstream::Context> {
        let client = async_nats::connect(self.url()).await.context("could not reach NATS")?;
        Ok(jetstream::new(client))
    }

    /// Makes a bucket, in the way of every client.
    pub(crate) async fn create(&self, bucket: &str) -> Result<()> {
        let config = object_store::Config {
            bucket: String::from(bucket),
            num_replicas: self.servers.len(),
            ..object_store::Config::default()
        };
        let jetstream = self.jetstream().await?;
        jetstream.create_object_store(config).await.context("could not make a bucket")?;
        Ok(())
    }

    /// Removes a bucket.
    pub(crate) async fn delete(&self, bucket: &str) -> Result<()> {
        let jetstream = self.jetstream().await?;
        jetstream.delete_object_store(bucket).await.context("could not remove a bucket")?;
        Ok(())
    }

    /// What the server counts of a bucket.
    pub(crate) async fn state(&self, bucket: &str) -> Result<stream::State> {
        let jetstream = self.jetstream().await?;
        let mut stream = jetstream.get_stream(format!("OBJ_{bucket}")).await?;
        Ok(stream.info().await?.state.clone())
    }

    /// What the server says it is.
    pub(crate) async fn version(&self) -> Result<String> {
        let client = async_nats::connect(self.url()).await?;
        Ok(client.server_info().version)
    }
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

/// Looks until there is something; fails with what it waited for.
pub(crate) async fn wait_for<T>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let begin = clock::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if clock::since(begin) > within {
            table::line(&format!("  waited {within:?} for {what}"));
            bail!("waited {within:?} for {what}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
