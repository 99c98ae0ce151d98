//! What is known of a bucket, and what a newer look changes. Pure.

use std::collections::BTreeMap;

use crate::ServiceRecord;

/// What has happened to a service on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Registered(ServiceRecord),
    /// Something else than its health is different, after `from`.
    Updated {
        /// As it was.
        from: ServiceRecord,
        /// As it is.
        to: ServiceRecord,
    },
    /// Its health is different, and perhaps more.
    HealthChanged {
        /// As it was.
        from: ServiceRecord,
        /// As it is.
        to: ServiceRecord,
    },
    /// It was removed, or has not been heard of for too long.
    Deregistered(ServiceRecord),
}

impl Change {
    /// The record as it is, or was when it is gone.
    #[must_use]
    pub fn record(&self) -> &ServiceRecord {
        match self {
            Self::Registered(record)
            | Self::Updated { to: record, .. }
            | Self::HealthChanged { to: record, .. }
            | Self::Deregistered(record) => record,
        }
    }
}

/// What is at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The sequence in the stream.
    pub(crate) revision: u64,
    /// `None` for what is gone and for what is no record.
    pub(crate) record: Option<ServiceRecord>,
}

/// A whole bucket, as it was read.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The last sequence of the stream before anything was read.
    pub(crate) last: u64,
    pub(crate) seen: BTreeMap<String, Seen>,
}

/// What is known. News that is older than what is known changes nothing.
#[derive(Debug, Default)]
pub(crate) struct View {
    known: BTreeMap<String, Seen>,
}

impl View {
    /// The records, by service and node.
    pub(crate) fn records(&self) -> Vec<ServiceRecord> {
        let records = self.known.values().filter_map(|seen| seen.record.clone());
        in_order(records.collect())
    }

    /// One key has changed.
    pub(crate) fn note(&mut self, key: String, seen: Seen) -> Option<Change> {
        if self.known.get(&key).is_some_and(|known| known.revision >= seen.revision) {
            return None;
        }
        let record = seen.record.clone();
        let before = self.known.insert(key, seen).and_then(|before| before.record);
        change(before, record)
    }

    /// The bucket was read as a whole, after everything that is known was told.
    pub(crate) fn replace(&mut self, snapshot: Snapshot) -> Vec<Change> {
        let Snapshot { last, seen } = snapshot;
        if self.known.values().any(|known| known.revision > last) {
            // The bucket is another one, or has lost its end: its numbers begin again.
            for known in self.known.values_mut() {
                known.revision = 0;
            }
        }
        let gone = self.known.keys().filter(|key| !seen.contains_key(*key));
        let gone: Vec<String> = gone.cloned().collect();
        let gone = gone.iter().filter_map(|key| self.known.remove(key)?.record);
        let mut changes: Vec<Change> = gone.map(Change::Deregistered).collect();
        for (key, seen) in seen {
            changes.extend(self.note(key, seen));
        }
        changes
    }
}

/// By service, then node, as lists are shown.
pub(crate) fn in_order(mut records: Vec<ServiceRecord>) -> Vec<ServiceRecord> {
    records.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
    records
}

fn change(before: Option<ServiceRecord>, after: Option<ServiceRecord>) -> Option<Change> {
    match (before, after) {
        (None, None) => None,
        (None, Some(record)) => Some(Change::Registered(record)),
        (Some(record), None) => Some(Change::Deregistered(record)),
        (Some(from), Some(to)) if from.says_as(&to) => None,
        (Some(from), Some(to)) if from.health == to.health => Some(Change::Updated { from, to }),
        (Some(from), Some(to)) => Some(Change::HealthChanged { from, to }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Health;
    use crate::record::tests::record;

    fn seen(revision: u64, record: Option<ServiceRecord>) -> Seen {
        Seen { revision, record }
    }

    fn snapshot(last: u64, seen: &[(u64, Option<ServiceRecord>)]) -> Snapshot {
        let at = |(revision, record): &(u64, Option<ServiceRecord>)| {
            let key = record.as_ref().map_or_else(|| String::from("gone"), ServiceRecord::key);
            (key, Seen { revision: *revision, record: record.clone() })
        };
        Snapshot { last, seen: seen.iter().map(at).collect() }
    }

    /// `+http.n`, `~http.n`, `!http.n` and `-http.n`.
    fn shown(changes: impl IntoIterator<Item = Change>) -> Vec<String> {
        let show = |change: Change| {
            let sign = match change {
                Change::Registered(_) => '+',
                Change::Updated { .. } => '~',
                Change::HealthChanged { .. } => '!',
                Change::Deregistered(_) => '-',
            };
            format!("{sign}{}", change.record().key())
        };
        changes.into_iter().map(show).collect()
    }

    #[test]
    fn each_change_is_told_once_and_a_refresh_is_none() {
        let mut view = View::default();
        let one = record("http", "n");
        let refreshed = ServiceRecord { updated_at: String::from("later"), ..one.clone() };
        let moved = ServiceRecord { port: 1, ..refreshed.clone() };
        let critical = ServiceRecord { health: Health::Critical, ..moved.clone() };
        let table = [
            (1, Some(one.clone()), vec!["+http.n"]),
            (2, Some(refreshed), vec![]),
            (3, Some(moved), vec!["~http.n"]),
            (4, Some(critical.clone()), vec!["!http.n"]),
            (4, None, vec![]),
            (2, Some(one.clone()), vec![]),
            (5, None, vec!["-http.n"]),
            (6, None, vec![]),
            (7, Some(critical), vec!["+http.n"]),
        ];
        for (revision, record, expected) in table {
            let told = shown(view.note(one.key(), seen(revision, record)));
            assert_eq!(told, expected, "{revision}");
        }
        assert_eq!(view.records().len(), 1);
    }

    #[test]
    fn a_look_at_the_whole_tells_what_was_missed() {
        let mut view = View::default();
        let (a, b) = (record("http", "a"), record("http", "b"));
        let first = view.replace(snapshot(2, &[(1, Some(a.clone())), (2, Some(b.clone()))]));
        assert_eq!(shown(first), ["+http.a", "+http.b"]);
        assert!(view.replace(snapshot(2, &[(1, Some(a.clone())), (2, Some(b))])).is_empty());
        assert_eq!(shown(view.replace(snapshot(3, &[(1, Some(a.clone()))]))), ["-http.b"]);
        // What the look has seen is not told again by what comes late.
        let c = record("http", "c");
        let look = snapshot(4, &[(1, Some(a)), (5, Some(c.clone()))]);
        assert_eq!(shown(view.replace(look)), ["+http.c"]);
        assert_eq!(view.note(c.key(), seen(4, None)), None);
        assert_eq!(view.note(c.key(), seen(5, Some(c.clone()))), None);
        assert_eq!(shown(view.note(c.key(), seen(6, None))), ["-http.c"]);
    }

    #[test]
    fn a_bucket_that_was_made_anew_is_taken_as_it_is() {
        let mut view = View::default();
        let (a, b) = (record("http", "a"), record("http", "b"));
        view.replace(snapshot(90, &[(80, Some(a.clone())), (90, Some(b))]));
        let moved = ServiceRecord { port: 1, ..a };
        let told = shown(view.replace(snapshot(1, &[(1, Some(moved))])));
        assert_eq!(told, ["-http.b", "~http.a"]);
        assert_eq!(shown(view.replace(snapshot(1, &[]))), ["-http.a"]);
        assert!(view.records().is_empty());
    }
}
