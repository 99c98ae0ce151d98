//! Scenarios by chance.

use super::{Fault, HostId, Scenario};
use crate::random::Random;
use crate::time::{MS, S, Time};

/// The faults come within this time.
const FAULTS_MAX: u64 = 9;

impl Scenario {
    /// The scenario of a seed; `nodes` `None` chooses 2 to 5.
    #[must_use]
    pub fn of_seed(seed: u64, nodes: Option<usize>) -> Self {
        let mut random = Random::new(seed ^ 0x5CE7_A210);
        let nodes = nodes.unwrap_or([2, 2, 3, 3, 3, 4, 5][random.index(7)]);
        let twin = random.one_in(16);
        let hosts = nodes + usize::from(twin);
        let mut generator = Generator { hosts, lies: random.one_in(8), last: None, random };
        let calm_at = generator.random.between(6, 45) * S;
        let count = generator.random.between(1, FAULTS_MAX);
        let mut faults: Vec<(Time, Fault)> = Vec::new();
        for _ in 0..count {
            let near = faults.last().map(|(at, _)| *at).filter(|_| generator.random.one_in(2));
            let at = match near {
                Some(near) => near + generator.random.between(0, 4000) * MS,
                None => generator.random.between(0, calm_at / MS) * MS,
            };
            let fault = generator.fault(near.is_some());
            faults.push((at.min(calm_at), fault));
        }
        if generator.random.one_in(6) {
            faults.extend(generator.slow_death(calm_at));
        }
        faults.sort_by_key(|(at, _)| *at);
        let full_sync = generator.random.one_in(2);
        Self { about: String::new(), seed, nodes, twin, full_sync, calm_at, faults }
    }
}

struct Generator {
    hosts: usize,
    /// NATS and clocks may break their word.
    lies: bool,
    /// The host of the last fault: what goes wrong together often does so in one place.
    last: Option<HostId>,
    random: Random,
}

impl Generator {
    fn host(&mut self, near: bool) -> HostId {
        let host = match self.last.filter(|_| near && !self.random.one_in(3)) {
            Some(host) => host,
            None => self.random.index(self.hosts),
        };
        self.last = Some(host);
        host
    }

    /// A host whose last renewal is answered late, whose backend does not want to go.
    fn slow_death(&mut self, calm_at: Time) -> [(Time, Fault); 3] {
        let host = self.host(false);
        let at = self.random.between(3000, calm_at.max(4 * S) / MS) * MS;
        let cut = self.random.between(0, 8000) * MS;
        [
            (at, Fault::BackendStays(host, 30 * S)),
            (at, Fault::Slow(host, 9 * S)),
            (at + cut, Fault::Cut(host, self.random.between(12_000, 25_000) * MS)),
        ]
    }

    /// Mostly about the length of a lease, sometimes much shorter or longer.
    fn time(&mut self) -> Time {
        match self.random.below(4) {
            0 => self.random.between(10, 1000) * MS,
            1 | 2 => self.random.between(1000, 12_000) * MS,
            _ => self.random.between(9000, 25_000) * MS,
        }
    }

    fn fault(&mut self, near: bool) -> Fault {
        if self.lies && self.random.one_in(3) {
            return self.lie();
        }
        let (host, time) = (self.host(near), self.time());
        match self.random.below(29) {
            0 | 1 => Fault::Kill(host, time),
            2 | 3 => Fault::PowerCut(host, time),
            4 => Fault::Pause(host, time),
            5 => Fault::Suspend(host, time),
            6 => Fault::Mute(host, time),
            7 => Fault::Deaf(host, time),
            8 | 9 => Fault::Cut(host, time),
            10 => Fault::Lossy(host, time),
            11 => Fault::Slow(host, time),
            12 => Fault::Doubling(host, time),
            13 | 14 => Fault::NoLeader(self.random.between(1000, 14_000) * MS),
            15 => Fault::SlowDisk(host, time),
            16 => Fault::FailingDisk(host, time),
            17 => Fault::FullDisk(host, time),
            18 => Fault::BackendDies(host),
            19 => Fault::BackendHangs(host),
            20 => Fault::BackendStays(host, time),
            21 => Fault::BackendBroken(host, time),
            22 => Fault::VipFails(host, time),
            23 => {
                let by = i64::try_from(self.random.between(0, 7200)).unwrap_or(0) - 3600;
                Fault::SetClock(host, by)
            }
            24 => {
                let to = self.random.index(self.hosts);
                let to = (to != host && self.random.one_in(2)).then_some(to);
                Fault::Demote(host, to)
            }
            25 => Fault::Promote(host),
            27 => Fault::GuardDies(host),
            26 => {
                if self.random.one_in(2) {
                    Fault::Leave(host, time)
                } else {
                    Fault::Hurry(host, time)
                }
            }
            _ => Fault::Shutdown(host, time),
        }
    }

    fn lie(&mut self) -> Fault {
        let (lease, objects) = [(true, true), (true, false), (false, true)][self.random.index(3)];
        match self.random.below(5) {
            0 | 1 => Fault::Forget { back: self.time(), lease, objects },
            2 => Fault::Empty { lease, objects },
            3 => Fault::Stale { behind: self.time(), time: self.time() },
            _ => Fault::StopClock(self.host(false), self.time()),
        }
    }
}
