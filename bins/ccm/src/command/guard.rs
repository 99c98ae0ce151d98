//! `ccm guard`: the process that outlives the daemon and keeps the deadline of the lease.

mod unit;

use std::path::{Path, PathBuf};

use ccm_agent::{BackendKind, Place, Settings};
use ccm_guard::{GuardConfig, GuardedVip, ProcessTarget, VipName};
use ccm_vip::VipConfig;
use tokio::sync::watch;

use crate::cli::{Guard, Shared};
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use crate::logging::{self, Log, Overrides};
use unit::UnitTarget;

/// The output of a process backend, beside the guard's socket.
const BACKEND_LOG: &str = "backend.log";

/// What is guarded, and where daemons find the guard.
struct Guarding {
    socket: PathBuf,
    /// The systemd unit to end; `None` when the guard starts the backend.
    unit: Option<String>,
    vip: Option<VipConfig>,
}

/// Guards a systemd unit, or the process that it is told to start, and the virtual IP.
///
/// Blocks the main thread: the kernel ends a backend with the thread that started it.
pub(crate) fn run(guard: &Guard, shared: &Shared) -> Ended {
    // A daemon that starts its guard says everything itself: the file may be another one.
    let (guarding, config) = match &guard.socket {
        Some(socket) => (asked(guard, socket)?, None),
        None => {
            let config = Config::load(shared.config.as_deref())?;
            (configured(config.view())?, Some(config))
        }
    };
    let settings = config.as_ref().map(|config| config.log().clone()).unwrap_or_default();
    let (_unchanging, place) = watch::channel(Place::default());
    let context = logging::Context::new(config.as_ref().map(Config::view), place);
    // A guard is never reloaded.
    drop(Log::start(Overrides::read(None), &settings, context));
    let Guarding { socket, unit, vip } = guarding;
    let (vip, config) = (vip.map(guarded), GuardConfig::new(socket.clone()));
    let ended = match unit {
        Some(name) => ccm_guard::serve(config, UnitTarget::new(&name, vip)),
        None => {
            let log = socket.with_file_name(BACKEND_LOG);
            ccm_guard::serve(config, ProcessTarget::new(Some(log)).with_vip(vip))
        }
    };
    ended.map_err(anyhow::Error::from)?;
    Ok(Exit::Done)
}

/// As the command line says.
fn asked(guard: &Guard, socket: &Path) -> Result<Guarding, Failure> {
    let vip = match (&guard.vip, &guard.vip_interface) {
        (Some(address), Some(interface)) => Some(vip(address, interface)?),
        (None, _) | (_, None) => None,
    };
    Ok(Guarding { socket: socket.to_owned(), unit: guard.unit.clone(), vip })
}

/// As a daemon with this configuration starts it.
fn configured(settings: &Settings) -> Result<Guarding, Failure> {
    let unit = match &settings.backend.kind {
        BackendKind::Process(_) => None,
        BackendKind::Systemd(_) if !settings.guard => {
            return Err(Failure::usage("there is no guard: guard.enabled is false"));
        }
        BackendKind::Systemd(unit) => Some(unit.clone()),
    };
    Ok(Guarding { socket: settings.files.guard_socket(), unit, vip: settings.vip.clone() })
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
