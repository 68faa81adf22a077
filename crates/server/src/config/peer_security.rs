//! What the nodes know each other by.

use hyperion_vault_api::text::SecretText;
use hyperion_vault_raft::tls::{CLUSTER_SECRET_BYTES_MIN, ClusterSecret, PkiFiles};

use super::environment::Environment;
use super::error::Warning;
use super::keys::{Keys, KmsMode};
use super::node::Node;
use super::table::{
    CLUSTER_SECRET, LOCAL_MASTER_KEY, LOCAL_PREVIOUS_KEYS, RAFT_TLS, RAFT_TLS_CA, RAFT_TLS_CERT,
    RAFT_TLS_KEY, Setting,
};

/// How calls between nodes are authenticated and encrypted. Has no `Debug`: it may hold a secret.
pub enum PeerSecurity {
    /// Not at all: the network itself keeps everybody else out.
    Plain,
    /// By certificates that each node derives from this secret.
    Secret(SecretText),
    /// By certificates that each node derives from this, which it derived from the local master key.
    MasterKey(ClusterSecret),
    /// By certificates of the operator's own authority.
    Files(PkiFiles),
}

impl PeerSecurity {
    /// `None`: nothing is set, so this node has no way to speak to another.
    pub(super) fn read(env: &mut Environment, node: &Node, keys: &Keys) -> Option<PeerSecurity> {
        let tls = env.choice(&RAFT_TLS, Tls::parse);
        let (secret, files) = (read_secret(env), read_files(env));
        if env.is_given(&CLUSTER_SECRET) && env.is_given(&RAFT_TLS_CERT) {
            env.refuse(&CLUSTER_SECRET, format!("set together with {}; set only one", RAFT_TLS_CERT.name));
        }
        let given = FILES.iter().any(|file| env.is_given(file)) || env.is_given(&CLUSTER_SECRET);
        let local = matches!(keys.mode, KmsMode::Local { .. });
        let master_key = local && env.is_given(&LOCAL_MASTER_KEY);
        if node.has_others() && tls == Tls::On && !given && !master_key {
            env.refuse(&CLUSTER_SECRET, nothing_to_know_each_other_by(local));
        } else if node.has_others() && local && !master_key {
            let reason = "not set, but several nodes need the same one, to open what another has sealed";
            env.refuse(&LOCAL_MASTER_KEY, reason);
        }
        match (tls, secret, files) {
            (Tls::Off, ..) => {
                if !node.is_loopback() {
                    env.warn(Warning::PlainRaft);
                }
                Some(PeerSecurity::Plain)
            }
            (Tls::On, _, Some(files)) => Some(PeerSecurity::Files(files)),
            (Tls::On, Some(secret), None) => Some(PeerSecurity::Secret(secret)),
            (Tls::On, None, None) if master_key => {
                if node.has_others() && env.is_given(&LOCAL_PREVIOUS_KEYS) {
                    env.warn(Warning::NodesKnowTheOldKey);
                }
                of_master_key(keys)
            }
            (Tls::On, None, None) => {
                if !node.peers.is_empty() && !node.has_others() {
                    env.warn(Warning::AloneForGood);
                }
                None
            }
        }
    }
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Tls {
    #[default]
    On,
    Off,
}

impl Tls {
    fn parse(word: &str) -> Option<Tls> {
        match word {
            "on" => Some(Tls::On),
            "off" => Some(Tls::Off),
            _ => None,
        }
    }
}

const FILES: [&Setting; 3] = [&RAFT_TLS_CERT, &RAFT_TLS_KEY, &RAFT_TLS_CA];

/// `None`: the key was refused, or is somebody else's.
fn of_master_key(keys: &Keys) -> Option<PeerSecurity> {
    let KmsMode::Local { master_key, .. } = &keys.mode else { return None };
    let secret = ClusterSecret::from_bytes(master_key.as_ref()?.cluster_secret());
    Some(PeerSecurity::MasterKey(secret))
}

fn read_secret(env: &mut Environment) -> Option<SecretText> {
    let secret = env.secret(&CLUSTER_SECRET)?;
    if secret.expose().len() < CLUSTER_SECRET_BYTES_MIN {
        env.refuse(&CLUSTER_SECRET, format!("is shorter than {CLUSTER_SECRET_BYTES_MIN} bytes"));
    }
    Some(secret)
}

/// A part of an identity without the rest is an error, never another identity.
fn read_files(env: &mut Environment) -> Option<PkiFiles> {
    let [certificate, key, authority] = FILES.map(|file| env.path(file));
    if let Some(given) = FILES.iter().find(|file| env.is_given(file)) {
        for missing in FILES {
            if !env.is_given(missing) {
                env.refuse(missing, format!("not set, though {} is", given.name));
            }
        }
    }
    Some(PkiFiles { certificate: certificate?, key: key?, authority: authority? })
}

fn nothing_to_know_each_other_by(local: bool) -> String {
    let derived = match local {
        true => format!("or {}, which it is then derived from; ", LOCAL_MASTER_KEY.name),
        false => String::new(),
    };
    format!(
        "not set, but several nodes need something to know each other by: set it, the same on every node; {derived}or \
         {}, {} and {}; or {}=off where the network keeps everybody else out",
        RAFT_TLS_CERT.name, RAFT_TLS_KEY.name, RAFT_TLS_CA.name, RAFT_TLS.name
    )
}
