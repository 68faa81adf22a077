//! Lines of a file, forwards and backwards, in constant memory.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;

use super::chain::LINE_BYTES_MAX;

/// Read in one go when reading backwards, in bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Whole(&'a [u8]),
    /// The file ends before the line does.
    Torn(&'a [u8]),
    /// Longer than [`LINE_BYTES_MAX`]: no line of this log.
    TooLong,
}

/// Lines from the first to the last.
pub(super) struct Forward<R> {
    reader: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Forward<R> {
    pub(super) fn new(reader: R) -> Forward<R> {
        Forward { reader, buffer: Vec::new() }
    }

    /// None at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let limit = LINE_BYTES_MAX + 1;
        self.buffer.clear();
        (&mut self.reader).take(limit as u64).read_until(b'\n', &mut self.buffer)?;
        Ok(match self.buffer.split_last() {
            None => None,
            Some((b'\n', line)) => Some(Line::Whole(line)),
            Some(_) if self.buffer.len() == limit => Some(Line::TooLong),
            Some(_) => Some(Line::Torn(&self.buffer)),
        })
    }
}

/// Lines from the last to the first.
pub(super) struct Backward<'a> {
    file: &'a File,
    /// Where in the file the buffer starts.
    start: u64,
    buffer: Vec<u8>,
    /// What is still to be given out is `buffer[..end]`, and in the file what lies before `start`.
    end: usize,
}

impl<'a> Backward<'a> {
    /// The lines of the first `len` bytes of `file`.
    pub(super) fn new(file: &'a File, len: u64) -> Backward<'a> {
        Backward { file, start: len, buffer: Vec::new(), end: 0 }
    }

    /// None at the start of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        while self.end == 0 {
            if self.start == 0 {
                return Ok(None);
            }
            self.prepend_block()?;
        }
        let Some(from) = self.start_of_last_line()? else {
            return Ok(Some(Line::TooLong));
        };
        let line = self.buffer.get(from..self.end).unwrap_or_default();
        self.end = from;
        Ok(Some(line.strip_suffix(b"\n").map_or(Line::Torn(line), Line::Whole)))
    }

    /// Where in the buffer the last line starts; none when it was too long, and then it has been skipped.
    fn start_of_last_line(&mut self) -> io::Result<Option<usize>> {
        loop {
            // The last byte is the line's own end.
            let body = self.buffer.get(..self.end.saturating_sub(1)).unwrap_or_default();
            if let Some(before) = last_line_end(body) {
                return Ok(Some(before));
            }
            if self.start == 0 {
                return Ok(Some(0));
            }
            if self.end > LINE_BYTES_MAX {
                self.skip_to_line_end()?;
                return Ok(None);
            }
            self.prepend_block()?;
        }
    }

    fn skip_to_line_end(&mut self) -> io::Result<()> {
        self.end = 0;
        while self.start > 0 && self.end == 0 {
            self.prepend_block()?;
            self.end = last_line_end(&self.buffer).unwrap_or(0);
        }
        Ok(())
    }

    fn prepend_block(&mut self) -> io::Result<()> {
        let len = usize::try_from(self.start).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        let mut block = vec![0; len];
        self.start = self.start.saturating_sub(len as u64);
        self.file.read_exact_at(&mut block, self.start)?;
        block.extend_from_slice(self.buffer.get(..self.end).unwrap_or_default());
        self.end = block.len();
        self.buffer = block;
        Ok(())
    }
}

/// Where the last complete line in the first `len` bytes of `file` ends: 0 when there is none, and none
/// when there is none in the last `within` bytes.
pub(super) fn end_of_last_line(file: &File, len: u64, within: u64) -> io::Result<Option<u64>> {
    let mut start = len;
    while start > 0 && len - start < within {
        let block_len = usize::try_from(start).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        let mut block = vec![0; block_len];
        start = start.saturating_sub(block_len as u64);
        file.read_exact_at(&mut block, start)?;
        if let Some(end) = last_line_end(&block) {
            return Ok(Some(start + end as u64));
        }
    }
    Ok((start == 0).then_some(0))
}

/// The position behind the last end of a line.
fn last_line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use std::io::{BufReader, Write};

    use proptest::prelude::*;

    use super::*;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn shown(line: &Line<'_>) -> String {
        match line {
            Line::Whole(line) => format!("whole {}", line.len()),
            Line::Torn(line) => format!("torn {}", line.len()),
            Line::TooLong => "too long".to_owned(),
        }
    }

    fn backward(bytes: &[u8]) -> Vec<String> {
        let file = file_of(bytes);
        let mut lines = Backward::new(&file, bytes.len() as u64);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(shown(&line));
        }
        all
    }

    fn forward(bytes: &[u8]) -> Vec<String> {
        let mut lines = Forward::new(BufReader::new(bytes));
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(shown(&line));
        }
        all
    }

    #[test]
    fn a_line_too_long_is_skipped_and_those_around_it_are_not() {
        let mut bytes = b"one\n".to_vec();
        bytes.extend(vec![b'x'; 3 * BLOCK_BYTES]);
        bytes.extend(b"\nthree\n");
        assert_eq!(backward(&bytes), ["whole 5", "too long", "whole 3"]);
        assert_eq!(forward(&bytes)[..2], ["whole 3", "too long"]);
    }

    #[test]
    fn the_end_of_the_last_line_is_searched_only_so_far_back() {
        let mut bytes = b"one\n".to_vec();
        bytes.extend(vec![0; 2 * BLOCK_BYTES]);
        let file = file_of(&bytes);
        let len = bytes.len() as u64;
        assert_eq!(end_of_last_line(&file, len, 4 * BLOCK_BYTES as u64).unwrap(), Some(4));
        assert_eq!(end_of_last_line(&file, len, BLOCK_BYTES as u64).unwrap(), None);
        assert_eq!(end_of_last_line(&file_of(b"torn"), 4, 100).unwrap(), Some(0));
        assert_eq!(end_of_last_line(&file_of(b""), 0, 100).unwrap(), Some(0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn backwards_gives_what_forwards_gives_in_the_other_order(
            lines in prop::collection::vec(0..LINE_BYTES_MAX, 0..24),
            torn in 0..LINE_BYTES_MAX,
        ) {
            let mut bytes = Vec::new();
            for len in lines {
                bytes.extend(vec![b'x'; len]);
                bytes.push(b'\n');
            }
            bytes.extend(vec![b'x'; torn]);
            let mut reversed = backward(&bytes);
            reversed.reverse();
            prop_assert_eq!(reversed, forward(&bytes));
        }
    }
}
