//! The terminal while it is drawn on, and as it was before.

use std::io::{IsTerminal as _, Result};

use ratatui::{DefaultTerminal, Frame};

/// The whole terminal. Dropped, and in a panic, it leaves the terminal as it was.
pub(super) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal; what is on it comes back afterwards.
    pub(super) fn enter() -> Result<Self> {
        Ok(Self { terminal: ratatui::try_init()? })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.terminal.draw(draw).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        if ratatui::try_restore().is_err() && std::io::stdout().is_terminal() {
            crate::print::error("could not restore the terminal: type reset");
        }
    }
}
