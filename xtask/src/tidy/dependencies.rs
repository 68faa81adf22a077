//! A dependency that nothing names is fetched, built and watched for advisories in vain.

use std::collections::HashSet;

use proc_macro2::{TokenStream, TokenTree};

use super::finding::Finding;
use super::manifest::{Section, dependencies};
use super::tree::{TextFile, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.texts.iter().filter_map(|file| Some((file, folder_of(&file.path)?)));
    manifests.flat_map(|(manifest, folder)| unused(tree, manifest, folder)).collect()
}

/// With its last `/`; empty for the manifest of the root.
fn folder_of(path: &str) -> Option<&str> {
    path.strip_suffix("Cargo.toml").filter(|folder| folder.is_empty() || folder.ends_with('/'))
}

fn unused(tree: &Tree, manifest: &TextFile, folder: &str) -> Vec<Finding> {
    let product = crates_named(tree, folder, &["src/", "build.rs"]);
    let tests = crates_named(tree, folder, &["tests/", "examples/", "benches/"]);
    let asked_for = asked_for(tree);
    let unused = dependencies(&manifest.text).filter(|dependency| {
        let in_code = dependency.name.replace('-', "_");
        !match dependency.section {
            Section::Product => product.contains(&in_code),
            Section::Tests => product.contains(&in_code) || tests.contains(&in_code),
            Section::Workspace => asked_for.contains(dependency.name),
        }
    });
    let finding = |name: &str, line| {
        Finding::new(&manifest.path, line, format!("nothing here uses `{name}`: remove the dependency"))
    };
    unused.map(|dependency| finding(dependency.name, dependency.line)).collect()
}

/// What the crates' manifests ask for.
fn asked_for(tree: &Tree) -> HashSet<&str> {
    let manifests = tree.texts.iter().filter(|file| folder_of(&file.path).is_some());
    let all = manifests.flat_map(|file| dependencies(&file.text));
    all.filter(|asked| asked.section != Section::Workspace).map(|asked| asked.name).collect()
}

/// What may be a crate's name in the Rust files of these parts of a crate, their tests included.
fn crates_named(tree: &Tree, folder: &str, parts: &[&str]) -> HashSet<String> {
    let mut named = HashSet::new();
    for file in tree.texts.iter().filter(|file| file.path.ends_with(".rs")) {
        let inside = file.path.strip_prefix(folder);
        if inside.is_some_and(|path| parts.iter().any(|part| path.starts_with(part)))
            && let Ok(tokens) = file.text.parse()
        {
            collect_roots(tokens, &mut named);
        }
    }
    named
}

/// Every `name` of `name::…` that stands first in its path, and of `use name;`. Comments are no tokens.
fn collect_roots(tokens: TokenStream, roots: &mut HashSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let (before, after) =
            (tokens.get(..at).unwrap_or_default(), tokens.get(at + 1..).unwrap_or_default());
        match token {
            TokenTree::Ident(name) if is_root(before, after) => {
                roots.insert(name.to_string());
            }
            TokenTree::Group(group) => collect_roots(group.stream(), roots),
            _ => {}
        }
    }
}

/// Whether a name between these tokens begins a path that leads on, or is all of what `use` imports.
fn is_root(before: &[TokenTree], after: &[TokenTree]) -> bool {
    match (before, after) {
        ([.., TokenTree::Ident(_), colon, second], _) if is_punct(colon, ':') && is_punct(second, ':') => {
            false
        }
        (_, [colon, second, ..]) if is_punct(colon, ':') && is_punct(second, ':') => true,
        ([.., TokenTree::Ident(word)], [end, ..]) => word == "use" && is_punct(end, ';'),
        _ => false,
    }
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::sketch(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_dependency_that_no_source_names_is_found() {
        let manifest = "[dependencies]\narc-swap.workspace = true\nhex = \"0.4\"\n";
        // A field, a module of its own and a comment of that name are no use of the crate.
        let source = "// arc_swap::ArcSwap\nuse hex::encode;\nstruct S { arc_swap: crate::arc_swap::A }";
        let files = [("crates/x/Cargo.toml", manifest), ("crates/x/src/lib.rs", source)];
        let elsewhere = ("crates/y/src/lib.rs", "use arc_swap::ArcSwap;");
        assert_eq!(
            found(&[files[0], files[1], elsewhere]),
            ["crates/x/Cargo.toml:2: nothing here uses `arc-swap`: remove the dependency"]
        );
    }

    #[test]
    fn every_way_of_naming_a_crate_is_a_use() {
        for source in [
            "use a_b::C;",
            "use a_b;",
            "use a_b::{C, D};",
            "fn f() { ::a_b::c(); }",
            "fn f() { m!(x, a_b::c) }",
            "#[derive(a_b::C)] struct S;",
            "#[cfg(test)] mod tests { fn f() { use a_b::*; } }",
        ] {
            let manifest = ("crates/x/Cargo.toml", "[dependencies]\na-b = \"1\"\n");
            assert!(found(&[manifest, ("crates/x/src/a/b.rs", source)]).is_empty(), "{source}");
        }
    }

    #[test]
    fn what_only_tests_use_is_a_dependency_of_tests() {
        let test = ("crates/x/tests/it/main.rs", "use hex::encode;");
        assert!(found(&[("crates/x/Cargo.toml", "[dev-dependencies]\nhex = \"1\"\n"), test]).is_empty());
        assert_eq!(found(&[("crates/x/Cargo.toml", "[dependencies]\nhex = \"1\"\n"), test]).len(), 1);
        assert_eq!(found(&[("crates/x/Cargo.toml", "[dev-dependencies]\nhex = \"1\"\n")]).len(), 1);
    }

    #[test]
    fn the_workspace_lists_what_some_crate_asks_for() {
        let root = ("Cargo.toml", "[workspace.dependencies]\nhex = \"1\"\ninsta = \"1\"\n");
        let member = ("xtask/Cargo.toml", "[dependencies]\nhex.workspace = true\n");
        assert_eq!(
            found(&[root, member, ("xtask/src/main.rs", "use hex::encode;")]),
            ["Cargo.toml:3: nothing here uses `insta`: remove the dependency"]
        );
    }
}
