//! Looks for secrets where none may be: as they are, and in every form that code puts bytes into by accident.
//!
//! A secret is looked for piece by piece, so that one which was cut short, or of which only a part got out, is
//! found as well. The forms are: raw, hex in both cases, base64 in both alphabets at all three alignments, and a
//! list of decimal numbers (what `Debug` makes of bytes).

use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::engine::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Bytes of a secret that are looked for at once: enough that chance doesn't make them, few enough that a part
/// of a secret is found.
const PIECE_BYTES: usize = 12;

/// 43 characters of base64url that stand nowhere else, the same in every run.
pub(crate) fn canary(label: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(label))
}

/// The secrets that are looked for.
#[derive(Default)]
pub(crate) struct Canaries {
    /// A secret's name for the reader of a failure, and its bytes.
    known: Vec<(String, Vec<u8>)>,
}

/// One that was found where it must not be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) label: String,
    pub(crate) form: &'static str,
    pub(crate) at: usize,
}

impl Canaries {
    /// Remembers a secret. One that is base64 of something is looked for as that too.
    pub(crate) fn add(&mut self, label: &str, secret: &str) {
        self.known.push((label.to_owned(), secret.as_bytes().to_vec()));
        let decoded = STANDARD.decode(secret).or_else(|_| URL_SAFE_NO_PAD.decode(secret));
        if let Ok(decoded) = decoded
            && decoded.len() >= PIECE_BYTES
        {
            self.known.push((format!("{label}, decoded"), decoded));
        }
    }

    pub(crate) fn searcher(&self) -> Searcher {
        let (mut needles, mut meanings) = (Vec::new(), Vec::new());
        for (label, secret) in &self.known {
            assert!(secret.len() >= PIECE_BYTES, "{label} is too short to be told from chance");
            // The last piece reaches to the end, so that no byte is left out.
            let starts = (0..=secret.len() - PIECE_BYTES).step_by(PIECE_BYTES);
            for start in starts.chain([secret.len() - PIECE_BYTES]) {
                for (form, needle) in forms(&secret[start..start + PIECE_BYTES]) {
                    needles.push(needle);
                    meanings.push((label.clone(), form));
                }
            }
        }
        Searcher { automaton: AhoCorasick::new(needles).unwrap(), meanings }
    }
}

/// Every form of a piece, without what depends on the bytes around it.
fn forms(piece: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let decimal = piece.iter().map(u8::to_string).collect::<Vec<_>>();
    let mut forms = vec![
        ("raw", piece.to_vec()),
        ("hex", hex::encode(piece).into_bytes()),
        ("HEX", hex::encode_upper(piece).into_bytes()),
        ("decimal", decimal.join(", ").into_bytes()),
        ("decimal", decimal.join(",").into_bytes()),
    ];
    for alignment in 0..3 {
        forms.push(("base64", base64_inside(&STANDARD, piece, alignment)));
        forms.push(("base64url", base64_inside(&URL_SAFE_NO_PAD, piece, alignment)));
    }
    forms
}

/// What base64 makes of the piece when it begins `alignment` bytes into a group of three, whatever stands around
/// it: the characters that no bit outside the piece has a part in.
fn base64_inside(engine: &impl Engine, piece: &[u8], alignment: usize) -> Vec<u8> {
    let padded: Vec<u8> = [vec![0; alignment], piece.to_vec()].concat();
    let encoded = engine.encode(&padded).into_bytes();
    let first = (alignment * 8).div_ceil(6);
    let end = padded.len() * 8 / 6;
    encoded[first..end].to_vec()
}

/// Finds any of the canaries.
pub(crate) struct Searcher {
    automaton: AhoCorasick,
    meanings: Vec<(String, &'static str)>,
}

impl Searcher {
    /// The first one in these bytes.
    pub(crate) fn find(&self, haystack: &[u8]) -> Option<Leak> {
        let found = self.automaton.find(haystack)?;
        let (label, form) = self.meanings[found.pattern().as_usize()].clone();
        Some(Leak { label, form, at: found.start() })
    }

    #[track_caller]
    pub(crate) fn expect_none(&self, place: &str, haystack: &[u8]) {
        if let Some(leak) = self.find(haystack) {
            let around = leak.at.saturating_sub(120)..(leak.at + 120).min(haystack.len());
            let around = String::from_utf8_lossy(&haystack[around]);
            panic!("{place} holds {leak:?}: …{around}…");
        }
    }

    /// Looks through every file under a directory, and says how many there were.
    #[track_caller]
    pub(crate) fn expect_none_under(&self, directory: &Path) -> Vec<PathBuf> {
        let files = files_under(directory);
        for file in &files {
            self.expect_none(&file.display().to_string(), &std::fs::read(file).unwrap());
        }
        files
    }
}

pub(crate) fn files_under(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_under(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn the_search_finds_a_planted_canary_in_every_form_wherever_it_stands() {
    let mut canaries = Canaries::default();
    let secret = canary("planted");
    canaries.add("planted", &secret);
    let searcher = canaries.searcher();
    assert_eq!(searcher.find(canary("another").as_bytes()), None);
    for before in 0..6 {
        let inside = [&vec![b'x'; before], secret.as_bytes(), b"yyyy"].concat();
        let planted = [
            ("raw", inside.clone()),
            ("hex", hex::encode(&inside).into_bytes()),
            ("HEX", hex::encode_upper(&inside).into_bytes()),
            ("decimal", format!("{inside:?}").into_bytes()),
            ("decimal", serde_json::to_vec(&inside).unwrap()),
            ("base64", STANDARD.encode(&inside).into_bytes()),
            ("base64", URL_SAFE_NO_PAD.encode(&inside).into_bytes()),
            ("raw", URL_SAFE_NO_PAD.decode(&secret).unwrap()),
        ];
        for (form, haystack) in planted {
            let leak = searcher.find(&haystack).unwrap_or_else(|| panic!("{form} after {before} bytes"));
            // Text without the two characters in which the alphabets differ is the same in both.
            assert!(leak.form.starts_with(form), "{form} was found as {}", leak.form);
        }
    }
    for part in [&secret[..30], &secret[13..]] {
        assert!(searcher.find(part.as_bytes()).is_some(), "a part of it is found too");
    }
}
