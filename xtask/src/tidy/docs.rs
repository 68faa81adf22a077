//! Every module of the product opens by saying what it is.

use super::finding::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let modules = tree.product().filter(|file| file.path.contains("/src/"));
    let undocumented = modules.filter(|module| {
        let text = tree.texts.iter().find(|file| file.path == module.path);
        text.is_some_and(|file| !file.text.trim_start().starts_with("//!"))
    });
    let what = "no module documentation: open the file with a `//!` line that says what lives here";
    undocumented.map(|module| Finding::new(&module.path, 1, what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_without_documentation_is_found() {
        let tree = Tree::sketch(&[
            ("crates/x/src/lib.rs", "\n//! The law.\n"),
            ("crates/x/src/bare.rs", "/// Not of the module.\nfn f() {}"),
            ("crates/x/src/empty.rs", ""),
            ("crates/x/tests/it/main.rs", ""),
        ]);
        let found: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("crates/x/src/bare.rs:1: no module documentation"), "{found:?}");
    }
}
