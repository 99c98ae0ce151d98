//! `ccm guard`: the process that outlives the daemon and keeps the deadline of the lease.

mod unit;

use ccm_guard::{GuardConfig, GuardedVip, ProcessTarget, VipName};
use ccm_vip::VipConfig;

use crate::cli::Guard;
use crate::exit::{Ended, Exit, Failure};
use crate::logging;
use unit::UnitTarget;

/// The output of a process backend, beside the guard's socket.
const BACKEND_LOG: &str = "backend.log";

/// Guards a systemd unit, or the process that it is told to start, and the virtual IP.
///
/// Blocks the main thread: the kernel ends a backend with the thread that started it.
pub(crate) fn run(guard: &Guard) -> Ended {
    let vip = match (&guard.vip, &guard.vip_interface) {
        (Some(address), Some(interface)) => Some(guarded(vip(address, interface)?)),
        (None, _) | (_, None) => None,
    };
    logging::start();
    let config = GuardConfig::new(guard.socket.clone());
    let ended = match &guard.unit {
        Some(name) => ccm_guard::serve(config, UnitTarget::new(name, vip)),
        None => {
            let log = guard.socket.with_file_name(BACKEND_LOG);
            ccm_guard::serve(config, ProcessTarget::new(Some(log)).with_vip(vip))
        }
    };
    ended.map_err(anyhow::Error::from)?;
    Ok(Exit::Done)
}

/// `ADDRESS/PREFIX` on an interface.
fn vip(text: &str, interface: &str) -> Result<VipConfig, Failure> {
    let parts = text.split_once('/');
    let parts = parts.and_then(|(address, len)| Some((address.parse().ok()?, len.parse().ok()?)));
    let (address, prefix_len) = parts
        .ok_or_else(|| Failure::usage(format!("--vip {text}: write it like 10.0.1.100/24")))?;
    VipConfig::new(address, prefix_len, interface)
        .map_err(|error| Failure::usage(format!("--vip {text}: {error}")))
}

fn guarded(config: VipConfig) -> GuardedVip {
    let name = VipName {
        address: config.address(),
        prefix_len: config.prefix_len(),
        interface: String::from(config.interface()),
    };
    GuardedVip::new(name, move || {
        let released = ccm_vip::release_now(&config).map_err(anyhow::Error::from);
        let released = released.map_err(|error| format!("{error:#}"))?;
        // It is looked for again and again.
        if released.removed > 0 {
            let (vip, interface) = (config.address(), config.interface());
            tracing::warn!(%vip, interface, "the lease has run out: the virtual IP is off");
        }
        Ok(())
    })
}
