//! `core` and `crypto` read no clock, file, socket, environment or random source: time and random bytes are
//! arguments.

use super::finding::Finding;
use super::tree::{NamedPath, Tree};

const PURE: [&str; 2] = ["crates/core/src/", "crates/crypto/src/"];

/// What reaches out, by where its path begins.
const OUTWARD: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "io"],
    &["std", "os"],
    &["std", "process"],
    &["std", "thread"],
    &["std", "net", "TcpListener"],
    &["std", "net", "TcpStream"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "net", "UdpSocket"],
    &["getrandom"],
    &["rand"],
    &["rustix"],
    &["tokio"],
];

/// What reaches out, whatever its path.
const OUTWARD_ANYWHERE: [&str; 5] = ["SystemTime", "Instant", "OsRng", "async", "await"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pure = tree.product().filter(|file| PURE.iter().any(|room| file.path.starts_with(room)));
    let impure = pure.flat_map(|file| {
        let outward = file.named.iter().filter(|path| reaches_out(path));
        outward.map(|path| Finding::new(&file.path, path.line, advice(path)))
    });
    impure.collect()
}

fn reaches_out(path: &NamedPath) -> bool {
    OUTWARD.iter().any(|outward| path.begins_with(outward))
        || OUTWARD_ANYWHERE.iter().any(|outward| path.holds(outward))
}

fn advice(path: &NamedPath) -> String {
    format!(
        "`{}` reaches out of a pure crate: take what it would give as an argument",
        path.segments.join("::")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::sketch(&[(path, text)])).len()
    }

    #[test]
    fn every_way_out_is_found() {
        for text in [
            "use std::fs;",
            "use std::{fmt, net::TcpStream};",
            "fn f() { std::env::var(x) }",
            "use std::time::{Duration, Instant};",
            "fn f() { time::SystemTime::now() }",
            "fn f() { getrandom::fill(x) }",
            "async fn f() {}",
            "fn f() { m!(tokio::spawn(x)) }",
        ] {
            assert!(found("crates/core/src/a.rs", text) > 0, "{text}");
            assert!(found("crates/crypto/src/a.rs", text) > 0, "{text}");
            assert_eq!(found("crates/server/src/a.rs", text), 0, "{text}");
            assert_eq!(found("crates/core/tests/it/a.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn values_and_ports_are_pure() {
        let text = "use std::net::IpAddr; use std::time::Duration; use crate::ports::{Clock, Entropy};";
        assert_eq!(found("crates/core/src/a.rs", text), 0);
    }
}
