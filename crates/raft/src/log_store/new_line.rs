//! The beginning of a new line of history at the end of a log.

use super::file::{LogFile, LogWrite, RowsToDrop};
use crate::cluster::identity::Lineage;
use crate::fault::Fault;
use crate::types::{Entry, LogId, Vote};

impl LogFile {
    /// Appends `entry`, which follows `last`, as written by its own leader in a term in which only that leader
    /// voted, and takes the log over into `lineage`: all of it with one sync, or nothing. Where the state is
    /// further than the log, the log begins after it.
    pub(crate) fn begin_lineage(&self, last: LogId, entry: &Entry, lineage: Lineage) -> Result<(), Fault> {
        let leader = entry.log_id.leader_id;
        let vote = Vote::new_committed(leader.term, leader.node_id);
        let state_is_further = self.recover()?.last < Some(last);
        let purged = state_is_further.then_some(LogWrite::Purged(last));
        let below = if state_is_further { entry.log_id.index } else { 0 };
        let appended =
            [LogWrite::Append(std::slice::from_ref(entry)), LogWrite::Vote(vote), LogWrite::Lineage(lineage)];
        let writes = purged.into_iter().chain(appended);
        self.commit(writes, RowsToDrop { below, rows_max: usize::MAX }).map(drop)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::*;
    use crate::disk::DataDir;
    use crate::disk::header::Identity;
    use crate::stats::StorageStats;
    use crate::types::{CommittedLeaderId, EntryPayload};

    const NEW: Lineage = Lineage([9; 16]);

    fn id(term: u64, index: u64) -> LogId {
        LogId { leader_id: CommittedLeaderId { term, node_id: 1 }, index }
    }

    fn blank(term: u64, index: u64) -> Entry {
        Entry { log_id: id(term, index), payload: EntryPayload::Blank }
    }

    /// A log with the entries 0 to 5 of term 2.
    fn log() -> (LogFile, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let disk = DataDir::open(directory.path()).unwrap();
        let (log, _) = LogFile::open(&disk, &Arc::new(StorageStats::default())).unwrap();
        log.initialise(&Identity { node_id: 1, disk_id: [1; 16] }).unwrap();
        let entries: Vec<Entry> = (0..=5).map(|index| blank(2, index)).collect();
        let nothing = RowsToDrop { below: 0, rows_max: 0 };
        log.commit([LogWrite::Append(&entries), LogWrite::Vote(Vote::new(2, 1))].into_iter(), nothing)
            .unwrap();
        (log, directory)
    }

    #[test]
    fn the_log_goes_on_in_a_term_and_a_line_of_its_own() {
        let (log, _directory) = log();
        log.begin_lineage(id(2, 5), &blank(3, 6), NEW).unwrap();
        let recovered = log.recover().unwrap();
        assert_eq!((recovered.last, recovered.purged), (Some(id(3, 6)), None));
        assert_eq!((recovered.vote, recovered.lineage), (Some(Vote::new_committed(3, 1)), Some(NEW)));
        assert_eq!(log.read(0..7, usize::MAX).unwrap().len(), 7, "nothing is lost");
    }

    #[test]
    fn where_the_state_is_further_the_log_begins_after_it() {
        let (log, _directory) = log();
        log.begin_lineage(id(2, 8), &blank(3, 9), NEW).unwrap();
        let recovered = log.recover().unwrap();
        assert_eq!((recovered.last, recovered.purged), (Some(id(3, 9)), Some(id(2, 8))));
        assert_eq!(recovered.first_row, Some(9), "no gap between rows");
    }
}
