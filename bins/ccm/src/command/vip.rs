//! `ccm vip`: the virtual IP as the kernel of this host has it, without daemon and NATS.

use std::time::Duration;

use anyhow::anyhow;
use ccm_agent::Settings;
use ccm_guard::{GuardClient, GuardError, Hello};
use ccm_types::{BootClock, RoleName};
use ccm_vip::{Released, VipConfig, VipError, VipState};
use serde_json::json;

use crate::cli::{Shared, VipCommand};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::exit::{Ended, Exit, Failure};
use crate::{print, words};

/// How long the kernel may take; it takes a fraction of a millisecond.
const KERNEL_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn run(shared: &Shared, command: VipCommand) -> Ended {
    let settings = Config::load(shared.config.as_deref())?.settings();
    let none = || Failure::usage("no virtual IP is configured: set vip.address and vip.interface");
    let vip = settings.vip.clone().ok_or_else(none)?;
    match command {
        VipCommand::Status => status(shared, &vip).await,
        VipCommand::Release { force } => {
            if !force && let Some(why) = is_primary(&settings).await {
                let words = words::vip(&vip);
                return Err(Failure::again(format!(
                    "{words} was left on: {why}; `ccm demote` moves it in order, --force takes \
                     it off all the same"
                )));
            }
            release(shared, &vip).await
        }
    }
}

async fn status(shared: &Shared, vip: &VipConfig) -> Ended {
    let state = look(vip).await?;
    let problem = state.link.problem(vip.interface());
    if shared.json {
        print::json(&json!({
            "address": words::vip(vip),
            "interface": vip.interface(),
            "held": state.is_held(),
            "elsewhere": state.elsewhere,
            "problem": problem,
        }))?;
        return Ok(Exit::Done);
    }
    let held = if state.is_held() { "held" } else { "not held" };
    print::line(&format!("{} on {}: {held}", words::vip(vip), vip.interface()))?;
    for other in &state.elsewhere {
        print::line(&format!("It is on {other}, where it does not belong"))?;
    }
    if let Some(problem) = problem {
        print::line(&format!("Problem: {problem}"))?;
    }
    Ok(Exit::Done)
}

async fn release(shared: &Shared, vip: &VipConfig) -> Ended {
    let config = vip.clone();
    let Released { removed, put_back, lost, elsewhere } =
        blocking(move || ccm_vip::release_now(&config)).await?;
    if shared.json {
        print::json(&json!({
            "ok": lost.is_empty(),
            "address": words::vip(vip),
            "interface": vip.interface(),
            "removed": removed > 0,
            "putBack": put_back,
            "lost": lost,
            "elsewhere": elsewhere,
        }))?;
    } else {
        let done = if removed > 0 { "✓ taken off" } else { "was not there" };
        print::line(&format!("{} on {}: {done}", words::vip(vip), vip.interface()))?;
        for other in &elsewhere {
            print::line(&format!("⚠ It is on {other} too: take it off with `ip address del`"))?;
        }
        for address in &lost {
            print::line(&format!("⚠ The kernel took {address} off as well: add it again"))?;
        }
    }
    Ok(if lost.is_empty() { Exit::Done } else { Exit::Internal })
}

/// What the kernel says.
pub(crate) async fn look(vip: &VipConfig) -> Result<VipState, Failure> {
    let config = vip.clone();
    blocking(move || ccm_vip::state_now(&config)).await
}

/// Why this node is to have the address, as far as can be known.
///
/// The guard knows until when the lease is valid, and needs neither the daemon nor NATS for that.
/// Only a node that has none is asked over NATS.
async fn is_primary(settings: &Settings) -> Option<String> {
    match hello(settings).await {
        Ok(Hello { armed: Some(armed), expired: false, .. }) => {
            let left = armed.valid_until.since(BootClock.now()).as_secs();
            Some(format!(
                "this node is PRIMARY, its lease of epoch {} is valid for another {left} s",
                armed.epoch
            ))
        }
        Ok(_) => None,
        Err(error @ (GuardError::Silent { .. } | GuardError::Lost { .. })) => {
            Some(format!("whether this node is PRIMARY is not known: {error}"))
        }
        Err(_) => asked_over_nats(settings).await,
    }
}

async fn hello(settings: &Settings) -> Result<Hello, GuardError> {
    let (guard, _events) = GuardClient::connect(&settings.files.guard_socket()).await?;
    guard.hello().await
}

/// Without a guard only the daemon knows; without an answer there is no daemon that could hold it.
async fn asked_over_nats(settings: &Settings) -> Option<String> {
    let cluster = Cluster::with(settings.clone()).await.ok()?;
    let status = cluster.status().await.ok()?;
    (status.role == RoleName::Primary).then(|| String::from("this node is PRIMARY"))
}

/// What blocks has a thread of its own, and is not waited for without end.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VipError> + Send + 'static,
) -> Result<T, Failure> {
    let working = tokio::task::spawn_blocking(work);
    match tokio::time::timeout(KERNEL_WITHIN, working).await {
        Ok(Ok(Ok(done))) => Ok(done),
        Ok(Ok(Err(error))) => {
            let exit = if error.is_transient() { Exit::TryAgain } else { Exit::Internal };
            Err(Failure::new(exit, error))
        }
        Ok(Err(panicked)) => Err(Failure::from(anyhow!(panicked))),
        Err(_elapsed) => {
            Err(Failure::again(format!("the kernel has not answered within {KERNEL_WITHIN:?}")))
        }
    }
}
