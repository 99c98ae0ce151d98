//! Keeping the record of one service fresh: its health follows the role of the node and what
//! probes find.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ccm_types::{ClusterId, NodeId, ServiceName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::health::{self, Probed, Steady};
use crate::{DiscoveryError, Health, Probe, ProbeConfig, Protocol, ServiceRecord, Services};

/// A record that is not refreshed for so long is gone.
pub const FORGET_AFTER: Duration = Duration::from_secs(30);

/// Between two refreshes of a record.
const REFRESH: Duration = Duration::from_secs(10);

/// Between two tries to write a record, and between two probes of a service that is not passing.
const AGAIN: Duration = Duration::from_secs(1);

/// A service of a node, as its operator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ServiceName,
    /// Where it listens, when not at the node's own address.
    pub address: Option<IpAddr>,
    /// Where it listens.
    pub port: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// What is to be asked for.
    pub path: Option<String>,
    /// What is asked whether it is healthy.
    pub health_path: Option<String>,
    /// What the operator says of it.
    pub metadata: BTreeMap<String, String>,
    /// What it is found by.
    pub tags: Vec<String>,
    /// Whether it is in use only where the node serves as primary.
    pub follows_role: bool,
    /// How it is probed, if it is.
    pub probe: Option<ProbeConfig>,
}

/// What the node is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It serves as primary.
    Serving,
    /// It does not.
    Waiting,
    /// It takes no part: nothing of it is announced.
    Away,
}

/// What keeps the record of one service.
#[derive(Debug)]
pub struct Announcement {
    /// The bucket; made again when it is found missing.
    pub services: Services,
    /// Replicas of a bucket that is made.
    pub replicas: usize,
    /// The cluster.
    pub app: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The node's own address.
    pub address: IpAddr,
    /// The service.
    pub service: Service,
}

/// What an announcement knows.
#[derive(Debug)]
struct State {
    registered_at: String,
    steady: Option<Steady>,
    /// What the record says, once it is written.
    written: Option<Health>,
    write_at: Instant,
    probe_at: Instant,
}

impl Announcement {
    /// Writes the record at every change of its health and every ten seconds, until the sender of
    /// `role` is gone. The record then stays for [`FORGET_AFTER`], unless it is
    /// [removed](Services::deregister).
    pub async fn run(self, mut role: watch::Receiver<Role>) {
        let now = Instant::now();
        let steady = |probe: &ProbeConfig| Steady::new(probe.failures, probe.successes);
        let mut state = State {
            registered_at: moment(),
            steady: self.service.probe.as_ref().map(steady),
            written: None,
            write_at: now,
            probe_at: now,
        };
        let probe = self.service.probe.as_ref().map(|config| Probe::new(config, self.endpoint()));
        loop {
            let at_present = *role.borrow_and_update();
            match at_present {
                Role::Away => {
                    self.withdraw(&mut state).await;
                    if role.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                Role::Serving | Role::Waiting => {}
            }
            let serving = at_present == Role::Serving;
            let asks = probe.as_ref().filter(|_| serving || !self.service.follows_role);
            if asks.is_none()
                && let Some(steady) = &mut state.steady
            {
                steady.forget();
                state.probe_at = Instant::now();
            }
            let known = self.write_if_due(&mut state, serving).await;
            let checking = async {
                let Some(probe) = asks else { return std::future::pending().await };
                sleep_until(state.probe_at).await;
                probe.check().await
            };
            tokio::select! {
                changed = role.changed() => if changed.is_err() { return },
                answer = checking => self.note(&mut state, answer),
                () = sleep_until(state.write_at), if known => {}
            }
        }
    }

    fn endpoint(&self) -> SocketAddr {
        SocketAddr::new(self.service.address.unwrap_or(self.address), self.service.port)
    }

    /// Takes in the answer of a probe.
    fn note(&self, state: &mut State, answer: Result<(), String>) {
        let (Some(config), Some(steady)) = (&self.service.probe, &mut state.steady) else { return };
        let first = steady.probed() == Probed::Unknown;
        let turned = steady.note(answer.is_ok());
        let service = &self.service.name;
        match &answer {
            Err(problem) if turned => {
                tracing::warn!(%service, %problem, "the service is critical: start or mend it");
            }
            Err(problem) => tracing::debug!(%service, %problem, "a probe has failed"),
            Ok(()) if turned && !first => tracing::info!(%service, "the service is passing again"),
            Ok(()) => {}
        }
        let well = steady.probed() == Probed::Up && answer.is_ok();
        let pause = if well { config.interval } else { config.interval.min(AGAIN) };
        state.probe_at = Instant::now() + pause;
    }

    /// Writes the record when it is out of date or is to be refreshed; whether its health is known.
    async fn write_if_due(&self, state: &mut State, serving: bool) -> bool {
        let probed = state.steady.as_ref().map_or(Probed::Not, Steady::probed);
        let Some(health) = health::of(self.service.follows_role, serving, probed) else {
            return false;
        };
        if state.written == Some(health) && Instant::now() < state.write_at {
            return true;
        }
        let record = self.record(health, state.registered_at.clone());
        match self.write(&record).await {
            Ok(()) => {
                state.written = Some(health);
                state.write_at = Instant::now() + REFRESH;
            }
            Err(error) => {
                let service = &self.service.name;
                tracing::debug!(%service, %error, "the service record was not written");
                state.write_at = Instant::now() + AGAIN;
            }
        }
        true
    }

    async fn write(&self, record: &ServiceRecord) -> Result<(), DiscoveryError> {
        match self.services.register(record, FORGET_AFTER).await {
            Err(error) if error.is_no_bucket() => {
                self.services.ensure(self.replicas).await?;
                self.services.register(record, FORGET_AFTER).await
            }
            done => done,
        }
    }

    async fn withdraw(&self, state: &mut State) {
        state.written = None;
        state.write_at = Instant::now();
        if let Err(error) = self.services.deregister(&self.service.name, &self.node).await {
            let service = &self.service.name;
            tracing::debug!(%service, %error, "the service record stays until it expires");
        }
    }

    fn record(&self, health: Health, registered_at: String) -> ServiceRecord {
        let Service { name, port, protocol, path, health_path, metadata, tags, .. } =
            self.service.clone();
        ServiceRecord {
            app: self.app.clone(),
            name,
            node: self.node.clone(),
            address: self.endpoint().ip(),
            port,
            protocol,
            path,
            health_path,
            metadata,
            tags,
            health,
            registered_at,
            updated_at: moment(),
        }
    }
}

/// The time of the wall clock, RFC 3339, to the millisecond; such times sort as text.
fn moment() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
