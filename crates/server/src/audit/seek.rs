//! Finding a record by its number inside one file, by halving: numbers only grow along a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::chain::{LINE_BYTES_MAX, seq_of};

/// Enough for the rest of one line and a whole one after it.
const WINDOW_BYTES: usize = 2 * (LINE_BYTES_MAX + 1);

/// Where in the first `len` bytes of `file` the records numbered below `before` end. None when the lines on
/// the way can't be read as records.
pub(super) fn end_of_records_before(file: &File, len: u64, before: u64) -> io::Result<Option<u64>> {
    // Lines that start before `low` are below `before`; lines that start at `high` or later are not.
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        match line_from(file, len, low, middle)? {
            Probe::Line { start, end, seq } if start < high && seq < before => low = end,
            Probe::Line { .. } | Probe::NoLine => high = middle,
            Probe::Damaged => return Ok(None),
        }
    }
    Ok(Some(low))
}

enum Probe {
    /// The first line that starts at the position asked for or later.
    Line {
        start: u64,
        end: u64,
        seq: u64,
    },
    NoLine,
    Damaged,
}

/// `known_start` is where some line starts, at or before `from`.
fn line_from(file: &File, len: u64, known_start: u64, from: u64) -> io::Result<Probe> {
    let at_start = from == known_start;
    // The byte before tells whether a line starts right here.
    let window_start = if at_start { from } else { from - 1 };
    let window = read_window(file, len, window_start)?;
    let skipped = if at_start { Some(0) } else { line_end(&window) };
    let Some(skipped) = skipped else {
        let at_end = window_start + window.len() as u64 == len;
        return Ok(if at_end { Probe::NoLine } else { Probe::Damaged });
    };
    let rest = window.get(skipped..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(Probe::NoLine);
    }
    let start = window_start + skipped as u64;
    Ok(match (seq_of(rest), line_end(rest)) {
        (Some(seq), Some(line_len)) => Probe::Line { start, end: start + line_len as u64, seq },
        _ => Probe::Damaged,
    })
}

fn read_window(file: &File, len: u64, start: u64) -> io::Result<Vec<u8>> {
    let window_len = usize::try_from(len - start).unwrap_or(usize::MAX).min(WINDOW_BYTES);
    let mut window = vec![0; window_len];
    file.read_exact_at(&mut window, start)?;
    Ok(window)
}

/// The position behind the first end of a line.
fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_place_found_by_halving_is_the_place_found_by_counting(
            paddings in prop::collection::vec(0..2_000usize, 0..40),
            first in 1..1_000u64,
            offset in 0..50u64,
        ) {
            let mut file = tempfile::tempfile().unwrap();
            let (mut len, mut expected) = (0, 0);
            let before = (first + offset).saturating_sub(5);
            for (seq, padding) in (first..).zip(paddings) {
                let line = format!("{{\"v\":1,\"seq\":{seq},\"x\":\"{}\"}}\n", "x".repeat(padding));
                file.write_all(line.as_bytes()).unwrap();
                len += line.len() as u64;
                if seq < before {
                    expected = len;
                }
            }
            prop_assert_eq!(end_of_records_before(&file, len, before).unwrap(), Some(expected));
        }
    }

    #[test]
    fn a_file_of_something_else_is_called_damaged() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[b'x'; 100_000]).unwrap();
        assert_eq!(end_of_records_before(&file, 100_000, 5).unwrap(), None);
    }
}
