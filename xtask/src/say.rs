//! The one way out to the terminal.

use std::io::Write;

/// Prints a line. A reader that has closed its end is not worth failing for.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
