//! Keeps the memory of the process, which holds keys and plaintext, from leaving it by way of the operating
//! system: no core dump, no `ptrace` and no `/proc/<pid>/mem` for other processes of the same user.
//!
//! Root can still read everything; see the threat model in `SECURITY.md`.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// The operating system refused to shield the process. A vault doesn't start without.
#[derive(Debug, thiserror::Error)]
pub enum HardeningError {
    #[error("can't make the process undumpable (PR_SET_DUMPABLE): {0}")]
    Undumpable(#[source] io::Error),
    #[error("can't forbid core dumps (RLIMIT_CORE): {0}")]
    CoreLimit(#[source] io::Error),
}

/// Shields this process for the rest of its life, its children not included. To be called first thing, before
/// any secret is read.
///
/// # Errors
/// [`HardeningError`] when the operating system refuses; the process must not go on then.
pub fn harden_process() -> Result<(), HardeningError> {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, no_core).map_err(|error| HardeningError::CoreLimit(error.into()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| HardeningError::Undumpable(error.into()))
}
