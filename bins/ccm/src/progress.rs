//! What somebody at a terminal sees while they wait.

use std::time::Duration;

use crate::print;

/// Cells of the bar.
const CELLS: usize = 24;
/// The names of 1024 to the power of 0, 1, ….
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
/// The frames of the spinner.
const FRAMES: [char; 4] = ['|', '/', '-', '\\'];

/// A bar: share, bytes, rate, time left.
pub(crate) fn bar(done: u64, total: u64, elapsed: Duration) -> String {
    bar_from(0, done, total, elapsed)
}

/// [`bar`] of a work of which `first` bytes were done before.
pub(crate) fn bar_from(first: u64, done: u64, total: u64, elapsed: Duration) -> String {
    let share = |whole: u64| {
        let part = u128::from(done) * u128::from(whole);
        part.checked_div(u128::from(total)).map_or(0, |n| u64::try_from(n).unwrap_or(whole))
    };
    let percent = share(100).min(100);
    let full = usize::try_from(share(CELLS as u64)).unwrap_or(CELLS).min(CELLS);
    let empty = CELLS - full;
    let mut line = format!(
        "  [{}{}] {percent:>3} %  {} of {}",
        "#".repeat(full),
        ".".repeat(empty),
        bytes(done),
        bytes(total)
    );
    if let Some((rate, left)) = pace(first, done, total, elapsed) {
        line.push_str(&format!("  {rate}/s  {left} left"));
    }
    line
}

/// The same without a bar, for a log.
pub(crate) fn plain_from(first: u64, done: u64, total: u64, elapsed: Duration) -> String {
    let percent = (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(0);
    let mut line = format!("  {} of {} ({percent} %)", bytes(done), bytes(total));
    if let Some((rate, left)) = pace(first, done, total, elapsed) {
        line.push_str(&format!(", {rate}/s, {left} left"));
    }
    line
}

/// Bytes in a second and the time left; `None` before anything has come.
fn pace(first: u64, done: u64, total: u64, elapsed: Duration) -> Option<(String, String)> {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let new = done.saturating_sub(first);
    let rate = new.saturating_mul(1000).checked_div(millis).filter(|rate| *rate > 0)?;
    let left = clock(Duration::from_secs(total.saturating_sub(done) / rate));
    Some((bytes(rate), left))
}

/// Bytes with one decimal in the largest unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    let mut unit = 0;
    let mut scale = 1_u64;
    while count / scale >= 1024 && unit + 1 < UNITS.len() {
        scale *= 1024;
        unit += 1;
    }
    if unit == 0 {
        return format!("{count} B");
    }
    let tenths = u128::from(count) * 10 / u128::from(scale);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// Seconds with one decimal below a minute, else as a clock shows it.
pub(crate) fn took(time: Duration) -> String {
    if time.as_secs() >= 60 {
        return clock(time);
    }
    format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100)
}

/// `m:ss`, or `h:mm:ss`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Lines that tell how a wait goes, and on a terminal a last line that shows that time passes.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Print nothing: somebody wants JSON.
    quiet: bool,
    said: String,
    turns: usize,
    drawn: bool,
}

impl Waiting {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, said: String::new(), turns: 0, drawn: false }
    }

    /// Says `what` unless it was said last.
    pub(crate) fn say(&mut self, what: &str) -> std::io::Result<()> {
        if self.quiet || self.said == what {
            return Ok(());
        }
        self.clear()?;
        self.said = String::from(what);
        print::line(&format!("  {what}"))
    }

    /// Shows on a terminal that time passes.
    pub(crate) fn turn(&mut self, elapsed: Duration) -> std::io::Result<()> {
        if self.quiet || !print::is_terminal() {
            return Ok(());
        }
        let frame = FRAMES[self.turns % FRAMES.len()];
        self.turns += 1;
        self.drawn = true;
        print::text(&format!("\r\x1b[2K  {frame} {} s", elapsed.as_secs()))
    }

    /// Removes the last line again.
    pub(crate) fn clear(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.drawn) { print::text("\r\x1b[2K") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_share_rate_and_time_left() {
        let mib = 1 << 20;
        assert_eq!(
            bar(50 * mib, 200 * mib, Duration::from_secs(2)),
            "  [######..................]  25 %  50.0 MiB of 200.0 MiB  25.0 MiB/s  0:06 left"
        );
        assert_eq!(
            bar_from(40 * mib, 50 * mib, 200 * mib, Duration::from_secs(1)),
            "  [######..................]  25 %  50.0 MiB of 200.0 MiB  10.0 MiB/s  0:15 left"
        );
        assert_eq!(
            plain_from(40 * mib, 50 * mib, 200 * mib, Duration::from_secs(1)),
            "  50.0 MiB of 200.0 MiB (25 %), 10.0 MiB/s, 0:15 left"
        );
        assert_eq!(plain_from(0, 0, 0, Duration::ZERO), "  0 B of 0 B (0 %)");
        let full = "#".repeat(24);
        assert_eq!(bar(7, 7, Duration::ZERO), format!("  [{full}] 100 %  7 B of 7 B"));
        assert_eq!(bar(0, 0, Duration::ZERO), format!("  [{}]   0 %  0 B of 0 B", ".".repeat(24)));
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
        assert_eq!(clock(Duration::from_secs(3725)), "1:02:05");
        assert_eq!(took(Duration::from_millis(4321)), "4.3 s");
        assert_eq!(took(Duration::from_secs(61)), "1:01");
    }
}
