//! A host: power, a clock that may stand still, processes that may be stopped.

use ccm_guard::VipName;
use ccm_guard::core::{Core, CoreConfig};
use ccm_types::{Monotonic, NodeId};

use crate::backend::Backend;
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::network::Link;
use crate::random::Random;
use crate::scenario::{HostId, Scenario};
use crate::time::{Clock, MS, Time};
use crate::world::{Process, What, World};

/// A host of the world.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) node: NodeId,
    pub(crate) clock: Clock,
    pub(crate) disk: Disk,
    pub(crate) link: Link,
    pub(crate) power: bool,
    /// How often the power has been cut.
    pub(crate) life: u64,
    /// Nothing runs.
    pub(crate) frozen: bool,
    /// Since when the clock stands still with it.
    clock_stopped: Option<Time>,
    /// When it last went on after it stood still.
    pub(crate) thawed_at: Option<Time>,
    /// What has to wait until the host goes on.
    put_off: Vec<What>,
    pub(crate) guard: Core,
    pub(crate) guard_tick: u64,
    /// Which guard it is.
    pub(crate) guard_life: u64,
    pub(crate) backend: Backend,
    pub(crate) vip: bool,
    /// The guard of the address was killed, and no daemon has armed another yet.
    pub(crate) vip_unguarded: bool,
    pub(crate) vip_fails_until: Time,
    pub(crate) daemon: Option<Daemon>,
    /// How many daemons there have been.
    pub(crate) runs: u64,
}

fn guard(now: Monotonic) -> Core {
    let config = CoreConfig {
        pid: 1,
        version: String::new(),
        starts: true,
        vip: Some(VipName {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            prefix_len: 32,
            interface: String::from("lo"),
        }),
        // A guard that has left is started anew: the same as one that has stayed.
        idle_exit: std::time::Duration::from_secs(1_000_000),
    };
    Core::new(config, now)
}

impl Host {
    pub(crate) fn new(id: HostId, scenario: &Scenario, random: &mut Random) -> Self {
        let twin = id >= scenario.nodes;
        let name = format!("n{}", if twin { 0 } else { id });
        // Often as bad as it may be.
        let ppm = match random.below(4) {
            0 => -10_000,
            1 => 10_000,
            _ => i64::try_from(random.between(0, 20_000)).unwrap_or(0) - 10_000,
        };
        let wall = i64::try_from(random.between(0, 7_200_000)).unwrap_or(0) - 3_600_000;
        let clock = Clock::new(random.between(1000, 100_000_000), ppm, wall);
        Self {
            node: NodeId::new(name).unwrap_or_else(|_| unreachable!("a short name is one")),
            guard: guard(clock.local(0)),
            clock,
            disk: Disk::default(),
            link: Link::default(),
            power: true,
            life: 0,
            frozen: false,
            clock_stopped: None,
            thawed_at: None,
            put_off: Vec::new(),
            guard_tick: 0,
            guard_life: 0,
            backend: Backend::default(),
            vip: false,
            vip_unguarded: false,
            vip_fails_until: 0,
            daemon: None,
            runs: 0,
        }
    }
}

impl World {
    pub(crate) fn local(&self, host: HostId) -> Monotonic {
        self.hosts[host].clock.local(self.now)
    }

    /// Whether whoever has to do it runs; what belongs to somebody who is gone may happen: to
    /// nobody.
    pub(crate) fn may_happen(&self, what: &What) -> bool {
        match what.process() {
            Process::World => true,
            Process::Host(host, life) => {
                let host = &self.hosts[host];
                !(host.life == life && host.frozen)
            }
            Process::Guard(host, _) | Process::Backend(host, _) => !self.hosts[host].frozen,
            Process::Daemon(host, run) => {
                let host = &self.hosts[host];
                let paused = host.daemon.as_ref().is_some_and(|d| d.run == run && d.paused);
                !(host.frozen || paused)
            }
        }
    }

    /// Whether it still concerns anybody.
    pub(crate) fn concerns(&self, what: &What) -> bool {
        match what.process() {
            Process::World => true,
            Process::Host(host, life) => self.hosts[host].power && self.hosts[host].life == life,
            Process::Guard(host, life) => {
                self.hosts[host].power && self.hosts[host].guard_life == life
            }
            Process::Backend(host, life) => {
                self.hosts[host].backend.alive && self.hosts[host].backend.life == life
            }
            Process::Daemon(host, run) => {
                self.hosts[host].daemon.as_ref().is_some_and(|daemon| daemon.run == run)
            }
        }
    }

    pub(crate) fn put_off(&mut self, what: What) {
        match what.process() {
            Process::World => {}
            Process::Daemon(host, _) => {
                let host = &mut self.hosts[host];
                match &mut host.daemon {
                    Some(daemon) if daemon.paused => daemon.put_off.push(what),
                    Some(_) | None => host.put_off.push(what),
                }
            }
            Process::Host(host, _) | Process::Guard(host, _) | Process::Backend(host, _) => {
                self.hosts[host].put_off.push(what);
            }
        }
    }

    /// Another guard, which knows of nothing.
    pub(crate) fn new_guard(&mut self, host: HostId) {
        let life = self.number();
        let now = self.local(host);
        let it = &mut self.hosts[host];
        it.guard = guard(now);
        it.guard_tick = 0;
        it.guard_life = life;
    }

    pub(crate) fn power_cut(&mut self, host: HostId, time: Time) {
        if !self.hosts[host].power {
            return;
        }
        self.say(host, || String::from("loses power"));
        self.end_daemon(host);
        let random = &mut self.random;
        let it = &mut self.hosts[host];
        it.power = false;
        it.life += 1;
        it.frozen = false;
        it.clock_stopped = None;
        it.vip = false;
        it.put_off.clear();
        it.backend.end();
        if let Some(data) = &mut it.disk.data {
            data.lose_power(random);
        }
        let life = it.life;
        self.check_serving(host);
        self.after(time, What::PowerOn { host, life });
    }

    pub(crate) fn power_on(&mut self, host: HostId, life: u64) {
        let it = &mut self.hosts[host];
        if it.power || it.life != life {
            return;
        }
        it.power = true;
        it.clock.restart(self.now);
        self.new_guard(host);
        self.say(host, || String::from("has power"));
        let boot = self.random.between(100, 2000) * MS;
        self.after(boot, What::StartDaemon { host, life });
    }

    /// Stands still for a while; the clock may go on or not.
    pub(crate) fn freeze(&mut self, host: HostId, time: Time, clock_stops: bool) {
        let it = &mut self.hosts[host];
        if !it.power || it.frozen {
            return;
        }
        it.frozen = true;
        it.clock_stopped = clock_stops.then_some(self.now);
        let life = it.life;
        self.say(host, || String::from("stands still"));
        self.check_serving(host);
        self.after(time, What::Thaw { host, life });
    }

    pub(crate) fn thaw(&mut self, host: HostId, life: u64) {
        let it = &mut self.hosts[host];
        if it.life != life || !it.frozen {
            return;
        }
        it.frozen = false;
        if let Some(since) = it.clock_stopped.take() {
            it.clock.miss(self.now - since);
        }
        it.thawed_at = Some(self.now);
        let waiting = std::mem::take(&mut it.put_off);
        self.say(host, || String::from("goes on"));
        // The timer of the guard fires at once, those of the daemon within half a second.
        for (order, what) in waiting.into_iter().enumerate() {
            let late = if what.is_timer_of_the_runtime() { 500 * MS } else { 1 };
            let delay = order as Time + self.random.below(late);
            self.after(delay, what);
        }
        self.check_serving(host);
    }

    pub(crate) fn pause(&mut self, host: HostId, time: Time) {
        if let Some(daemon) = self.hosts[host].daemon.as_mut().filter(|d| !d.paused) {
            daemon.paused = true;
            let run = daemon.run;
            self.say(host, || String::from("the daemon is stopped (SIGSTOP)"));
            self.after(time, What::Unpause { host, run });
        }
    }

    pub(crate) fn unpause(&mut self, host: HostId, run: u64) {
        let Some(daemon) = self.hosts[host].daemon.as_mut().filter(|d| d.run == run) else {
            return;
        };
        daemon.paused = false;
        let waiting = std::mem::take(&mut daemon.put_off);
        self.say(host, || String::from("the daemon goes on"));
        for (order, what) in waiting.into_iter().enumerate() {
            self.after(order as Time, what);
        }
    }
}
