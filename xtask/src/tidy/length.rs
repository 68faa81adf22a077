//! Files and functions short enough to be read at once.

use proc_macro2::Span;
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{ImplItemFn, ItemFn, Signature, TraitItemFn};

use super::finding::Finding;
use super::tree::Tree;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let rust = tree.texts.iter().filter(|file| file.path.ends_with(".rs"));
    let files = rust.filter_map(|file| {
        let lines = file.text.lines().count();
        let what = format!("{lines} lines, at most {FILE_LINES_MAX}: is this one room or two? Take it apart");
        (lines > FILE_LINES_MAX).then(|| Finding::new(&file.path, 1, what))
    });
    let long = functions(tree).filter(|(_, function)| function.lines > FUNCTION_LINES_MAX);
    let functions = long.map(|(path, function)| {
        let (name, lines) = (&function.name, function.lines);
        let what = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: give its parts names");
        Finding::new(path, function.line, what)
    });
    files.chain(functions).collect()
}

/// How long the product's functions are.
pub(super) fn summary(tree: &Tree) -> String {
    let mut lines: Vec<_> = functions(tree).map(|(_, function)| function.lines).collect();
    lines.sort_unstable();
    let p90 = lines.get(lines.len() * 9 / 10).copied().unwrap_or(0);
    let longest = lines.last().copied().unwrap_or(0);
    format!("{} functions, p90 {p90} lines, longest {longest}", lines.len())
}

fn functions(tree: &Tree) -> impl Iterator<Item = (&str, Function)> {
    tree.product().flat_map(|file| {
        let mut functions = Functions::default();
        functions.visit_file(&file.syntax);
        functions.0.into_iter().map(|function| (file.path.as_str(), function))
    })
}

struct Function {
    name: String,
    line: usize,
    /// From the signature to the closing brace.
    lines: usize,
}

#[derive(Default)]
struct Functions(Vec<Function>);

impl Functions {
    fn note(&mut self, signature: &Signature, body: &impl ToTokens) {
        let (start, end): (Span, Span) = (signature.fn_token.span(), body.span());
        let (first, last) = (start.start().line, end.end().line);
        let name = signature.ident.to_string();
        self.0.push(Function { name, line: first, lines: last.saturating_sub(first) + 1 });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.note(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.note(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        check(&Tree::sketch(&[("a.rs", text)])).iter().map(ToString::to_string).collect()
    }

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_may_have_seventy_lines() {
        assert!(found(&function(70)).is_empty());
        assert_eq!(found(&function(71)), ["a.rs:1: `f` has 71 lines, at most 70: give its parts names"]);
    }

    #[test]
    fn methods_count_and_tests_do_not() {
        let long = function(71);
        assert_eq!(found(&format!("struct S;\nimpl S {{\n{long}}}")).len(), 1);
        assert_eq!(found(&format!("trait T {{\n{long}}}")).len(), 1);
        assert!(found(&format!("#[cfg(test)]\nmod tests {{\n{long}}}")).is_empty());
    }

    #[test]
    fn a_file_may_have_six_hundred_lines() {
        assert!(found(&"\n".repeat(600)).is_empty());
        assert_eq!(found(&"\n".repeat(601)).len(), 1);
    }

    #[test]
    fn the_summary_tells_the_ninetieth_percentile() {
        let functions: Vec<_> = (2..12).map(|lines| (format!("{lines}.rs"), function(lines))).collect();
        let files: Vec<_> = functions.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(summary(&Tree::sketch(&files)), "10 functions, p90 11 lines, longest 11");
    }
}
