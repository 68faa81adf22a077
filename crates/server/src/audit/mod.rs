//! The audit trail of this node: who did what, from where, when, and how it ended.
//!
//! An append-only file of JSON Lines in which each record is chained to the one before by SHA-256. Nothing
//! is answered and nothing is changed before its record is written: [`AuditLog::append`] either returns
//! after the record was handed to the operating system (or the disk, see [`AuditSync`]), or it says
//! [`AuditUnavailable`] and the caller refuses the request.
//!
//! | file | what it is about |
//! |---|---|
//! | `action.rs`, `record.rs` | what a record says |
//! | `chain.rs` | one record to one line, and back: format version 1 |
//! | `log.rs` | the handle that the use cases hold |
//! | `writer.rs` | the thread that chains and answers, a group at a time |
//! | `journal.rs`, `syncer.rs`, `disk.rs` | the active file: write, sync, rotate, and what a failure does |
//! | `recovery.rs` | opening a log that was left behind |
//! | `segment.rs`, `lines.rs` | names of files, lines of files |
//! | `query.rs`, `seek.rs` | paging back through the trail |
//! | `verify.rs` | proving that nobody edited it |
//!
//! What lies on the disk: the active file at `VAULT_AUDIT_PATH`, full segments beside it as
//! `<path>.<first seq, 20 digits>`, and `<path>.lock`, which keeps a second process out.

mod action;
mod chain;
mod config;
mod disk;
mod error;
mod journal;
mod lines;
mod log;
mod query;
mod record;
mod recovery;
mod rfc3339;
mod seek;
mod segment;
mod shared;
mod syncer;
mod verify;
mod writer;

#[cfg(test)]
mod fault_tests;

pub use action::{Action, Outcome, UnknownWord};
pub use chain::{Hash, Head, Link, check, seal};
pub use config::{AuditConfig, AuditSync, SEGMENT_BYTES_MAX_DEFAULT, SEGMENTS_MAX_DEFAULT};
pub use error::{AuditOpenError, AuditUnavailable, LineFault, Step};
pub use log::{Appended, AuditLog, AuditStats};
pub use query::{PAGE_RECORDS_DEFAULT, PAGE_RECORDS_MAX, Page, Query, query};
pub use record::{Actor, BatchSecret, Event, FORMAT_VERSION, PassRecord, Record};
pub use verify::{Fault, Finding, Summary, verify};
