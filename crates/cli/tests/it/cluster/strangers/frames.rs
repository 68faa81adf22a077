//! What nodes say to each other, as somebody else would write it: by the format that the transport of the nodes
//! documents, held against its golden bytes.

use bytes::{BufMut, Bytes, BytesMut};
use hyperion_vault_raft::{Boot, Lineage, MemberChange};
use minicbor::bytes::ByteVec;
use minicbor::{Decode, Decoder, Encode};

const FRAME_FORMAT: u8 = 1;
/// Of another term and another index than the cluster will come to.
const FAR: u64 = 1 << 40;

pub(super) type Vote = (u64, u64, bool);
pub(super) type LogId = (u64, u64, u64);

/// Who calls whom.
#[derive(Debug, Clone, Encode)]
pub(super) struct Caller {
    #[n(0)]
    pub(super) lineage: Option<Lineage>,
    #[n(1)]
    pub(super) from: u64,
    #[n(2)]
    pub(super) boot: Boot,
    #[n(3)]
    pub(super) to: u64,
    #[n(4)]
    pub(super) to_boot: Option<Boot>,
}

/// What a node tells whoever holds a certificate, as far as it is of use to a stranger.
#[derive(Debug, Decode)]
pub(super) struct Beat {
    #[n(0)]
    pub(super) node_id: u64,
    #[n(1)]
    pub(super) boot: Boot,
    #[n(2)]
    pub(super) lineage: Option<Lineage>,
    #[n(6)]
    pub(super) vote: Vote,
    #[n(7)]
    pub(super) last_log_id: Option<LogId>,
}

#[derive(Debug, PartialEq, Decode)]
pub(super) enum Answer<T> {
    #[n(0)]
    Answered(#[n(0)] T),
    #[n(1)]
    Rejected(#[n(0)] Rejection),
}

#[derive(Debug, Clone, PartialEq, Decode)]
pub(super) enum Rejection {
    #[n(0)]
    Certificate(#[n(0)] u64),
    #[n(1)]
    OtherNode(#[n(0)] u64, #[n(1)] u64),
    #[n(2)]
    OtherBoot,
    #[n(3)]
    OtherLineage,
    #[n(4)]
    NotAMember(#[n(0)] u64),
    #[n(6)]
    Malformed(#[n(0)] String),
}

/// An answer that nobody needs to understand.
#[derive(Debug, PartialEq)]
pub(super) struct Anything;

impl<'b, C> Decode<'b, C> for Anything {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Anything, minicbor::decode::Error> {
        d.skip().map(|()| Anything)
    }
}

/// A call and all that is sent with it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) body: Bytes,
}

impl Call {
    pub(super) fn new<T: Encode<()>>(name: &'static str, caller: &Caller, body: T) -> Call {
        Call { name, body: grpc(&[&frame((caller, body))]) }
    }
}

/// The first frame of an answer.
pub(super) fn read<T: for<'b> Decode<'b, ()>>(body: &[u8]) -> Answer<T> {
    let [0, _, _, _, _, FRAME_FORMAT, cbor @ ..] = body else { panic!("no answer: {body:02x?}") };
    minicbor::decode(cbor).unwrap()
}

pub(super) fn beat(caller: &Caller) -> Call {
    Call::new("Beat", &Caller { to_boot: None, ..caller.clone() }, [0_u8; 0])
}

/// Asks for a command to be written into the log, as the change number `sequence` of a session of the caller.
pub(super) fn propose(caller: &Caller, command: &[u8], session: u64, sequence: u64) -> Call {
    Call::new("Propose", caller, (ByteVec::from(command.to_vec()), (caller.from, session, sequence)))
}

/// Everything by which a node that were let in would change something: as leader or candidate of a far term, as
/// who hands leadership over, as who writes, and as who changes the members.
pub(super) fn hostile_calls(caller: &Caller, callee: &Beat, command: &[u8]) -> Vec<Call> {
    let (nothing, no_entries) = ([0_u8; 0], [0_u8; 0]);
    let leader: Vote = (FAR, caller.from, true);
    let candidate: Vote = (FAR, caller.from, false);
    let far: LogId = (FAR, caller.from, FAR);
    let append = frame((leader, callee.last_log_id, Some(far), no_entries));
    let snapshot = frame((caller, (leader, 100_000_u64)));
    vec![
        Call::new("Vote", caller, (candidate, Some(far), true)),
        Call::new("PreVote", caller, (candidate, Some(far), true)),
        Call { name: "Append", body: grpc(&[&frame((caller, nothing)), &append]) },
        Call { name: "Snapshot", body: grpc(&[&snapshot, &[0x5a; 100_000]]) },
        Call::new("TransferLeader", caller, (callee.vote, caller.to, callee.last_log_id)),
        propose(caller, command, FAR, 1),
        Call::new("ReadIndex", caller, nothing),
        Call::new("ChangeMembers", caller, MemberChange::Remove { node_id: caller.to, force: true }),
        Call::new("ChangeMembers", caller, MemberChange::StepDown { to: None }),
    ]
}

/// One byte of format, and the value.
pub(super) fn frame<T: Encode<()>>(value: T) -> Vec<u8> {
    [vec![FRAME_FORMAT], minicbor::to_vec(value).unwrap()].concat()
}

/// Messages as gRPC frames them: not compressed, with their lengths.
pub(super) fn grpc(messages: &[&[u8]]) -> Bytes {
    let mut body = BytesMut::new();
    for message in messages {
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap());
        body.put_slice(message);
    }
    body.freeze()
}

/// Otherwise what is refused might be refused for being misspelt.
#[test]
fn a_stranger_speaks_as_the_nodes_do() {
    macro_rules! golden {
        ($name:literal) => {
            include_str!(concat!("../../../../../raft/tests/vectors/wire_", $name, "_1.hex")).trim()
        };
    }
    let boot = |disk, count, nonce| Boot { disk_id: [disk; 16], count, nonce };
    let caller = Caller {
        lineage: Some(Lineage([0x11; 16])),
        from: 1,
        boot: boot(0xd1, 4, 77),
        to: 2,
        to_boot: Some(boot(0xd2, 1, 300)),
    };
    let said = |call: &Call| hex::encode(&call.body[5..]);
    let vote_request = ((4_u64, 2_u64, false), Some((3_u64, 1_u64, 42_u64)), true);
    assert_eq!(said(&Call::new("ReadIndex", &caller, [0_u8; 0])), golden!("call"));
    assert_eq!(said(&Call::new("Vote", &caller, vote_request)), golden!("vote_request"));
    assert_eq!(said(&propose(&caller, b"command", 9, 5)), golden!("forwarded"));
    let removal = MemberChange::Remove { node_id: 4, force: true };
    assert_eq!(said(&Call::new("ChangeMembers", &caller, removal)), golden!("member_remove"));
    let snapshot = ((3_u64, 1_u64, true), 100_000_000_u64);
    assert_eq!(said(&Call::new("Snapshot", &caller, snapshot)), golden!("snapshot"));

    let heard = |golden: &str| grpc(&[&hex::decode(golden).unwrap()]);
    let Answer::Answered(beat) = read::<Beat>(&heard(golden!("beat"))) else { panic!("rejected") };
    assert_eq!((beat.node_id, beat.vote, beat.last_log_id), (2, (3, 1, true), Some((3, 1, 42))));
    let rejected = read::<Anything>(&heard(golden!("rejected_not_a_member")));
    assert_eq!(rejected, Answer::Rejected(Rejection::NotAMember(7)));
}
