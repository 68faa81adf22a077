//! Prints the text of `docs/settings.md`; `cargo xtask fix` writes it there.

use std::io::Write;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(hyperion_vault_server::config::table::document().as_bytes())
}
