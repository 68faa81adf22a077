//! A type that is zeroized holds a secret, and a secret has no derived way into a log or an answer.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Attribute, Fields, Ident, ItemEnum, ItemStruct};

use super::finding::Finding;
use super::tree::Tree;

const MARKS_A_SECRET: [&str; 2] = ["Zeroize", "ZeroizeOnDrop"];
const HOLDS_A_SECRET: &str = "Zeroizing";
const LEAKS: [&str; 3] = ["Debug", "Display", "Serialize"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let files = tree.product().flat_map(|file| {
        let mut leaks = Leaks::default();
        leaks.visit_file(&file.syntax);
        leaks.0.into_iter().map(|(line, what)| Finding::new(&file.path, line, what))
    });
    files.collect()
}

/// Lines and advice.
#[derive(Default)]
struct Leaks(Vec<(usize, String)>);

impl Leaks {
    fn judge<'a>(
        &mut self,
        name: &Ident,
        attributes: &[Attribute],
        fields: impl Iterator<Item = &'a Fields>,
    ) {
        let derived: Vec<String> = attributes.iter().flat_map(derives).collect();
        let is_secret = derived.iter().any(|name| MARKS_A_SECRET.contains(&name.as_str()))
            || fields.flatten().any(|field| mentions(field.ty.to_token_stream(), HOLDS_A_SECRET));
        if !is_secret {
            return;
        }
        for leak in derived.iter().filter(|name| LEAKS.contains(&name.as_str())) {
            let what = format!(
                "`{name}` holds a secret and derives `{leak}`: leave it out, or write one by hand that shows nothing"
            );
            self.0.push((name.span().start().line, what));
        }
    }
}

impl<'ast> Visit<'ast> for Leaks {
    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.judge(&item.ident, &item.attrs, std::iter::once(&item.fields));
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.judge(&item.ident, &item.attrs, item.variants.iter().map(|variant| &variant.fields));
        visit::visit_item_enum(self, item);
    }
}

/// The last names of what `#[derive(…)]` lists, within `cfg_attr` too.
fn derives(attribute: &Attribute) -> Vec<String> {
    let syn::Meta::List(list) = &attribute.meta else { return Vec::new() };
    if list.path.is_ident("derive") || list.path.is_ident("cfg_attr") {
        names(list.tokens.clone())
    } else {
        Vec::new()
    }
}

fn names(tokens: TokenStream) -> Vec<String> {
    let names = tokens.into_iter().flat_map(|token| match token {
        TokenTree::Ident(ident) => vec![ident.to_string()],
        TokenTree::Group(group) => names(group.stream()),
        _ => Vec::new(),
    });
    names.collect()
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    names(tokens).iter().any(|own| own == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(&Tree::sketch(&[("a.rs", text)])).len()
    }

    #[test]
    fn derived_ways_out_of_a_secret_are_found() {
        for text in [
            "#[derive(Zeroize, Debug)] struct Key([u8; 32]);",
            "#[derive(Clone, zeroize::ZeroizeOnDrop)] #[derive(serde::Serialize)] struct Key([u8; 32]);",
            "#[derive(Debug)] struct Token { text: Zeroizing<String> }",
            "#[derive(Debug)] enum Material { Opaque(Option<Zeroizing<Vec<u8>>>), None }",
            "#[derive(ZeroizeOnDrop)] #[cfg_attr(feature = \"x\", derive(Debug))] struct Key([u8; 32]);",
            "mod inner { #[derive(Zeroize, Debug)] struct Key([u8; 32]); }",
        ] {
            assert_eq!(found(text), 1, "{text}");
        }
    }

    #[test]
    fn what_is_written_by_hand_or_holds_none_is_fine() {
        for text in [
            "#[derive(Zeroize, ZeroizeOnDrop)] struct Key([u8; 32]); impl fmt::Debug for Key {}",
            "#[derive(Debug)] struct Name(String);",
            "#[cfg(test)] mod tests { #[derive(Zeroize, Debug)] struct Key; }",
        ] {
            assert_eq!(found(text), 0, "{text}");
        }
    }
}
