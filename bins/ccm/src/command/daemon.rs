//! `ccm daemon`: the node itself, until it is told to end.

use anyhow::Context as _;
use ccm_agent::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::Shared;
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use crate::logging;

/// Requests to end that count: the first plans, the second hurries.
const REQUESTS: usize = 2;

pub(crate) fn run(shared: &Shared) -> Ended {
    let settings = Config::load(shared.config.as_deref())?.settings();
    logging::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("could not start the runtime")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> Ended {
    let (node, cluster) = (settings.node.clone(), settings.cluster.clone());
    tracing::info!(%node, %cluster, version = env!("CARGO_PKG_VERSION"), "ccm starts");
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (end, shutdown) = mpsc::channel(REQUESTS);
    let mut running = std::pin::pin!(ccm_agent::run(settings, shutdown));
    let ended = loop {
        tokio::select! {
            ended = &mut running => break ended,
            _ = terminate.recv() => tracing::info!("SIGTERM: shutting down"),
            _ = interrupt.recv() => tracing::info!("SIGINT: shutting down; once more to hurry"),
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
            let exit = if error.is_transient() { Exit::TryAgain } else { Exit::Internal };
            Err(Failure::new(exit, error))
        }
    }
}
