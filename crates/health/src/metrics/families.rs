//! One family of gauges at a time.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// A number as it is written: whole where it counts, real where it measures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(whole: u64) -> Self {
        Self::Whole(whole)
    }
}

impl From<bool> for Number {
    fn from(yes: bool) -> Self {
        Self::Whole(u64::from(yes))
    }
}

impl From<std::time::Duration> for Number {
    /// In seconds.
    fn from(duration: std::time::Duration) -> Self {
        Self::Real(duration.as_secs_f64())
    }
}

/// Labels of one sample. Values come from closed sets and from names of letters, digits, `.`, `-`
/// and `_`, so nothing in them needs escaping.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Writes families for one cluster and node.
pub(super) struct Writer<'a, 'b> {
    pub(super) encoder: &'a mut DescriptorEncoder<'b>,
    pub(super) cluster: &'a str,
    pub(super) node: &'a str,
}

impl Writer<'_, '_> {
    /// `cluster`, and what is added.
    pub(super) fn of_cluster(&self, more: &[(&'static str, &str)]) -> Labels {
        self.labels(&[("cluster", self.cluster)], more)
    }

    /// `cluster` and `node`, and what is added.
    pub(super) fn of_node(&self, more: &[(&'static str, &str)]) -> Labels {
        self.labels(&[("cluster", self.cluster), ("node", self.node)], more)
    }

    fn labels(&self, of: &[(&'static str, &str)], more: &[(&'static str, &str)]) -> Labels {
        of.iter().chain(more).map(|(name, value)| (*name, String::from(*value))).collect()
    }

    /// One gauge of this node, when it was measured.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: Option<impl Into<Number>>,
    ) -> fmt::Result {
        let sample = value.map(|value| (self.of_node(&[]), value.into()));
        self.gauges(name, help, sample.into_iter().collect())
    }

    /// A family; absent without samples.
    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        samples: Vec<(Labels, Number)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, samples, |number, encoder| match number {
            Number::Whole(whole) => ConstGauge::new(whole).encode(encoder),
            Number::Real(real) => ConstGauge::new(real).encode(encoder),
        })
    }

    /// A counter of this node that something else keeps; `name` without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
        let sample = value.map(|value| (self.of_node(&[]), Number::from(value)));
        let samples = sample.into_iter().collect();
        self.family(name, help, MetricType::Counter, samples, |number, encoder| match number {
            Number::Whole(whole) => ConstCounter::new(whole).encode(encoder),
            Number::Real(real) => ConstCounter::new(real).encode(encoder),
        })
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: Vec<(Labels, Number)>,
        encode: impl Fn(Number, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        if samples.is_empty() {
            return Ok(());
        }
        let mut family = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, number) in samples {
            encode(number, family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
