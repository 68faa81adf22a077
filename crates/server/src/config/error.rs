//! What is wrong with the settings, and what is only doubtful.

use super::access::BOOTSTRAP_TOKEN_BYTES_ADVISED;
use super::table::{
    ALLOWED_IPS, BOOTSTRAP_TOKEN, CLUSTER_SECRET, DEK_CACHE_OUTAGE_TTL_SECS, DEK_CACHE_TTL_SECS, KMS_MODE,
    LOCAL_MASTER_KEY, LOCAL_PREVIOUS_KEYS, PEERS, RAFT_TLS, TRUST_PROXY, TRUSTED_PROXIES,
};

/// Longest part of a value that a message shows, in characters.
const SHOWN_CHARS_MAX: usize = 40;

/// One setting that the vault can't start with. Shows as one line and never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct SettingError {
    /// The variable as it stands in the environment.
    pub name: String,
    pub reason: String,
}

/// Something that the vault starts with and its operator should know. Shows as one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error("{name}: not a setting of this version, ignored; the nearest known one is {nearest}")]
    UnknownSetting { name: String, nearest: &'static str },
    #[error("{}: not set, so every read of a secret is denied", ALLOWED_IPS.name)]
    NobodyMayRead,
    #[error(
        "{}: only {bytes} bytes long; make it at least {BOOTSTRAP_TOKEN_BYTES_ADVISED} random ones",
        BOOTSTRAP_TOKEN.name
    )]
    ShortBootstrapToken { bytes: usize },
    #[error(
        "{}: not set, so a random master key is used: EVERYTHING SEALED NOW IS LOST FOR GOOD WHEN THIS PROCESS ENDS",
        LOCAL_MASTER_KEY.name
    )]
    EphemeralMasterKey,
    #[error("{name}: without effect, since {} is {mode}", KMS_MODE.name)]
    OfAnotherKmsMode { name: &'static str, mode: &'static str },
    #[error(
        "{}: without effect, since {} is 0 and no data key is kept",
        DEK_CACHE_OUTAGE_TTL_SECS.name,
        DEK_CACHE_TTL_SECS.name
    )]
    OutageWithoutCache,
    #[error(
        "{}: names earlier keys, and the nodes know each other by what is derived from {}: one that still has an \
         earlier key is no member to this one; set {}, the same on every node, or restart all of them at once",
        LOCAL_PREVIOUS_KEYS.name,
        LOCAL_MASTER_KEY.name,
        CLUSTER_SECRET.name
    )]
    NodesKnowTheOldKey,
    #[error("{}: without effect while {} is not true", TRUSTED_PROXIES.name, TRUST_PROXY.name)]
    ProxiesWithoutTrust,
    #[error(
        "{}: set without {}, so X-Forwarded-For is believed from every peer",
        TRUST_PROXY.name,
        TRUSTED_PROXIES.name
    )]
    EveryPeerIsProxy,
    #[error(
        "secrets and tokens travel unencrypted: neither TLS nor a loopback address nor a trusted proxy is set"
    )]
    PlainHttp,
    #[error(
        "{}=off: whoever reaches a node's port in {} can read, change and delete everything in the vault",
        RAFT_TLS.name,
        PEERS.name
    )]
    PlainRaft,
    #[error(
        "{}: names this node alone, and without {} no other can ever join it",
        PEERS.name,
        CLUSTER_SECRET.name
    )]
    AloneForGood,
}

/// A value as a message may show it: quoted, on one line, cut short.
pub(super) fn shown(value: &str) -> String {
    let mut chars = value.chars();
    let mut text: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    format!("{text:?}")
}
