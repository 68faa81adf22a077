//! What the server promises, a file a capability.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod audit_fixture;
mod audit_format;
mod audit_log;
mod audit_outage;
mod audit_query;
mod audit_tamper;
mod behind;
mod connection;
mod disk_fixture;
mod grants;
mod grants_fixture;
mod grants_start;
mod hardening;
mod postgres;
mod postgres_between;
mod postgres_failover;
mod postgres_fixture;
mod postgres_log;
mod postgres_server;
mod postgres_tls;
mod rewrap_asked;
mod rewrap_fixture;
mod rewrap_worker;
mod rotation_attempt;
mod slow_keys;
mod supervisor;
mod tamper;
mod vault_fixture;
mod wrap_stamps;
