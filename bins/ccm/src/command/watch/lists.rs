//! The panels that are lists.

use ccm_view::{EventRow, ServiceRow, Shown};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Row, Table, Wrap};

use super::draw::{cell, style};

/// How wide the labels of the facts are.
const LABEL: usize = 12;

/// What is known of the node that is asked.
pub(super) fn facts(frame: &mut Frame<'_>, area: Rect, shown: &Shown) {
    let mut lines = Vec::new();
    for fact in &shown.facts {
        let words = format!("{} {}", fact.severity.sign(), fact.words);
        lines.push(Line::from(vec![
            Span::styled(format!("{:<LABEL$}", fact.label), Modifier::DIM),
            Span::styled(words, style(fact.severity)),
        ]));
        if !fact.note.is_empty() {
            let note = format!("{:<width$}{}", "", fact.note, width = LABEL + 2);
            lines.push(Line::styled(note, Modifier::DIM));
        }
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// A notice above a list, and what is left for the list.
fn notice(frame: &mut Frame<'_>, area: Rect, words: &str) -> Rect {
    if words.is_empty() {
        return area;
    }
    let [head, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    frame.render_widget(Line::raw(words), head);
    rest
}

/// What the nodes offer.
pub(super) fn services(frame: &mut Frame<'_>, area: Rect, shown: &Shown, from: usize) {
    let area = notice(frame, area, &shown.services.notice);
    let row = |one: &ServiceRow| {
        let plain = [&one.service, &one.node, &one.endpoint, &one.protocol];
        let plain = plain.map(|text| Line::from(text.clone()));
        let [service, node, endpoint, protocol] = plain;
        let tags = Line::from(one.tags.clone());
        Row::new([service, node, endpoint, protocol, cell(&one.health), tags])
    };
    let widths = [
        Constraint::Length(12),
        Constraint::Length(12),
        Constraint::Length(22),
        Constraint::Length(6),
        Constraint::Length(14),
        Constraint::Fill(1),
    ];
    let header = Row::new(["SERVICE", "NODE", "ADDRESS", "PROTO", "HEALTH", "TAGS"]);
    let rows = shown.services.rows.iter().skip(from).map(row);
    frame.render_widget(Table::new(rows, widths).header(header.style(Modifier::DIM)), area);
}

/// What has happened.
pub(super) fn events(frame: &mut Frame<'_>, area: Rect, shown: &Shown, from: usize) {
    let area = notice(frame, area, &shown.events.notice);
    let lines: Vec<Line<'_>> = shown.events.rows.iter().skip(from).flat_map(event).collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), area);
}

fn event(row: &EventRow) -> [Line<'static>; 2] {
    let EventRow { at, ago, node, kind, words } = row;
    let head = Line::from(vec![
        Span::styled(format!("{} {}", kind.severity.sign(), kind.words), style(kind.severity)),
        Span::styled(format!("  {at} ({ago}), told by {node}"), Modifier::DIM),
    ]);
    [head, Line::from(format!("  {words}"))]
}
