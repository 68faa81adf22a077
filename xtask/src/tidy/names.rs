//! Modules are named for what is in them; an attic has no name.

use syn::Item;

use super::finding::Finding;
use super::tree::{RustFile, Tree};

const ATTICS: [&str; 8] = ["util", "utils", "helper", "helpers", "manager", "managers", "common", "misc"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.rust.iter().filter_map(|file| {
        let attic = file.path.trim_end_matches(".rs").split('/').find_map(attic_in)?;
        Some(Finding::new(&file.path, 1, advice(attic)))
    });
    files.chain(tree.rust.iter().flat_map(inline_modules)).collect()
}

fn inline_modules(file: &RustFile) -> impl Iterator<Item = Finding> {
    file.syntax.items.iter().filter_map(|item| {
        let Item::Mod(module) = item else { return None };
        let attic = attic_in(&module.ident.to_string())?;
        Some(Finding::new(&file.path, module.ident.span().start().line, advice(attic)))
    })
}

fn attic_in(name: &str) -> Option<&'static str> {
    name.split(['_', '-']).find_map(|word| ATTICS.into_iter().find(|attic| *attic == word))
}

fn advice(attic: &str) -> String {
    format!("`{attic}` names an attic: name the module for the one thing that is in it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attics_are_found_in_files_folders_and_inline() {
        for (path, text) in [
            ("crates/x/src/utils.rs", ""),
            ("crates/x/src/common/a.rs", ""),
            ("crates/x/tests/it/helpers.rs", ""),
            ("crates/x/src/key_manager.rs", ""),
            ("crates/x/src/lib.rs", "mod misc { }"),
        ] {
            assert_eq!(check(&Tree::sketch(&[(path, text)])).len(), 1, "{path}");
        }
    }

    #[test]
    fn a_word_that_only_contains_one_is_no_attic() {
        let tree = Tree::sketch(&[("crates/x/src/utility_poles.rs", "mod commonwealth {}")]);
        assert!(check(&tree).is_empty());
    }
}
