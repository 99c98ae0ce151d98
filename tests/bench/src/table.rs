//! Tables that are printed row by row.

use std::io::Write as _;

/// Prints a line of text.
pub(crate) fn line(text: &str) {
    // A reader like `head` may have seen enough.
    writeln!(std::io::stdout(), "{text}").ok();
}

/// Columns of these widths; the first is on the left.
#[derive(Debug)]
pub(crate) struct Table(Vec<usize>);

impl Table {
    /// Prints the head.
    pub(crate) fn begin(title: &str, columns: &[(&str, usize)]) -> Self {
        line(&format!("\n{title}"));
        let table =
            Self(columns.iter().map(|(name, width)| name.chars().count().max(*width)).collect());
        table.row(columns.iter().map(|(name, _)| String::from(*name)));
        table
    }

    /// Prints a row.
    pub(crate) fn row(&self, cells: impl IntoIterator<Item = String>) {
        let mut text = String::new();
        for (at, (cell, width)) in cells.into_iter().zip(&self.0).enumerate() {
            let cell =
                if at == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            text.push_str(&cell);
        }
        line(text.trim_end());
    }
}
