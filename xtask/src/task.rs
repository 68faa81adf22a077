//! The tasks that run other tools.

mod needs;

use std::path::Path;

use anyhow::Context;

use crate::say::say;
use crate::step::{Step, run_all};
use crate::tidy;

const FORMAT: Step = Step::cargo(&["fmt", "--all", "--check"]);
const CLIPPY: Step =
    Step::cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]);
const NEXTEST: Step = Step::cargo(&["nextest", "run", "--workspace", "--locked", "--no-fail-fast"]);
const HAS_NEXTEST: Step = Step::cargo(&["nextest", "--version"]);
const PLAIN_TESTS: Step =
    Step::cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--lib", "--bins", "--tests"]);
const DOC_TESTS: Step = Step::cargo(&["test", "--workspace", "--locked", "--doc"]);
const DENY: Step = Step::cargo(&["deny", "--workspace", "check"]);
const HAS_DENY: Step = Step::cargo(&["deny", "--version"]);

const FIX_CLIPPY: Step =
    Step::cargo(&["clippy", "--fix", "--allow-dirty", "--allow-staged", "--workspace", "--all-targets"]);
const FIX_FORMAT: Step = Step::cargo(&["fmt", "--all"]);
const SETTINGS_DOCUMENT: Step =
    Step::cargo(&["run", "--quiet", "--package", "hyperion-vault-server", "--example", "settings_document"]);
const SETTINGS_DOCUMENT_PATH: &str = "docs/settings.md";

/// Checks everything and writes nothing but to `target`: what building leaves there, and the tools of the tests.
pub(crate) fn verify(root: &Path) -> anyhow::Result<bool> {
    needs::meet(&[needs::KMS_EMULATOR], root)?;
    let tidy = tidy::run(root)?;
    let mut steps = vec![FORMAT, CLIPPY];
    steps.extend(test_steps(root));
    if HAS_DENY.succeeds(root) {
        steps.push(DENY);
    } else {
        say("cargo-deny is not installed: licences and advisories are not checked");
    }
    let stepped = run_all(&steps, root)?;
    if !tidy {
        say("failed: cargo xtask tidy");
    }
    Ok(tidy && stepped)
}

/// Mends what can be mended by machine.
pub(crate) fn fix(root: &Path) -> anyhow::Result<bool> {
    let stepped = run_all(&[FIX_CLIPPY, FIX_FORMAT], root)?;
    let document = SETTINGS_DOCUMENT.output(root)?;
    std::fs::write(root.join(SETTINGS_DOCUMENT_PATH), document).context(SETTINGS_DOCUMENT_PATH)?;
    Ok(stepped)
}

/// Sets up what the tests need.
pub(crate) fn setup(root: &Path) -> anyhow::Result<bool> {
    needs::meet(needs::NEEDS, root)?;
    Ok(true)
}

/// Sets up what the tests need, and runs them all.
pub(crate) fn test(root: &Path) -> anyhow::Result<bool> {
    needs::meet(needs::NEEDS, root)?;
    run_all(&test_steps(root), root)
}

/// Nextest runs each test in a process of its own, and faster; it has no doc tests.
fn test_steps(root: &Path) -> [Step; 2] {
    let tests = if HAS_NEXTEST.succeeds(root) { NEXTEST } else { PLAIN_TESTS };
    [tests, DOC_TESTS]
}
