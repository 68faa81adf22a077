//! The operating system's random generator.

use hyperion_vault_core::ports::Entropy;

/// The operating system's cryptographically secure generator: `getrandom(2)`.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// Aborts the process when the generator fails: a vault without randomness would make keys and tokens that
    /// can be guessed, and no caller could do better than to stop.
    #[expect(clippy::disallowed_methods, reason = "the one adapter through which randomness enters")]
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::fill(bytes) {
            tracing::error!(%error, "the operating system gives no random bytes; stopping rather than making weak keys");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_whole_of_what_it_is_given_and_never_twice_the_same() {
        let (mut first, mut second) = ([0u8; 64], [0u8; 64]);
        OsEntropy.fill(&mut first);
        OsEntropy.fill(&mut second);
        assert_ne!(first, second);
        // A half left at zero has odds of 2^-256.
        assert!(first.chunks(32).all(|half| half.iter().any(|byte| *byte != 0)));
    }
}
