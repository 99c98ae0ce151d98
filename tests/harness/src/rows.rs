//! The rows of a database against what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Ack, Http};

/// How long one request may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Every row of the table `writes`: id to client and number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows(BTreeMap<i64, (String, i64)>);

/// Acknowledged writes that are not in the database.
#[derive(Debug, Clone, Default)]
pub struct Lost {
    /// In the order of their acknowledgement.
    pub acks: Vec<Ack>,
    /// Whether they are the last that their node committed before `until`: no write that
    /// survived comes after one that did not.
    pub suffix: bool,
    /// From the acknowledgement of the oldest of them to `until`; zero when none is lost.
    pub oldest_age: Duration,
}

impl Rows {
    /// Reads all rows of `clients` from the backend at `port`.
    ///
    /// # Errors
    /// When the backend does not answer.
    pub fn read(port: u16, clients: &BTreeSet<String>) -> std::io::Result<Self> {
        let mut http = Http::new(port, ANSWER_WITHIN);
        let mut rows = BTreeMap::new();
        for client in clients {
            let mut after = Some(0);
            while let Some(from) = after {
                let (code, body) = http.get(&format!("/rows?client={client}&after={from}"))?;
                let page: Value = serde_json::from_str(&body)
                    .map_err(|e| std::io::Error::other(format!("/rows says {code}: {e}")))?;
                for row in page["rows"].as_array().into_iter().flatten() {
                    if let (Some(id), Some(n)) = (row[0].as_i64(), row[1].as_i64()) {
                        rows.insert(id, (client.clone(), n));
                    }
                }
                after = page["next"].as_i64();
            }
        }
        Ok(Self(rows))
    }

    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Row ids that are missing between the first and the last: SQLite gives them out without
    /// holes, so a hole is a lost commit in the middle. Needs the rows of every client.
    #[must_use]
    pub fn holes(&self) -> Vec<i64> {
        let last = self.0.keys().next_back().copied().unwrap_or(0);
        (1..=last).filter(|id| !self.0.contains_key(id)).collect()
    }

    /// The acknowledged writes that are not here, seen from the moment `until` at which the node
    /// `by` that had acknowledged them died.
    #[must_use]
    pub fn lost(&self, acks: &[Ack], by: usize, until: Instant) -> Lost {
        let here = |ack: &Ack| {
            self.0.get(&ack.id).is_some_and(|(client, n)| *client == ack.client && *n == ack.n)
        };
        let (kept, lost): (Vec<&Ack>, Vec<&Ack>) = acks.iter().partition(|ack| here(ack));
        let last_kept = kept.iter().filter(|a| a.node == by && a.at <= until).map(|a| a.id).max();
        let first_lost = lost.iter().map(|a| a.id).min();
        let only_by = lost.iter().all(|a| a.node == by);
        let suffix = only_by && first_lost.is_none_or(|lost| last_kept.is_none_or(|k| k < lost));
        let oldest = lost.iter().map(|a| a.at).min();
        Lost {
            suffix,
            oldest_age: oldest.map_or(Duration::ZERO, |at| until.saturating_duration_since(at)),
            acks: lost.into_iter().cloned().collect(),
        }
    }
}

/// The names of the clients in `acks`.
pub(crate) fn clients(acks: &[Ack]) -> BTreeSet<String> {
    acks.iter().map(|ack| ack.client.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(id: i64, n: i64, at: Instant) -> Ack {
        Ack { client: String::from("a"), n, id, node: 0, at }
    }

    fn rows(of: &[(i64, i64)]) -> Rows {
        Rows(of.iter().map(|(id, n)| (*id, (String::from("a"), *n))).collect())
    }

    #[test]
    fn a_lost_tail_is_a_suffix_with_an_age_and_a_lost_middle_is_a_hole() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let acks = [ack(1, 1, start), ack(2, 2, start + ms(10)), ack(3, 3, start + ms(20))];
        let until = start + ms(50);

        let none = rows(&[(1, 1), (2, 2), (3, 3)]).lost(&acks, 0, until);
        assert!(none.acks.is_empty() && none.suffix && none.oldest_age.is_zero());

        // The new primary has given the lost ids to other writes.
        let tail = rows(&[(1, 1), (2, 7), (3, 8)]).lost(&acks, 0, until);
        assert_eq!(tail.acks, acks[1..]);
        assert!(tail.suffix);
        assert_eq!(tail.oldest_age, ms(40));

        let middle = rows(&[(1, 1), (3, 3)]);
        assert_eq!(middle.holes(), [2]);
        assert!(!middle.lost(&acks, 0, until).suffix);
    }
}
