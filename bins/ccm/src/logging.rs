//! Log lines of the long-running commands, on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The environment variable that chooses what is logged, as `info` or `ccm_agent=debug`.
const VARIABLE: &str = "CCM_LOG";
/// What is logged otherwise.
const DEFAULT: &str = "info,async_nats=warn";

/// Starts to log; a filter that cannot be read falls back to the default and says so.
pub(crate) fn start() {
    let wanted = std::env::var(VARIABLE).ok();
    let filter = wanted.as_deref().map(EnvFilter::try_new);
    let (filter, bad) = match filter {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(DEFAULT), Some(error)),
        None => (EnvFilter::new(DEFAULT), None),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    if let Some(error) = bad {
        tracing::warn!(%error, "{VARIABLE} is not a log filter: logging {DEFAULT}");
    }
}
