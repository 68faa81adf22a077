//! `docs/settings.md`, made from the table.

use super::{Default, TABLE, Values};

const DOCUMENT_HEAD: &str = "\
# Settings

The vault is configured by its environment alone. This page is made from the table in
`crates/server/src/config/table.rs` by `cargo xtask fix`; a test keeps the two in step.

- A value that doesn't parse keeps the vault from starting. All such values are reported together, each on one
  line with its name and the reason, and a secret's value is never shown.
- A secret setting may also be given as a file: `NAME_FILE` names it. One newline at its end is dropped. Setting
  both `NAME` and `NAME_FILE` is an error.
- An empty value is an error too, except where the table speaks of a list: to leave a setting out, unset it.
- An unknown name that begins with `VAULT_` is a warning that names the nearest known one.

| setting | values | when not set | meaning |
|---|---|---|---|
";

/// The text of `docs/settings.md`.
#[must_use]
pub fn document() -> String {
    let rows = TABLE.iter().map(|setting| {
        let file = if setting.is_secret() { format!(" or `{}_FILE`", setting.name) } else { String::new() };
        let values = setting.values.describe();
        format!(
            "| `{}`{file} | {values} | {} | {} |\n",
            setting.name,
            setting.default.describe(),
            setting.doc
        )
    });
    std::iter::once(DOCUMENT_HEAD.to_owned()).chain(rows).collect()
}

impl Values {
    fn describe(self) -> String {
        match self {
            Values::Number { min, max } => format!("{min} to {max}"),
            Values::Words(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Values::Path => "path".to_owned(),
            Values::Text(form) => form.to_owned(),
            Values::List(items) => format!("{items}, comma-separated"),
            Values::Secret => "secret text".to_owned(),
        }
    }
}

impl Default {
    fn describe(self) -> String {
        match self {
            Default::Is(value) => format!("`{value}`"),
            Default::Unset(then) => then.to_owned(),
        }
    }
}
