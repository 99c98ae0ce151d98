//! The first panel: the lease, the nodes, and the lag of the chosen one over time.

use ccm_view::{LeaseClock, NodeRow, Series, Severity, Shown, millis};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, TableState, Wrap};

use super::draw::{cell, style};

/// How wide the bar of the lease is.
const BAR: u64 = 20;
/// Eighths of a line.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Looks that are further apart leave a hole.
const APART_MS: u64 = 5_000;
/// Where the lag was not known.
const UNKNOWN: char = '?';

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, shown: &Shown, selected: usize) {
    let rows = u16::try_from(shown.nodes.len()).unwrap_or(u16::MAX).saturating_add(1);
    let table = rows.min((area.height / 2).max(3));
    let [lease, nodes, note, chart] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(table.saturating_add(1)),
        Constraint::Length(2),
        Constraint::Min(0),
    ])
    .areas(area);
    frame.render_widget(lease_line(&shown.lease), lease);
    draw_nodes(frame, nodes, &shown.nodes, selected);
    let Some(row) = shown.nodes.get(selected) else { return };
    let said = match (row.note.as_str(), row.role.severity) {
        ("", Severity::Unknown) => "nothing is known of it",
        ("", _) => "it tells of no problem",
        (note, _) => note,
    };
    let words = Paragraph::new(format!("{}: {said}", row.node)).wrap(Wrap { trim: true });
    frame.render_widget(words, note);
    let series = shown.lag.series.iter().find(|series| series.node == row.node);
    if let Some(series) = series {
        draw_lag(frame, chart, series, shown);
    }
}

fn lease_line(lease: &LeaseClock) -> Line<'static> {
    let Some(left) = lease.left_ms else {
        return Line::styled(format!("Lease  ? {}", lease.words), style(Severity::Unknown));
    };
    let severity = if left < lease.low_ms { Severity::Warn } else { Severity::Good };
    let full = (left * BAR).checked_div(lease.of_ms).unwrap_or(0).min(BAR);
    let bar: String = (0..BAR).map(|at| if at < full { '█' } else { '░' }).collect();
    let (seconds, tenths) = (left / 1000, left % 1000 / 100);
    let words = format!(" {seconds}.{tenths} s {}, of {}", lease.words, millis(lease.of_ms));
    Line::from(vec![Span::raw("Lease  "), Span::styled(bar, style(severity)), Span::raw(words)])
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, nodes: &[NodeRow], selected: usize) {
    let row = |node: &NodeRow| {
        let name = if node.own { format!("{} *", node.node) } else { node.node.clone() };
        let cells = [&node.role, &node.backend, &node.txid, &node.lag, &node.heard].map(cell);
        Row::new([Line::from(name)].into_iter().chain(cells))
    };
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(11),
        Constraint::Length(12),
        Constraint::Length(10),
        Constraint::Length(17),
    ];
    let header = Row::new(["NODE", "ROLE", "BACKEND", "TXID", "LAG", "HEARD"]);
    let table = Table::new(nodes.iter().map(row), widths)
        .header(header.style(Modifier::DIM))
        .highlight_symbol("> ")
        .row_highlight_style(Modifier::BOLD);
    let mut state = TableState::default().with_selected(Some(selected));
    frame.render_stateful_widget(table, area, &mut state);
}

fn draw_lag(frame: &mut Frame<'_>, area: Rect, series: &Series, shown: &Shown) {
    if area.height < 3 {
        return;
    }
    let minutes = shown.lag.span_ms / 60_000;
    let title = format!(
        "Lag of {}: {}   (the last {minutes} min while watched, up to {})",
        series.node, series.last, shown.lag.top
    );
    let [head, chart] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::styled(title, Modifier::DIM), head);
    let columns = columns(series, shown.lag.span_ms, usize::from(chart.width));
    let lines = bars(&columns, shown.lag.top_ms, usize::from(chart.height));
    let lines: Vec<Line<'_>> = lines.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(lines), chart);
}

/// What is known of the time that a column stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// Nobody has looked.
    Unseen,
    Unknown,
    /// The longest lag, in milliseconds.
    Lag(u64),
}

impl Column {
    fn and(self, lag: Option<u64>) -> Self {
        match (self, lag) {
            (Self::Lag(before), Some(lag)) => Self::Lag(before.max(lag)),
            (Self::Unseen | Self::Unknown, Some(lag)) => Self::Lag(lag),
            (Self::Unseen, None) => Self::Unknown,
            (before @ (Self::Unknown | Self::Lag(_)), None) => before,
        }
    }
}

/// A point lasts until the next one, unless nobody has looked for longer than that.
fn columns(series: &Series, span_ms: u64, width: usize) -> Vec<Column> {
    let wide = u64::try_from(width).unwrap_or(u64::MAX);
    let place = |age: u64| {
        let back = age.saturating_mul(wide).checked_div(span_ms).unwrap_or(0);
        width.checked_sub(usize::try_from(back).unwrap_or(usize::MAX).saturating_add(1))
    };
    let mut columns = vec![Column::Unseen; width];
    for (index, (age, lag)) in series.points.iter().enumerate() {
        let Some(from) = place(*age) else { continue };
        let next = series.points.get(index + 1).map(|(next, _)| *next);
        let until = next.filter(|next| age.saturating_sub(*next) <= APART_MS).and_then(place);
        let until = until.unwrap_or(from).max(from + 1);
        for column in columns.iter_mut().take(until).skip(from) {
            *column = column.and(*lag);
        }
    }
    columns
}

/// Lines from the top to the bottom. A lag of 0 is a line of its own: it is known.
fn bars(columns: &[Column], top_ms: u64, height: usize) -> Vec<String> {
    let eighths = u64::try_from(height).unwrap_or(u64::MAX).saturating_mul(8);
    let high = |column: &Column| match column {
        Column::Unseen | Column::Unknown => 0,
        Column::Lag(lag) => {
            (lag.saturating_mul(eighths)).checked_div(top_ms).unwrap_or(0).clamp(1, eighths)
        }
    };
    let line = |row: usize| {
        let below = u64::try_from(height - 1 - row).unwrap_or(0) * 8;
        let sign = |column: &Column| match column {
            Column::Unknown if below == 0 => UNKNOWN,
            Column::Unseen | Column::Unknown => ' ',
            Column::Lag(_) => {
                let part = high(column).saturating_sub(below).min(8);
                BARS[usize::try_from(part).unwrap_or(0)]
            }
        };
        columns.iter().map(sign).collect()
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_over_time_is_drawn_as_high_as_it_was_and_unknown_is_not_low() {
        let points = vec![(9_900, Some(0)), (9_500, None), (3_900, Some(100)), (1_900, Some(50))];
        let series = Series { points, ..Series::default() };
        let columns = columns(&series, 12_000, 12);
        let (unseen, lag) = (Column::Unseen, Column::Lag);
        let expected = [
            unseen,
            unseen,
            lag(0),
            unseen,
            unseen,
            unseen,
            unseen,
            unseen,
            lag(100),
            lag(100),
            lag(50),
            unseen,
        ];
        assert_eq!(columns, expected);
        assert_eq!(bars(&columns, 100, 2), ["        ██  ", "  ▁     ███ "]);
        let unknown = Series { points: vec![(500, None)], ..series };
        assert_eq!(super::columns(&unknown, 2_000, 2), [unseen, Column::Unknown]);
        assert_eq!(bars(&[unseen, Column::Unknown], 100, 1), [" ?"]);
        assert!(bars(&columns, 0, 0).is_empty());
    }
}
