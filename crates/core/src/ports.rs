//! The ports through which time and randomness reach the house. This crate names them and calls neither.

use crate::time::Timestamp;

/// A wall clock.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// A source of cryptographically secure random bytes. An implementation that can't deliver must stop the
/// process rather than return.
pub trait Entropy: Send + Sync + 'static {
    fn fill(&self, bytes: &mut [u8]);
}
