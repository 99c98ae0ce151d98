//! `ccm guard`: the process that outlives the daemon and keeps the deadline of the lease.

mod unit;

use std::path::Path;

use ccm_guard::{GuardConfig, ProcessTarget};

use crate::exit::{Ended, Exit};
use crate::logging;
use unit::UnitTarget;

/// The output of a process backend, beside the guard's socket.
const BACKEND_LOG: &str = "backend.log";

/// Guards a systemd unit, or the process that it is told to start.
///
/// Blocks the main thread: the kernel ends a backend with the thread that started it.
pub(crate) fn run(socket: &Path, unit: Option<&str>) -> Ended {
    logging::start();
    let config = GuardConfig::new(socket.to_path_buf());
    let ended = match unit {
        Some(name) => ccm_guard::serve(config, UnitTarget::new(name)),
        None => {
            let log = socket.with_file_name(BACKEND_LOG);
            ccm_guard::serve(config, ProcessTarget::new(Some(log)))
        }
    };
    ended.map_err(anyhow::Error::from)?;
    Ok(Exit::Done)
}
