//! The beginning of a capture: where the chain of the bucket ends.

use std::rc::Rc;

use ccm_role::Outcome;
use ccm_types::{Epoch, Txid};
use ccm_wal_ltx::local::Stamp;
use ccm_wal_ltx::plan::{self, Resume};
use ccm_wal_ltx::store::{Level, LtxInfo};

use super::{Running, Stage, nothing};
use crate::capture::Capture;
use crate::disk::Wal;
use crate::nats::{Ask, Object, Said};
use crate::scenario::HostId;
use crate::world::World;

impl World {
    pub(super) fn begin_capture(&mut self, host: HostId, epoch: Epoch) {
        let Some(lane) = self.lane_of(host) else { return };
        if lane.fence.is_none_or(|fence| fence.epoch != epoch) {
            let why = format!("no fence of epoch {epoch} to write under");
            self.files_done(host, Outcome::Permanent(why));
            return;
        }
        lane.running = Running::Nothing;
        self.files_ask(host, Stage::BeginList, Ask::List);
    }

    pub(super) fn begin_list(&mut self, host: HostId, said: Said) {
        let Said::Files { files, .. } = said else {
            self.files_done(host, nothing());
            return;
        };
        let tip = plan::tip(&files);
        let last = files.iter().rfind(|f| f.name.max == tip && f.name.level == Level::L0);
        match last.map(|last| last.name) {
            Some(name) => {
                self.files_ask(host, Stage::BeginHead(files), Ask::Get(vec![name]));
            }
            None => self.begin_with(host, &files, None),
        }
    }

    pub(super) fn begin_head(&mut self, host: HostId, files: &Rc<Vec<LtxInfo>>, said: Said) {
        let Said::Got(objects) = said else {
            self.files_done(host, nothing());
            return;
        };
        self.begin_with(host, files, objects.first());
    }

    fn begin_with(&mut self, host: HostId, files: &Rc<Vec<LtxInfo>>, last: Option<&Object>) {
        if self.disk_fails(host) {
            let why = String::from("the disk fails");
            self.files_done(host, Outcome::Transient(why));
            return;
        }
        let tip = plan::tip(files);
        let snapshot = files.iter().any(|file| file.name.level == Level::SNAPSHOT);
        let base = self.lane_of(host).and_then(|lane| lane.base.take());
        let at_base = base == Some(tip) && tip > Txid::ZERO;
        let Some(data) = &self.hosts[host].disk.data else {
            let why = String::from("no data file");
            self.files_done(host, Outcome::Permanent(why));
            return;
        };
        let timestamps = files.iter().filter(|f| f.name.max == tip).map(|f| f.timestamp_ms);
        let durable_ms = timestamps.min().unwrap_or(0);
        let header = last.map(|object| &object.header);
        let resume = plan::resume(data.wal_start(), data.wal_len(), header, at_base);
        let frames = data.wal.as_ref().map_or(0, |wal| wal.frames.len());
        let mut capture = Capture::new(tip, data.wal_start(), data.content(), durable_ms);
        match resume {
            Resume::AtBase => {
                capture.sealed = true;
                capture.at = data.base;
            }
            Resume::After(end) if Wal::frames_at(end) <= frames => {
                capture.read = Wal::frames_at(end);
                let before = capture.read.checked_sub(1);
                let wal = data.wal.as_ref();
                let at = before.and_then(|n| wal.and_then(|wal| wal.frames.get(n)).copied());
                capture.at = at.unwrap_or(data.base);
            }
            Resume::After(_) | Resume::Whole => capture.broken = true,
        }
        capture.starts_at();
        // From here on the file may hold what the bucket does not.
        let fence = self.lane_of(host).and_then(|lane| lane.fence);
        if let Some(fence) = fence {
            self.hosts[host].disk.stamp = Some(Stamp { epoch: fence.epoch, clean_txid: None });
        }
        let losses = self.lane_of(host).map_or(0, |lane| lane.losses);
        capture.losses = losses;
        let now = self.local(host);
        let interval = crate::capture::SNAPSHOT_EVERY;
        capture.snapshot_at = if snapshot { now + interval } else { now };
        capture.id = self.number();
        self.say(host, || format!("captures from {tip}: {resume:?}"));
        if let Some(lane) = self.lane_of(host) {
            lane.running = Running::Capturing(Box::new(capture));
        }
        self.files_done(host, Outcome::Ok);
        self.wake_capture(host);
    }
}
