//! SIGHUP: the configuration is read again, what can change changes, the rest is named.

use std::path::PathBuf;

use ccm_agent::{Supervisor, Tunables};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::config::reload::{self, Reload};
use crate::exit::Failure;
use crate::logging::Log;

/// What is in force, and the configuration that is being read.
pub(super) struct Reloading {
    path: Option<PathBuf>,
    config: Config,
    tunables: watch::Sender<Tunables>,
    log: Log,
    supervisor: Supervisor,
    reading: Option<JoinHandle<Result<Config, Failure>>>,
}

impl Reloading {
    pub(super) fn new(
        path: Option<PathBuf>,
        config: Config,
        tunables: watch::Sender<Tunables>,
        log: Log,
        supervisor: Supervisor,
    ) -> Self {
        Self { path, config, tunables, log, supervisor, reading: None }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.reading.is_some()
    }

    /// Reads the file beside everything else that goes on.
    pub(super) fn begin(&mut self) {
        self.supervisor.reloading();
        let path = self.path.clone();
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let config = Config::load(path.as_deref())?;
            config.view().tunables().probe().map_err(anyhow::Error::from)?;
            Ok(config)
        }));
    }

    /// Completes when a file was read and its values are in force, or refused. Cancel safe.
    pub(super) async fn end(&mut self) {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let read = reading.await;
        self.reading = None;
        match read {
            Ok(Ok(new)) => self.apply(&new),
            Ok(Err(failure)) => refused(&format!("{:#}", failure.error)),
            Err(died) => refused(&died.to_string()),
        }
        self.supervisor.reloaded();
    }

    fn apply(&mut self, new: &Config) {
        let reload = reload::diff(&self.config, new);
        self.config = reload::merge(&self.config, new);
        self.log.apply(self.config.log());
        self.tunables.send_replace(reload::tunables(&self.config, &reload));
        say(&reload);
    }
}

fn refused(problem: &str) {
    tracing::warn!(
        %problem,
        "the configuration was not taken over, everything stays as it was: correct it and reload"
    );
}

fn say(reload: &Reload) {
    let Reload { applied, refused } = reload;
    if !refused.is_empty() {
        tracing::warn!(
            keys = refused.join(", "),
            "these keys have changed and cannot change while the daemon runs: their old values \
             stay in force until it is restarted"
        );
    }
    match applied.as_slice() {
        [] if refused.is_empty() => tracing::info!("the configuration is what it was"),
        [] => {}
        keys => tracing::info!(keys = keys.join(", "), "the configuration was taken over"),
    }
}
