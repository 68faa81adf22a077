//! What the environment may say of the other nodes.

use hyperion_vault_core::state::FEATURE_LEVEL;

use super::*;

const THREE: (&str, &str) = ("VAULT_PEERS", "1=10.0.0.1:8300, 2=vault-2:8300,3=[fd00::3]:8300");
const KEY: (&str, &str) = ("VAULT_LOCAL_MASTER_KEY", MASTER_KEY);
const SECRET: (&str, &str) = ("VAULT_CLUSTER_SECRET", "sixteen-bytes-ok");
const FILES: [(&str, &str); 3] = [
    ("VAULT_RAFT_TLS_CERT", "node.pem"),
    ("VAULT_RAFT_TLS_KEY", "node.key"),
    ("VAULT_RAFT_TLS_CA", "ca.pem"),
];

#[test]
fn the_members_are_those_of_the_list_and_this_node_is_one_of_them() {
    let node = settings(&[THREE, KEY, ("NODE_ID", "3")]).node;
    let peers: Vec<_> = node.peers.iter().map(|(id, address)| (*id, address.to_string())).collect();
    let expected = [(1, "10.0.0.1:8300"), (2, "vault-2:8300"), (3, "[fd00::3]:8300")];
    assert_eq!(peers, expected.map(|(id, address)| (id, address.to_owned())));
    assert_eq!(node.own_address().unwrap().to_string(), "[fd00::3]:8300");
    assert!(node.has_others());

    let alone = settings(&[("NODE_ID", "7"), ("VAULT_PEERS", "7=a:8300"), KEY]).node;
    assert!(!alone.has_others() && alone.own_address().is_some());
    assert!(settings(&[("VAULT_PEERS", "")]).node.own_address().is_none());
}

#[test]
fn everything_that_is_wrong_with_the_list_is_named() {
    for (peers, reasons) in [
        ("2=b:8300", &["does not name this node, which is 1 by NODE_ID"][..]),
        ("2=b:8300,3=c:8300", &["does not name this node, which is 1 by NODE_ID"]),
        ("1=a:8300,1=b:8300", &["names node 1 twice"]),
        ("1=a:8300,2=a:8300", &["has two nodes at \"a:8300\""]),
        ("1=a:0", &["\"1=a:0\" has port 0, at which nobody can be reached"]),
        ("a:8300", &["\"a:8300\" is not id=host:port"]),
        (
            "0=a:8300,+1=b:8300",
            &[
                "\"0=a:8300\" does not begin with a node number",
                "\"+1=b:8300\" does not begin with a node number",
            ],
        ),
        ("1=a,2", &["\"1=a\" has no port; write host:port", "\"2\" is not id=host:port"]),
    ] {
        let expected: Vec<_> = reasons.iter().map(|reason| format!("VAULT_PEERS: {reason}")).collect();
        assert_eq!(refusals(&[("VAULT_PEERS", peers), KEY]), expected, "{peers}");
    }
    let many: Vec<_> = (1..=PEERS_MAX + 1).map(|id| format!("{id}=10.0.0.{id}:8300")).collect();
    assert_eq!(
        refusals(&[("VAULT_PEERS", &many.join(",")), KEY]),
        [format!("VAULT_PEERS: names more than {PEERS_MAX} nodes")]
    );
}

#[test]
fn several_nodes_without_anything_to_know_each_other_by_do_not_start() {
    let reason = "VAULT_CLUSTER_SECRET: not set, but several nodes need something to know each other by: set it, the \
                  same on every node; or VAULT_LOCAL_MASTER_KEY, which it is then derived from; or \
                  VAULT_RAFT_TLS_CERT, VAULT_RAFT_TLS_KEY and VAULT_RAFT_TLS_CA; or VAULT_RAFT_TLS=off where the \
                  network keeps everybody else out";
    assert_eq!(refusals(&[THREE]), [reason]);
}

#[test]
fn with_aws_kms_nothing_is_derived_from_a_local_master_key() {
    let aws = [THREE, ("VAULT_KMS_MODE", "aws"), ("VAULT_KMS_KEY_ID", "alias/vault")];
    let reason = "VAULT_CLUSTER_SECRET: not set, but several nodes need something to know each other by: set it, the \
                  same on every node; or VAULT_RAFT_TLS_CERT, VAULT_RAFT_TLS_KEY and VAULT_RAFT_TLS_CA; or \
                  VAULT_RAFT_TLS=off where the network keeps everybody else out";
    assert_eq!(refusals(&aws), [reason]);
    assert_eq!(refusals(&[&aws[..], &[KEY]].concat()), [reason]);
    let security = |more: &[_]| settings(&[&aws, more].concat()).peer_security.unwrap();
    assert!(matches!(security(&[SECRET]), PeerSecurity::Secret(_)));
    assert!(matches!(security(&FILES), PeerSecurity::Files(_)));
    assert!(matches!(security(&[("VAULT_RAFT_TLS", "off")]), PeerSecurity::Plain));
}

#[test]
fn nodes_that_know_each_other_by_the_master_key_are_warned_when_it_changes() {
    let previous = ("VAULT_LOCAL_PREVIOUS_KEYS", "BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=");
    let warned = |vars: &[_]| warnings(vars).contains(&Warning::NodesKnowTheOldKey);
    assert!(warned(&[THREE, KEY, previous]));
    assert!(!warned(&[THREE, KEY]) && !warned(&[KEY, previous]) && !warned(&[THREE, KEY, previous, SECRET]));
}

#[test]
fn each_way_to_know_each_other_is_taken_and_what_is_named_outright_comes_first() {
    let security = |vars: &[_]| settings(vars).peer_security.unwrap();
    assert!(matches!(security(&[THREE, KEY]), PeerSecurity::MasterKey(_)));
    let PeerSecurity::Secret(secret) = security(&[THREE, KEY, SECRET]) else { panic!("a secret was given") };
    assert_eq!(secret.expose(), SECRET.1);
    let [certificate, key, authority] = FILES;
    let PeerSecurity::Files(files) = security(&[THREE, KEY, certificate, key, authority]) else {
        panic!("files were named")
    };
    assert_eq!(files.certificate, Path::new("node.pem"));
    assert_eq!(
        (files.key.as_path(), files.authority.as_path()),
        (Path::new("node.key"), Path::new("ca.pem"))
    );
    assert!(matches!(security(&[THREE, KEY, SECRET, ("VAULT_RAFT_TLS", "off")]), PeerSecurity::Plain));
}

#[test]
fn half_an_identity_is_never_another_one() {
    let [certificate, key, _] = FILES;
    assert_eq!(
        refusals(&[THREE, KEY, certificate]),
        [
            "VAULT_RAFT_TLS_KEY: not set, though VAULT_RAFT_TLS_CERT is",
            "VAULT_RAFT_TLS_CA: not set, though VAULT_RAFT_TLS_CERT is",
        ]
    );
    assert_eq!(
        refusals(&[THREE, KEY, key]),
        [
            "VAULT_RAFT_TLS_CERT: not set, though VAULT_RAFT_TLS_KEY is",
            "VAULT_RAFT_TLS_CA: not set, though VAULT_RAFT_TLS_KEY is",
        ]
    );
    let both = [&[THREE, KEY, SECRET][..], &FILES].concat();
    assert_eq!(
        refusals(&both),
        ["VAULT_CLUSTER_SECRET: set together with VAULT_RAFT_TLS_CERT; set only one"]
    );
    assert_eq!(
        refusals(&[THREE, KEY, ("VAULT_CLUSTER_SECRET", "fifteen-bytes-0")]),
        ["VAULT_CLUSTER_SECRET: is shorter than 16 bytes"]
    );
}

#[test]
fn several_nodes_with_a_random_master_key_each_could_not_read_what_another_wrote() {
    let reason = "VAULT_LOCAL_MASTER_KEY: not set, but several nodes need the same one, to open what another has sealed";
    assert_eq!(refusals(&[THREE, SECRET]), [reason]);
    assert_eq!(refusals(&[THREE, ("VAULT_RAFT_TLS", "off")]), [reason]);
}

#[test]
fn an_open_network_between_nodes_is_warned_of_unless_it_is_this_machine() {
    let off = ("VAULT_RAFT_TLS", "off");
    assert!(warnings(&[THREE, KEY, off]).contains(&Warning::PlainRaft));
    let local = ("VAULT_PEERS", "1=127.0.0.1:8301,2=localhost:8302,3=[::1]:8303");
    assert!(!warnings(&[local, KEY, off]).contains(&Warning::PlainRaft));
    assert!(!warnings(&[off]).contains(&Warning::PlainRaft));
}

#[test]
fn a_node_that_no_other_can_join_is_told_so() {
    let alone = ("VAULT_PEERS", "1=a:8300");
    assert!(warnings(&[alone]).contains(&Warning::AloneForGood));
    assert!(!warnings(&[alone, SECRET]).contains(&Warning::AloneForGood));
    assert!(!warnings(&[]).contains(&Warning::AloneForGood));
}

#[test]
fn reads_are_as_current_as_the_setting_says() {
    let consistency = |word| settings(&[("VAULT_READ_CONSISTENCY", word)]).node.read_consistency;
    assert_eq!(consistency("local"), Consistency::Local);
    assert_eq!(consistency("linearizable"), Consistency::Linearizable);
}

#[test]
fn a_debug_build_can_stand_for_an_earlier_one() {
    let name = "HYPERION_VAULT_PRETEND_FEATURE_LEVEL";
    assert_eq!(settings(&[(name, "1")]).node.pretended_feature_level, Some(1));
    assert_eq!(refusals(&[(name, "9")]), [format!("{name}: is not a number from 1 to {FEATURE_LEVEL}")]);
}
