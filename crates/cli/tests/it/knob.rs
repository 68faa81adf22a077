//! What a run of the tests can be told from outside: their seed, and how long they go on.

/// `VAULT_TEST_SEED`, or a new seed for every run. The test prints it, so that a run can be had again.
pub(crate) fn seed() -> u64 {
    number("VAULT_TEST_SEED").unwrap_or_else(|| fastrand::u64(..))
}

/// `VAULT_TEST_ROUNDS`, or this many.
pub(crate) fn rounds(default: u64) -> u64 {
    number("VAULT_TEST_ROUNDS").unwrap_or(default)
}

#[expect(clippy::disallowed_methods, reason = "a test's own knob, not a setting of the vault")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// `VAULT_TEST_LONG=1`: the slow tests at their full length.
pub(crate) fn long() -> bool {
    number("VAULT_TEST_LONG").is_some_and(|long| long > 0)
}
