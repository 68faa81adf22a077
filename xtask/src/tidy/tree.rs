//! The tracked files, read once, the Rust ones parsed.

mod rust;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

use crate::step::Step;
pub(super) use rust::{NamedPath, RustFile};

/// Tracked files, and new ones that nothing ignores.
const LIST_FILES: Step =
    Step { program: "git", args: &["ls-files", "-z", "--cached", "--others", "--exclude-standard"] };

/// A file that is text.
pub(super) struct TextFile {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// All of it. Files that aren't UTF-8 count as there, and nothing in them is looked at.
#[derive(Default)]
pub(super) struct Tree {
    pub(super) texts: Vec<TextFile>,
    pub(super) rust: Vec<RustFile>,
    paths: HashSet<String>,
}

impl Tree {
    /// # Errors
    /// When git can't list the files, one can't be read, or a Rust file can't be parsed.
    pub(super) fn load(root: &Path) -> anyhow::Result<Tree> {
        let listed = LIST_FILES.output(root)?;
        let mut files = Vec::new();
        for path in listed.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
            let path = std::str::from_utf8(path).context("a file's name is not UTF-8")?;
            // A file that was deleted and not yet committed is still listed.
            if root.join(path).is_file() {
                files.push((path.to_owned(), fs::read(root.join(path)).with_context(|| path.to_owned())?));
            }
        }
        Tree::of(files)
    }

    fn of(files: Vec<(String, Vec<u8>)>) -> anyhow::Result<Tree> {
        let mut tree = Tree::default();
        for (path, bytes) in files {
            tree.paths.insert(path.clone());
            if let Ok(text) = String::from_utf8(bytes) {
                tree.texts.push(TextFile { path, text });
            }
        }
        for file in tree.texts.iter().filter(|file| file.path.ends_with(".rs")) {
            tree.rust.push(RustFile::parse(&file.path, &file.text)?);
        }
        tree.mark_test_modules();
        Ok(tree)
    }

    /// A file is a test's too when another one declares it as `#[cfg(test)] mod name;`.
    fn mark_test_modules(&mut self) {
        let declared: HashSet<String> = self.rust.iter().flat_map(RustFile::test_module_paths).collect();
        for file in &mut self.rust {
            file.is_test |= declared.iter().any(|path| path == &file.path);
        }
    }

    /// Whether there is a file or a directory of that path.
    pub(super) fn has(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.paths.contains(path) || self.paths.iter().any(|other| other.starts_with(&below))
    }

    /// The Rust files that become part of the product.
    pub(super) fn product(&self) -> impl Iterator<Item = &RustFile> {
        self.rust.iter().filter(|file| !file.is_test)
    }

    /// A tree of these paths and texts.
    #[cfg(test)]
    pub(super) fn sketch(files: &[(&str, &str)]) -> Tree {
        let owned = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        Tree::of(owned.collect()).unwrap()
    }
}
