//! The examples of a document: its `sh` blocks, each with the block of expected output that follows it, run in
//! order by one shell.
//!
//! Expected output is compared as JSON in a `json` block and line by line in a `text` block. `…` stands for
//! anything, a time for any time, and what differs from run to run for any of its kind. An `sh` block without such
//! a block after it has to succeed, whatever it prints.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Stands between the outputs of two blocks.
const SEPARATOR: &str = "=== the next example ===";

/// Members whose numbers differ from run to run: where a record stands, and where a node does.
const VARYING: [&str; 9] = [
    "seq",
    "next_before",
    "leader",
    "term",
    "log_index",
    "applied_index",
    "lag",
    "last_contact_ms",
    "clock_skew_ms",
];
/// Members whose words do: which of the nodes leads.
const VARYING_WORDS: [&str; 1] = ["role"];

pub(crate) struct Example {
    /// Line of the document that the commands begin at, from 1.
    line: usize,
    commands: String,
    expected: Expected,
}

enum Expected {
    Success,
    Json(String),
    Text(String),
}

struct Block {
    line: usize,
    language: String,
    text: String,
}

/// The examples of `document` below the heading `section`, up to the next heading of its rank; all when it is
/// empty.
pub(crate) fn examples(document: &str, section: &str) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut follows = false;
    for block in blocks(document, section) {
        match (block.language.as_str(), found.last_mut()) {
            ("sh", _) => {
                found.push(Example { line: block.line, commands: block.text, expected: Expected::Success });
            }
            ("json", Some(example)) if follows => example.expected = Expected::Json(block.text),
            ("text", Some(example)) if follows => example.expected = Expected::Text(block.text),
            _ => {}
        }
        follows = block.language == "sh";
    }
    assert!(!found.is_empty(), "no examples below {section:?}");
    found
}

fn blocks(document: &str, section: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let (mut inside, mut open) = (section.is_empty(), None::<Block>);
    for (number, line) in document.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take().filter(|_| inside)),
            (Some(language), None) => {
                open = Some(Block { line: number + 2, language: language.to_owned(), text: String::new() });
            }
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) if line.starts_with("## ") && !section.is_empty() => inside = line == section,
            (None, None) => {}
        }
    }
    found
}

/// Runs the commands in `dir`, in one shell and in order, with `variables` set in the place of what the document
/// sets them to; every one has to succeed and to print what the document shows. What they leave running ends with
/// them.
pub(crate) fn run(examples: &[Example], dir: &Path, variables: &[(&str, &str)]) {
    let mut script = String::from("set -eu\n");
    for example in examples {
        script.push_str(&format!("echo '{SEPARATOR}'\n{}", example.commands_with(variables)));
    }
    let output = output_of(&script, dir);
    let printed = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}\n{printed}", output.status);
    let outputs: Vec<&str> = printed.split(&format!("{SEPARATOR}\n")).skip(1).collect();
    assert_eq!(outputs.len(), examples.len(), "{printed}");
    for (example, output) in examples.iter().zip(outputs) {
        example.check(output);
    }
}

/// The processes of the script are a group of their own, by which those that outlive it are found.
fn output_of(script: &str, dir: &Path) -> Output {
    let child = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh can be started");
    let group = format!("-{}", child.id());
    let output = child.wait_with_output().unwrap();
    let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    output
}

impl Example {
    /// The commands, with `variables` set in the place of what the document sets them to.
    pub(crate) fn commands_with(&self, variables: &[(&str, &str)]) -> String {
        let lines = self.commands.lines().map(|line| {
            let set = variables.iter().find(|(name, _)| line.starts_with(&format!("export {name}=")));
            set.map_or_else(|| format!("{line}\n"), |(name, value)| format!("export {name}='{value}'\n"))
        });
        lines.collect()
    }

    fn check(&self, output: &str) {
        let line = self.line;
        match &self.expected {
            Expected::Success => {}
            Expected::Json(expected) => {
                let expected: Value = serde_json::from_str(expected)
                    .unwrap_or_else(|error| panic!("line {line}: the document's JSON: {error}"));
                let actual: Value = serde_json::from_str(output)
                    .unwrap_or_else(|error| panic!("line {line}: {error}: {output}"));
                assert!(alike(&expected, &actual), "line {line}: expected {expected}\nbut got {actual}");
            }
            Expected::Text(expected) => {
                let (expected, actual): (Vec<_>, Vec<_>) =
                    (expected.lines().collect(), output.lines().collect());
                let same = expected.len() == actual.len()
                    && expected.iter().zip(&actual).all(|(expected, actual)| text_alike(expected, actual));
                assert!(same, "line {line}: expected {expected:#?}\nbut got {actual:#?}");
            }
        }
    }
}

fn alike(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::String(expected), Value::String(actual)) => text_alike(expected, actual),
        (Value::Array(expected), Value::Array(actual)) => {
            expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| alike(e, a))
        }
        (Value::Object(expected), Value::Object(actual)) => {
            expected.len() == actual.len()
                && expected
                    .iter()
                    .all(|(key, value)| actual.get(key).is_some_and(|other| alike_at(key, value, other)))
        }
        _ => expected == actual,
    }
}

fn alike_at(key: &str, expected: &Value, actual: &Value) -> bool {
    let numbers = VARYING.contains(&key) && expected.is_i64() && actual.is_i64();
    let words = VARYING_WORDS.contains(&key) && expected.is_string() && actual.is_string();
    alike(expected, actual) || numbers || words
}

fn text_alike(expected: &str, actual: &str) -> bool {
    expected == actual || (is_time(expected) && is_time(actual)) || matches(expected, actual)
}

/// Whether `actual` is `pattern` with something in the place of each `…`.
fn matches(pattern: &str, actual: &str) -> bool {
    let (Some((first, pattern)), Some((_, last))) = (pattern.split_once('…'), pattern.rsplit_once('…'))
    else {
        return false;
    };
    let Some(mut rest) = actual.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    let middle = pattern.strip_suffix(last).unwrap_or_default().split('…');
    for part in middle.filter(|part| !part.is_empty()) {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

/// `2026-01-02T03:04:05.678Z`
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|char| if char.is_ascii_digit() { '0' } else { char }).collect();
    shape == "0000-00-00T00:00:00.000Z"
}

#[test]
fn an_example_that_prints_something_else_fails() {
    let document = "## A\n```sh\necho '{\"a\":1}'\n```\n```json\n{\"a\":2}\n```\n## B\n```sh\nfalse\n```\n";
    let fails = |section: &str| {
        let examples = examples(document, section);
        std::panic::catch_unwind(|| run(&examples, Path::new("."), &[])).is_err()
    };
    assert!(fails("## A") && fails("## B"));
}
