//! Which crate may know which. Cargo refuses a circle; this refuses every other wrong arrow.

use super::finding::Finding;
use super::manifest::{Section, dependencies};
use super::tree::{TextFile, Tree};

/// The arrows. A crate may also know what lies further along them.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["server"]),
    ("server", &["raft", "kms", "api", "crypto"]),
    ("raft", &["core"]),
    ("kms", &["crypto"]),
    ("api", &["core"]),
    ("crypto", &["core"]),
    ("core", &[]),
];

/// Crates of others that only one of ours may know.
const OWNED: &[(&str, &str)] =
    &[("openraft", "raft"), ("redb", "raft"), ("chacha20poly1305", "crypto"), ("axum", "server")];

const PREFIX: &str = "hyperion-vault-";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts.iter().filter_map(|file| Some((file, crate_of(&file.path)?))).flat_map(wrong_arrows).collect()
}

/// `crates/<name>/Cargo.toml`
fn crate_of(path: &str) -> Option<&str> {
    path.strip_prefix("crates/")?.strip_suffix("/Cargo.toml")
}

fn wrong_arrows((file, own): (&TextFile, &str)) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in dependencies(&file.text).filter(|dependency| dependency.section == Section::Product) {
        let (line, dependency) = (dependency.line, dependency.name);
        if let Some(ours) = dependency.strip_prefix(PREFIX) {
            if !reaches(own, ours) {
                let what = format!("`{own}` must not know `{ours}`: turn the arrow round with a port");
                findings.push(Finding::new(&file.path, line, what));
            }
        } else if let Some((_, owner)) =
            OWNED.iter().find(|(name, owner)| *name == dependency && *owner != own)
        {
            let what = format!("`{dependency}` belongs to `{owner}` alone: go through that crate");
            findings.push(Finding::new(&file.path, line, what));
        }
    }
    findings
}

fn reaches(from: &str, to: &str) -> bool {
    let direct = ARROWS.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, direct)| direct);
    direct.iter().any(|next| *next == to || reaches(next, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, manifest: &str) -> Vec<String> {
        let path = format!("crates/{name}/Cargo.toml");
        check(&Tree::sketch(&[(&path, manifest)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_along_the_design_are_right() {
        for (from, to) in [("cli", "server"), ("server", "core"), ("kms", "core"), ("cli", "api")] {
            assert!(
                found(from, &format!("[dependencies]\nhyperion-vault-{to} = {{ workspace = true }}\n"))
                    .is_empty()
            );
        }
    }

    #[test]
    fn arrows_against_it_are_found() {
        for (from, to) in
            [("core", "crypto"), ("raft", "kms"), ("api", "server"), ("crypto", "kms"), ("raft", "api")]
        {
            let found = found(
                from,
                &format!("[package]\nname = \"x\"\n[dependencies]\nhyperion-vault-{to}.workspace = true\n"),
            );
            let what = format!(
                "crates/{from}/Cargo.toml:4: `{from}` must not know `{to}`: turn the arrow round with a port"
            );
            assert_eq!(found, [what]);
        }
    }

    #[test]
    fn owned_crates_stay_with_their_owner() {
        assert!(found("raft", "[dependencies]\nredb = \"4\"\n").is_empty());
        assert_eq!(found("server", "[target.'cfg(unix)'.dependencies]\nredb = \"4\"\n").len(), 1);
        assert_eq!(found("server", "[build-dependencies]\nopenraft = \"0\"\n").len(), 1);
        assert!(found("server", "[dev-dependencies]\nredb = \"4\"\n").is_empty());
    }
}
