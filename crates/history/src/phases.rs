//! The parts of a takeover and of a handover, and how long each took. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// One part; in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Going up: from the last sign of life of the one before until the lease was free.
    Detection,
    /// Until the lease was this node's.
    Lease,
    /// The store refuses the one before from here on.
    Fence,
    /// Whose data is the newest.
    Compare,
    /// The replica comes to the end of the bucket.
    CatchUp,
    /// The replica takes the place of the data file.
    Swap,
    /// What is written from here on is shipped.
    Capture,
    /// The virtual IP is taken, beside the start of the backend.
    VirtualIp,
    /// Until the backend answers.
    BackendStart,
    /// Going down: the virtual IP is given up.
    VirtualIpOff,
    /// Until nothing of the backend is left.
    BackendStop,
    /// What was written last goes into the bucket.
    Flush,
    /// The lease is given back.
    Release,
    /// The data file becomes the replica.
    Retire,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Detection,
        Self::Lease,
        Self::Fence,
        Self::Compare,
        Self::CatchUp,
        Self::Swap,
        Self::Capture,
        Self::VirtualIp,
        Self::BackendStart,
        Self::VirtualIpOff,
        Self::BackendStop,
        Self::Flush,
        Self::Release,
        Self::Retire,
    ];

    /// The key of its milliseconds.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Detection => "detectionMs",
            Self::Lease => "leaseMs",
            Self::Fence => "fenceMs",
            Self::Compare => "compareMs",
            Self::CatchUp => "catchUpMs",
            Self::Swap => "swapMs",
            Self::Capture => "captureMs",
            Self::VirtualIp => "vipMs",
            Self::BackendStart => "backendStartMs",
            Self::VirtualIpOff => "vipOffMs",
            Self::BackendStop => "backendStopMs",
            Self::Flush => "flushMs",
            Self::Release => "releaseMs",
            Self::Retire => "retireMs",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Lease => "lease",
            Self::Fence => "fence",
            Self::Compare => "comparison",
            Self::CatchUp => "catch-up",
            Self::Swap => "swap",
            Self::Capture => "capture",
            Self::VirtualIp => "virtual IP",
            Self::BackendStart => "backend start",
            Self::VirtualIpOff => "virtual IP off",
            Self::BackendStop => "backend stop",
            Self::Flush => "flush",
            Self::Release => "release",
            Self::Retire => "replica",
        }
    }
}

/// How long each part took; parts that were not needed are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phases(BTreeMap<Phase, Duration>);

impl Phases {
    /// Adds time to a part, which may have needed several tries.
    pub fn add(&mut self, phase: Phase, took: Duration) {
        *self.0.entry(phase).or_default() += took;
    }

    /// How long it took, if it was needed.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        self.0.get(&phase).copied()
    }

    /// Whether nothing was needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (phase, took)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{} {}", phase.words(), took_words(*took))?;
        }
        Ok(())
    }
}

impl Serialize for Phases {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (phase, took) in &self.0 {
            map.serialize_entry(phase.key(), &millis(*took))?;
        }
        map.end()
    }
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `850 ms`, `3.1 s`, `4 min 2 s`, `3 h 5 min`
pub(crate) fn took_words(took: Duration) -> String {
    let seconds = took.as_secs();
    match seconds {
        0 => format!("{} ms", took.as_millis()),
        1..60 => format!("{seconds}.{} s", took.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_up_and_told_in_order() {
        let mut phases = Phases::default();
        phases.add(Phase::BackendStart, Duration::from_millis(400));
        phases.add(Phase::Detection, Duration::from_millis(3149));
        phases.add(Phase::BackendStart, Duration::from_millis(450));
        phases.add(Phase::CatchUp, Duration::from_micros(12_900));
        assert_eq!(phases.to_string(), "detection 3.1 s, catch-up 12 ms, backend start 850 ms");
        let json = serde_json::to_string(&phases).unwrap();
        assert_eq!(json, r#"{"detectionMs":3149,"catchUpMs":12,"backendStartMs":850}"#);
        assert_eq!(phases.get(Phase::Swap), None);
    }

    #[test]
    fn every_part_has_a_key_and_words_of_its_own() {
        let mut keys: Vec<_> = Phase::ALL.iter().map(|phase| phase.key()).collect();
        let mut words: Vec<_> = Phase::ALL.iter().map(|phase| phase.words()).collect();
        assert!(Phase::ALL.is_sorted());
        for all in [&mut keys, &mut words] {
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), Phase::ALL.len());
        }
    }

    #[test]
    fn durations_are_told_as_people_read_them() {
        let table = [(0, "0 ms"), (999, "999 ms"), (1000, "1.0 s"), (59_999, "59.9 s")];
        let longer = [(60_000, "1 min 0 s"), (242_000, "4 min 2 s"), (11_100_000, "3 h 5 min")];
        for (millis, words) in table.into_iter().chain(longer) {
            assert_eq!(took_words(Duration::from_millis(millis)), words);
        }
    }
}
