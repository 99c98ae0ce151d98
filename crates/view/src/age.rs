//! Times and sizes as people say them.

/// How long ago something was, in milliseconds.
#[must_use]
pub fn ago(ms: u64) -> String {
    if ms < 2_000 { String::from("just now") } else { format!("{} ago", span(ms)) }
}

/// A time of seconds or longer, in milliseconds.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms / 1000 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// A time that may be short, in milliseconds.
#[must_use]
pub fn millis(ms: u64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => span(ms),
    }
}

/// A size.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let table = [
            (0, "just now", "0 s", "0 ms"),
            (999, "just now", "0 s", "999 ms"),
            (1_999, "just now", "1 s", "1.9 s"),
            (2_000, "2 s ago", "2 s", "2.0 s"),
            (119_999, "119 s ago", "119 s", "119 s"),
            (120_000, "2 min ago", "2 min", "2 min"),
            (7_200_000, "2 h ago", "2 h", "2 h"),
            (172_800_000, "2 d ago", "2 d", "2 d"),
        ];
        for (ms, expected_ago, expected_span, expected_millis) in table {
            assert_eq!(ago(ms), expected_ago);
            assert_eq!(span(ms), expected_span);
            assert_eq!(millis(ms), expected_millis);
        }
    }

    #[test]
    fn sizes_are_said_in_the_largest_unit_that_fits() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 30, "3.0 GiB"),
        ];
        for (size, expected) in table {
            assert_eq!(bytes(size), expected);
        }
    }
}
