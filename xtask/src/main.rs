//! The project's chores: `cargo xtask <task>`.
//!
//! Exit codes: 0 when all is well, 1 when something was found or failed, 2 when the task isn't known.

mod say;
mod step;
mod task;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

use say::say;

const USAGE: &str = "\
cargo xtask <task>

  verify   check everything and write nothing: format, tidy, clippy, tests, dependencies
  fix      format, apply clippy's suggestions, regenerate docs/settings.md
  setup    set up what the tests need beyond Rust, and say what stays missing
  test     set up the same, and run all tests
  tidy     check what no compiler checks: lengths, names, rooms, dependencies, links";

fn main() -> ExitCode {
    let task: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = task.iter().map(String::as_str).collect();
    let root = workspace_root();
    let outcome = match words.as_slice() {
        ["verify"] => task::verify(root),
        ["fix"] => task::fix(root),
        ["setup"] => task::setup(root),
        ["test"] => task::test(root),
        ["tidy"] => tidy::run(root),
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(1)
        }
    }
}

fn workspace_root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}
