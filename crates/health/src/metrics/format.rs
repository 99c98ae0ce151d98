//! The two text formats, and what a client accepts.

use std::borrow::Cow;

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

/// The media type of OpenMetrics without parameters.
const OPEN_METRICS: &str = "application/openmetrics-text";

impl Format {
    /// What an `Accept` header asks for: OpenMetrics when it is named and nothing else that fits
    /// is preferred to it, else Prometheus' own format, which every client reads.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (mut open, mut text) = (0, 0);
        for one in accept.split(',') {
            let mut parts = one.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality =
                parts.filter_map(|part| part.strip_prefix("q=")).map(thousandths).next_back();
            let quality = quality.unwrap_or(1000);
            match media.as_str() {
                OPEN_METRICS => open = open.max(quality),
                "text/plain" => text = text.max(quality),
                _ => {}
            }
        }
        if open > 0 && open >= text { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type of what is written.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Writes what is given as OpenMetrics text in this format.
    #[must_use]
    pub fn write(self, open_metrics: &str) -> String {
        match self {
            Self::OpenMetrics => String::from(open_metrics),
            Self::Prometheus => prometheus(open_metrics),
        }
    }
}

/// A quality between 0 and 1, RFC 9110 §12.4.2; 0 for what is none.
fn thousandths(text: &str) -> u32 {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let digits = format!("{part:0<3}");
    let part = digits.get(..3).and_then(|part| part.parse::<u32>().ok());
    match (whole.parse::<u32>(), part) {
        (Ok(0), Some(part)) => part,
        (Ok(1), _) => 1000,
        _ => 0,
    }
}

/// The same in Prometheus' own format: there a counter is named as its samples are, an info is a
/// gauge, and neither units nor an end are written.
fn prometheus(open_metrics: &str) -> String {
    let lines: Vec<&str> = open_metrics.lines().collect();
    let kind = |family: &str| {
        let types = lines.iter().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == family)
    };
    let mut text = String::with_capacity(open_metrics.len());
    for line in &lines {
        let Some((word, rest)) = line.strip_prefix("# ").and_then(|line| line.split_once(' '))
        else {
            if *line != "# EOF" {
                text.push_str(line);
                text.push('\n');
            }
            continue;
        };
        if word == "UNIT" {
            continue;
        }
        let (family, said) = rest.split_once(' ').unwrap_or((rest, ""));
        let (suffix, kind) = match kind(family).map(|(_, kind)| kind) {
            Some("counter") => ("_total", "counter"),
            Some("info") => ("_info", "gauge"),
            Some("unknown") | None => ("", "untyped"),
            Some(other) => ("", other),
        };
        let said = if word == "TYPE" { Cow::Borrowed(kind) } else { unescaped(said) };
        text.push_str(&format!("# {word} {family}{suffix} {said}\n"));
    }
    text
}

/// OpenMetrics escapes quotes in words of help, Prometheus' own format does not.
fn unescaped(help: &str) -> Cow<'_, str> {
    if help.contains("\\\"") { Cow::Owned(help.replace("\\\"", "\"")) } else { Cow::Borrowed(help) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_format_it_prefers() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0;q=0.5,\
                            application/openmetrics-text;version=0.0.1;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        let table = [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/html,*/*;q=0.8", Format::Prometheus),
            ("application/openmetrics-text", Format::OpenMetrics),
            (prometheus_2, Format::OpenMetrics),
            (
                "text/plain;version=0.0.4;q=0.6, application/openmetrics-text;q=0.5",
                Format::Prometheus,
            ),
            ("Application/OpenMetrics-Text; q=0", Format::Prometheus),
            ("application/openmetrics-text;q=nonsense", Format::Prometheus),
        ];
        for (accept, expected) in table {
            assert_eq!(Format::accepted(accept), expected, "{accept}");
        }
    }

    #[test]
    fn the_older_format_names_counters_as_their_samples() {
        let open = "# HELP a_bytes Read \\\"all\\\".\n# TYPE a_bytes counter\n\
                    # UNIT a_bytes bytes\n\
                    a_bytes_total{x=\"1\"} 5\n# HELP b What.\n# TYPE b info\nb_info{v=\"1\"} 1\n\
                    # HELP c_total So.\n# TYPE c_total gauge\nc_total 2\n# EOF\n";
        let expected = "# HELP a_bytes_total Read \"all\".\n# TYPE a_bytes_total counter\n\
                        a_bytes_total{x=\"1\"} 5\n# HELP b_info What.\n# TYPE b_info gauge\n\
                        b_info{v=\"1\"} 1\n# HELP c_total So.\n# TYPE c_total gauge\nc_total 2\n";
        assert_eq!(Format::Prometheus.write(open), expected);
        assert_eq!(Format::OpenMetrics.write(open), open);
    }
}
