//! `ccm daemon`: the node itself, until it is told to end.

mod guard_home;
mod reloading;

use anyhow::Context as _;
use ccm_agent::{Controls, Place, Settings, Supervisor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cli::{Daemon, Shared};
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use crate::logging::{self, Log, Overrides};
use reloading::Reloading;

/// Requests to end that count: the first plans, the second hurries.
const REQUESTS: usize = 2;

pub(crate) fn run(daemon: &Daemon, shared: &Shared) -> Ended {
    let config = Config::load(shared.config.as_deref())?;
    let place = watch::Sender::new(Place::default());
    let context = logging::Context::new(Some(config.view()), place.subscribe());
    let log = Log::start(Overrides::read(daemon.log_format), config.log(), context);
    let supervisor = Supervisor::from_env().unwrap_or_else(|error| {
        tracing::warn!("{error}");
        Supervisor::default()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    let (tunables, tuned) = watch::channel(config.view().tunables());
    let settings = Settings { guard_home: guard_home::find(config.view()), ..config.settings() };
    let path = shared.config.clone();
    let reloading = Reloading::new(path, config, tunables, log, supervisor.clone());
    let (end, shutdown) = mpsc::channel(REQUESTS);
    let controls = Controls { shutdown, tunables: tuned, place, supervisor };
    runtime.block_on(serve(settings, controls, end, reloading))
}

async fn serve(
    settings: Settings,
    controls: Controls,
    end: mpsc::Sender<()>,
    mut reloading: Reloading,
) -> Ended {
    let (node, cluster) = (settings.node.clone(), settings.cluster.clone());
    tracing::info!(%node, %cluster, version = env!("CARGO_PKG_VERSION"), "ccm starts");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut running = std::pin::pin!(ccm_agent::run(settings, controls));
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down; once more to hurry"),
            _ = hangup.recv(), if !reloading.is_busy() => {
                reloading.begin();
                continue;
            }
            () = reloading.end() => continue,
        }
        // A full queue means that it is told twice already.
        end.try_send(()).ok();
    };
    match ended {
        Ok(()) => {
            tracing::info!(%node, "ccm has ended");
            Ok(Exit::Done)
        }
        Err(error) => {
            let exit = match (error.is_transient(), error.is_configuration()) {
                (true, _) => Exit::TryAgain,
                (false, true) => Exit::Usage,
                (false, false) => Exit::Internal,
            };
            Err(Failure::new(exit, error))
        }
    }
}
