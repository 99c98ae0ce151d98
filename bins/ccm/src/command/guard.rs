//! `ccm guard`: the process that outlives the daemon and keeps the deadline of the lease.

use std::path::Path;

use ccm_guard::{GuardConfig, ProcessTarget};

use crate::exit::{Ended, Exit};
use crate::logging;

/// The output of a backend, beside the guard's socket.
const BACKEND_LOG: &str = "backend.log";

/// Blocks the main thread: the kernel ends the backend with the thread that started it.
pub(crate) fn run(socket: &Path) -> Ended {
    logging::start();
    let target = ProcessTarget::new(Some(socket.with_file_name(BACKEND_LOG)));
    ccm_guard::serve(GuardConfig::new(socket.to_path_buf()), target)
        .map_err(anyhow::Error::from)?;
    Ok(Exit::Done)
}
