//! A Rust file without its tests: its syntax, and every path that its code names.

use anyhow::Context;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, ItemUse, UseTree};

/// Folders whose files are never part of the product.
const TEST_FOLDERS: [&str; 3] = ["/tests/", "/benches/", "/examples/"];

/// One parsed file.
pub(in crate::tidy) struct RustFile {
    pub(in crate::tidy) path: String,
    /// Whether the whole file is a test's.
    pub(in crate::tidy) is_test: bool,
    /// Without items that stand under `#[cfg(test)]` or `#[test]`.
    pub(in crate::tidy) syntax: syn::File,
    /// In the order of the file. `use a::{b, c};` names `a::b` and `a::c`; so does code inside of macros.
    pub(in crate::tidy) named: Vec<NamedPath>,
    /// Names of the modules declared as `#[cfg(test)] mod name;`.
    test_modules: Vec<String>,
}

/// A path as the code names it, and where.
pub(in crate::tidy) struct NamedPath {
    pub(in crate::tidy) segments: Vec<String>,
    pub(in crate::tidy) line: usize,
}

impl NamedPath {
    /// Whether it names this, or something in it.
    pub(in crate::tidy) fn begins_with(&self, segments: &[&str]) -> bool {
        self.segments.len() >= segments.len() && self.segments.iter().zip(segments).all(|(a, b)| a == b)
    }

    pub(in crate::tidy) fn holds(&self, segment: &str) -> bool {
        self.segments.iter().any(|own| own == segment)
    }
}

impl RustFile {
    pub(super) fn parse(path: &str, text: &str) -> anyhow::Result<RustFile> {
        let mut syntax = syn::parse_file(text).with_context(|| format!("can't parse {path}"))?;
        let mut test_modules = Vec::new();
        strip_tests(&mut syntax.items, &mut test_modules);
        let mut named = Vec::new();
        collect_paths(syntax.to_token_stream(), &mut named);
        collect_imports(&syntax.items, &mut named);
        let is_test = TEST_FOLDERS.iter().any(|folder| path.contains(folder));
        Ok(RustFile { path: path.to_owned(), is_test, syntax, named, test_modules })
    }

    /// The files in which its test modules may lie.
    pub(super) fn test_module_paths(&self) -> impl Iterator<Item = String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let own_folder = match file.trim_end_matches(".rs") {
            "lib" | "main" | "mod" => folder.to_owned(),
            stem => format!("{folder}/{stem}"),
        };
        let names = self.test_modules.iter();
        names.flat_map(move |name| [format!("{own_folder}/{name}.rs"), format!("{own_folder}/{name}/mod.rs")])
    }
}

fn strip_tests(items: &mut Vec<Item>, test_modules: &mut Vec<String>) {
    items.retain_mut(|item| {
        let is_test = attributes(item).iter().any(is_test_only);
        match item {
            Item::Mod(module) if is_test && module.content.is_none() => {
                test_modules.push(module.ident.to_string());
            }
            Item::Mod(module) if !is_test => {
                if let Some((_, content)) = &mut module.content {
                    strip_tests(content, test_modules);
                }
            }
            Item::Impl(block) => block.items.retain(|item| match item {
                syn::ImplItem::Fn(function) => !function.attrs.iter().any(is_test_only),
                _ => true,
            }),
            _ => {}
        }
        !is_test
    });
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[test]`, `#[tokio::test]`, `#[cfg(test)]`, `#[cfg(all(test, …))]`; not `#[cfg(not(test))]`.
fn is_test_only(attribute: &Attribute) -> bool {
    if attribute.path().segments.last().is_some_and(|segment| segment.ident == "test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let condition = list.tokens.to_string().replace(' ', "");
    list.path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test,"))
}

/// Paths as runs of `name::name`.
fn collect_paths(tokens: TokenStream, named: &mut Vec<NamedPath>) {
    let mut colons = 0;
    let mut joins = false;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(ident) => {
                let segment = ident.to_string();
                match named.last_mut() {
                    Some(path) if joins && colons == 2 => path.segments.push(segment),
                    _ => named.push(NamedPath { segments: vec![segment], line: ident.span().start().line }),
                }
                (joins, colons) = (true, 0);
            }
            TokenTree::Group(group) => {
                collect_paths(group.stream(), named);
                (joins, colons) = (false, 0);
            }
            _ => (joins, colons) = (false, 0),
        }
    }
}

/// Paths as `use` declares them, groups taken apart.
fn collect_imports(items: &[Item], named: &mut Vec<NamedPath>) {
    for item in items {
        match item {
            Item::Use(ItemUse { tree, .. }) => take_apart(tree, &mut Vec::new(), named),
            Item::Mod(module) => {
                let content = module.content.as_ref();
                collect_imports(content.map_or(&[], |(_, items)| items.as_slice()), named);
            }
            _ => {}
        }
    }
}

fn take_apart(tree: &UseTree, above: &mut Vec<String>, named: &mut Vec<NamedPath>) {
    let (leaf, below) = match tree {
        UseTree::Path(path) => (&path.ident, Some(&*path.tree)),
        UseTree::Name(name) => (&name.ident, None),
        UseTree::Rename(rename) => (&rename.ident, None),
        UseTree::Group(group) => {
            return group.items.iter().for_each(|tree| take_apart(tree, above, named));
        }
        UseTree::Glob(_) => return,
    };
    above.push(leaf.to_string());
    match below {
        Some(below) => take_apart(below, above, named),
        None => named.push(NamedPath { segments: above.clone(), line: leaf.span().start().line }),
    }
    above.pop();
}

#[cfg(test)]
mod tests {
    use crate::tidy::tree::Tree;

    fn named(text: &str) -> Vec<String> {
        let tree = Tree::sketch(&[("a.rs", text)]);
        tree.rust[0].named.iter().map(|path| format!("{}:{}", path.segments.join("::"), path.line)).collect()
    }

    #[test]
    fn paths_are_found_in_code_imports_and_macros() {
        assert!(named("fn f() {\n    std::fs::read(x); }").contains(&"std::fs::read:2".to_owned()));
        let imports = named("use std::{fs, net::{TcpListener as L, TcpStream}};");
        for path in ["std::fs:1", "std::net::TcpListener:1", "std::net::TcpStream:1"] {
            assert!(imports.contains(&path.to_owned()), "{path} in {imports:?}");
        }
        assert!(named("fn f() { m!(a, [std::env::var()]) }").contains(&"std::env::var:1".to_owned()));
        assert!(
            named("/// std::fs\nconst A: &str = \"std::fs\"; // std::fs").iter().all(|p| !p.contains("fs"))
        );
    }

    #[test]
    fn names_that_only_stand_beside_each_other_are_no_path() {
        assert!(named("fn f(a: std, fs: u8) -> fs {}").iter().all(|path| !path.contains("::")));
        assert!(named("fn f() { g::<A>(b) }").contains(&"A:1".to_owned()));
    }

    #[test]
    fn tests_are_left_out_wherever_they_stand() {
        let text = "fn a() {} #[test] fn b() {} #[cfg(test)] mod c { fn d() {} } #[cfg(not(test))] fn e() {}
            mod f { #[cfg(all(test, unix))] fn g() {} fn h() {} } impl I { #[cfg(test)] fn j() {} fn k() {} }";
        let named = named(text).join(" ");
        for (name, there) in [
            ("a", true),
            ("b", false),
            ("d", false),
            ("e", true),
            ("g", false),
            ("h", true),
            ("j", false),
            ("k", true),
        ] {
            assert_eq!(
                named.contains(&format!("fn:1 {name}:")) || named.contains(&format!("fn:2 {name}:")),
                there,
                "{name} in {named}"
            );
        }
    }

    #[test]
    fn a_file_that_is_declared_for_tests_is_a_test() {
        let declares = "#[cfg(test)] mod tests; #[cfg(test)] mod fixture; mod code;";
        let tree = Tree::sketch(&[
            ("x/src/lib.rs", "mod a; #[cfg(test)] mod fixture;"),
            ("x/src/a.rs", declares),
            ("x/src/a/tests.rs", ""),
            ("x/src/a/fixture/mod.rs", ""),
            ("x/src/a/code.rs", ""),
            ("x/src/fixture.rs", ""),
            ("x/tests/it/main.rs", ""),
        ]);
        let product: Vec<_> = tree.product().map(|file| file.path.as_str()).collect();
        assert_eq!(product, ["x/src/lib.rs", "x/src/a.rs", "x/src/a/code.rs"]);
    }
}
