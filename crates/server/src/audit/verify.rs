//! Proving that the trail is whole: every record there, unchanged, in its place. Reads each file once (a
//! moved line is looked for to the end of its file), in constant memory.
//!
//! What the files alone can't prove: that their end was not cut off at a line, and that they were not all
//! written anew. For that, give a head that was kept elsewhere. Segments removed for their age leave a log
//! that starts later; [`Summary::first_seq`] says where.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::chain::{Hash, Head, Link, check, seq_of};
use super::error::LineFault;
use super::lines::{Forward, Line};
use super::segment::{Segment, segments};

/// A log that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// The oldest record still kept; 1 when none was removed for its age, or there is none yet.
    pub first_seq: u64,
    /// The newest record; 0 when there is none.
    pub last_seq: u64,
    pub head: Head,
    /// Files beside the active one.
    pub segments: u64,
}

/// The first place where a log is not whole.
#[derive(Debug, Error)]
#[error("{}:{line}: record {seq}: {what}", file.display())]
pub struct Finding {
    pub file: PathBuf,
    /// From 1.
    pub line: u64,
    /// The record that should stand here.
    pub seq: u64,
    pub what: Fault,
}

/// What is wrong at that place.
#[derive(Debug, Error)]
pub enum Fault {
    #[error("{0}")]
    Line(LineFault),
    #[error("records up to {last} are gone from here")]
    Removed { last: u64 },
    #[error("record {found} stands here; the lines were reordered or repeated")]
    Reordered { found: u64 },
    #[error("the line before, or this one and all after it, was replaced: they don't belong together")]
    Unlinked,
    #[error("the line is cut off")]
    Cut,
    #[error("records up to {last} are missing between two files: a segment is gone, or the end of one")]
    MissingSegment { last: u64 },
    #[error("the segment was replaced: it starts with another record than its name says")]
    ReplacedSegment,
    #[error("the end of the log is cut off: it went on to record {last}")]
    CutTail { last: u64 },
    #[error("the log was written anew: this record had another hash")]
    Rewritten,
    #[error("the record to compare with is older than the oldest one kept")]
    HeadNotKept,
    #[error("there is no log")]
    NoLog,
    #[error("can't be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// Verifies the log whose active file is `active`, and, given a head that was kept elsewhere, that this log
/// is the one it was the head of. Blocks on the disk.
///
/// A log that is being written can end in half a line for a moment; stop it, or look again.
///
/// # Errors
/// The first [`Finding`].
pub fn verify(active: &Path, expected: Option<Head>) -> Result<Summary, Finding> {
    let unreadable =
        |error| Finding { file: active.to_owned(), line: 0, seq: 0, what: Fault::Unreadable(error) };
    let segments = segments(active).map_err(unreadable)?;
    let mut walk = Walk { expected, ..Walk::default() };
    for segment in &segments {
        walk.segment(active, segment)?;
    }
    let active_is_there = active.try_exists().map_err(unreadable)?;
    if active_is_there {
        walk.active(active)?;
    }
    if !active_is_there && segments.is_empty() {
        return Err(walk.finding(active, Fault::NoLog));
    }
    walk.finish(active)?;
    let head = walk.head;
    Ok(Summary { first_seq: walk.first_seq, last_seq: head.seq, head, segments: segments.len() as u64 })
}

/// The way through the files, up to a line.
struct Walk {
    expected: Option<Head>,
    /// The last record that was found to be right.
    head: Head,
    /// The hash that the next record has to name; none before the first record of a log whose beginning was
    /// removed for its age.
    prev: Option<Hash>,
    first_seq: u64,
    line: u64,
}

impl Default for Walk {
    fn default() -> Walk {
        Walk { expected: None, head: Head::GENESIS, prev: Some(Hash::ZERO), first_seq: 1, line: 1 }
    }
}

impl Walk {
    fn next_seq(&self) -> u64 {
        self.head.seq.saturating_add(1)
    }

    fn finding(&self, file: &Path, what: Fault) -> Finding {
        Finding { file: file.to_owned(), line: self.line, seq: self.next_seq(), what }
    }

    fn segment(&mut self, active: &Path, segment: &Segment) -> Result<(), Finding> {
        let is_oldest = self.head == Head::GENESIS && self.line == 1;
        if is_oldest && segment.first_seq > 1 {
            self.start_at(segment.first_seq);
        }
        self.line = 1;
        if segment.first_seq > self.next_seq() {
            let expected = Segment::new(active, self.next_seq());
            return Err(self.finding(&expected.path, Fault::MissingSegment { last: segment.first_seq - 1 }));
        }
        if segment.first_seq < self.next_seq() {
            return Err(self.finding(&segment.path, Fault::ReplacedSegment));
        }
        self.file(&segment.path, true)?;
        if self.line == 1 {
            return Err(self.finding(&segment.path, Fault::Cut));
        }
        Ok(())
    }

    fn active(&mut self, active: &Path) -> Result<(), Finding> {
        self.line = 1;
        self.file(active, false)
    }

    /// The records before `first_seq` were removed for their age.
    fn start_at(&mut self, first_seq: u64) {
        self.first_seq = first_seq;
        self.head.seq = first_seq.saturating_sub(1);
        self.prev = None;
    }

    fn file(&mut self, path: &Path, is_segment: bool) -> Result<(), Finding> {
        let file = File::open(path).map_err(|error| self.finding(path, error.into()))?;
        let mut lines = Forward::new(BufReader::new(file));
        loop {
            let checked = match lines.next().map_err(|error| self.finding(path, error.into()))? {
                None => return Ok(()),
                Some(Line::Whole(line)) => check(line).map_err(Fault::Line),
                Some(Line::Torn(_)) => Err(Fault::Cut),
                Some(Line::TooLong) => Err(Fault::Line(LineFault::Malformed)),
            };
            let link = checked.map_err(|what| self.finding(path, what))?;
            self.place(&link, is_segment, &mut lines).map_err(|what| self.finding(path, what))?;
            self.head = link.head();
            self.prev = Some(link.hash);
            self.line += 1;
        }
    }

    /// Whether a record that is right in itself is right where it stands.
    fn place(
        &self,
        link: &Link,
        is_segment: bool,
        rest: &mut Forward<impl io::BufRead>,
    ) -> Result<(), Fault> {
        let next = self.next_seq();
        if link.seq < next {
            let starts_file = is_segment && self.line == 1;
            return Err(if starts_file {
                Fault::ReplacedSegment
            } else {
                Fault::Reordered { found: link.seq }
            });
        }
        if link.seq > next {
            return Err(match stands_in(rest, next)? {
                true => Fault::Reordered { found: link.seq },
                false => Fault::Removed { last: link.seq - 1 },
            });
        }
        if self.prev.is_some_and(|prev| prev != link.prev) {
            let starts_file = is_segment && self.line == 1;
            return Err(if starts_file { Fault::ReplacedSegment } else { Fault::Unlinked });
        }
        self.compare(link)
    }

    /// Compares with the head that was kept elsewhere.
    fn compare(&self, link: &Link) -> Result<(), Fault> {
        let Some(expected) = self.expected else { return Ok(()) };
        let is_other = (link.seq == expected.seq && link.hash != expected.hash)
            || (link.seq == expected.seq.saturating_add(1) && link.prev != expected.hash);
        if is_other { Err(Fault::Rewritten) } else { Ok(()) }
    }

    fn finish(&self, active: &Path) -> Result<(), Finding> {
        let Some(expected) = self.expected else { return Ok(()) };
        if expected.seq > self.head.seq {
            return Err(self.finding(active, Fault::CutTail { last: expected.seq }));
        }
        if expected.seq.saturating_add(1) < self.first_seq {
            return Err(self.finding(active, Fault::HeadNotKept));
        }
        Ok(())
    }
}

/// Whether record `seq` stands further on in the same file.
fn stands_in(rest: &mut Forward<impl io::BufRead>, seq: u64) -> io::Result<bool> {
    while let Some(line) = rest.next()? {
        if let Line::Whole(line) = line
            && seq_of(line) == Some(seq)
        {
            return Ok(true);
        }
    }
    Ok(false)
}
