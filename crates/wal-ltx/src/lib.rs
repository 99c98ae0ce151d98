//! SQLite WAL → LTX → object store → replica, Litestream-compatible both ways.
//!
//! | you want to | start at |
//! |---|---|
//! | replicate a database as it commits | [`capture::Capture`] |
//! | keep the bucket small | [`compact::Compactor`] |
//! | follow it somewhere else | [`follow::Follower`], [`local::Local`] |
//! | bring a replica to the end once, before serving it | [`follow::catch_up`] |
//! | get a database out of the bucket | [`restore::restore`] |
//! | know whether all is well | [`verify`] |
//! | have a bucket on a NATS server | [`store::NatsStore`] |
//! | have it in a folder, or in memory | [`store::DirStore`], [`store::MemStore`] |
//! | a store of your own | [`store::LtxStore`] |
//! | read and write LTX files, read WALs | [`codec`], [`wal`] |
//!
//! Programs that do the first and the third in twenty lines are in `examples/` and in the README.
//!
//! # One writer
//!
//! Whoever is to write moves the fence to an epoch higher than all before
//! ([`store::LtxStore::move_fence`]) and writes with what that returns. From then on the store
//! refuses every write of an earlier epoch ([`store::StoreError::Fenced`]); what is listed after
//! the move is definitive. Who may be next, and when, is for the caller to decide: a lease, an
//! operator.
//!
//! # What is pure
//!
//! [`codec`] (LTX bytes), [`wal`] (WAL bytes) and [`plan`] (what to fetch, who is newer, what to
//! merge, what may go) do no I/O and have no clock. Everything else does I/O: [`store`] (the
//! object store and its fence), [`capture`] (database → store), [`compact`], [`apply`] (store →
//! replica), [`local`] (files on disk: inspect, swap, set aside), [`restore`], [`verify`].
//! Tasks run on tokio, work that blocks on its blocking threads.
//!
//! # Units and sources
//!
//! Sizes and offsets are bytes, page numbers begin at 1, database sizes are pages, moments of the
//! wall clock are milliseconds since the Unix epoch. TXIDs count files of level 0, not
//! transactions of SQLite: one file holds every commit since the one before.
//! The rules are SQLite's file format (<https://sqlite.org/fileformat2.html>: section 1 for the
//! database, 3 for rollback journals, 4 for the WAL) and the LTX format
//! (<https://github.com/superfly/ltx#file-format>).

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
