//! The lag of the nodes over time, as far as somebody has looked.

use std::collections::{BTreeMap, VecDeque};

use ccm_types::{Monotonic, NodeId};

use crate::{Chart, Series, millis};

/// The longest time that is shown.
const SPAN_MS: u64 = 300_000;
/// The time that is shown grows by so much as somebody watches on.
const MINUTE_MS: u64 = 60_000;
/// Points that are kept for a node.
const POINTS_MAX: usize = 320;
/// Nodes whose lag is kept.
const SERIES_MAX: usize = 8;
/// Two looks that are further apart are not joined by a line.
const GAP_MS: u128 = 5_000;
/// The chart is at least so high: what is small does not look large.
const TOP_MIN_MS: u64 = 100;

/// When, and how long the lag was.
type Point = (Monotonic, Option<u64>);

/// What is remembered of the lags.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lags {
    of: BTreeMap<NodeId, VecDeque<Point>>,
}

impl Lags {
    /// Takes in the lag of a node; `None` when it is not known.
    pub(crate) fn note(&mut self, node: &NodeId, at: Monotonic, lag_ms: Option<u64>) {
        if !self.of.contains_key(node) && self.of.len() >= SERIES_MAX {
            return;
        }
        let points = self.of.entry(node.clone()).or_default();
        if let Some((last, _)) = points.back()
            && at.since(*last).as_millis() > GAP_MS
        {
            points.push_back((at, None));
        }
        points.push_back((at, lag_ms));
        while points.len() > POINTS_MAX
            || points.front().is_some_and(|(then, _)| age(at, *then) > SPAN_MS)
        {
            points.pop_front();
        }
    }

    /// Forgets nodes that nothing was noted of for the whole time that is shown.
    pub(crate) fn forget_old(&mut self, at: Monotonic) {
        self.of
            .retain(|_, points| points.back().is_some_and(|(then, _)| age(at, *then) <= SPAN_MS));
    }

    /// The chart at a moment.
    pub(crate) fn chart(&self, at: Monotonic) -> Chart {
        let series: Vec<Series> =
            self.of.iter().map(|(node, points)| one(node, points, at)).collect();
        let lags = series.iter().flat_map(|one| one.points.iter().filter_map(|(_, lag)| *lag));
        let top_ms = round_up(lags.max().unwrap_or(0).max(TOP_MIN_MS));
        let ages = series.iter().flat_map(|one| one.points.iter().map(|(age, _)| *age));
        let minutes = ages.max().unwrap_or(0).div_ceil(MINUTE_MS).clamp(1, SPAN_MS / MINUTE_MS);
        Chart { span_ms: minutes * MINUTE_MS, top_ms, top: millis(top_ms), series }
    }
}

fn one(node: &NodeId, points: &VecDeque<Point>, at: Monotonic) -> Series {
    let shown = points.iter().map(|(then, lag)| (age(at, *then), *lag));
    let last = points.back().and_then(|(_, lag)| *lag);
    Series {
        node: node.to_string(),
        last: last.map_or_else(|| String::from("unknown"), millis),
        points: shown.filter(|(age, _)| *age <= SPAN_MS).collect(),
    }
}

fn age(at: Monotonic, then: Monotonic) -> u64 {
    u64::try_from(at.since(then).as_millis()).unwrap_or(u64::MAX)
}

/// The next of 1, 2, 5, 10, 20, 50, ...
fn round_up(ms: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let round = power.saturating_mul(step);
            if round >= ms {
                return round;
            }
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeId {
        NodeId::new("node-1").unwrap()
    }

    fn at(ms: u64) -> Monotonic {
        Monotonic::from_millis(ms)
    }

    #[test]
    fn the_series_is_bounded_in_length_and_in_time() {
        let mut lags = Lags::default();
        for second in 0..1_000 {
            lags.note(&node(), at(second * 1_000), Some(second));
        }
        let chart = lags.chart(at(999_000));
        let points = &chart.series[0].points;
        assert_eq!((points.len(), points[0]), (301, (300_000, Some(699))));
        for quick in 0..1_000 {
            lags.note(&node(), at(999_000 + quick), Some(1));
        }
        assert_eq!(lags.chart(at(1_000_000)).series[0].points.len(), POINTS_MAX);
        for number in 0..20 {
            lags.note(&NodeId::new(format!("n{number}")).unwrap(), at(1_000_000), None);
        }
        assert_eq!(lags.chart(at(1_000_000)).series.len(), SERIES_MAX);
        lags.forget_old(at(1_300_001));
        assert!(lags.chart(at(1_300_001)).series.is_empty());
    }

    #[test]
    fn a_time_without_looks_is_a_hole_and_unknown_is_not_zero() {
        let mut lags = Lags::default();
        lags.note(&node(), at(1_000), Some(40));
        lags.note(&node(), at(60_000), Some(70));
        lags.note(&node(), at(61_000), None);
        let chart = lags.chart(at(61_000));
        let expected = vec![(60_000, Some(40)), (1_000, None), (1_000, Some(70)), (0, None)];
        assert_eq!(chart.series[0].points, expected);
        assert_eq!((chart.series[0].last.as_str(), chart.top.as_str()), ("unknown", "100 ms"));
        assert_eq!(chart.span_ms, 60_000);
        assert_eq!(lags.chart(at(61_001)).span_ms, 120_000);
    }

    #[test]
    fn the_chart_is_as_high_as_a_round_number() {
        for (ms, expected) in
            [(0, 1), (100, 100), (101, 200), (450, 500), (501, 1_000), (1_200, 2_000)]
        {
            assert_eq!(round_up(ms), expected);
        }
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }
}
