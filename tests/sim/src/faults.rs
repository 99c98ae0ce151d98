//! What goes wrong, applied.

use ccm_role::{Command, CommandId, Event};

use crate::scenario::{Fault, HostId};
use crate::time::{MS, S, Time};
use crate::world::{What, World};

/// When a daemon that was to be started again is looked at again.
const LOOK_AGAIN: Time = 20 * S;

impl World {
    pub(crate) fn fault(&mut self, number: usize) {
        let Some((_, fault)) = self.scenario.faults.get(number).copied() else { return };
        self.tell(|| format!("*** {fault}"));
        let until = self.now + fault.lasts();
        match fault {
            Fault::Kill(host, time) => {
                self.end_daemon(host);
                self.start_again(host, time);
            }
            Fault::PowerCut(host, time) => self.power_cut(host, time),
            Fault::Pause(host, time) => self.pause(host, time),
            Fault::Suspend(host, time) => self.freeze(host, time, false),
            Fault::StopClock(host, time) => self.freeze(host, time, true),
            Fault::Mute(host, _) => self.hosts[host].link.mute_until = until,
            Fault::Deaf(host, _) => self.hosts[host].link.deaf_until = until,
            Fault::Cut(host, _) => {
                let link = &mut self.hosts[host].link;
                (link.mute_until, link.deaf_until) = (until, until);
            }
            Fault::Lossy(host, _) => self.hosts[host].link.lossy_until = until,
            Fault::Slow(host, _) => self.hosts[host].link.slow_until = until,
            Fault::Doubling(host, _) => self.hosts[host].link.doubling_until = until,
            Fault::NoLeader(_) => self.nats.down_until = until,
            Fault::Forget { back, lease, objects } => {
                self.nats.forget(self.now.saturating_sub(back), lease, objects);
            }
            Fault::Empty { lease, objects } => self.nats.empty(self.now, lease, objects),
            Fault::Stale { behind, .. } => {
                self.nats.behind = behind;
                self.nats.stale_until = until;
            }
            Fault::SlowDisk(host, _) => self.hosts[host].disk.slow_until = until,
            Fault::FailingDisk(host, _) => self.hosts[host].disk.failing_until = until,
            Fault::FullDisk(host, _) => self.hosts[host].disk.full_until = until,
            Fault::BackendDies(host) => self.backend_dies(host),
            Fault::BackendHangs(host) => self.backend_hangs(host),
            Fault::GuardDies(host) => self.guard_dies(host),
            Fault::BackendStays(host, _) => self.hosts[host].backend.stays_until = until,
            Fault::BackendBroken(host, _) => self.hosts[host].backend.broken_until = until,
            Fault::VipFails(host, _) => self.hosts[host].vip_fails_until = until,
            Fault::SetClock(host, by) => self.hosts[host].clock.wall_ms += by * 1000,
            Fault::Demote(host, to) => {
                let successor = to.map(|to| self.hosts[to].node.clone());
                self.command(host, Command::Demote { successor });
            }
            Fault::Promote(host) => self.command(host, Command::Promote),
            Fault::Leave(host, time) => {
                self.command(host, Command::Leave);
                self.start_again(host, time);
            }
            Fault::Shutdown(host, time) => {
                self.event(host, Event::Shutdown);
                self.start_again(host, time);
            }
            Fault::Hurry(host, time) => {
                self.event(host, Event::Shutdown);
                let run = self.run_of(host);
                let event = Event::Shutdown;
                self.after(300 * MS, What::Tell { host, run, event });
                self.start_again(host, time);
            }
        }
    }

    fn event(&mut self, host: HostId, event: Event) {
        let run = self.run_of(host);
        self.after(0, What::Tell { host, run, event });
    }

    fn command(&mut self, host: HostId, command: Command) {
        let id = CommandId(self.number());
        self.event(host, Event::Command { id, command });
    }

    fn start_again(&mut self, host: HostId, time: Time) {
        let life = self.hosts[host].life;
        self.after(time, What::StartDaemon { host, life });
        self.after(time + LOOK_AGAIN, What::StartDaemon { host, life });
    }

    /// Nothing goes wrong from here on: everybody runs, everything works.
    pub(crate) fn calm(&mut self) {
        self.tell(|| String::from("*** nothing goes wrong from here on"));
        let now = self.now;
        self.nats.down_until = self.nats.down_until.min(now);
        self.nats.stale_until = self.nats.stale_until.min(now);
        for host in 0..self.hosts.len() {
            let it = &mut self.hosts[host];
            it.link = crate::network::Link::default();
            it.disk.slow_until = 0;
            it.disk.failing_until = 0;
            it.disk.full_until = 0;
            it.backend.stays_until = 0;
            it.backend.broken_until = 0;
            it.vip_fails_until = it.vip_fails_until.min(now);
            let life = it.life;
            self.thaw(host, life);
            self.power_on(host, life);
            let run = self.run_of(host);
            self.unpause(host, run);
            self.start_again(host, S);
        }
    }
}
