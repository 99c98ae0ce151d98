//! What a scenario has measured: figures of systems in settings, one value for every round, and
//! their ratios round by round.

use serde_json::{Map, Value, json};

use crate::numbers::{Spread, short};
use crate::table::{Table, line};

/// The system that the others are compared with.
const OURS: &str = "ccm";

#[derive(Debug)]
struct Cell {
    setting: String,
    figure: String,
    system: String,
    rounds: Vec<(usize, f64)>,
}

/// The figures of one scenario.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The scenario.
    pub(crate) name: &'static str,
    cells: Vec<Cell>,
    notes: Vec<String>,
}

impl Figures {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, cells: Vec::new(), notes: Vec::new() }
    }

    /// Adds what was measured in a round; the name of a figure ends with its unit.
    pub(crate) fn add(
        &mut self,
        setting: &str,
        system: &str,
        round: usize,
        values: &[(&str, f64)],
    ) {
        for (figure, value) in values {
            let same =
                |c: &&mut Cell| c.setting == setting && c.system == system && c.figure == *figure;
            if let Some(cell) = self.cells.iter_mut().find(same) {
                cell.rounds.push((round, *value));
            } else {
                self.cells.push(Cell {
                    setting: String::from(setting),
                    figure: String::from(*figure),
                    system: String::from(system),
                    rounds: vec![(round, *value)],
                });
            }
        }
    }

    /// Adds something that is not a number, and prints it.
    pub(crate) fn note(&mut self, text: String) {
        line(&format!("  {text}"));
        self.notes.push(text);
    }

    fn distinct<'a>(&'a self, of: impl Fn(&'a Cell) -> &'a str) -> Vec<&'a str> {
        let mut names = Vec::new();
        for name in self.cells.iter().map(of) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    fn cell(&self, setting: &str, figure: &str, system: &str) -> Option<&Cell> {
        self.cells.iter().find(|c| c.setting == setting && c.figure == figure && c.system == system)
    }

    /// Ours divided by theirs in the same round.
    fn ratio(&self, setting: &str, figure: &str, system: &str) -> Option<Spread> {
        let ours = self.cell(setting, figure, OURS)?;
        let theirs = self.cell(setting, figure, system)?;
        let pairs = ours.rounds.iter().filter_map(|(round, value)| {
            let (_, other) = theirs.rounds.iter().find(|(other, _)| other == round)?;
            (*other > 0.0).then_some(value / other)
        });
        let spread = Spread::of(pairs);
        spread.median().is_some().then_some(spread)
    }

    /// Prints medians with the smallest and the largest of all rounds, and the ratios.
    pub(crate) fn print(&self) {
        let systems = self.distinct(|cell| &cell.system);
        for setting in self.distinct(|cell| &cell.setting) {
            let mut columns = vec![("", 26)];
            columns.extend(systems.iter().map(|system| (*system, 22)));
            let title = format!("{} · {setting}: median (smallest–largest)", self.name);
            let table = Table::begin(&title, &columns);
            for figure in self.distinct(|cell| &cell.figure) {
                let spread = |system: &&str| {
                    let cell = self.cell(setting, figure, system);
                    cell.map_or_else(String::new, |cell| {
                        Spread::of(cell.rounds.iter().map(|(_, value)| *value)).to_string()
                    })
                };
                let cells: Vec<String> = systems.iter().map(spread).collect();
                if cells.iter().any(|cell| !cell.is_empty()) {
                    table.row(std::iter::once(String::from(figure)).chain(cells));
                }
                self.print_ratios(setting, figure, &systems, &table);
            }
        }
        for note in &self.notes {
            line(&format!("  {note}"));
        }
    }

    fn print_ratios(&self, setting: &str, figure: &str, systems: &[&str], table: &Table) {
        if figure.ends_with('%') {
            return;
        }
        let ratio = |system: &&str| {
            let other = *system != OURS;
            let spread = other.then(|| self.ratio(setting, figure, system)).flatten();
            spread.map_or_else(String::new, |spread| format!("× {spread}"))
        };
        let cells: Vec<String> = systems.iter().map(ratio).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.row(std::iter::once(String::from("  ccm is")).chain(cells));
        }
    }

    /// `{name, figures: [{setting, figure, system, median, min, max, rounds, ratio}], notes}`.
    pub(crate) fn json(&self) -> Value {
        let figures = self.cells.iter().map(|cell| {
            let mut object = Map::new();
            object.insert(String::from("setting"), json!(cell.setting));
            object.insert(String::from("figure"), json!(cell.figure));
            object.insert(String::from("system"), json!(cell.system));
            let spread = Spread::of(cell.rounds.iter().map(|(_, value)| *value)).json();
            let ratio = self.ratio(&cell.setting, &cell.figure, &cell.system);
            object.insert(String::from("value"), spread);
            object.insert(
                String::from("ccm_divided_by_this"),
                if cell.system == OURS { Value::Null } else { json!(ratio.map(|r| r.json())) },
            );
            Value::Object(object)
        });
        json!({ "name": self.name, "figures": figures.collect::<Vec<_>>(), "notes": self.notes })
    }
}

/// A live line for one measurement.
pub(crate) fn live(round: usize, setting: &str, system: &str, values: &[(&str, f64)]) {
    let shown: Vec<String> =
        values.iter().map(|(name, v)| format!("{name} {}", short(*v))).collect();
    line(&format!("  round {} · {setting} · {system}: {}", round + 1, shown.join(", ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut figures = Figures::new("x");
        for (round, ours, theirs) in [(0, 1.0, 2.0), (1, 3.0, 4.0)] {
            figures.add("s", "ccm", round, &[("ms", ours)]);
            figures.add("s", "other", round, &[("ms", theirs)]);
        }
        figures.add("s", "other", 2, &[("ms", 1.0)]);
        let ratio = figures.ratio("s", "ms", "other").map(|r| r.to_string());
        assert_eq!(ratio.as_deref(), Some("0.625 (0.500–0.750)"));
        assert!(figures.ratio("s", "ms", "nobody").is_none());
    }
}
