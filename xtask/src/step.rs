//! Commands that a task runs one after the other.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::say::say;

/// One command, shown before it runs so that it can be repeated by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) program: &'static str,
    pub(crate) args: &'static [&'static str],
}

impl Step {
    pub(crate) const fn cargo(args: &'static [&'static str]) -> Step {
        Step { program: "cargo", args }
    }

    fn command(self, root: &Path) -> Command {
        let mut command = Command::new(self.program);
        // A snapshot that differs is a failure, never a new file.
        command.args(self.args).current_dir(root).env("INSTA_UPDATE", "no");
        command
    }

    fn shown(self) -> String {
        format!("{} {}", self.program, self.args.join(" "))
    }

    /// Runs it with this terminal's input and output; `false` when it fails.
    #[expect(clippy::disallowed_methods, reason = "tells how long each step took; nothing depends on it")]
    pub(crate) fn run(self, root: &Path) -> anyhow::Result<bool> {
        say(&format!("\n$ {}", self.shown()));
        let start = Instant::now();
        let status = self.command(root).status().with_context(|| format!("can't run {}", self.shown()))?;
        say(&format!(
            "  {} after {} s",
            if status.success() { "ok" } else { "FAILED" },
            start.elapsed().as_secs()
        ));
        Ok(status.success())
    }

    /// What it prints, if it succeeds.
    pub(crate) fn output(self, root: &Path) -> anyhow::Result<Vec<u8>> {
        let output = self.command(root).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("can't run {}", self.shown()))?;
        anyhow::ensure!(output.status.success(), "{} failed", self.shown());
        Ok(output.stdout)
    }

    /// Whether it runs and succeeds, silently: the way to ask whether a tool is installed.
    pub(crate) fn succeeds(self, root: &Path) -> bool {
        let status = self.command(root).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }
}

/// Runs all of them, whatever becomes of each, so that one run tells everything; `false` when any fails.
pub(crate) fn run_all(steps: &[Step], root: &Path) -> anyhow::Result<bool> {
    let mut failed = Vec::new();
    for step in steps {
        if !step.run(root)? {
            failed.push(step.shown());
        }
    }
    for step in &failed {
        say(&format!("failed: {step}"));
    }
    Ok(failed.is_empty())
}
