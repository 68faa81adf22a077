//! What was said once, said again.

use std::sync::{Arc, Mutex};

use hyperion_vault_raft::MemberChange;
use reqwest::Method;
use tokio_util::io::InspectWriter;

use super::dialler::{Dialler, call_over, reach};
use super::frames::{self, Answer, Anything, Call, Caller};
use super::siege::Siege;
use super::{certified, create_role, informed, is_closed_after, look_at};
use crate::vault::expect;

const ROLE: &str = "said-once";
/// Of a start of the node that never was.
const SESSION: u64 = 0x5e55_1055_e551_0000;

impl Siege {
    /// Whether the role is there, as every node says. A member proposed it past the API and it has no MAC: it grants
    /// nothing and is not shown, but it isn't missing.
    async fn has_role(&self) -> bool {
        let asked = async |id| {
            let path = format!("/v1/roles/{ROLE}?consistency=linearizable");
            let answer = self.cluster.admin(id, Method::GET, &path).send().await.unwrap();
            answer.status() != 404
        };
        let [one, two, three] = [asked(1).await, asked(2).await, asked(3).await];
        assert_eq!((one, two), (two, three));
        one
    }

    async fn delete_role(&self) {
        expect(self.cluster.admin(1, Method::DELETE, &format!("/v1/roles/{ROLE}")), 204).await;
    }
}

/// A call that is let in, and what the caller sent for it.
async fn recorded(siege: &Siege, member: &Dialler, to: u64, call: &Call) -> Vec<u8> {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&sent);
    let stream = InspectWriter::new(reach(siege.port(to)).await.unwrap(), move |bytes: &[u8]| {
        record.lock().unwrap().extend_from_slice(bytes);
    });
    let answer = call_over(member.connect_over(stream).await.unwrap(), call).await.unwrap();
    assert!(matches!(frames::read::<Anything>(&answer), Answer::Answered(_)), "{answer:02x?}");
    let sent = sent.lock().unwrap();
    sent.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_call_is_done_once_and_a_repeated_connection_is_none() {
    let siege = Siege::begin().await;
    let [leader, follower] = siege.leader_and_follower();
    let (member, callee) = (certified(follower), look_at(&siege, leader).await);
    let caller = Caller { boot: look_at(&siege, follower).await.boot, ..informed(follower, &callee) };
    let call = frames::propose(&caller, &create_role(ROLE), SESSION, 1);
    assert!(!siege.has_role().await);
    let sent = recorded(&siege, &member, leader, &call).await;
    assert!(siege.has_role().await, "the right certificate, the right disk, the right frame");
    siege.delete_role().await;

    let again = async |_| drop(member.call(siege.port(leader), &call).await.unwrap());
    siege.bear("the same frame", 50, again).await;
    assert!(!siege.has_role().await, "done twice");
    let replay = async |_| {
        let answer = is_closed_after(reach(siege.port(leader)).await.unwrap(), &sent).await;
        // A server's first flight, and an alert.
        assert!(answer.len() < 4_096, "{} bytes", answer.len());
    };
    siege.bear("the same bytes", 100, replay).await;
    assert!(!siege.has_role().await, "done by a replay of a connection");

    // Not because it was refused for something else.
    let next = frames::propose(&caller, &create_role(ROLE), SESSION, 2);
    recorded(&siege, &member, leader, &next).await;
    assert!(siege.has_role().await);
    siege.end().await;
}

/// A call is meant for one start of one node of one line of history: sent elsewhere, or later, it is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_meant_for_another_is_refused() {
    let siege = Siege::begin().await;
    let [leader, follower] = siege.leader_and_follower();
    let (member, callee) = (certified(follower), look_at(&siege, leader).await);
    let caller = Caller { boot: look_at(&siege, follower).await.boot, ..informed(follower, &callee) };
    let meant_otherwise = [
        Caller { to: follower, ..caller.clone() },
        Caller { to_boot: None, ..caller.clone() },
        Caller { to_boot: Some(caller.boot), ..caller.clone() },
        Caller { lineage: None, ..caller.clone() },
        Caller { lineage: Some(hyperion_vault_raft::Lineage([7; 16])), ..caller.clone() },
    ];
    for caller in meant_otherwise {
        for call in frames::hostile_calls(&caller, &callee, &create_role(ROLE)) {
            let answer = member.call(siege.port(leader), &call).await.unwrap();
            let rejected = matches!(frames::read::<Anything>(&answer), Answer::Rejected(_));
            assert!(rejected, "{}: {answer:02x?}", call.name);
        }
    }
    let harmless = Call::new("ChangeMembers", &caller, MemberChange::Promote { node_id: 99 });
    recorded(&siege, &member, leader, &harmless).await;
    siege.end().await;
}
