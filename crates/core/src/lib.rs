//! The law of the vault: what a name, a version, a role, a token and a replicated command are, and how
//! each command changes the state.
//!
//! Nothing here reads a clock, a file, a socket, the environment or a random source; time and random
//! bytes are arguments. That is what lets every node of a cluster, and a simulation, come to the same
//! answer.

pub mod allowlist;
pub mod client_address;
pub mod generator;
pub mod grant;
pub mod limits;
pub mod lockout;
pub mod name;
pub mod policy;
pub mod ports;
pub mod rotation;
pub mod secret;
pub mod state;
pub mod target;
pub mod time;
pub mod token;
pub mod wrap;
