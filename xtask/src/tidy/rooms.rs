//! Some words have one home. Elsewhere they would be knowledge in the wrong room.

use super::finding::Finding;
use super::tree::{NamedPath, RustFile, Tree};

/// A word and where it may be said.
struct Home {
    says: fn(&NamedPath) -> bool,
    /// Paths that begin so are its home.
    rooms: &'static [&'static str],
    /// What it is, and what to do in its place.
    advice: &'static str,
}

const HOMES: &[Home] = &[
    Home {
        says: |path| path.holds("StatusCode"),
        rooms: &["crates/api/", "crates/server/src/http.rs", "crates/server/src/http/"],
        advice: "HTTP status codes are known to `api` and `server/src/http` only: return a typed error",
    },
    Home {
        says: |path| path.begins_with(&["openraft"]),
        rooms: &["crates/raft/"],
        advice: "consensus is known to `raft` only: go through its `Node`",
    },
    Home {
        says: |path| path.begins_with(&["redb"]),
        rooms: &["crates/raft/"],
        advice: "storage is known to `raft` only: go through the rows of `core`",
    },
    Home {
        says: |path| {
            path.begins_with(&["hyperion_vault_raft", "Node"])
                || path.holds("LocalProvider")
                || path.holds("AwsProvider")
        },
        rooms: &[
            "crates/server/src/app.rs",
            "crates/server/src/app/",
            "crates/server/src/adapters/",
            "crates/raft/",
            "crates/kms/",
        ],
        advice: "a concrete adapter is named by `app.rs` only: take the port",
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let crates = tree.product().filter(|file| file.path.starts_with("crates/"));
    crates.flat_map(|file| HOMES.iter().flat_map(move |home| strangers(file, home))).collect()
}

fn strangers<'a>(file: &'a RustFile, home: &'a Home) -> impl Iterator<Item = Finding> + 'a {
    let at_home = home.rooms.iter().any(|room| file.path.starts_with(room));
    let said = file.named.iter().filter(move |path| !at_home && (home.says)(path));
    said.map(|path| {
        Finding::new(&file.path, path.line, format!("`{}`: {}", path.segments.join("::"), home.advice))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> bool {
        !check(&Tree::sketch(&[(path, text)])).is_empty()
    }

    #[test]
    fn each_word_is_at_home_in_its_room_alone() {
        for (text, home, elsewhere) in [
            ("use http::StatusCode;", "crates/server/src/http/error.rs", "crates/server/src/secrets.rs"),
            ("use axum::http::{Method, StatusCode};", "crates/api/src/a.rs", "crates/raft/src/a.rs"),
            ("use openraft::Raft;", "crates/raft/src/node.rs", "crates/server/src/app.rs"),
            ("fn f() { redb::Database::open(x) }", "crates/raft/src/disk.rs", "crates/server/src/app.rs"),
            (
                "use hyperion_vault_raft::{Node, View};",
                "crates/server/src/app.rs",
                "crates/server/src/roles.rs",
            ),
            (
                "use hyperion_vault_kms::AwsProvider;",
                "crates/server/src/app/keys.rs",
                "crates/server/src/sealing.rs",
            ),
            (
                "use hyperion_vault_kms::LocalProvider;",
                "crates/server/src/app.rs",
                "crates/server/src/keys.rs",
            ),
        ] {
            assert!(!found(home, text), "{text} in {home}");
            assert!(found(elsewhere, text), "{text} in {elsewhere}");
        }
    }

    #[test]
    fn tests_may_name_what_they_like() {
        assert!(!found("crates/server/tests/it/a.rs", "use http::StatusCode;"));
        assert!(!found("crates/server/src/a.rs", "#[cfg(test)] mod tests { use http::StatusCode; }"));
    }
}
