//! What the reader has chosen to see. Pure.

use ccm_view::Shown;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Lines that a page key moves by.
const PAGE: usize = 10;

/// One of the panels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Panel {
    #[default]
    Cluster,
    Node,
    Services,
    History,
}

impl Panel {
    pub(super) const ALL: [Self; 4] = [Self::Cluster, Self::Node, Self::Services, Self::History];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Node => "This node",
            Self::Services => "Services",
            Self::History => "History",
        }
    }

    fn step(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|one| *one == self).unwrap_or_default();
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// What a key means for whoever reads keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    Quit,
}

/// What is chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) panel: Panel,
    /// A node; the one that is asked when none was chosen.
    pub(super) node: Option<String>,
    /// The first line that is shown of a list.
    pub(super) from: usize,
    pub(super) help: bool,
}

impl Choice {
    /// The index of the chosen node among those shown.
    pub(super) fn selected(&self, shown: &Shown) -> usize {
        let named = self.node.as_ref();
        let chosen = shown.nodes.iter().position(|row| Some(&row.node) == named);
        chosen.or_else(|| shown.nodes.iter().position(|row| row.own)).unwrap_or_default()
    }

    /// Takes in a key.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most keys mean nothing here")]
    pub(super) fn press(&mut self, key: KeyEvent, shown: &Shown) -> Turn {
        if key.kind == KeyEventKind::Release {
            return Turn::Stay;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Turn::Quit,
            KeyCode::Char('q') => return Turn::Quit,
            // Whatever closes the help is not meant for what is behind it.
            _ if self.help => self.help = false,
            KeyCode::Char('?') => self.help = true,
            KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => self.go(self.panel.step(1)),
            KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => self.go(self.panel.step(3)),
            KeyCode::Char(digit @ '1'..='4') => {
                let at = digit.to_digit(10).and_then(|n| usize::try_from(n).ok()).unwrap_or(1);
                self.go(Panel::ALL[at - 1]);
            }
            KeyCode::Down | KeyCode::Char('j') => self.down(1, shown),
            KeyCode::Up | KeyCode::Char('k') => self.up(1, shown),
            KeyCode::PageDown | KeyCode::Char(' ') => self.down(PAGE, shown),
            KeyCode::PageUp => self.up(PAGE, shown),
            KeyCode::Home | KeyCode::Char('g') => self.up(usize::MAX, shown),
            KeyCode::End | KeyCode::Char('G') => self.down(usize::MAX, shown),
            _ => {}
        }
        Turn::Stay
    }

    fn go(&mut self, panel: Panel) {
        self.panel = panel;
        self.from = 0;
    }

    fn down(&mut self, by: usize, shown: &Shown) {
        let last = self.lines(shown).saturating_sub(1);
        self.put(self.place(shown).saturating_add(by).min(last), shown);
    }

    fn up(&mut self, by: usize, shown: &Shown) {
        self.put(self.place(shown).saturating_sub(by), shown);
    }

    /// How many there are to move among.
    fn lines(&self, shown: &Shown) -> usize {
        match self.panel {
            Panel::Cluster | Panel::Node => shown.nodes.len(),
            Panel::Services => shown.services.rows.len(),
            Panel::History => shown.events.rows.len(),
        }
    }

    fn place(&self, shown: &Shown) -> usize {
        match self.panel {
            Panel::Cluster | Panel::Node => self.selected(shown),
            Panel::Services | Panel::History => self.from,
        }
    }

    fn put(&mut self, at: usize, shown: &Shown) {
        match self.panel {
            Panel::Cluster | Panel::Node => {
                self.node = shown.nodes.get(at).map(|row| row.node.clone());
            }
            Panel::Services | Panel::History => self.from = at,
        }
    }
}

#[cfg(test)]
mod tests {
    use ccm_view::{EventRow, Events, NodeRow};

    use super::*;

    fn shown(nodes: &[&str], events: usize) -> Shown {
        let row = |name: &&str| NodeRow {
            node: String::from(*name),
            own: *name == "node-2",
            ..NodeRow::default()
        };
        let rows = vec![EventRow::default(); events];
        Shown {
            nodes: nodes.iter().map(row).collect(),
            events: Events { rows, ..Events::default() },
            ..Shown::default()
        }
    }

    fn press(choice: &mut Choice, keys: &[KeyCode], shown: &Shown) -> Turn {
        let press = |_, code: &KeyCode| choice.press(KeyEvent::from(*code), shown);
        keys.iter().fold(Turn::Stay, press)
    }

    #[test]
    fn arrows_choose_a_node_that_stays_chosen_when_others_come() {
        let few = shown(&["node-1", "node-2", "node-3"], 0);
        let mut choice = Choice::default();
        assert_eq!(choice.selected(&few), 1);
        press(&mut choice, &[KeyCode::Down, KeyCode::Char('j')], &few);
        assert_eq!(choice.selected(&few), 2);
        let more = shown(&["node-1", "node-2", "node-25", "node-3"], 0);
        assert_eq!(choice.selected(&more), 3);
        press(&mut choice, &[KeyCode::Up, KeyCode::Char('k'), KeyCode::Home, KeyCode::Up], &more);
        assert_eq!(choice.selected(&more), 0);
        assert_eq!(choice.selected(&shown(&[], 0)), 0);
    }

    #[test]
    fn tab_goes_round_and_lists_are_moved_within_their_length() {
        let shown = shown(&["node-1"], 30);
        let mut choice = Choice::default();
        press(&mut choice, &[KeyCode::Tab; 3], &shown);
        assert_eq!(choice.panel, Panel::History);
        press(&mut choice, &[KeyCode::PageDown, KeyCode::Down, KeyCode::Char('G')], &shown);
        assert_eq!(choice.from, 29);
        press(&mut choice, &[KeyCode::PageUp, KeyCode::Up], &shown);
        assert_eq!(choice.from, 18);
        press(&mut choice, &[KeyCode::Tab], &shown);
        assert_eq!((choice.panel, choice.from), (Panel::Cluster, 0));
        press(&mut choice, &[KeyCode::BackTab, KeyCode::Char('2')], &shown);
        assert_eq!(choice.panel, Panel::Node);
    }

    #[test]
    fn q_and_control_c_quit_also_from_the_help() {
        let shown = shown(&["node-1"], 0);
        let mut choice = Choice::default();
        assert_eq!(press(&mut choice, &[KeyCode::Char('?')], &shown), Turn::Stay);
        assert!(choice.help);
        assert_eq!(press(&mut choice, &[KeyCode::Tab], &shown), Turn::Stay);
        assert!(!choice.help && choice.panel == Panel::Cluster);
        press(&mut choice, &[KeyCode::Char('?')], &shown);
        assert_eq!(press(&mut choice, &[KeyCode::Char('q')], &shown), Turn::Quit);
        let stop = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(choice.press(stop, &shown), Turn::Quit);
        assert_eq!(press(&mut choice, &[KeyCode::Char('c')], &shown), Turn::Stay);
    }
}
