//! A strict reader of what Prometheus scrapes: anything that is not exactly as the format says
//! fails the test.
//!
//! Sources: Prometheus' text exposition format 0.0.4, OpenMetrics 1.0.

use std::collections::{BTreeMap, BTreeSet};

/// Labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// One family of samples.
#[derive(Debug, Clone, Default)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// What it is, in words.
    pub help: String,
    /// The name, the labels and the value of every sample.
    pub samples: Vec<(String, Labels, f64)>,
}

/// Everything that one scrape has brought, by the names of the families. The name of a counter
/// ends with `_total` in both formats here.
#[derive(Debug, Clone, Default)]
pub struct Exposition {
    /// The families.
    pub families: BTreeMap<String, Family>,
}

impl Exposition {
    /// Reads Prometheus' own text format.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn prometheus(text: &str) -> Self {
        assert!(!text.contains("# EOF"), "this is OpenMetrics");
        Self::read(text, "")
    }

    /// Reads OpenMetrics text.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn open_metrics(text: &str) -> Self {
        let text = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}"));
        Self::read(text, "_total")
    }

    /// `total` is what the samples of a counter have more than the family.
    fn read(text: &str, total: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut read = Self::default();
        let (mut name, mut family) = (String::new(), Family::default());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                read.close(&name, std::mem::take(&mut family));
                let (of, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                assert!(is_name(of) && !help.is_empty(), "{line}");
                (name, family.help) = (String::from(of), String::from(help));
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (of, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(of == name && family.kind.is_empty(), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                family.kind = String::from(kind);
                if kind == "counter" {
                    name.push_str(total);
                    assert!(name.ends_with("_total"), "{line}");
                }
            } else {
                let sample = sample(line);
                assert!(belongs(&sample.0, &name, &family.kind), "{line} after {name}");
                family.samples.push(sample);
            }
        }
        read.close(&name, family);
        read
    }

    fn close(&mut self, name: &str, family: Family) {
        if name.is_empty() {
            return;
        }
        assert!(!family.samples.is_empty(), "{name} has no samples");
        let mut seen = BTreeSet::new();
        for (name, labels, value) in &family.samples {
            assert!(seen.insert((name, labels)), "{name} {labels:?} twice");
            assert!(family.kind != "counter" || *value >= 0.0, "{name} {value}");
        }
        if family.kind == "histogram" {
            check_histogram(name, &family);
        }
        assert!(self.families.insert(String::from(name), family).is_none(), "{name} twice");
    }

    /// The value of the only sample of `name` with all of `labels`; `None` when there is none.
    ///
    /// # Panics
    /// When there are several.
    #[must_use]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let samples = self.families.values().flat_map(|family| &family.samples);
        let meets = |of: &Labels| labels.iter().all(|(k, v)| of.get(*k).is_some_and(|is| is == v));
        let mut found = samples.filter(|(of, has, _)| of == name && meets(has));
        let first = found.next().map(|(_, _, value)| *value);
        assert!(found.next().is_none(), "several samples of {name} {labels:?}");
        first
    }
}

fn is_name(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters)
}

fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    match kind {
        "histogram" => {
            let suffix = sample.strip_prefix(family).unwrap_or_default();
            ["_bucket", "_sum", "_count"].contains(&suffix)
        }
        "counter" | "gauge" => sample == family,
        _ => false,
    }
}

/// `name{label="value",...} 1.5`
fn sample(line: &str) -> (String, Labels, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => {
            let inner = rest.strip_suffix('}').unwrap_or_else(|| panic!("no }}: {line}"));
            (name, inner.split(',').map(|pair| label(pair, line)).collect())
        }
        None => (head, Labels::new()),
    };
    assert!(is_name(name), "{line}");
    (String::from(name), labels, value)
}

fn label(pair: &str, line: &str) -> (String, String) {
    let (name, value) = pair.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    let value = value.unwrap_or_else(|| panic!("no quotes: {line}"));
    assert!(is_name(name) && !value.contains(['"', '\\', '\n']), "{line}");
    (String::from(name), String::from(value))
}

/// Bounds with what is counted up to each, and what was counted in all.
type Buckets = (Vec<(f64, f64)>, Option<f64>);

/// Buckets grow, the last one is of everything, and as much as was counted.
fn check_histogram(name: &str, family: &Family) {
    let mut series: BTreeMap<Labels, Buckets> = BTreeMap::new();
    for (sample, labels, value) in &family.samples {
        let mut labels = labels.clone();
        let bound = labels.remove("le");
        let (buckets, count) = series.entry(labels).or_default();
        match (bound, sample.ends_with("_count")) {
            (Some(bound), false) => buckets.push((bound.parse().unwrap(), *value)),
            (None, true) => *count = Some(*value),
            (None, false) => {}
            (Some(_), true) => panic!("a bound at the count of {name}"),
        }
    }
    for (labels, (buckets, count)) in series {
        let grow = buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
        assert!(grow, "{name} {labels:?}: {buckets:?}");
        let last = buckets.last().copied().unwrap();
        assert!(last.0.is_infinite() && Some(last.1) == count, "{name} {labels:?}");
    }
}
