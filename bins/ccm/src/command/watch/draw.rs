//! The whole screen: what there is to know first, then the panel that was chosen.

use ccm_view::{Cell, Severity, Shown, ago};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::choice::{Choice, Panel};
use super::{cluster, lists};

/// A look comes every second: from here on what is shown is old.
const OLD_AFTER_MS: u64 = 5_000;

/// Lines that notices may have, of a screen of 24.
const NOTICES_MAX: u16 = 6;

const HELP: [&str; 10] = [
    "q, Ctrl-C       quit",
    "tab, ← →, 1-4   the other panels",
    "↑ ↓, k j        choose a node, move a list",
    "PgUp PgDn, g G  move a list by pages, to its ends",
    "?               this; any key closes it",
    "",
    "● as it is to be   ▲ worth a look   ✖ somebody should act",
    "? not known: what is old is not shown as if it were new",
    "",
    "The same in a browser: port 8080 of every node",
];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, shown: &Shown, choice: &Choice) {
    let area = frame.area();
    let notices = notices(shown, area.width);
    let lines = u16::try_from(notices.len()).unwrap_or(u16::MAX).min(NOTICES_MAX);
    let [head, headline, notice, tabs, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(lines),
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    draw_head(frame, head, shown);
    frame.render_widget(cell(&shown.headline).patch_style(Modifier::BOLD), headline);
    frame.render_widget(Paragraph::new(notices), notice);
    draw_tabs(frame, tabs, choice.panel);
    match choice.panel {
        Panel::Cluster => cluster::draw(frame, body, shown, choice.selected(shown)),
        Panel::Node => lists::facts(frame, body, shown),
        Panel::Services => lists::services(frame, body, shown, choice.from),
        Panel::History => lists::events(frame, body, shown, choice.from),
    }
    let keys = "q quit  tab panels  ↑↓ choose  ? help";
    frame.render_widget(Line::styled(keys, Modifier::DIM), foot);
    if choice.help {
        draw_help(frame, area);
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, shown: &Shown) {
    let title = format!("{} as {} sees it", shown.cluster, shown.node);
    let age = if shown.age_ms > OLD_AFTER_MS {
        let words = format!("OLD: looked {}", ago(shown.age_ms));
        Line::styled(words, style(Severity::Bad).add_modifier(Modifier::REVERSED))
    } else {
        Line::styled("live", style(Severity::Good))
    };
    let width = u16::try_from(age.width()).unwrap_or(area.width);
    let [left, right] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(area);
    frame.render_widget(Line::styled(title, Modifier::BOLD), left);
    frame.render_widget(age, right);
}

/// As many lines as they need; when there are too many, how many more there are.
fn notices(shown: &Shown, width: u16) -> Vec<Line<'static>> {
    let width = usize::from(width).max(1);
    let mut lines: Vec<Line<'static>> =
        shown.notices.iter().flat_map(|notice| wrapped(notice, width)).collect();
    let most = usize::from(NOTICES_MAX);
    if lines.len() > most {
        lines.truncate(most - 1);
        let words = "  more: the panel This node, and ccm status on the other nodes";
        lines.push(Line::styled(words, Modifier::DIM));
    }
    lines
}

/// A cell as lines of at most `width` columns, broken between words.
fn wrapped(cell: &Cell, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut line = String::from(cell.severity.sign());
    for word in cell.words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::replace(&mut line, String::from(" ")));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines.into_iter().map(|line| Line::styled(line, style(cell.severity))).collect()
}

fn draw_tabs(frame: &mut Frame<'_>, area: Rect, chosen: Panel) {
    let tab = |(index, panel): (usize, Panel)| {
        let name = format!("{} {}", index + 1, panel.title());
        if panel == chosen {
            Span::styled(format!("[{name}]"), Modifier::REVERSED)
        } else {
            Span::raw(format!(" {name} "))
        }
    };
    let tabs: Vec<Span<'_>> = Panel::ALL.into_iter().enumerate().map(tab).collect();
    frame.render_widget(Line::from(tabs), area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let [width, height] = [area.width.min(64), area.height.min(12)];
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    let place = Rect { x: area.x + x, y: area.y + y, width, height };
    frame.render_widget(Clear, place);
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
    let help = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(help.block(Block::bordered().title(" Keys and signs ")), place);
}

/// The colour of a severity; the sign and the words beside it say the same.
pub(super) fn style(severity: Severity) -> Style {
    match severity {
        Severity::Good => Style::new().fg(Color::Green),
        Severity::Plain => Style::new(),
        Severity::Unknown => Style::new().add_modifier(Modifier::DIM),
        Severity::Warn => Style::new().fg(Color::Yellow),
        Severity::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
    }
}

/// A sign and words.
pub(super) fn cell(cell: &Cell) -> Line<'static> {
    let words = format!("{} {}", cell.severity.sign(), cell.words);
    Line::styled(words, style(cell.severity))
}
