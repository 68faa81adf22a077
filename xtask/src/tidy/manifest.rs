//! What a `Cargo.toml` depends on.

/// Whom a dependency is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// What is built, and what builds it.
    Product,
    /// Tests, benches and examples.
    Tests,
    /// Whichever crate of the workspace asks for it.
    Workspace,
}

/// One entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dependency<'a> {
    pub(super) section: Section,
    /// From 1.
    pub(super) line: usize,
    /// As the manifest spells it, with `-`.
    pub(super) name: &'a str,
}

/// All entries, in the order of the manifest.
pub(super) fn dependencies(manifest: &str) -> impl Iterator<Item = Dependency<'_>> {
    let mut section = None;
    manifest.lines().zip(1..).filter_map(move |(text, line)| {
        if let Some(header) = text.trim().strip_prefix('[') {
            section = section_of(header);
            return None;
        }
        let name = text.split(['=', '.']).next()?.trim();
        let is_entry = !name.is_empty() && !name.starts_with('#');
        is_entry.then_some(Dependency { section: section?, line, name })
    })
}

/// `header` without its opening bracket.
fn section_of(header: &str) -> Option<Section> {
    if !header.ends_with("dependencies]") {
        return None;
    }
    if header.ends_with("dev-dependencies]") {
        return Some(Section::Tests);
    }
    Some(if header == "workspace.dependencies]" { Section::Workspace } else { Section::Product })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_dependencies_is_read_and_nothing_else() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# why\na-b = \"1\"\nc.workspace = true\n
[target.'cfg(unix)'.dependencies]\nd = \"1\"\n[build-dependencies]\ne = \"1\"\n[dev-dependencies]\nf = \"1\"
[workspace.dependencies]\ng = \"1\"\n[features]\nh = []\n";
        let found: Vec<_> =
            dependencies(manifest).map(|found| (found.section, found.line, found.name)).collect();
        assert_eq!(
            found,
            [
                (Section::Product, 5, "a-b"),
                (Section::Product, 6, "c"),
                (Section::Product, 9, "d"),
                (Section::Product, 11, "e"),
                (Section::Tests, 13, "f"),
                (Section::Workspace, 15, "g"),
            ]
        );
    }
}
