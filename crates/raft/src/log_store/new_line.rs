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
