//! A node comes back without its disk or with an older one. It is told from the one that the others knew, catches up
//! as a learner, and until then decides nothing: no write is lost that only the lost disk and a dead node had.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::Cluster;
use super::writers::{Writers, create_many};

/// Longer than any election takes that could be won.
const ELECTION: Duration = Duration::from_secs(4);
/// Several of the leader's rounds.
const RECORDED: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_and_a_leader_that_lost_their_disks_are_taken_in_again() {
    let mut cluster = Cluster::start(3).await;
    let writers = Writers::start_paced(&cluster.client(), "load", 3, REST);
    let leader = cluster.leader().await;
    for id in [cluster.others(&[leader])[0], leader] {
        cluster.kill(id);
        cluster.wipe(id);
        cluster.leader_among(&cluster.others(&[id])).await;
        cluster.start_node(id).await;
        cluster.wait_voter(id).await;
        // Until the change that lets it vote is committed, the other two are all the quorum there is.
        sleep(RECORDED).await;
    }
    let written = writers.stop().await;
    written.expect_no_failure();
    cluster.expect_one_cluster().await;
    cluster.expect_equal_state(&written).await;
}

/// The copy is of a moment when the node ran: the count of its starts tells nothing, but the others know what it once
/// acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_with_an_older_disk_copied_while_it_ran_is_taken_in_again() {
    let mut cluster = Cluster::start(3).await;
    let writers = Writers::start_paced(&cluster.client(), "load", 3, REST);
    let id = cluster.others(&[cluster.leader().await])[0];
    cluster.pause(id);
    let copy = cluster.copy_disk(id);
    cluster.resume(id);
    sleep(Duration::from_secs(1)).await;
    cluster.wait_voter(id).await;
    cluster.kill(id);
    cluster.restore_disk(id, &copy);
    cluster.start_node(id).await;
    cluster.wait_voter(id).await;
    let written = writers.stop().await;
    written.expect_no_failure();
    cluster.expect_one_cluster().await;
    cluster.expect_equal_state(&written).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_and_one_that_missed_a_write_do_not_make_a_quorum_that_forgets_it() {
    the_write_of_two_survives_one_of_their_disks(Loss::Wiped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_back_node_and_one_that_missed_a_write_do_not_make_a_quorum_that_forgets_it() {
    the_write_of_two_survives_one_of_their_disks(Loss::RolledBack).await;
}

#[derive(Clone, Copy)]
enum Loss {
    Wiped,
    /// To a copy that was made while the node was stopped.
    RolledBack,
}

/// One node is down while a write is acknowledged by the other two; then the leader dies, and the disk of the third
/// is lost. The one that was down and the one that lost everything are two of three: if they elected a leader, the
/// write would be gone.
async fn the_write_of_two_survives_one_of_their_disks(loss: Loss) {
    let mut cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let [absent, loser] = cluster.others(&[leader])[..] else { unreachable!() };
    let copy = copy_while_stopped(&mut cluster, loser).await;
    let mut written = create_many(&cluster.client(), "by-three", 10, 2, 0).await;
    cluster.make_leader(leader).await;

    cluster.kill(absent);
    written = written.merge(create_many(&cluster.client_of(&[leader, loser]), "by-two", 10, 2, 0).await);
    cluster.kill(leader);
    cluster.kill(loser);
    match loss {
        Loss::Wiped => cluster.wipe(loser),
        Loss::RolledBack => cluster.restore_disk(loser, &copy),
    }
    cluster.spawn(absent);
    cluster.spawn(loser);
    sleep(ELECTION).await;
    for id in [absent, loser] {
        let status = cluster.status(id).await;
        assert!(status.is_none_or(|status| !status.quorum()), "a quorum without the write");
        assert!(!cluster.is_ready(id).await);
    }
    cluster.start_all().await;
    cluster.expect_one_cluster().await;
    cluster.expect_equal_state(&written).await;
}

async fn copy_while_stopped(cluster: &mut Cluster, id: u64) -> PathBuf {
    assert_eq!(cluster.terminate(id).await.code(), Some(0));
    let copy = cluster.copy_disk(id);
    cluster.start_node(id).await;
    cluster.wait_voter(id).await;
    // The leader sees to it that all members know of a new start.
    sleep(RECORDED).await;
    copy
}
