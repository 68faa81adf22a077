//! What the product promises, held against the real binary: real processes, sockets and files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod audit_outage;
mod audit_pages;
mod audit_trail;
mod border;
mod callers;
mod canary;
mod client_address;
mod cluster;
mod cluster_of_one;
mod connection;
mod contract;
mod docs;
#[path = "../../../kms/tests/it/emulator.rs"]
mod emulator;
mod first_tour;
mod freshness;
mod held_back;
mod kill;
mod kms;
mod knob;
mod leak;
mod limits;
mod load;
mod lockout;
mod master_key;
mod matrix;
#[path = "../../../server/tests/it/postgres_server.rs"]
mod postgres_server;
mod recover;
mod refused_start;
mod rotation;
mod small_disk;
mod stop;
mod stopped;
mod tokens;
mod trail;
mod vault;
