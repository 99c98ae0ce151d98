//! **Liveness**: when nothing goes wrong any more, within [`BOUND`] exactly one node is primary,
//! its backend serves, it has the virtual IP and nobody else has, and every other node follows it
//! closely.
//!
//! When NATS has lost objects, a node may keep data of an epoch that the cluster has forgotten: it
//! is left alone and not followed with. And a bucket may be left with a hole that no replica
//! reaches over: whoever served then would drop what lies behind it, so nobody does before an
//! operator has decided. Every node says so. The same where the lease has gone back as well, to a
//! release whose transaction nobody has any more: the nodes try in turn, and the last one says so.

use ccm_role::Phase;

use crate::files::Running;
use crate::scenario::HostId;
use crate::time::{S, Time};
use crate::world::World;

/// A node that could not serve rests for 30 s, a lease takes 10 s to run out, starts and stops
/// have their timeouts.
pub(crate) const BOUND: Time = 90 * S;

/// How old the newest commit of a follower may be.
const BEHIND: Time = 5 * S;

impl World {
    /// Why the cluster is not at rest; `None` when it is.
    pub(crate) fn unrest(&self) -> Option<String> {
        let primaries: Vec<HostId> = (0..self.hosts.len())
            .filter(|host| self.phase(*host) == Some(Phase::Primary))
            .collect();
        if primaries.is_empty() && self.scenario.loses_objects() && self.they_say_why() {
            return None;
        }
        let [primary] = primaries[..] else {
            return Some(format!("the primaries are {primaries:?}"));
        };
        let it = &self.hosts[primary];
        if !it.backend.alive || !it.vip {
            return Some(format!("host {primary} leads and does not serve"));
        }
        let Some(content) = it.disk.data.as_ref().map(crate::disk::Data::content) else {
            return Some(format!("host {primary} leads without data"));
        };
        if self.versions.made_at(content) + BEHIND < self.now {
            return Some(format!("nothing is committed on host {primary}"));
        }
        let behind = (0..self.hosts.len()).filter(|host| *host != primary);
        for host in behind {
            let it = &self.hosts[host];
            if it.vip || it.backend.alive {
                return Some(format!("host {host} has a backend or the address"));
            }
            if self.scenario.loses_objects() && self.phase(host) == Some(Phase::Passive) {
                continue;
            }
            let refused = self.scenario.twin && it.node == self.hosts[primary].node;
            let refused = refused || (self.scenario.twin && self.phase(host).is_none());
            if refused {
                continue;
            }
            if self.phase(host) != Some(Phase::Passive) {
                return Some(format!("host {host} is {:?}", self.phase(host)));
            }
            let Some(replica) = &it.disk.replica else {
                return Some(format!("host {host} has no replica"));
            };
            let follows = self.versions.contains(content, replica.content);
            let near = self.versions.made_at(replica.content) + BEHIND >= self.now;
            if !follows || !near || replica.torn.is_some() {
                let (has, leads) = (replica.content, content);
                return Some(format!("host {host} has {has}, host {primary} has {leads}"));
            }
        }
        let daemon = self.hosts[primary].daemon.as_ref()?;
        match &daemon.files.running {
            Running::Capturing(_) => None,
            Running::Nothing | Running::Following(_) => {
                Some(format!("host {primary} does not capture"))
            }
        }
    }

    /// Whether every node shows a problem, or the last one that has tried names the release.
    fn they_say_why(&self) -> bool {
        let problems = || {
            let daemons = self.hosts.iter().filter_map(|it| it.daemon.as_ref());
            daemons.map(|daemon| daemon.machine.status().problem)
        };
        let names = |problem: String| problem.starts_with("the lease was released at transaction");
        problems().all(|problem| problem.is_some())
            || self.scenario.loses_lease() && problems().flatten().any(names)
    }

    fn phase(&self, host: HostId) -> Option<Phase> {
        let daemon = self.hosts[host].daemon.as_ref().filter(|daemon| daemon.joined)?;
        Some(daemon.machine.status().phase)
    }

    /// The time is over and the cluster is not at rest.
    pub(crate) fn check_rest(&mut self) {
        if let Some(why) = self.unrest() {
            self.violated("liveness", why);
        }
    }
}
