//! The terminal: what happened scrolls by, what is so stays below and is drawn again and again.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Between two drawings in a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Columns that every terminal has.
const WIDTH: usize = 79;

/// The view.
#[derive(Debug)]
pub(super) struct View {
    live: bool,
    start: Instant,
    drawn: Option<Instant>,
    /// Lines of the block that is drawn again.
    block: usize,
    /// For the rate: when and how many at the last drawing that counted.
    counted: (Instant, usize, usize),
}

impl View {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let live = std::io::stdout().is_terminal();
        Self { live, start: now, drawn: None, block: 0, counted: (now, 0, 0) }
    }

    /// Prints what has happened, above the block.
    pub(super) fn say(&mut self, text: &str) {
        let line = format!("{} {text}\n", self.clock());
        let out = format!("{}{line}", self.erase());
        put(&out);
        if self.live {
            self.drawn = None;
        }
    }

    /// Draws what is so, when it is time.
    pub(super) fn draw(
        &mut self,
        names: &[String],
        up: &[bool],
        statuses: &[Value],
        acknowledged: usize,
    ) {
        let every = if self.live { DRAW_EVERY } else { LINE_EVERY };
        let now = Instant::now();
        if self.drawn.is_some_and(|drawn| now < drawn + every) {
            return;
        }
        self.drawn = Some(now);
        self.count(now, acknowledged);
        let nodes: Vec<Row> = names
            .iter()
            .zip(up)
            .zip(statuses)
            .map(|((name, up), status)| Row::new(name, *up, status))
            .collect();
        let writes = format!("{acknowledged} writes acknowledged, {}/s", self.counted.2);
        if !self.live {
            let all: Vec<String> = nodes.iter().map(Row::short).collect();
            put(&format!("{} {} | {writes}\n", self.clock(), all.join(" | ")));
            return;
        }
        let mut block = vec![String::new(), Row::head()];
        block.extend(nodes.iter().map(Row::long));
        block.push(format!("  {writes}"));
        let mut out = self.erase();
        for line in &block {
            out.push_str(&clip(line));
            out.push('\n');
        }
        self.block = block.len();
        put(&out);
    }

    /// Takes the block away.
    pub(super) fn close(&mut self) {
        let out = self.erase();
        put(&out);
    }

    fn clock(&self) -> String {
        format!("{:>5.1} s ", self.start.elapsed().as_secs_f64())
    }

    /// Writes a second, over the last second or so.
    fn count(&mut self, now: Instant, acknowledged: usize) {
        let (since, then, _) = self.counted;
        let passed = now.saturating_duration_since(since).as_millis();
        if passed >= LINE_EVERY.as_millis() {
            let more = acknowledged.saturating_sub(then) as u128 * 1000 / passed;
            self.counted = (now, acknowledged, usize::try_from(more).unwrap_or(usize::MAX));
        }
    }

    /// Up over the block, and everything below gone.
    fn erase(&mut self) -> String {
        let lines = std::mem::take(&mut self.block);
        if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[J") }
    }
}

/// One node in words.
#[derive(Debug)]
struct Row {
    name: String,
    role: String,
    backend: String,
    epoch: String,
    txid: String,
    lag: String,
    lease: String,
}

impl Row {
    fn new(name: &str, up: bool, status: &Value) -> Self {
        let number = |key: &str, unit: &str| {
            status[key].as_u64().map_or_else(|| String::from("-"), |n| format!("{n}{unit}"))
        };
        let word = |key: &str| String::from(status[key].as_str().unwrap_or("-"));
        if !up {
            let none = || String::from("-");
            return Self {
                name: String::from(name),
                role: String::from("(dead)"),
                backend: none(),
                epoch: none(),
                txid: none(),
                lag: none(),
                lease: none(),
            };
        }
        let role = status["role"].as_str().unwrap_or("starting");
        Self {
            name: String::from(name),
            role: String::from(role),
            backend: word("backendStatus"),
            epoch: number("epoch", ""),
            txid: number("txid", ""),
            lag: number("replicationLagMs", " ms"),
            lease: number("leaseRemainingMs", " ms"),
        }
    }

    fn head() -> String {
        columns(["NODE", "ROLE", "BACKEND", "EPOCH", "TXID", "LAG", "LEASE"])
    }

    fn long(&self) -> String {
        let Self { name, role, backend, epoch, txid, lag, lease } = self;
        columns([name, role, backend, epoch, txid, lag, lease])
    }

    fn short(&self) -> String {
        let Self { name, role, epoch, txid, lag, .. } = self;
        format!("{name} {role} epoch {epoch} txid {txid} lag {lag}")
    }
}

fn columns(of: [&str; 7]) -> String {
    let [name, role, backend, epoch, txid, lag, lease] = of;
    format!("  {name:<8} {role:<9} {backend:<11} {epoch:>6} {txid:>8} {lag:>9} {lease:>9}")
}

fn clip(line: &str) -> String {
    line.chars().take(WIDTH).collect()
}

/// Nobody reading any more is no reason to stop half-way.
fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_is_shown_with_what_it_says_and_a_dead_one_with_nothing_old() {
        let status = json!({
            "role": "PRIMARY", "backendStatus": "running", "epoch": 3, "txid": 17,
            "replicationLagMs": 4, "leaseRemainingMs": 8123,
        });
        let row = Row::new("node-1", true, &status);
        assert_eq!(row.short(), "node-1 PRIMARY epoch 3 txid 17 lag 4 ms");
        assert_eq!(row.long().len(), Row::head().len());
        assert_eq!(Row::new("n", false, &status).short(), "n (dead) epoch - txid - lag -");
        assert!(Row::new("n", true, &Value::Null).short().contains("starting"));
    }
}
