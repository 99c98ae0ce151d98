//! SQLite WAL → LTX → object store → replica, Litestream-compatible both ways.
//!
//! Pure: [`codec`] (LTX bytes), [`wal`] (WAL bytes), [`plan`] (what to fetch, who is newer, what
//! to merge, what may go).
//! I/O: [`store`] (the object store and its fence), [`capture`] (database → store), [`compact`]
//! (keeps the store small), [`apply`] (store → replica), [`local`] (files on disk: inspect, swap,
//! set aside).

pub mod codec;
pub mod wal;

pub mod plan;

pub mod store;

pub mod capture;
pub mod compact;

pub mod apply;
pub mod follow;
pub mod local;

pub mod restore;
pub mod verify;
