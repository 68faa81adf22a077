//! The application: configuration, use cases, guards, audit, workers, HTTP.
//!
//! Start with `app.rs`, which puts everything together; then `http/service.rs`, what every request goes
//! through; then `secrets.rs` and `replica.rs`, how a secret is read and changed.

pub mod access;
pub mod adapters;
pub mod app;
pub mod audit;
pub mod bootstrap;
pub mod cluster;
pub mod config;
pub mod dev;
pub mod failure;
pub mod grants;
pub mod hardening;
pub mod http;
pub mod ports;
pub mod readiness;
pub mod recovery;
pub mod replica;
pub mod reported_keys;
pub mod request_id;
pub mod rewrap;
pub mod roles;
mod said;
pub mod sealing;
pub mod secrets;
pub mod target;
pub mod telemetry;
pub mod tokens;
pub mod trail;
pub mod worker;
