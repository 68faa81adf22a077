//! The page on rotation: its example, run against a real PostgreSQL.

use std::path::Path;

use tempfile::TempDir;

use super::examples::{examples, run};
use super::{document, free_port, has};
use crate::postgres_server::{SUPERUSER, SUPERUSER_PASSWORD, Server};

#[test]
fn the_example_of_the_page_runs_as_it_is_written() {
    if !has("curl") {
        return;
    }
    let (server, home) = (Server::start(), TempDir::new().unwrap());
    let binaries = Path::new(env!("CARGO_BIN_EXE_hyperion-vault")).parent().unwrap();
    let (path, port) = (binaries.display(), server.port());
    let setting = format!(
        "export PATH={path}:/usr/local/bin:/usr/bin:/bin PGHOST=127.0.0.1 PGPORT={port}\n\
         export PGUSER={SUPERUSER} PGPASSWORD=\"{SUPERUSER_PASSWORD}\"\n"
    );
    let page = format!("```sh\n{setting}```\n{}", document("docs/rotation.md"));
    let address = format!("127.0.0.1:{}", free_port());
    run(&examples(&page, ""), home.path(), &[("VAULT_API_LISTEN", &address)]);
}
