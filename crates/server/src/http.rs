//! HTTP: requests into use cases and back. Status codes are known here and in the `api` crate only.

mod admin;
mod answer;
pub mod body;
mod call;
mod cluster;
mod error;
mod freshness;
mod guard;
mod idle;
mod kms;
pub mod listen;
mod patience;
mod places;
mod probes;
mod roles;
mod route;
mod secrets;
pub mod serve;
mod service;
pub mod tls;
mod tokens;

pub use service::{Api, router};
