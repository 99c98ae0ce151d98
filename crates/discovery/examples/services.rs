//! Announces a service of its own for as long as it runs, and prints what changes in the cluster.
//!
//! ```text
//! cargo run -p ccm-discovery --example services -- prod nats://127.0.0.1:4222
//! ```
//!
//! The service is what listens on port 22, probed every ten seconds.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use ccm_discovery::{
    Announcement, Change, ProbeConfig, ProbeKind, Protocol, Role, Service, Services,
};
use ccm_types::{ClusterId, NodeId, ServiceName};
use tokio::sync::watch;

#[tokio::main]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let app = ClusterId::new(words.next().context("usage: services CLUSTER [NATS-URL]")?)?;
    let url = words.next().unwrap_or_else(|| String::from("nats://127.0.0.1:4222"));
    let client = async_nats::connect(&url).await.with_context(|| format!("no NATS at {url}"))?;
    let services = Services::open(client, app.services_bucket(), 1).await?;
    let announcement = Announcement {
        services: services.clone(),
        replicas: 1,
        app,
        node: NodeId::new("example")?,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        service: Service {
            name: ServiceName::new("ssh")?,
            address: None,
            port: 22,
            protocol: Protocol::Tcp,
            path: None,
            health_path: None,
            metadata: BTreeMap::new(),
            tags: vec![String::from("example")],
            follows_role: false,
            probe: Some(ProbeConfig::new(ProbeKind::Tcp)),
        },
    };
    let (_role, roles) = watch::channel(Role::Waiting);
    tokio::select! {
        () = announcement.run(roles) => Ok(()),
        printed = print(&services) => printed,
    }
}

async fn print(services: &Services) -> Result<()> {
    let mut watch = services.watch();
    loop {
        for change in watch.next().await? {
            let what = match &change {
                Change::Registered(_) => "registered",
                Change::Updated { .. } => "updated",
                Change::HealthChanged { .. } => "health",
                Change::Deregistered(_) => "deregistered",
            };
            let record = change.record();
            let (name, node, at) = (&record.name, &record.node, record.endpoint());
            writeln!(std::io::stdout(), "{what} {name} on {node} at {at}: {}", record.health)?;
        }
    }
}
