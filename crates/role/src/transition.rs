//! Which phase may follow which, and why. The diagram in `docs/state-machine.md` is this table.

use std::fmt::Write as _;

use crate::state::Phase;

/// One allowed change of phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Before.
    pub from: Phase,
    /// After.
    pub to: Phase,
    /// What makes it happen.
    pub why: &'static str,
}

const fn t(from: Phase, to: Phase, why: &'static str) -> Transition {
    Transition { from, to, why }
}

/// Every allowed change.
pub const TRANSITIONS: [Transition; 20] = [
    t(Phase::Starting, Phase::Passive, "nothing of an earlier run is left"),
    t(Phase::Starting, Phase::Promoting, "a backend runs under a lease that may be adopted"),
    t(Phase::Starting, Phase::Left, "an operator has taken the node out"),
    t(Phase::Starting, Phase::Stopped, "shutdown"),
    t(Phase::Passive, Phase::Promoting, "the lease was won"),
    t(Phase::Passive, Phase::Left, "leave"),
    t(Phase::Passive, Phase::Stopped, "shutdown"),
    t(Phase::Promoting, Phase::Primary, "the backend serves"),
    t(Phase::Promoting, Phase::Demoting, "a rung cannot be climbed, or an operator asks"),
    t(Phase::Promoting, Phase::Falling, "the lease is lost, or the store refuses the epoch"),
    t(Phase::Promoting, Phase::Stopped, "a second shutdown"),
    t(Phase::Primary, Phase::Demoting, "an operator asks, or the backend cannot be kept running"),
    t(Phase::Primary, Phase::Falling, "the lease is lost, or the store refuses the epoch"),
    t(Phase::Demoting, Phase::Passive, "the lease is released"),
    t(Phase::Demoting, Phase::Falling, "the lease is lost on the way down"),
    t(Phase::Demoting, Phase::Left, "leave"),
    t(Phase::Demoting, Phase::Stopped, "shutdown"),
    t(Phase::Falling, Phase::Passive, "nothing of the backend is left"),
    t(Phase::Falling, Phase::Left, "leave"),
    t(Phase::Falling, Phase::Stopped, "shutdown"),
];

/// Whether the table lists this change; a second shutdown may come in any phase.
pub(crate) fn allowed(from: Phase, to: Phase) -> bool {
    to == Phase::Stopped || TRANSITIONS.iter().any(|t| t.from == from && t.to == to)
}

/// The page `docs/state-machine.md`: a diagram and a table, from [`TRANSITIONS`].
#[must_use]
pub fn state_machine_markdown() -> String {
    let mut page = String::from(
        "# The state machine of a node\n\n\
         Generated from `crates/role/src/transition.rs` by `cargo xtask docs`; do not edit.\n\n\
         PRIMARY is shown to operators while a lease is held (Promoting, Primary, Demoting), \
         PASSIVE otherwise.\n\n```mermaid\nstateDiagram-v2\n    [*] --> Starting\n",
    );
    for t in TRANSITIONS {
        // Writing to a string cannot fail.
        writeln!(page, "    {:?} --> {:?}", t.from, t.to).ok();
    }
    page.push_str("    Stopped --> [*]\n```\n\n| from | to | why |\n|---|---|---|\n");
    for t in TRANSITIONS {
        writeln!(page, "| {:?} | {:?} | {} |", t.from, t.to, t.why).ok();
    }
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/state-machine.md");
        expect_test::ExpectFile::assert_eq(
            &expect_test::expect_file![path],
            &super::state_machine_markdown(),
        );
    }
}
