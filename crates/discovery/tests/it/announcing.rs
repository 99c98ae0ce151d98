//! An announcement keeps its record, and its health follows the role and the probe.

use std::collections::BTreeMap;
use std::time::Duration;

use ccm_discovery::{
    Announcement, Filter, Health, ProbeConfig, ProbeKind, Protocol, Role, Service, ServiceRecord,
    Services,
};
use ccm_harness::NatsServer;
use ccm_harness::wait::until_async;
use ccm_types::{ClusterId, NodeId};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::world::{PATIENCE, ask, name, open};

/// A service without a probe.
fn service(port: u16, follows_role: bool) -> Service {
    Service {
        name: name("http"),
        address: None,
        port,
        protocol: Protocol::Http,
        path: Some(String::from("/")),
        health_path: None,
        metadata: BTreeMap::from([(String::from("version"), String::from("1.0.0"))]),
        tags: vec![String::from("api")],
        follows_role,
        probe: None,
    }
}

/// Probed often.
fn probed(port: u16, follows_role: bool) -> Service {
    let probe = ProbeConfig {
        interval: Duration::from_millis(50),
        timeout: Duration::from_millis(500),
        ..ProbeConfig::new(ProbeKind::Tcp)
    };
    Service { probe: Some(probe), ..service(port, follows_role) }
}

/// Announces until the set is dropped.
fn announce(services: &Services, service: Service) -> (watch::Sender<Role>, JoinSet<()>) {
    let (role, roles) = watch::channel(Role::Waiting);
    let announcement = Announcement {
        services: services.clone(),
        replicas: 1,
        app: ClusterId::new("test").unwrap(),
        node: NodeId::new("n.example.com").unwrap(),
        address: "127.0.0.1".parse().unwrap(),
        service,
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(announcement.run(roles));
    (role, tasks)
}

async fn wait_health(services: &Services, health: Health) -> ServiceRecord {
    let what = format!("the service to be {health}");
    until_async(PATIENCE, &what, tokio::time::sleep, async || {
        let listed = services.list(&Filter::default()).await.ok()?.records;
        listed.into_iter().find(|record| record.health == health)
    })
    .await
}

#[tokio::test]
async fn a_service_that_follows_the_role_stands_by_until_its_node_serves() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let (role, _task) = announce(&services, service(3210, true));
    let first = wait_health(&services, Health::Standby).await;
    assert_eq!(first.key(), "http.n=2Eexample=2Ecom");
    assert_eq!(first.endpoint().to_string(), "127.0.0.1:3210");
    assert_eq!(
        (first.tags.as_slice(), first.metadata["version"].as_str()),
        ([String::from("api")].as_slice(), "1.0.0")
    );
    role.send_replace(Role::Serving);
    let second = wait_health(&services, Health::Passing).await;
    assert_eq!(second.registered_at, first.registered_at);
    assert!(second.updated_at >= first.updated_at);
    role.send_replace(Role::Waiting);
    wait_health(&services, Health::Standby).await;
}

#[tokio::test]
async fn a_probed_service_is_critical_while_it_does_not_answer() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (_role, _task) = announce(&services, probed(at.port(), false));
    wait_health(&services, Health::Passing).await;
    drop(listener);
    wait_health(&services, Health::Critical).await;
    let _listener = TcpListener::bind(at).await.unwrap();
    wait_health(&services, Health::Passing).await;
}

#[tokio::test]
async fn what_follows_the_role_is_probed_only_where_it_serves() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let (role, _task) = announce(&services, probed(at.port(), true));
    wait_health(&services, Health::Standby).await;
    role.send_replace(Role::Serving);
    wait_health(&services, Health::Critical).await;
    role.send_replace(Role::Waiting);
    wait_health(&services, Health::Standby).await;
    let _listener = TcpListener::bind(at).await.unwrap();
    role.send_replace(Role::Serving);
    wait_health(&services, Health::Passing).await;
}

#[tokio::test]
async fn nothing_of_a_node_that_is_away_is_announced() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let (role, _task) = announce(&services, service(3210, false));
    wait_health(&services, Health::Passing).await;
    role.send_replace(Role::Away);
    until_async(PATIENCE, "the record to be removed", tokio::time::sleep, async || {
        let listed = services.list(&Filter::default()).await.unwrap();
        listed.records.is_empty().then_some(())
    })
    .await;
    role.send_replace(Role::Waiting);
    wait_health(&services, Health::Passing).await;
}

#[tokio::test]
async fn a_bucket_that_is_removed_is_made_again() {
    let server = NatsServer::start();
    let services = open(&server).await;
    let (role, _task) = announce(&services, service(3210, true));
    wait_health(&services, Health::Standby).await;
    assert_eq!(ask(&server, "DELETE")["success"], true);
    role.send_replace(Role::Serving);
    wait_health(&services, Health::Passing).await;
}

#[tokio::test]
async fn an_announcement_outlives_a_restart_of_nats() {
    let mut server = NatsServer::start();
    let services = open(&server).await;
    let (role, _task) = announce(&services, service(3210, true));
    wait_health(&services, Health::Standby).await;
    server.kill();
    role.send_replace(Role::Serving);
    server.restart();
    wait_health(&services, Health::Passing).await;
}
