//! The network between a host and NATS: late, lossy, one-way.

use ccm_election::{Input, LeaseRecord, RequestId, Revision, WriteOutcome};
use ccm_role::{Command, CommandId, Event, Handover};
use ccm_types::NodeId;

use crate::mutant::Mutant;
use crate::nats::{Ask, Said};
use crate::scenario::HostId;
use crate::time::{MS, S, Time};
use crate::world::{Run, What, World};

/// How long a request to the bucket may go unanswered.
const ASK_WITHIN: Time = 2 * S;

/// How long a request to hand over may go unanswered.
const HANDOVER_WITHIN: Time = 40 * S;

/// What is wrong with the way between a host and NATS, until when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) mute_until: Time,
    pub(crate) deaf_until: Time,
    pub(crate) lossy_until: Time,
    pub(crate) slow_until: Time,
    pub(crate) doubling_until: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Out,
    In,
}

impl World {
    /// When a message arrives; twice, or never.
    fn arrivals(&mut self, host: HostId, way: Way) -> [Option<Time>; 2] {
        let link = self.hosts[host].link.clone();
        let latency = self.random.between(200, 2000);
        let blocked = match way {
            Way::Out => link.mute_until,
            Way::In => link.deaf_until,
        };
        if blocked > self.now {
            // What the kernel still holds is sent again when the way is free.
            let again = self.random.one_in(2).then(|| blocked - self.now + latency);
            return [again, None];
        }
        if link.lossy_until > self.now && self.random.one_in(4) {
            return [None, None];
        }
        let latency = if link.slow_until > self.now {
            match self.random.below(4) {
                0 | 1 => latency,
                2 => self.random.between(latency, S),
                _ => self.random.between(latency, 5 * S),
            }
        } else {
            latency
        };
        let twice = link.doubling_until > self.now && self.random.one_in(2);
        let second = twice.then(|| latency + self.random.between(0, 2 * S));
        [Some(latency), second]
    }

    fn send(&mut self, host: HostId, what: &What) -> bool {
        let arrivals = self.arrivals(host, Way::Out);
        for delay in arrivals.into_iter().flatten() {
            self.after(delay, what.clone());
        }
        arrivals[0].is_some()
    }

    fn reply(&mut self, host: HostId, what: &What) -> bool {
        let arrivals = self.arrivals(host, Way::In);
        for delay in arrivals.into_iter().flatten() {
            self.after(delay, what.clone());
        }
        arrivals[0].is_some()
    }

    pub(crate) fn send_read(&mut self, host: HostId, run: Run, id: RequestId) {
        self.send(host, &What::ReadLease { host, run, id });
    }

    pub(crate) fn send_write(
        &mut self,
        host: HostId,
        run: Run,
        id: RequestId,
        expected: Revision,
        record: LeaseRecord,
    ) {
        let record = Box::new(record);
        let muted = self.hosts[host].link.mute_until > self.now;
        if muted && self.random.one_in(2) {
            // The client knows that it is not connected.
            let input = Input::Written { id, outcome: WriteOutcome::NotSent };
            self.after(MS, What::Lease { host, run, input });
            return;
        }
        self.send(host, &What::WriteLease { host, run, id, expected, record });
    }

    pub(crate) fn read_lease(&mut self, host: HostId, run: Run, id: RequestId) {
        if !self.nats.is_up(self.now) {
            return;
        }
        let input = Input::Read { id, outcome: self.nats.read_lease(self.now) };
        self.reply(host, &What::Lease { host, run, input });
    }

    pub(crate) fn write_lease(
        &mut self,
        host: HostId,
        run: Run,
        id: RequestId,
        expected: Revision,
        record: LeaseRecord,
    ) {
        if !self.nats.is_up(self.now) {
            return;
        }
        let blind = self.mutant == Some(Mutant::BlindTakeover);
        let words = (record.epoch, record.released);
        let outcome = self.nats.write_lease(self.now, expected, record, blind);
        self.say(host, || {
            let (epoch, released) = words;
            let what = if released { "release" } else { "lease" };
            format!("NATS: {what} of epoch {epoch} on revision {}: {outcome:?}", expected.0)
        });
        let stored = matches!(outcome, WriteOutcome::Stored(_));
        let input = Input::Written { id, outcome };
        self.reply(host, &What::Lease { host, run, input });
        if stored {
            self.hint(host);
        }
    }

    /// Whoever watches the lease hears that it was written.
    fn hint(&mut self, writer: HostId) {
        for host in (0..self.hosts.len()).filter(|host| *host != writer) {
            let run = self.run_of(host);
            let link = &self.hosts[host].link;
            let clear = link.deaf_until <= self.now && link.lossy_until <= self.now;
            if clear && run > 0 {
                let delay = self.random.between(200, 2000);
                self.after(delay, What::Lease { host, run, input: Input::Hint });
            }
        }
    }

    /// Asks the bucket; the answer comes as [`What::Said`] with the same call.
    pub(crate) fn ask(&mut self, host: HostId, ask: Ask) -> u64 {
        let call = self.number();
        let run = self.run_of(host);
        let what = What::Ask { host, run, call, ask: Box::new(ask) };
        self.send(host, &what);
        let said = Box::new(Said::Nothing);
        self.after(ASK_WITHIN, What::Said { host, run, call, said });
        call
    }

    pub(crate) fn serve(&mut self, host: HostId, run: Run, call: u64, ask: Ask) {
        if !self.nats.is_up(self.now) {
            return;
        }
        let before = self.before_ask(&ask);
        let said = self.nats.ask(self.now, ask);
        self.after_ask(host, before, &said);
        self.reply(host, &What::Said { host, run, call, said: Box::new(said) });
    }

    /// Asks `leader` to hand over to the node of this host.
    pub(crate) fn send_handover(&mut self, host: HostId, leader: NodeId) {
        let run = self.run_of(host);
        self.send(host, &What::Handover { host, run, leader: leader.clone() });
        let answer = Handover::Unanswered(String::from("no answer"));
        let event = Event::HandoverAnswered { leader, answer };
        self.after(HANDOVER_WITHIN, What::Tell { host, run, event });
    }

    /// A request to hand over is passed on to the node that is to do it.
    pub(crate) fn hand_over(&mut self, host: HostId, run: Run, leader: &NodeId) {
        if !self.nats.is_up(self.now) {
            return;
        }
        let asked = self.hosts.iter().position(|it| {
            it.node == *leader && it.daemon.as_ref().is_some_and(|daemon| daemon.joined)
        });
        let Some(asked) = asked else { return };
        let successor = Some(self.hosts[host].node.clone());
        let id = CommandId(self.number());
        let Some(daemon) = &mut self.hosts[asked].daemon else { return };
        daemon.handovers.push((id, host, run));
        let to = daemon.run;
        let event = Event::Command { id, command: Command::Demote { successor } };
        self.reply(asked, &What::Tell { host: asked, run: to, event });
    }

    /// The answer to a request to hand over.
    pub(crate) fn handed_over(
        &mut self,
        from: HostId,
        host: HostId,
        run: Run,
        result: Result<(), String>,
    ) {
        let delays = [self.arrivals(from, Way::Out)[0], self.arrivals(host, Way::In)[0]];
        if let [Some(there), Some(here)] = delays {
            let leader = self.hosts[from].node.clone();
            let answer = result.map_or_else(Handover::Refused, |()| Handover::Done);
            let event = Event::HandoverAnswered { leader, answer };
            self.after(there + here, What::Tell { host, run, event });
        }
    }
}
