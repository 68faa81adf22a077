//! Members that come, go and hand over while the cluster runs.

use hyperion_vault_raft::{MemberChange, MembershipError};

use super::*;

impl Trio {
    /// A node that isn't configured anywhere but at itself, and waits to be let in. Answers its address.
    async fn start_outsider(&mut self, id: u64) -> String {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        drop(socket);
        self.peers.insert(id, address.clone());
        self.directories.insert(id, tempfile::tempdir().unwrap());
        self.start(id).await;
        address
    }

    async fn change(&self, through: u64, change: MemberChange) -> Result<(), MembershipError> {
        self.node(through).change_members(change).await
    }
}

fn add(node_id: u64, address: &str) -> MemberChange {
    MemberChange::Add { node_id, address: address.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_as_a_learner_is_promoted_and_removed() {
    let mut trio = Trio::formed().await;
    for number in 0..300 {
        put(trio.node(1), number).await.unwrap();
    }
    let address = trio.start_outsider(4).await;
    sleep(Duration::from_millis(600)).await;
    assert!(!trio.node(4).is_ready(), "it let itself in");

    let follower = trio.follower().await;
    trio.change(follower, add(4, &address)).await.unwrap();
    trio.node(4).wait_ready(SOON).await.unwrap();
    assert!(has(trio.node(4), 299));
    trio.wait_voters(&[1, 2, 3]).await;
    assert_eq!(trio.change(follower, add(4, &address)).await, Err(MembershipError::AlreadyMember(4)));

    trio.change(follower, MemberChange::Promote { node_id: 4 }).await.unwrap();
    trio.wait_voters(&[1, 2, 3, 4]).await;
    put(trio.node(4), 1_000).await.unwrap();

    trio.change(follower, MemberChange::Remove { node_id: 4, force: false }).await.unwrap();
    trio.wait_voters(&[1, 2, 3]).await;
    let gone = MemberChange::Remove { node_id: 4, force: false };
    assert_eq!(trio.change(follower, gone).await, Err(MembershipError::NotAMember(4)));
    trio.stop(4).await;
    trio.assert_same_state().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_removed_hands_over_first() {
    let trio = Trio::formed().await;
    let leader = trio.leader().await;
    trio.change(leader, MemberChange::Remove { node_id: leader, force: false }).await.unwrap();
    let left: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    trio.wait_voters_of(left[0], &left).await;
    put(trio.node(left[0]), 1).await.unwrap();
}

impl Trio {
    /// As `wait_voters`, asking one node.
    async fn wait_voters_of(&self, id: u64, voters: &[u64]) {
        let deadline = Instant::now() + SOON;
        loop {
            let status = self.node(id).cluster();
            let now: Vec<u64> = status.nodes.iter().filter(|m| m.voter).map(|m| m.node_id).collect();
            if now == voters {
                return;
            }
            assert!(Instant::now() < deadline, "voters are {now:?}: {status:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_cost_the_quorum_is_refused_and_says_who_is_missing() {
    let mut trio = Trio::formed().await;
    let leader = trio.leader().await;
    let [down, up] = [1, 2, 3].into_iter().filter(|id| *id != leader).collect::<Vec<_>>()[..] else {
        unreachable!()
    };
    trio.stop(down).await;
    sleep(Duration::from_millis(1_500)).await;
    let refused = trio.change(leader, MemberChange::Remove { node_id: up, force: false }).await;
    assert_eq!(refused, Err(MembershipError::WouldLoseQuorum { unreachable: vec![down] }));
    trio.change(leader, MemberChange::Remove { node_id: down, force: false }).await.unwrap();
    trio.wait_voters_of(leader, &[leader.min(up), leader.max(up)]).await;
    put(trio.node(up), 1).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_answer_or_belongs_elsewhere_is_not_added() {
    let mut trio = Trio::formed().await;
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().to_string();
    let unreachable = MembershipError::Unreachable { node_id: 7, address: nobody.clone() };
    assert_eq!(trio.change(1, add(7, &nobody)).await, Err(unreachable));
    // Another node than the one that is meant.
    let address = trio.start_outsider(4).await;
    let unreachable = MembershipError::Unreachable { node_id: 5, address: address.clone() };
    assert_eq!(trio.change(1, add(5, &address)).await, Err(unreachable));

    let mut other = Trio::new();
    // Another cluster has drawn other random values.
    other.starts = 100;
    for id in 1..=3 {
        other.start(id).await;
    }
    other.all_ready().await;
    let foreign = other.peers[&3].clone();
    trio.stop(3).await;
    let wrong = MemberChange::Remove { node_id: 3, force: false };
    trio.change(1, wrong).await.unwrap();
    assert_eq!(trio.change(1, add(3, &foreign)).await, Err(MembershipError::OtherCluster(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_where_it_is_sent() {
    let trio = Trio::formed().await;
    for to in [3, 1, 2] {
        let asked = trio.follower().await;
        trio.change(asked, MemberChange::StepDown { to: Some(to) }).await.unwrap();
        assert_eq!(trio.leader().await, to);
        put(trio.node(asked), to).await.unwrap();
    }
    let before = trio.leader().await;
    trio.change(before, MemberChange::StepDown { to: None }).await.unwrap();
    assert_ne!(trio.node(before).leadership().borrow().leader, Some(before));
    let nobody = trio.change(before, MemberChange::StepDown { to: Some(9) }).await;
    assert_eq!(nobody, Err(MembershipError::NotAMember(9)));
}

/// The log of such a cluster begins with a membership in which its first node alone is a quorum. On an empty disk
/// that node replays it, and must not believe it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_one_grows_and_its_first_node_may_lose_its_disk() {
    let mut trio = Trio::new();
    let configured = trio.peers.clone();
    trio.peers.retain(|id, _| *id == 1);
    trio.start(1).await;
    trio.all_ready().await;
    put(trio.node(1), 1).await.unwrap();
    trio.peers = configured.clone();
    for id in [2, 3] {
        trio.start(id).await;
        trio.change(1, add(id, &configured[&id])).await.unwrap();
        trio.change(1, MemberChange::Promote { node_id: id }).await.unwrap();
    }
    trio.all_ready().await;
    put(trio.node(3), 2).await.unwrap();

    trio.stop(1).await;
    trio.wipe(1);
    trio.start(1).await;
    trio.all_ready().await;
    trio.wait_voters(&[1, 2, 3]).await;
    assert_ne!(trio.leader().await, 1);
    assert!(has(trio.node(1), 1) && has(trio.node(1), 2));
    trio.assert_same_state().await;
}
