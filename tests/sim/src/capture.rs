//! Capture and shipping: one file at a time, of everything committed since the last.

use std::time::Duration;

use ccm_role::Event;
use ccm_types::{Monotonic, Txid};
use ccm_wal_ltx::codec::LtxHeader;
use ccm_wal_ltx::plan::WalStart;
use ccm_wal_ltx::store::{Level, LtxInfo, LtxName};

use crate::compact::Compact;
use crate::content::Version;
use crate::disk::{Data, Wal};
use crate::files::Running;
use crate::nats::{Ask, Object, Said};
use crate::scenario::HostId;
use crate::time::{MS, S, Time};
use crate::world::{What, World};

/// Between two snapshots.
pub(crate) const SNAPSHOT_EVERY: Duration = Duration::from_secs(15);

/// Frames after which the WAL is copied into the database file.
const CHECKPOINT_AFTER: usize = 6;

/// Pauses after a failure.
const PAUSE_MIN: Time = 50 * MS;
const PAUSE_MAX: Time = S;

/// A capture that runs.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) id: u64,
    /// What the chain leads to.
    pub(crate) at: Version,
    tip: Txid,
    /// The last transaction that the bucket has.
    pub(crate) durable: Txid,
    durable_at: Version,
    durable_ms: i64,
    wal: Option<WalStart>,
    /// Frames of that WAL that were read.
    pub(crate) read: usize,
    /// Nothing was captured since all of it was in the database file.
    pub(crate) sealed: bool,
    /// The chain does not go on: the whole database comes next.
    pub(crate) broken: bool,
    flying: Option<Object>,
    call: u64,
    /// A look is on its way.
    looking: bool,
    pause: Time,
    pub(crate) snapshot_at: Monotonic,
    snapshot_call: u64,
    /// The store refuses this epoch.
    pub(crate) ended: bool,
    /// What was known of losses when it last looked.
    pub(crate) losses: u64,
    pub(crate) compact: Compact,
    /// In a broken variant: whatever is committed from now on is not read.
    deaf: bool,
}

impl Capture {
    pub(crate) fn new(tip: Txid, wal: Option<WalStart>, at: Version, durable_ms: i64) -> Self {
        Self {
            id: 0,
            at,
            tip,
            durable: tip,
            durable_at: at,
            durable_ms,
            wal,
            read: 0,
            sealed: false,
            broken: false,
            flying: None,
            call: 0,
            looking: false,
            pause: PAUSE_MIN,
            snapshot_at: Monotonic::default(),
            snapshot_call: 0,
            ended: false,
            losses: 0,
            compact: Compact::default(),
            deaf: false,
        }
    }

    /// The bucket has what the chain begins with.
    pub(crate) fn starts_at(&mut self) {
        self.durable_at = self.at;
    }

    /// What the bucket leads to, as far as it has said.
    pub(crate) fn durable_at(&self) -> Version {
        self.durable_at
    }

    /// The next file; `None` when nothing was committed.
    fn next(&mut self, data: &mut Data, timestamp_ms: i64) -> Option<Object> {
        if self.deaf {
            return None;
        }
        let salts = match (&data.wal, self.wal) {
            (Some(wal), Some(mine)) if wal.start == mine => Some(mine),
            (Some(wal), _) if self.sealed => {
                self.read = 0;
                Some(wal.start)
            }
            (Some(_), _) => {
                self.broken = true;
                None
            }
            (None, _) => None,
        };
        if self.broken {
            return Some(self.whole(data, timestamp_ms));
        }
        let (start, wal) = (salts?, data.wal.as_mut()?);
        self.wal = Some(start);
        let from = self.at;
        if self.read > wal.frames.len() {
            self.broken = true;
            return Some(self.whole(data, timestamp_ms));
        }
        let to = *wal.frames.get(self.read..)?.last()?;
        let (offset, end) = (Wal::offset(self.read), Wal::offset(wal.frames.len()));
        self.read = wal.frames.len();
        self.sealed = false;
        self.at = to;
        Some(self.object(Some(from), to, start, (offset, end - offset), timestamp_ms))
    }

    fn whole(&mut self, data: &mut Data, timestamp_ms: i64) -> Object {
        data.checkpoint();
        self.broken = false;
        self.sealed = true;
        self.at = data.content();
        self.wal = data.wal_start();
        self.read = data.wal.as_ref().map_or(0, |wal| wal.frames.len());
        let start = self.wal.unwrap_or(WalStart { salt1: 0, salt2: 0 });
        let end = if self.wal.is_some() { Wal::offset(self.read) } else { 0 };
        self.object(None, self.at, start, (end, 0), timestamp_ms)
    }

    fn object(
        &mut self,
        from: Option<Version>,
        to: Version,
        start: WalStart,
        (wal_offset, wal_size): (u64, u64),
        timestamp_ms: i64,
    ) -> Object {
        self.tip = self.tip.next();
        let (min, max) = (self.tip, self.tip);
        let (wal_salt1, wal_salt2) = (start.salt1, start.salt2);
        let header = LtxHeader {
            page_size: 4096,
            commit: 1,
            min,
            max,
            timestamp_ms,
            wal_offset,
            wal_size,
            wal_salt1,
            wal_salt2,
        };
        let name = LtxName { level: Level::L0, min, max };
        Object { info: LtxInfo { name, size: 4096, timestamp_ms, epoch: None }, header, from, to }
    }
}

impl World {
    fn capture_of(&mut self, host: HostId) -> Option<&mut Capture> {
        match &mut self.lane_of(host)?.running {
            Running::Capturing(capture) => Some(capture),
            Running::Nothing | Running::Following(_) => None,
        }
    }

    /// Something was committed, or is to be flushed.
    pub(crate) fn wake_capture(&mut self, host: HostId) {
        let delay = self.random.between(300, 3000);
        let run = self.run_of(host);
        let Some(capture) = self.capture_of(host) else { return };
        if !capture.looking && capture.flying.is_none() && !capture.ended {
            capture.looking = true;
            let number = capture.id;
            self.after(delay, What::Capture { host, run, number });
        }
    }

    pub(crate) fn capture_wake(&mut self, host: HostId, number: u64) {
        let wall = self.hosts[host].clock.wall(self.now);
        let disk_fails = self.hosts[host].disk.failing_until > self.now;
        let run = self.run_of(host);
        let it = &mut self.hosts[host];
        let (Some(daemon), Some(data)) = (&mut it.daemon, &mut it.disk.data) else { return };
        let fence = daemon.files.fence;
        let Running::Capturing(capture) = &mut daemon.files.running else { return };
        if capture.id != number || capture.ended {
            return;
        }
        capture.looking = false;
        if capture.flying.is_none() {
            if disk_fails {
                let event = Event::CaptureEnded { fenced: false, why: String::from("disk") };
                capture.ended = true;
                self.after(MS, What::Tell { host, run, event });
                return;
            }
            capture.flying = capture.next(data, wall);
        }
        let Some(fence) = fence else { return };
        let Some(object) = &mut capture.flying else {
            self.tidy_wal(host);
            self.take_snapshot(host);
            self.compact(host);
            self.capture_flushed(host);
            return;
        };
        object.info.epoch = Some(fence.epoch);
        let object = Box::new(object.clone());
        self.say(host, || format!("puts {}: {}", object.info.name, object.to));
        let call = self.ask(host, Ask::Put { fence, object });
        if let Some(capture) = self.capture_of(host) {
            capture.call = call;
        }
    }

    /// Copies a WAL that was read into the database file, when it is long.
    fn tidy_wal(&mut self, host: HostId) {
        let it = &mut self.hosts[host];
        let (Some(daemon), Some(data)) = (&mut it.daemon, &mut it.disk.data) else { return };
        let Running::Capturing(capture) = &mut daemon.files.running else { return };
        let frames = data.wal.as_ref().filter(|wal| !wal.copied).map_or(0, |wal| wal.frames.len());
        if frames >= CHECKPOINT_AFTER && capture.read == frames {
            data.checkpoint();
            capture.sealed = true;
        }
    }

    fn take_snapshot(&mut self, host: HostId) {
        let now = self.local(host);
        let wall = self.hosts[host].clock.wall(self.now);
        let Some(lane) = self.lane_of(host) else { return };
        let Some(fence) = lane.fence else { return };
        let Running::Capturing(capture) = &mut lane.running else { return };
        if capture.snapshot_call > 0 || now < capture.snapshot_at || capture.durable == Txid::ZERO {
            return;
        }
        capture.snapshot_at = now + SNAPSHOT_EVERY;
        let (min, max) = (Txid::new(1), capture.durable);
        let name = LtxName { level: Level::SNAPSHOT, min, max };
        let epoch = Some(fence.epoch);
        let header = LtxHeader {
            page_size: 4096,
            commit: 1,
            min,
            max,
            timestamp_ms: wall,
            wal_offset: 0,
            wal_size: 0,
            wal_salt1: 0,
            wal_salt2: 0,
        };
        let info = LtxInfo { name, size: 8192, timestamp_ms: capture.durable_ms, epoch };
        let object = Box::new(Object { info, header, from: None, to: capture.durable_at });
        let call = self.ask(host, Ask::Put { fence, object });
        if let Some(capture) = self.capture_of(host) {
            capture.snapshot_call = call;
        }
    }

    /// An answer for the capture.
    pub(crate) fn capture_said(&mut self, host: HostId, call: u64, said: &Said) {
        if self.compact_said(host, call, said) {
            return;
        }
        let run = self.run_of(host);
        let losses = self.lane_of(host).map_or(0, |lane| lane.losses);
        let now = self.local(host);
        let Some(capture) = self.capture_of(host) else { return };
        if std::mem::replace(&mut capture.losses, losses) != losses {
            // A snapshot makes the bucket whole again.
            capture.snapshot_at = now;
        }
        if capture.snapshot_call == call {
            capture.snapshot_call = 0;
            if matches!(said, Said::Fenced) {
                self.capture_fenced(host);
            }
            return;
        }
        if capture.call != call || capture.ended {
            return;
        }
        capture.call = 0;
        match said {
            Said::Stored(_) => {
                if let Some(object) = capture.flying.take() {
                    capture.durable = object.info.name.max;
                    capture.durable_at = object.to;
                    capture.durable_ms = object.info.timestamp_ms;
                }
                capture.pause = PAUSE_MIN;
                self.check_durable(host);
                self.wake_capture(host);
            }
            Said::Fenced => self.capture_fenced(host),
            Said::Exists => {
                capture.ended = true;
                let why = String::from("the object exists already with different content");
                let event = Event::CaptureEnded { fenced: false, why };
                self.after(MS, What::Tell { host, run, event });
            }
            Said::Moved(_)
            | Said::Standing(_)
            | Said::Files { .. }
            | Said::Got(_)
            | Said::NotFound
            | Said::Nothing => {
                let (pause, number) = (capture.pause, capture.id);
                capture.pause = (pause * 2).min(PAUSE_MAX);
                capture.looking = true;
                self.after(pause, What::Capture { host, run, number });
            }
        }
    }

    fn capture_fenced(&mut self, host: HostId) {
        let run = self.run_of(host);
        let Some(capture) = self.capture_of(host) else { return };
        capture.ended = true;
        let event = Event::CaptureEnded { fenced: true, why: String::from("fenced") };
        self.after(MS, What::Tell { host, run, event });
        self.capture_flushed(host);
    }

    /// Whether the bucket has everything that was committed.
    pub(crate) fn nothing_left(&mut self, host: HostId) -> bool {
        let it = &self.hosts[host];
        let (Some(daemon), Some(data)) = (&it.daemon, &it.disk.data) else { return false };
        let Running::Capturing(capture) = &daemon.files.running else { return false };
        let read_all = match &data.wal {
            None => true,
            Some(wal) if capture.wal == Some(wal.start) => capture.read == wal.frames.len(),
            Some(_) => false,
        };
        capture.flying.is_none() && (capture.deaf || (!capture.broken && read_all))
    }

    /// The capture ends, with or without having shipped everything.
    pub(crate) fn end_capture(&mut self, host: HostId) {
        if let Some(lane) = self.lane_of(host)
            && lane.is_capturing()
        {
            lane.running = Running::Nothing;
        }
    }

    /// For a broken variant: it forgets what it has not read yet.
    pub(crate) fn end_capture_early(&mut self, host: HostId) {
        if let Some(capture) = self.capture_of(host) {
            capture.deaf = true;
        }
    }
}
