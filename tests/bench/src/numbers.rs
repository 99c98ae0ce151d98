//! What is made of many measurements.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

/// The value below which `per_mille` of the sorted values lie; zero when there are none.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last * per_mille + 500) / 1000).copied().unwrap_or(0)
}

/// Milliseconds with their fraction.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Nanoseconds as milliseconds.
pub(crate) fn nanos_to_ms(nanos: u64) -> f64 {
    millis(Duration::from_nanos(nanos))
}

/// Bytes as megabytes of 10^6.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "shown with a few digits")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// The same figure of several rounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spread(Vec<f64>);

impl Spread {
    /// Of the figures of all rounds.
    pub(crate) fn of(rounds: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = rounds.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The middle of the sorted figures; `None` without any.
    pub(crate) fn median(&self) -> Option<f64> {
        let before_last = self.0.len().checked_sub(1)?;
        let (low, high) = (self.0.get(before_last / 2)?, self.0.get(self.0.len() / 2)?);
        Some(f64::midpoint(*low, *high))
    }

    /// `{median, min, max, rounds}`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "median": self.median(), "min": self.0.first(), "max": self.0.last(),
            "rounds": self.0.len(),
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(median), Some(min), Some(max)) = (self.median(), self.0.first(), self.0.last())
        else {
            return write!(f, "-");
        };
        if self.0.len() == 1 {
            return write!(f, "{}", short(median));
        }
        write!(f, "{} ({}–{})", short(median), short(*min), short(*max))
    }
}

/// Three digits that matter.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<u64> = (1..=101).collect();
        assert_eq!(percentile(&values, 500), 51);
        assert_eq!(percentile(&values, 990), 100);
        assert_eq!(percentile(&values, 1000), 101);
        assert_eq!(percentile(&[], 500), 0);
    }

    #[test]
    fn a_spread_shows_its_middle_and_its_ends() {
        assert_eq!(Spread::of([]).to_string(), "-");
        assert_eq!(Spread::of([2.0]).to_string(), "2.00");
        assert_eq!(Spread::of([3.0, 1.0, 200.0]).to_string(), "3.00 (1.00–200)");
        assert_eq!(Spread::of([3.0, 1.0, 200.0, 5.0]).median(), Some(4.0));
    }
}
