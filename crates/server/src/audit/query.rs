//! Paging back through the trail, the newest record first, in constant memory.

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use hyperion_vault_core::time::Timestamp;

use super::action::{Action, Outcome};
use super::chain::{check, seq_of};
use super::lines::{Backward, Forward, Line};
use super::record::Record;
use super::seek::end_of_records_before;
use super::segment::{Segment, segments};

/// Records on a page when nothing else is asked for.
pub const PAGE_RECORDS_DEFAULT: usize = 100;
/// Most records on a page.
pub const PAGE_RECORDS_MAX: usize = 1_000;
/// Bytes of records that one call looks through. A rare match may need several calls.
const SCAN_BYTES_MAX: u64 = 16 << 20;
/// How far the clock may have been set back and the search by time still finds everything, in milliseconds:
/// records are in the order they were written, and their times nearly so.
const CLOCK_STEP_MS_MAX: u64 = 60 * 60 * 1_000;

/// What to look for. Every condition that is set has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Not before this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// As it stands in the record; see [`Actor::into_text`](super::Actor::into_text).
    pub actor: Option<String>,
    /// A name that the record is about, alone or among others.
    pub name: Option<String>,
    pub action: Option<Action>,
    pub outcome: Option<Outcome>,
    /// Only records numbered below this: the [`Page::next_before`] of the page before.
    pub before: Option<u64>,
    /// Records on the page; 1 to [`PAGE_RECORDS_MAX`], others are taken as the nearest of these.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Query {
        Query {
            from: None,
            to: None,
            actor: None,
            name: None,
            action: None,
            outcome: None,
            before: None,
            limit: PAGE_RECORDS_DEFAULT,
        }
    }
}

impl Query {
    fn matches(&self, record: &Record) -> bool {
        self.from.is_none_or(|from| record.time >= from)
            && self.to.is_none_or(|to| record.time < to)
            && self.actor.as_ref().is_none_or(|actor| record.actor == *actor)
            && self.name.as_ref().is_none_or(|name| names(record, name))
            && self.action.is_none_or(|action| record.action == action)
            && self.outcome.is_none_or(|outcome| record.outcome == outcome)
    }

    /// Whether nothing older can match either.
    fn ends_at(&self, record: &Record) -> bool {
        self.from.is_some_and(|from| from.ms_since(record.time) > CLOCK_STEP_MS_MAX)
    }

    fn is_below_cursor(&self, seq: u64) -> bool {
        self.before.is_none_or(|before| seq < before)
    }
}

/// Whether the record is about `name`, alone or among others.
fn names(record: &Record, name: &str) -> bool {
    record.name.as_deref() == Some(name) || record.secrets.iter().any(|among| among.name == name)
}

/// A page of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// The newest first.
    pub records: Vec<Record>,
    /// Where to go on; none at the end of the trail. A page can be short, even empty, and not the last.
    pub next_before: Option<u64>,
    /// Lines on the way that are not, or no longer, records of this log. More than 0: verify the log.
    pub unreadable: u64,
}

/// A page of the log at `active`, be it written at the moment or not. Blocks on the disk.
///
/// # Errors
/// When the files can't be read.
pub fn query(active: &Path, query: &Query) -> io::Result<Page> {
    // The active file first: should it be moved aside meanwhile, it is among the segments and known by its
    // first record. The other way round it could be missed.
    let newest = open(active)?;
    let newest_first_seq = newest.as_ref().map(first_record).transpose()?.flatten().map(|first| first.seq);
    let mut walk = Walk::new(query);
    if let Some(file) = newest
        && walk.file(&file, newest_first_seq)?.is_break()
    {
        return Ok(walk.page);
    }
    for segment in segments(active)?.iter().rev() {
        if newest_first_seq.is_some_and(|first| segment.first_seq >= first) {
            continue;
        }
        if walk.segment(segment)?.is_break() {
            break;
        }
    }
    Ok(walk.page)
}

struct Walk<'a> {
    query: &'a Query,
    page: Page,
    scan_bytes_left: u64,
}

impl<'a> Walk<'a> {
    fn new(query: &'a Query) -> Walk<'a> {
        Walk { query, page: Page::default(), scan_bytes_left: SCAN_BYTES_MAX }
    }

    fn segment(&mut self, segment: &Segment) -> io::Result<ControlFlow<()>> {
        if !self.query.is_below_cursor(segment.first_seq) {
            return Ok(ControlFlow::Continue(()));
        }
        match open(&segment.path)? {
            Some(file) => self.file(&file, Some(segment.first_seq)),
            // Removed for its age since the segments were listed, and so are all before it.
            None => Ok(ControlFlow::Break(())),
        }
    }

    fn file(&mut self, file: &File, first_seq: Option<u64>) -> io::Result<ControlFlow<()>> {
        if self.is_too_new(file)? {
            return Ok(ControlFlow::Continue(()));
        }
        let len = file.metadata()?.len();
        let end = match self.query.before {
            Some(before) => end_of_records_before(file, len, before)?.unwrap_or(len),
            None => len,
        };
        let mut lines = Backward::new(file, end);
        let mut cursor = first_seq;
        while let Some(line) = lines.next()? {
            if self.line(&line, &mut cursor).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Whether all of a file was written after the time asked for.
    fn is_too_new(&self, file: &File) -> io::Result<bool> {
        let Some(to) = self.query.to else { return Ok(false) };
        let first = first_record(file)?;
        Ok(first.is_some_and(|first| first.time.ms_since(to) > CLOCK_STEP_MS_MAX))
    }

    fn line(&mut self, line: &Line<'_>, cursor: &mut Option<u64>) -> ControlFlow<()> {
        match line {
            Line::Whole(line) => return self.record(line, cursor),
            Line::Torn(_) => {} // being written just now
            Line::TooLong => self.page.unreadable += 1,
        }
        ControlFlow::Continue(())
    }

    fn record(&mut self, line: &[u8], cursor: &mut Option<u64>) -> ControlFlow<()> {
        let seq = seq_of(line);
        if seq.is_some_and(|seq| !self.query.is_below_cursor(seq)) {
            return ControlFlow::Continue(());
        }
        self.scan_bytes_left = self.scan_bytes_left.saturating_sub(line.len() as u64 + 1);
        *cursor = seq.or(*cursor);
        match serde_json::from_slice::<Record>(line) {
            Ok(record) if self.query.ends_at(&record) => return ControlFlow::Break(()),
            Ok(record) if !self.query.matches(&record) => {}
            Ok(record) if check(line).is_ok() => self.page.records.push(record),
            Ok(_) | Err(_) => self.page.unreadable += 1,
        }
        let is_full = self.page.records.len() >= self.query.limit.clamp(1, PAGE_RECORDS_MAX);
        if cursor.is_some() && (is_full || self.scan_bytes_left == 0) {
            self.page.next_before = cursor.filter(|seq| *seq > 1);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn first_record(mut file: &File) -> io::Result<Option<Record>> {
    io::Seek::rewind(&mut file)?;
    let mut lines = Forward::new(BufReader::new(file));
    Ok(match lines.next()? {
        Some(Line::Whole(line)) => serde_json::from_slice(line).ok(),
        _ => None,
    })
}
