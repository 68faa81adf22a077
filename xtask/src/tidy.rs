//! What no compiler checks: lengths, names, which words belong in which room, links, what must not be named.
//!
//! A rule takes the whole tree and returns what it finds. Each rule has a file of its own with its tests, and
//! stands in [`RULES`].

mod arrows;
mod dependencies;
mod docs;
mod finding;
mod forbidden;
mod length;
mod links;
mod manifest;
mod names;
mod purity;
mod rooms;
mod secrecy;
mod tree;

use std::path::Path;

use crate::say::say;
use finding::Finding;
use tree::Tree;

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: &[Rule] = &[
    length::check,
    names::check,
    docs::check,
    purity::check,
    rooms::check,
    arrows::check,
    dependencies::check,
    secrecy::check,
    forbidden::check,
    links::check,
];

/// Checks the tracked files under `root` and prints what it finds; `false` when that is anything.
///
/// # Errors
/// When the files can't be listed or read, or a Rust file can't be parsed.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let tree = Tree::load(root)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.sort();
    findings.dedup();
    for finding in &findings {
        say(&finding.to_string());
    }
    say(&format!("tidy: {}; {} found", length::summary(&tree), findings.len()));
    Ok(findings.is_empty())
}
