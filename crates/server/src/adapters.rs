//! The operating system behind the ports of the core.

pub mod clock;
pub mod consensus;
pub mod entropy;
pub mod membership;
