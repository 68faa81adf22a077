//! The HTTP contract of the vault: endpoints, wire types, errors. No rules and no storage.
//!
//! Requests are read by [`json::parse`] alone, which refuses what it doesn't know and never repeats what
//! was submitted.

pub mod audit;
pub mod cluster;
pub mod endpoint;
pub mod error;
pub mod json;
pub mod kms;
pub mod lockouts;
pub mod roles;
pub mod rotation;
pub mod secrets;
pub mod text;
pub mod time;
pub mod tokens;
