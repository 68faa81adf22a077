//! Links between the project's own documents lead somewhere.

use super::finding::Finding;
use super::tree::{TextFile, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let documents = tree.texts.iter().filter(|file| file.path.ends_with(".md"));
    let dead = documents.flat_map(|document| {
        let links = links(document);
        links.filter(|(_, target)| !tree.has(&resolve(&document.path, target))).map(|(line, target)| {
            Finding::new(
                &document.path,
                line,
                format!("`{target}` is not there: mend the link or add the file"),
            )
        })
    });
    dead.collect()
}

/// Targets of `[text](target)` that are files, without anchors, and their lines. Code is passed over.
fn links(document: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    let prose = document.text.lines().zip(1..).filter(move |(line, _)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    let targets = prose.flat_map(|(line, number)| line.split("](").skip(1).map(move |rest| (number, rest)));
    targets.filter_map(|(number, rest)| {
        let target = rest.split([')', ' ', '#']).next()?;
        let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
        (!elsewhere).then_some((number, target))
    })
}

/// `target` as seen from the folder of `document`; a leading `/` means the root.
fn resolve(document: &str, target: &str) -> String {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folder = if target.starts_with('/') { "" } else { folder };
    let mut parts = Vec::new();
    for part in folder.split('/').chain(target.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let tree = Tree::sketch(&[(path, text), ("README.md", ""), ("docs/adr/0001-x.md", "")]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text = "[a](gone.md) and [b](adr/0001-x.md#why)\n[c](../gone.md)\n";
        assert_eq!(
            found("docs/guide.md", text),
            [
                "docs/guide.md:1: `gone.md` is not there: mend the link or add the file",
                "docs/guide.md:2: `../gone.md` is not there: mend the link or add the file"
            ]
        );
    }

    #[test]
    fn files_folders_anchors_and_addresses_are_fine() {
        let text =
            "[a](../README.md) [b](adr) [c](adr/) [d](#here) [e](https://example.org/x) [f](/README.md)
            [g](mailto:a@example.org)\n```\n[h](gone.md)\n```\n";
        assert!(found("docs/guide.md", text).is_empty());
    }
}
