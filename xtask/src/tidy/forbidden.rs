//! What must not be named in any tracked file: somebody's own machine, and where he fetches crates from.

use super::finding::Finding;
use super::tree::{TextFile, Tree};

/// Folders of one machine. In two halves, so that this file doesn't name them itself.
const MACHINE_FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

/// The one place that `Cargo.lock` may fetch from.
const CRATES_IO: &str = "\"registry+https://github.com/rust-lang/crates.io-index\"";
/// Sections of a cargo configuration that send others elsewhere, and would name the place.
const SOURCE_SECTIONS: [&str; 3] = ["[source", "[registries", "[registry"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.texts.iter().flat_map(|file| machine_folders(file).chain(foreign_sources(file))).collect()
}

fn machine_folders(file: &TextFile) -> impl Iterator<Item = Finding> {
    file.text.lines().zip(1..).filter_map(|(line, number)| {
        let folder = MACHINE_FOLDERS.iter().find(|folder| begins_a_path(line, folder))?;
        let what = format!("`{folder}` is a folder of one machine: write a path from the project's root");
        Some(Finding::new(&file.path, number, what))
    })
}

/// Whether `folder` stands in `line` other than in the middle of a longer path or address.
fn begins_a_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_none_or(|char| !(char.is_alphanumeric() || "./_-~$}*>".contains(char)))
    })
}

fn foreign_sources(file: &TextFile) -> impl Iterator<Item = Finding> {
    let lock = file.path.ends_with("Cargo.lock");
    let config = file.path.contains(".cargo/config");
    file.text.lines().zip(1..).filter_map(move |(line, number)| {
        let fetches_elsewhere = line.strip_prefix("source = ").is_some_and(|source| source != CRATES_IO);
        if lock && fetches_elsewhere {
            return Some(Finding::new(
                &file.path,
                number,
                "not from crates.io: depend on a published version",
            ));
        }
        let redirects = SOURCE_SECTIONS.iter().any(|section| line.trim_start().starts_with(section));
        let what = "sends everybody to another registry: keep it in your own cargo home";
        (config && redirects).then(|| Finding::new(&file.path, number, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::sketch(&[(path, text)])).len()
    }

    #[test]
    fn folders_of_one_machine_are_found() {
        for folder in MACHINE_FOLDERS {
            for text in [
                format!("see {folder}x"),
                format!("{folder}x"),
                format!("\"{folder}\""),
                format!("({folder}a)"),
            ] {
                assert_eq!(found("a.md", &text), 1, "{text}");
            }
            for text in [format!("target{folder}x"), format!("..{folder}x"), format!("${{X}}{folder}y")] {
                assert_eq!(found("a.md", &text), 0, "{text}");
            }
        }
    }

    #[test]
    fn crates_come_from_crates_io_alone() {
        assert_eq!(found("Cargo.lock", &format!("source = {CRATES_IO}\n")), 0);
        assert_eq!(found("Cargo.lock", "source = \"git+https://example.org/x\"\n"), 1);
        assert_eq!(found("Cargo.lock", "source = \"sparse+https://mirror.example/index/\"\n"), 1);
        assert_eq!(found(".cargo/config.toml", "[source.crates-io]\nreplace-with = \"mirror\"\n"), 1);
        assert_eq!(found(".cargo/config.toml", "[alias]\nxtask = \"run\"\n"), 0);
    }
}
