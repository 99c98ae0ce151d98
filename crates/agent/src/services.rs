//! The lane of the services: what this node offers is announced, and follows its role.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ccm_discovery::{
    Announcement, DiscoveryError, Filter, ProbeConfig, ProbeKind, Protocol, Role, Service, Services,
};
use ccm_role::{Phase, Status};
use ccm_types::{ClusterId, NodeId, ServiceName};
use futures_util::future::{join, join_all};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Settings, Tunables, outcome};

/// The daemon's own service.
const HEALTH: &str = "health";

/// Between two tries to open the bucket.
const RETRY: Duration = Duration::from_secs(2);

/// Between two looks at what others have written.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long the records may take to be removed at the end.
const WITHDRAW_WITHIN: Duration = Duration::from_secs(1);

/// What this node announces.
#[derive(Debug, Clone)]
pub(crate) struct Announced {
    pub(crate) records: Services,
    pub(crate) replicas: usize,
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) address: Option<IpAddr>,
    /// Whether an operator has set the address.
    pub(crate) is_given: bool,
    /// The daemon's own.
    own: Option<Service>,
}

/// A service that is being announced.
struct Running {
    service: Service,
    cancel: CancellationToken,
}

impl Announced {
    pub(crate) fn new(
        client: async_nats::Client,
        settings: &Settings,
        replicas: usize,
        address: Option<IpAddr>,
    ) -> Self {
        Self {
            records: Services::at(client, settings.cluster.services_bucket()),
            replicas,
            cluster: settings.cluster.clone(),
            node: settings.node.clone(),
            address,
            is_given: settings.address.is_some(),
            own: settings.http.health.and_then(|at| health(at, address)),
        }
    }

    /// What the configuration names, and the daemon's own.
    fn offered(&self, configured: &[Service]) -> Vec<Service> {
        let mut services = configured.to_vec();
        // An operator who describes it knows better.
        let own = self.own.iter().filter(|own| services.iter().all(|one| one.name != own.name));
        services.extend(own.cloned().collect::<Vec<_>>());
        services
    }

    /// Announces what is configured at present until the loop has ended.
    pub(crate) async fn run(
        self,
        mut status: watch::Receiver<Status>,
        mut tunables: watch::Receiver<Tunables>,
    ) {
        let services = self.offered(&tunables.borrow_and_update().services);
        let Some(address) = self.address else {
            if !services.is_empty() {
                tracing::warn!(
                    "the services of this node are not announced: its address is not known, set \
                     address"
                );
            }
            return;
        };
        if address.is_loopback() && !self.is_given && !services.is_empty() {
            tracing::warn!(
                %address,
                "the services of this node are announced where other hosts cannot reach them: set \
                 address"
            );
        }
        self.open(&services).await;
        let (role, roles) = watch::channel(role(&status.borrow_and_update()));
        let following = async {
            while status.changed().await.is_ok() {
                role.send_if_modified(|old| {
                    let new = self::role(&status.borrow_and_update());
                    std::mem::replace(old, new) != new
                });
            }
            // Ends the announcements.
            drop(role);
        };
        let announcing = self.announce(address, services, roles, tunables);
        tokio::select! {
            _ = join(following, announcing) => {}
            () = self.look() => {}
        }
    }

    /// Announces; a service that another configuration leaves as it is goes on undisturbed.
    async fn announce(
        &self,
        address: IpAddr,
        mut services: Vec<Service>,
        roles: watch::Receiver<Role>,
        mut tunables: watch::Receiver<Tunables>,
    ) {
        let mut running: Vec<Running> = Vec::new();
        let mut announcing = FuturesUnordered::new();
        loop {
            let before = running.len();
            running.retain(|one| {
                let stays = services.contains(&one.service);
                if !stays {
                    one.cancel.cancel();
                }
                stays
            });
            let gone = running.len() < before;
            let have = |service: &Service| running.iter().any(|one| one.service == *service);
            let new: Vec<Service> = services.iter().filter(|one| !have(one)).cloned().collect();
            for service in new {
                let cancel = CancellationToken::new();
                let (until, roles) = (cancel.clone(), roles.clone());
                let announcement = self.announcement(address, service.clone());
                announcing.push(async move {
                    until.run_until_cancelled(announcement.run(roles)).await;
                });
                running.push(Running { service, cancel });
            }
            if gone {
                self.remove_gone(&services).await;
            }
            tokio::select! {
                changed = tunables.changed() => match changed {
                    Ok(()) => services = self.offered(&tunables.borrow_and_update().services),
                    // Nothing changes any more.
                    Err(_) => return ended(announcing, roles).await,
                },
                () = ended(&mut announcing, roles.clone()) => return,
            }
        }
    }

    fn announcement(&self, address: IpAddr, service: Service) -> Announcement {
        Announcement {
            services: self.records.clone(),
            replicas: self.replicas,
            app: self.cluster.clone(),
            node: self.node.clone(),
            address,
            service,
        }
    }

    /// Records that stay when this fails expire.
    async fn remove_gone(&self, services: &[Service]) {
        let removing = self.remove_others(services);
        let removed = tokio::time::timeout(WITHDRAW_WITHIN, removing).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::debug!("what is not offered any more stays until it expires");
        }
    }

    /// Names what peers have written that is no record, in the log.
    async fn look(&self) {
        loop {
            if let Err(error) = self.records.list(&Filter::default()).await {
                tracing::debug!(%error, "the services are not known");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Makes the bucket, for as long as it takes, and removes what this node does not offer any
    /// more.
    async fn open(&self, services: &[Service]) {
        let mut said = String::new();
        while let Err(error) = self.tidy(services).await {
            let problem = outcome::words(&error);
            if error.is_transient() || problem == said {
                tracing::debug!(%problem, "the services are not announced yet");
            } else {
                tracing::warn!(%problem, "the services of this node cannot be announced");
                said = problem;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn tidy(&self, services: &[Service]) -> Result<(), DiscoveryError> {
        if services.is_empty() {
            return self.remove_others(services).await;
        }
        self.records.ensure(self.replicas).await?;
        self.remove_others(services).await
    }

    async fn remove_others(&self, services: &[Service]) -> Result<(), DiscoveryError> {
        let offered: BTreeSet<&ServiceName> = services.iter().map(|s| &s.name).collect();
        let filter = Filter { node: Some(self.node.clone()), ..Filter::default() };
        for record in self.records.list(&filter).await?.records {
            if !offered.contains(&record.name) {
                self.records.deregister(&record.name, &self.node).await?;
            }
        }
        Ok(())
    }

    /// Removes the records of a daemon that ends in order; [`Announced::run`] has ended.
    pub(crate) async fn withdraw(self, configured: &[Service]) {
        let services = self.offered(configured);
        let removing = services.iter().map(|one| self.records.deregister(&one.name, &self.node));
        let removed = tokio::time::timeout(WITHDRAW_WITHIN, join_all(removing)).await;
        if !removed.is_ok_and(|all| all.iter().all(Result::is_ok)) {
            tracing::debug!("the service records stay until they expire");
        }
    }
}

/// Completes when nothing is announced any more and nothing will be.
async fn ended(mut announcing: impl Stream<Item = ()> + Unpin, mut roles: watch::Receiver<Role>) {
    while announcing.next().await.is_some() {}
    while roles.changed().await.is_ok() {}
}

/// What the node is to those who look for services.
fn role(status: &Status) -> Role {
    match status.phase {
        Phase::Primary => Role::Serving,
        Phase::Starting
        | Phase::Passive
        | Phase::Promoting
        | Phase::Demoting
        | Phase::Falling
        | Phase::Stopped => Role::Waiting,
        Phase::Left => Role::Away,
    }
}

/// The daemon's own service, unless nobody on another host could reach it. A listener that picks
/// its port is not known here.
fn health(listen: SocketAddr, own: Option<IpAddr>) -> Option<Service> {
    let at = if listen.ip().is_unspecified() { own? } else { listen.ip() };
    let reachable = !at.is_loopback() || own.is_some_and(|own| own.is_loopback());
    if listen.port() == 0 || !reachable {
        return None;
    }
    let path = String::from("/health");
    Some(Service {
        name: ServiceName::new(HEALTH).ok()?,
        address: Some(at),
        port: listen.port(),
        protocol: Protocol::Http,
        path: Some(String::from("/status")),
        health_path: Some(path.clone()),
        metadata: [(String::from("version"), String::from(env!("CARGO_PKG_VERSION")))].into(),
        tags: vec![String::from("ccm"), String::from("health")],
        follows_role: false,
        probe: Some(ProbeConfig::new(ProbeKind::Http { path, status: None, body: None })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_daemons_own_service_is_announced_where_others_can_reach_it() {
        let table = [
            ("0.0.0.0:8080", "10.0.1.10", Some("10.0.1.10:8080")),
            ("[::]:8080", "10.0.1.10", Some("10.0.1.10:8080")),
            ("10.0.2.10:8080", "10.0.1.10", Some("10.0.2.10:8080")),
            ("127.0.0.1:8080", "10.0.1.10", None),
            ("127.0.0.1:8080", "127.0.0.1", Some("127.0.0.1:8080")),
            ("0.0.0.0:0", "10.0.1.10", None),
        ];
        for (listen, own, expected) in table {
            let own: IpAddr = own.parse().unwrap();
            let service = health(listen.parse().unwrap(), Some(own));
            let at = service.map(|one| format!("{}:{}", one.address.unwrap(), one.port));
            assert_eq!(at.as_deref(), expected, "{listen}");
        }
        assert_eq!(health("0.0.0.0:8080".parse().unwrap(), None), None);
    }
}
