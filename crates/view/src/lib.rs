//! What people are shown of a cluster: the same rows and words on the page and in the terminal.
//!
//! - A [`Look`] is everything that was learned at one moment; [`Board::note`] takes it in.
//! - [`Board::shown`] says what to show at a moment: a [`Shown`] has words, severities and rows,
//!   and leaves to whoever draws it nothing to decide.
//! - [`page`] is the page that draws it in a browser.
//!
//! What is old is never shown as if it were new: a node that is not heard of has an unknown role,
//! with what it said last and how long ago, and what nobody knows is "unknown", not 0.
//!
//! Pure: time is an argument, nothing is asked or drawn here.

mod look;
mod shown;

mod age;
mod lag;
mod nodes;

mod facts;
mod headline;
mod notices;
mod services;

mod board;

mod page;

pub use age::{ago, bytes, millis, span};
pub use board::{Board, Subject};
pub use look::{Look, Part, PartLeader, Told};
pub use page::{Page, page};
pub use shown::{
    Cell, Chart, EventRow, Events, Fact, LeaseClock, NodeRow, Series, ServiceRow, Services,
    Severity, Shown,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
