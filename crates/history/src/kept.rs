//! What a daemon keeps in memory: events that wait to be published, and the newest ones. Pure.

use std::collections::VecDeque;

use crate::Event;

/// An event and the id by which the server knows it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) event: Event,
}

/// Events that wait to be published, in order. The oldest one goes when there are too many.
#[derive(Debug)]
pub(crate) struct Waiting {
    entries: VecDeque<Entry>,
    max: usize,
}

impl Waiting {
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: VecDeque::new(), max }
    }

    /// `false` when another one had to go.
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        let fits = self.entries.len() < self.max;
        if !fits {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        fits
    }

    pub(crate) fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The entry with this id is settled; another one may be the first by now.
    pub(crate) fn settle(&mut self, id: &str) {
        if self.first().is_some_and(|first| first.id == id) {
            self.entries.pop_front();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// The newest events in the order in which they happened.
#[derive(Debug)]
pub(crate) struct Recent {
    entries: VecDeque<Entry>,
    max: usize,
}

impl Recent {
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: VecDeque::new(), max }
    }

    /// Takes an event in; `false` when that changes nothing: it is known, or too old.
    pub(crate) fn insert(&mut self, entry: Entry) -> bool {
        if self.entries.iter().any(|known| known.id == entry.id) {
            return false;
        }
        let at = self.entries.partition_point(|known| known.event.at <= entry.event.at);
        if at == 0 && self.entries.len() >= self.max {
            return false;
        }
        self.entries.insert(at, entry);
        if self.entries.len() > self.max {
            self.entries.pop_front();
        }
        true
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.entries.iter().map(|entry| entry.event.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use ccm_types::NodeId;
    use jiff::Timestamp;

    use super::*;
    use crate::{BackendNews, What};

    fn entry(id: &str, second: i64) -> Entry {
        let at = Timestamp::from_second(second).unwrap();
        let what = What::Backend(BackendNews::Restarted);
        let event = Event::new(at, NodeId::new("n").unwrap(), None, &what);
        Entry { id: String::from(id), event }
    }

    fn ids(entries: &VecDeque<Entry>) -> Vec<&str> {
        entries.iter().map(|entry| entry.id.as_str()).collect()
    }

    #[test]
    fn the_oldest_goes_when_too_many_wait_and_its_end_is_not_that_of_another() {
        let mut waiting = Waiting::new(2);
        assert!(waiting.push(entry("a", 1)));
        assert!(waiting.push(entry("b", 2)));
        // "a" is being published.
        assert!(!waiting.push(entry("c", 3)));
        waiting.settle("a");
        assert_eq!((ids(&waiting.entries), waiting.len()), (vec!["b", "c"], 2));
        waiting.settle("b");
        waiting.settle("c");
        assert_eq!((waiting.first(), waiting.len()), (None, 0));
    }

    #[test]
    fn the_newest_are_in_order_of_time_whenever_they_come() {
        let mut recent = Recent::new(3);
        for (id, second, news) in [
            ("b", 20, true),
            ("a", 10, true),
            ("b", 20, false),
            ("c", 20, true),
            ("d", 15, true),
            ("e", 5, false),
            ("f", 30, true),
        ] {
            assert_eq!(recent.insert(entry(id, second)), news, "{id}");
        }
        assert_eq!(ids(&recent.entries), ["b", "c", "f"]);
        assert_eq!(recent.events().len(), 3);
    }
}
