//! The bytes of each message, as files: whoever changes one changes what nodes of two versions say to each other.

use std::fmt::Debug;

use bytes::Bytes;
use hyperion_vault_core::state::Origin;
use hyperion_vault_core::time::Timestamp;
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult, TransferLeaderError,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use proptest::prelude::*;

use super::super::message::{BeatAnswer, Forwarded, LeaderAnswer, MemberChange, MembersAnswer};
use super::*;
use crate::cluster::identity::{Boot, Lineage};
use crate::encoding::Stored;
use crate::status::Role;
use crate::types::{CommittedLeaderId, EncodedProposal, Entry, EntryPayload, LogId, TypeConfig, Vote};

const BOOT: Boot = Boot { disk_id: [0xd1; 16], count: 4, nonce: 77 };

fn caller() -> Caller {
    Caller {
        lineage: Some(Lineage([0x11; 16])),
        from: 1,
        boot: BOOT,
        to: 2,
        to_boot: Some(Boot { disk_id: [0xd2; 16], count: 1, nonce: 300 }),
    }
}

fn log_id(index: u64) -> LogId {
    LogId { leader_id: CommittedLeaderId { term: 3, node_id: 1 }, index }
}

fn append(entries: Vec<Entry>) -> AppendEntriesRequest<TypeConfig> {
    AppendEntriesRequest {
        vote: Vote::new_committed(3, 1),
        prev_log_id: Some(log_id(41)),
        entries,
        leader_commit: Some(log_id(40)),
    }
}

fn two_entries() -> Vec<Entry> {
    let proposal = EncodedProposal(Bytes::from_static(b"proposal"));
    vec![
        Entry { log_id: log_id(42), payload: EntryPayload::Blank },
        Entry { log_id: log_id(43), payload: EntryPayload::Normal(proposal) },
    ]
}

fn beat() -> BeatAnswer {
    BeatAnswer {
        node_id: 2,
        boot: BOOT,
        lineage: None,
        clock: Timestamp::from_unix_ms(1_800_000_000_000),
        role: Role::Follower,
        leader: Some(1),
        vote: Vote::new_committed(3, 1),
        last_log_id: Some(log_id(42)),
        applied_index: Some(41),
        feature_level: 2,
        version: "0.1.0".to_owned(),
    }
}

/// The call with this body is the golden bytes, and they are the call.
fn assert_call<T: Wire + Clone + Debug + PartialEq>(body: T, golden: &str) {
    let frame = call(caller(), body.clone());
    assert_eq!(hex::encode(&frame), golden.trim());
    assert_eq!(read_call::<T>(&frame).unwrap(), (caller(), body));
}

fn assert_answer<T: Wire + Clone + Debug + PartialEq>(body: T, golden: &str) {
    let frame = answer(Ok(body.clone()));
    assert_eq!(hex::encode(&frame), golden.trim());
    assert_eq!(read_answer::<T>(&frame).unwrap(), Ok(body));
}

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../../tests/vectors/wire_", $name, ".hex"))
    };
}

#[test]
fn a_call_without_a_body_is_these_bytes() {
    assert_call((), golden!("call_1"));
}

#[test]
fn the_call_of_a_node_that_belongs_to_no_cluster_is_these_bytes() {
    let fresh = Caller { lineage: None, to_boot: None, ..caller() };
    let frame = call(fresh.clone(), ());
    assert_eq!(hex::encode(&frame), golden!("call_fresh_1").trim());
    assert_eq!(read_call::<()>(&frame).unwrap(), (fresh, ()));
}

#[test]
fn a_beat_is_these_bytes() {
    assert_answer(beat(), golden!("beat_1"));
}

#[test]
fn a_vote_is_these_bytes() {
    let mut request = VoteRequest::new(Vote::new(4, 2), Some(log_id(42)));
    request.leadership_transfer = true;
    assert_call(request, golden!("vote_request_1"));
    assert_answer(VoteResponse::<TypeConfig>::new(Vote::new(4, 2), None, true), golden!("vote_response_1"));
}

#[test]
fn an_append_is_these_bytes() {
    let request = append(two_entries());
    let frame = message(request.clone());
    assert_eq!(hex::encode(&frame), golden!("append_1").trim());
    let read: AppendEntriesRequest<TypeConfig> = read_message(&frame).unwrap();
    assert_eq!(format!("{read:?}"), format!("{request:?}"));
    assert_eq!(read.entries, request.entries);
}

#[test]
fn what_became_of_an_append_is_these_bytes() {
    let assert_result = |result: StreamAppendResult<TypeConfig>, golden| assert_answer(result, golden);
    assert_result(Ok(Some(log_id(43))), golden!("appended_1"));
    assert_result(Err(StreamAppendError::Conflict(log_id(41))), golden!("append_conflict_1"));
    assert_result(Err(StreamAppendError::HigherVote(Vote::new(4, 2))), golden!("append_higher_vote_1"));
}

#[test]
fn a_snapshot_is_announced_and_answered_by_these_bytes() {
    let header = SnapshotHeader { vote: Vote::new_committed(3, 1), bytes: 100_000_000 };
    assert_call(header, golden!("snapshot_1"));
    let response = SnapshotResponse::<TypeConfig>::new(Vote::new_committed(3, 1));
    assert_answer(response, golden!("snapshot_response_1"));
}

#[test]
fn a_hand_over_is_these_bytes() {
    let vote = Vote::new_committed(3, 1);
    let request = TransferLeaderRequest::<TypeConfig>::new(vote, 2, Some(log_id(43)));
    assert_call(request, golden!("transfer_1"));
    let assert_response =
        |response: TransferLeaderResponse<TypeConfig>, golden| assert_answer(response, golden);
    assert_response(Ok(()), golden!("transfer_accepted_1"));
    let (expected, actual) = (vote, Vote::new(4, 3));
    assert_response(
        Err(TransferLeaderError::VoteChanged { expected, actual }),
        golden!("transfer_vote_changed_1"),
    );
    let (expected, actual) = (Some(log_id(43)), None);
    assert_response(
        Err(TransferLeaderError::LogNotFlushed { expected, actual }),
        golden!("transfer_log_not_flushed_1"),
    );
}

#[test]
fn a_forwarded_command_is_these_bytes() {
    let origin = Origin { node_id: 1, session: 9, sequence: 5 };
    assert_call(Forwarded { command: Bytes::from_static(b"command"), origin }, golden!("forwarded_1"));
}

#[test]
fn the_answers_of_a_leader_are_these_bytes() {
    assert_answer(LeaderAnswer::Done(42_u64), golden!("leader_done_1"));
    assert_answer(MembersAnswer::Done(Ok(())), golden!("leader_done_nothing_1"));
    assert_answer(LeaderAnswer::<u64>::NotLeader { leader: Some(3) }, golden!("leader_not_here_1"));
    assert_answer(MembersAnswer::Unavailable("busy".to_owned()), golden!("leader_unavailable_1"));
    assert_answer(MembersAnswer::Refused("no".to_owned()), golden!("leader_refused_1"));
}

#[test]
fn changes_of_the_members_are_these_bytes() {
    assert_call(MemberChange::Add { node_id: 4, address: "d:4".to_owned() }, golden!("member_add_1"));
    assert_call(MemberChange::Promote { node_id: 4 }, golden!("member_promote_1"));
    assert_call(MemberChange::Remove { node_id: 4, force: true }, golden!("member_remove_1"));
    assert_call(MemberChange::StepDown { to: None }, golden!("step_down_1"));
}

#[test]
fn rejections_are_these_bytes() {
    let rejections = [
        (Rejection::Certificate { claimed: 7 }, golden!("rejected_certificate_1")),
        (Rejection::OtherNode { here: 1, meant: 2 }, golden!("rejected_other_node_1")),
        (Rejection::OtherBoot, golden!("rejected_other_boot_1")),
        (Rejection::OtherLineage, golden!("rejected_other_lineage_1")),
        (Rejection::NotAMember(7), golden!("rejected_not_a_member_1")),
        (Rejection::OtherDisk(7), golden!("rejected_other_disk_1")),
        (Rejection::Malformed("the callee can't read it"), golden!("rejected_malformed_1")),
        (Rejection::Halted, golden!("rejected_halted_1")),
        (Rejection::NoRoom, golden!("rejected_no_room_1")),
    ];
    for (rejection, golden) in rejections {
        let frame = answer::<()>(Err(rejection.clone()));
        assert_eq!(hex::encode(&frame), golden.trim(), "{rejection}");
        assert_eq!(read_answer::<()>(&frame).unwrap(), Err(rejection));
    }
}

#[test]
fn the_words_of_another_node_are_not_repeated() {
    let frame = answer::<()>(Err(Rejection::Malformed("words")));
    assert_eq!(read_answer::<()>(&frame).unwrap(), Err(Rejection::Malformed("the callee can't read it")));
}

#[test]
fn a_frame_of_another_format_says_nothing() {
    let mut frame = call(caller(), ()).to_vec();
    frame[0] = 2;
    assert_eq!(read_call::<()>(&frame), Err(Unreadable("unknown frame format")));
    assert_eq!(read_call::<()>(&[]), Err(Unreadable("empty frame")));
}

#[test]
fn bytes_after_a_frame_are_refused() {
    let mut frame = call(caller(), ()).to_vec();
    frame.push(0);
    assert_eq!(read_call::<()>(&frame), Err(Unreadable("bytes after a frame")));
}

/// Consensus would panic on entries with a gap.
#[test]
fn entries_that_do_not_follow_each_other_are_refused() {
    let read = |entries| {
        let read = read_message::<AppendEntriesRequest<TypeConfig>>(&message(append(entries)));
        read.map(drop)
    };
    let [first, second] = two_entries().try_into().unwrap();
    assert_eq!(read(vec![first.clone(), second.clone()]), Ok(()));
    let refused = Err(Unreadable("entries that don't follow each other"));
    assert_eq!(read(vec![second.clone()]), refused);
    assert_eq!(read(vec![first.clone(), first.clone()]), refused);
    assert_eq!(read(vec![second, first]), refused);
}

#[test]
fn more_entries_than_are_sent_at_once_are_refused() {
    let blank = |index| Entry { log_id: log_id(index), payload: EntryPayload::Blank };
    let read = |count: u64| {
        let entries = (42..42 + count).map(blank).collect();
        read_message::<AppendEntriesRequest<TypeConfig>>(&message(append(entries)))
            .map(|read| read.entries.len())
    };
    assert_eq!(read(256), Ok(256));
    assert_eq!(read(257), Err(Unreadable("unreadable frame")));
}

#[test]
fn every_flipped_bit_of_an_entry_is_found() {
    let whole = message(append(two_entries()));
    let entry = two_entries()[1].store(0);
    let at = whole.windows(entry.len()).position(|window| window == entry).unwrap();
    for bit in 0..entry.len() * 8 {
        let mut flipped = whole.to_vec();
        flipped[at + bit / 8] ^= 1 << (bit % 8);
        assert!(read_message::<AppendEntriesRequest<TypeConfig>>(&flipped).is_err(), "bit {bit}");
    }
}

/// A length in a frame that is larger than the frame must not be believed: memory is taken as bytes are read.
#[test]
fn a_length_beyond_the_frame_takes_no_memory() {
    // An append whose entries claim to be 2^60, and a version that claims to be 2^60 bytes long.
    for claim in [[0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0], [0x7b, 0x10, 0, 0, 0, 0, 0, 0, 0]] {
        for frame in [message(append(two_entries())), answer(Ok(beat()))] {
            for at in 1..frame.len() {
                let mut hostile = frame[..at].to_vec();
                hostile.extend_from_slice(&claim);
                assert!(read_message::<AppendEntriesRequest<TypeConfig>>(&hostile).is_err());
                assert!(read_answer::<BeatAnswer>(&hostile).is_err());
            }
        }
    }
}

fn read_as_everything(frame: &[u8]) {
    let _ = read_call::<()>(frame);
    let _ = read_call::<VoteRequest<TypeConfig>>(frame);
    let _ = read_call::<TransferLeaderRequest<TypeConfig>>(frame);
    let _ = read_call::<Forwarded>(frame);
    let _ = read_call::<MemberChange>(frame);
    let _ = read_call::<SnapshotHeader>(frame);
    let _ = read_message::<AppendEntriesRequest<TypeConfig>>(frame);
    let _ = read_answer::<BeatAnswer>(frame);
    let _ = read_answer::<VoteResponse<TypeConfig>>(frame);
    let _ = read_answer::<TransferLeaderResponse<TypeConfig>>(frame);
    let _ = read_answer::<StreamAppendResult<TypeConfig>>(frame);
    let _ = read_answer::<SnapshotResponse<TypeConfig>>(frame);
    let _ = read_answer::<LeaderAnswer<u64>>(frame);
    let _ = read_answer::<MembersAnswer>(frame);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(mut frame in prop::collection::vec(any::<u8>(), 0..400)) {
        read_as_everything(&frame);
        if let Some(format) = frame.first_mut() {
            *format = FRAME_FORMAT;
        }
        read_as_everything(&frame);
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(
        which in 0..4_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let frames = [
            message(append(two_entries())),
            answer(Ok(beat())),
            call(caller(), MemberChange::Add { node_id: 4, address: "d:4".to_owned() }),
            answer::<()>(Err(Rejection::OtherNode { here: 1, meant: 2 })),
        ];
        let mut frame = frames[which].to_vec();
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        read_as_everything(&frame);
        frame.truncate(cut.index(frame.len()));
        read_as_everything(&frame);
    }
}
