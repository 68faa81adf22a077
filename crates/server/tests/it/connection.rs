//! The connection shell, on real sockets: what a stranger may do to it, and how it stops.

mod harness;
mod hoard;
mod limits;
mod listen;
mod stop;
mod tls;
