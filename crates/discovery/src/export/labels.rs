//! Names that Prometheus takes for labels.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// `text` as a part of a label's name: letters, digits and `_`, everything else becomes `_`.
pub(super) fn part(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// `text` as the whole name of a label, which begins with a letter and never with the `__` of the
/// labels that mean something to Prometheus itself.
pub(super) fn name(text: &str) -> String {
    let name = part(text);
    let name = name.trim_start_matches('_');
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        String::from(name)
    } else {
        format!("metadata_{name}")
    }
}

/// One group of targets.
pub(super) fn group(target: &str, labels: &BTreeMap<String, String>) -> Value {
    json!({ "targets": [target], "labels": labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_such_that_prometheus_takes_them() {
        for (text, expected) in [
            ("app_name", "app_name"),
            ("App.name-2", "App_name_2"),
            ("__address__", "address__"),
            ("2nd", "metadata_2nd"),
            ("", "metadata_"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(name(text), expected);
        }
        assert_eq!(part("scrape-interval"), "scrape_interval");
    }
}
