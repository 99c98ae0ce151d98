//! The ways into a running daemon and out of it, beside NATS and HTTP.

use std::time::Duration;

use ccm_discovery::Service;
use ccm_health::Probe;
use ccm_types::{Epoch, RoleName};
use tokio::sync::{mpsc, watch};

use crate::{RunError, Settings, Supervisor};

/// What whoever runs a daemon holds in the hand.
#[derive(Debug)]
pub struct Controls {
    /// Its first message plans the end, a second one hurries.
    pub shutdown: mpsc::Receiver<()>,
    /// What may change while the daemon runs.
    pub tunables: watch::Receiver<Tunables>,
    /// What the daemon is at present, for whoever logs.
    pub place: watch::Sender<Place>,
    /// Whom the daemon tells that it is ready, alive, stopping.
    pub supervisor: Supervisor,
}

impl Controls {
    /// A daemon of which nothing changes and that nobody supervises.
    #[must_use]
    pub fn new(settings: &Settings, shutdown: mpsc::Receiver<()>) -> Self {
        Self {
            shutdown,
            tunables: watch::channel(settings.tunables()).1,
            place: watch::Sender::default(),
            supervisor: Supervisor::default(),
        }
    }
}

/// What a daemon is, for whoever logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// Its role; `None` before it takes part.
    pub role: Option<RoleName>,
    /// The epoch that it leads, or knows of.
    pub epoch: Option<Epoch>,
}

/// What may change while a daemon runs; everything else waits for its restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunables {
    /// See [`Settings::services`].
    pub services: Vec<Service>,
    /// See [`crate::BackendSettings::health`].
    pub health: Option<String>,
    /// See [`crate::BackendSettings::health_interval`].
    pub health_interval: Duration,
    /// See [`crate::BackendSettings::health_timeout`].
    pub health_timeout: Duration,
    /// See [`crate::FileSettings::snapshot_interval`].
    pub snapshot_interval: Duration,
    /// See [`crate::FileSettings::retention`].
    pub retention: Duration,
    /// See [`crate::FileSettings::diverged_max`].
    pub diverged_max: u64,
    /// Keys of the configuration whose new values wait for a restart: said in the status.
    pub waiting: Vec<String>,
}

impl Tunables {
    /// The probe of the backend; `None` when it is not probed.
    ///
    /// # Errors
    /// [`RunError::Probe`] when the URL cannot be probed.
    pub fn probe(&self) -> Result<Option<Probe>, RunError> {
        let Some(url) = &self.health else { return Ok(None) };
        Ok(Some(Probe::new(url, self.health_timeout)?))
    }

    /// What an operator should know, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        (!self.waiting.is_empty()).then(|| {
            let keys = self.waiting.join(", ");
            format!("changes of {keys} in the configuration wait for a restart of the daemon")
        })
    }
}

impl Settings {
    /// The part that may change while the daemon runs.
    #[must_use]
    pub fn tunables(&self) -> Tunables {
        let Self { services, backend, files, .. } = self;
        Tunables {
            services: services.clone(),
            health: backend.health.clone(),
            health_interval: backend.health_interval,
            health_timeout: backend.health_timeout,
            snapshot_interval: files.snapshot_interval,
            retention: files.retention,
            diverged_max: files.diverged_max,
            waiting: Vec::new(),
        }
    }
}
