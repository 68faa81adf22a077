//! The one table of all settings: name, values, default, meaning.

mod document;

use hyperion_vault_core::lockout::LOCKOUT_FAILURES_LIMIT;

pub use document::document;

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable. A secret one is also read from the file that `NAME_FILE` names.
    pub name: &'static str,
    pub values: Values,
    pub default: Default,
    /// One line for the documentation.
    pub doc: &'static str,
}

impl Setting {
    /// Whether its value may never be shown.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.values, Values::Secret)
    }
}

/// Which values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// A whole number within these bounds, both included.
    Number { min: u64, max: u64 },
    /// One of these words.
    Words(&'static [&'static str]),
    /// A path of a file or a directory.
    Path,
    /// Text in the form that this says.
    Text(&'static str),
    /// A comma-separated list of what this says; may be empty.
    List(&'static str),
    /// Text that is never shown.
    Secret,
}

impl Values {
    pub(super) const fn bounds(self) -> (u64, u64) {
        match self {
            Values::Number { min, max } => (min, max),
            _ => (0, u64::MAX),
        }
    }

    pub(super) const fn words(self) -> &'static [&'static str] {
        match self {
            Values::Words(words) => words,
            _ => &[],
        }
    }

    pub(super) const fn may_be_empty(self) -> bool {
        matches!(self, Values::List(_))
    }
}

/// What a setting stands at when it isn't set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// As if this had been given.
    Is(&'static str),
    /// No value; this says what happens then.
    Unset(&'static str),
}

impl Default {
    pub(super) const fn value(self) -> Option<&'static str> {
        match self {
            Default::Is(value) => Some(value),
            Default::Unset(_) => None,
        }
    }
}

const FLAG: Values = Values::Words(&["true", "false", "1", "0"]);
const TEN_YEARS_SECS: u64 = 315_576_000;
const DAY_SECS: u64 = 86_400;

pub const API_PORT: Setting = Setting {
    name: "VAULT_API_PORT",
    values: Values::Number { min: 0, max: 65_535 },
    default: Default::Is("8200"),
    doc: "Port of the API, on every interface. 0 takes any free port and logs it.",
};
pub const API_LISTEN: Setting = Setting {
    name: "VAULT_API_LISTEN",
    values: Values::Text("host:port"),
    default: Default::Unset("every interface"),
    doc: "Address and port of the API, in place of `VAULT_API_PORT`.",
};
pub const TLS_CERT: Setting = Setting {
    name: "VAULT_TLS_CERT",
    values: Values::Path,
    default: Default::Unset("plain HTTP"),
    doc: "Certificate chain of the API, PEM, the server's own first.",
};
pub const TLS_KEY: Setting = Setting {
    name: "VAULT_TLS_KEY",
    values: Values::Path,
    default: Default::Unset("plain HTTP"),
    doc: "Private key to `VAULT_TLS_CERT`, PEM.",
};
pub const TLS_CLIENT_CA: Setting = Setting {
    name: "VAULT_TLS_CLIENT_CA",
    values: Values::Path,
    default: Default::Unset("no client certificate"),
    doc: "Authorities, PEM, one of which must have issued every client's certificate.",
};
pub const DATA_DIR: Setting = Setting {
    name: "VAULT_DATA_DIR",
    values: Values::Path,
    default: Default::Unset("the working directory"),
    doc: "Directory of the node's files. A relative `VAULT_DB_PATH` is looked for in it.",
};
pub const DB_PATH: Setting = Setting {
    name: "VAULT_DB_PATH",
    values: Values::Path,
    default: Default::Is("vault.redb"),
    doc: "File of the replicated state. The log (`.raft.redb`), the snapshots (`.snapshots`) and the lock (`.lock`) lie beside it.",
};
pub const KMS_MODE: Setting = Setting {
    name: "VAULT_KMS_MODE",
    values: Values::Words(&["aws", "local"]),
    default: Default::Is("aws"),
    doc: "Who holds the master key: AWS KMS, or this process, for development.",
};
pub const KMS_KEY_ID: Setting = Setting {
    name: "VAULT_KMS_KEY_ID",
    values: Values::Text("id, ARN or alias"),
    default: Default::Unset("must be set in mode `aws`"),
    doc: "AWS KMS key that wraps new data keys. Credentials, region and endpoint are those of the AWS SDK's environment (`AWS_*`).",
};
pub const KMS_MAX_RETRIES: Setting = Setting {
    name: "VAULT_KMS_MAX_RETRIES",
    values: Values::Number { min: 0, max: 100 },
    default: Default::Is("5"),
    doc: "How often a call to key management is made again that was throttled, timed out or met a fault of the service, within 4 s in all. 0: never.",
};
pub const KMS_REWRAP_ENABLED: Setting = Setting {
    name: "VAULT_KMS_REWRAP_ENABLED",
    values: FLAG,
    default: Default::Is("false"),
    doc: "Whether the leader looks for rotations of the master key and re-wraps all data keys after one.",
};
pub const KMS_REWRAP_POLL_SECS: Setting = Setting {
    name: "VAULT_KMS_REWRAP_POLL_SECS",
    values: Values::Number { min: 1, max: 366 * DAY_SECS },
    default: Default::Is("86400"),
    doc: "Seconds between two looks for a rotation of the master key.",
};
pub const KMS_REWRAP_MAX_PER_SEC: Setting = Setting {
    name: "VAULT_KMS_REWRAP_MAX_PER_SEC",
    values: Values::Number { min: 0, max: 100_000 },
    default: Default::Is("10"),
    doc: "Data keys that are re-wrapped in a second. 0: as fast as it goes.",
};
pub const LOCAL_MASTER_KEY: Setting = Setting {
    name: "VAULT_LOCAL_MASTER_KEY",
    values: Values::Secret,
    default: Default::Unset("a random key that dies with the process"),
    doc: "Master key of local mode: base64 of 32 bytes, the same on every node.",
};
pub const LOCAL_PREVIOUS_KEYS: Setting = Setting {
    name: "VAULT_LOCAL_PREVIOUS_KEYS",
    values: Values::Secret,
    default: Default::Unset("none"),
    doc: "Earlier master keys of local mode, each as base64, comma-separated, at most 16. They open what they wrapped until it is re-wrapped.",
};
pub const DEK_CACHE_TTL_SECS: Setting = Setting {
    name: "VAULT_DEK_CACHE_TTL_SECS",
    values: Values::Number { min: 0, max: DAY_SECS },
    default: Default::Is("300"),
    doc: "Seconds that an unwrapped data key stays in memory. 0 turns the cache off.",
};
pub const DEK_CACHE_OUTAGE_TTL_SECS: Setting = Setting {
    name: "VAULT_DEK_CACHE_OUTAGE_TTL_SECS",
    values: Values::Number { min: 0, max: 7 * DAY_SECS },
    default: Default::Is("0"),
    doc: "Seconds that it stays longer, only while key management can't be reached.",
};
pub const ALLOWED_IPS: Setting = Setting {
    name: "VAULT_ALLOWED_IPS",
    values: Values::List("addresses and networks (CIDR), IPv4 and IPv6"),
    default: Default::Unset("nobody"),
    doc: "Who may read secrets. Empty: every read is denied.",
};
pub const TRUST_PROXY: Setting = Setting {
    name: "VAULT_TRUST_PROXY",
    values: FLAG,
    default: Default::Is("false"),
    doc: "Whether the client's address is taken from `X-Forwarded-For`.",
};
pub const TRUSTED_PROXIES: Setting = Setting {
    name: "VAULT_TRUSTED_PROXIES",
    values: Values::Text("addresses and networks (CIDR), comma-separated"),
    default: Default::Unset("every direct peer"),
    doc: "Proxies whose `X-Forwarded-For` is believed when `VAULT_TRUST_PROXY` is on.",
};
pub const READ_AUTH: Setting = Setting {
    name: "VAULT_READ_AUTH",
    values: Values::Words(&["none", "token"]),
    default: Default::Is("none"),
    doc: "Whether a read needs, besides an allowed address, a token with the `read` action on the name.",
};
pub const BOOTSTRAP_TOKEN: Setting = Setting {
    name: "VAULT_BOOTSTRAP_TOKEN",
    values: Values::Secret,
    default: Default::Unset("no token is made"),
    doc: "First admin token, taken once; the same on every node. Shorter than 16 bytes draws a warning.",
};
pub const AUTH_MAX_FAILURES: Setting = Setting {
    name: "VAULT_AUTH_MAX_FAILURES",
    values: Values::Number { min: 0, max: LOCKOUT_FAILURES_LIMIT as u64 },
    default: Default::Is("5"),
    doc: "Failures within the window that lock a client address out. 0 turns lockout off.",
};
pub const AUTH_WINDOW_SECS: Setting = Setting {
    name: "VAULT_AUTH_WINDOW_SECS",
    values: Values::Number { min: 1, max: DAY_SECS },
    default: Default::Is("300"),
    doc: "Seconds for which a failure counts.",
};
pub const AUTH_LOCKOUT_SECS: Setting = Setting {
    name: "VAULT_AUTH_LOCKOUT_SECS",
    values: Values::Number { min: 1, max: TEN_YEARS_SECS },
    default: Default::Is("900"),
    doc: "Seconds that a lockout lasts.",
};
pub const AUDIT_PATH: Setting = Setting {
    name: "VAULT_AUDIT_PATH",
    values: Values::Path,
    default: Default::Unset("`audit/audit.jsonl` beside the state"),
    doc: "File of the audit log.",
};
pub const AUDIT_SYNC: Setting = Setting {
    name: "VAULT_AUDIT_SYNC",
    values: Values::Words(&["batch", "always"]),
    default: Default::Is("batch"),
    doc: "`batch`: written before the answer leaves and synced within 50 ms. `always`: synced before the answer.",
};
pub const AUDIT_SEGMENT_BYTES: Setting = Setting {
    name: "VAULT_AUDIT_SEGMENT_BYTES",
    values: Values::Number { min: 65_536, max: 1_099_511_627_776 },
    default: Default::Is("67108864"),
    doc: "Size at which the audit log goes on in a new file.",
};
pub const AUDIT_SEGMENTS_MAX: Setting = Setting {
    name: "VAULT_AUDIT_SEGMENTS_MAX",
    values: Values::Number { min: 0, max: 1_000_000 },
    default: Default::Is("64"),
    doc: "Finished audit files that are kept. 0 keeps all.",
};
pub const ROTATION_POLL_SECS: Setting = Setting {
    name: "VAULT_ROTATION_POLL_SECS",
    values: Values::Number { min: 1, max: DAY_SECS },
    default: Default::Is("15"),
    doc: "Seconds between two looks for secrets to rotate and versions to remove.",
};
pub const TARGET_CA_FILE: Setting = Setting {
    name: "VAULT_TARGET_CA_FILE",
    values: Values::Path,
    default: Default::Unset("only targets whose `sslmode` asks for no authority can be used"),
    doc: "Authorities, PEM, that issue the certificates of databases: for rotation targets with an `sslmode` of \
          `verify-ca` or `verify-full`.",
};
pub const NODE_ID: Setting = Setting {
    name: "NODE_ID",
    values: Values::Number { min: 1, max: u64::MAX },
    default: Default::Is("1"),
    doc: "This node's number in the cluster.",
};
pub const PEERS: Setting = Setting {
    name: "VAULT_PEERS",
    values: Values::List("`id=host:port`"),
    default: Default::Unset("a cluster of one"),
    doc: "Members that form the cluster and the addresses they reach each other at, this node among them; the same on every node. A node listens on the port of its own entry, on its own address only if that is given as a number.",
};
pub const CLUSTER_SECRET: Setting = Setting {
    name: "VAULT_CLUSTER_SECRET",
    values: Values::Secret,
    default: Default::Unset("in local mode, derived from the master key"),
    doc: "What the nodes know each other by, the same on every node: at least 16 random bytes, better 32.",
};
pub const RAFT_TLS: Setting = Setting {
    name: "VAULT_RAFT_TLS",
    values: Values::Words(&["on", "off"]),
    default: Default::Is("on"),
    doc: "Whether the nodes speak TLS with each other. `off` only where the network itself keeps everybody else out.",
};
pub const RAFT_TLS_CERT: Setting = Setting {
    name: "VAULT_RAFT_TLS_CERT",
    values: Values::Path,
    default: Default::Unset("certificates are derived from the cluster secret"),
    doc: "This node's certificate chain towards the others, PEM, in place of a cluster secret. Its DNS name is `node-<id>.hyperion-vault.internal`.",
};
pub const RAFT_TLS_KEY: Setting = Setting {
    name: "VAULT_RAFT_TLS_KEY",
    values: Values::Path,
    default: Default::Unset("as for `VAULT_RAFT_TLS_CERT`"),
    doc: "Private key to `VAULT_RAFT_TLS_CERT`, PEM.",
};
pub const RAFT_TLS_CA: Setting = Setting {
    name: "VAULT_RAFT_TLS_CA",
    values: Values::Path,
    default: Default::Unset("as for `VAULT_RAFT_TLS_CERT`"),
    doc: "Authorities, PEM, one of which must have issued every node's certificate.",
};
pub const READ_CONSISTENCY: Setting = Setting {
    name: "VAULT_READ_CONSISTENCY",
    values: Values::Words(&["local", "linearizable"]),
    default: Default::Is("local"),
    doc: "Whether a read answers from what this node has, or makes sure first that it has everything acknowledged by now. A request can ask for its own with `?consistency=`.",
};
pub const LOG: Setting = Setting {
    name: "VAULT_LOG",
    values: Values::Text("filter, such as `info,hyperion_vault_raft=debug`"),
    default: Default::Is("info,openraft=warn"),
    doc: "What is logged. `openraft` is the consensus library, which says much at `info`.",
};
pub const LOG_FORMAT: Setting = Setting {
    name: "VAULT_LOG_FORMAT",
    values: Values::Words(&["text", "json"]),
    default: Default::Is("text"),
    doc: "How log lines look.",
};

/// All settings, in the order of the documentation.
pub const TABLE: &[&Setting] = &[
    &API_PORT,
    &API_LISTEN,
    &TLS_CERT,
    &TLS_KEY,
    &TLS_CLIENT_CA,
    &DATA_DIR,
    &DB_PATH,
    &KMS_MODE,
    &KMS_KEY_ID,
    &KMS_MAX_RETRIES,
    &KMS_REWRAP_ENABLED,
    &KMS_REWRAP_POLL_SECS,
    &KMS_REWRAP_MAX_PER_SEC,
    &LOCAL_MASTER_KEY,
    &LOCAL_PREVIOUS_KEYS,
    &DEK_CACHE_TTL_SECS,
    &DEK_CACHE_OUTAGE_TTL_SECS,
    &ALLOWED_IPS,
    &TRUST_PROXY,
    &TRUSTED_PROXIES,
    &READ_AUTH,
    &BOOTSTRAP_TOKEN,
    &AUTH_MAX_FAILURES,
    &AUTH_WINDOW_SECS,
    &AUTH_LOCKOUT_SECS,
    &AUDIT_PATH,
    &AUDIT_SYNC,
    &AUDIT_SEGMENT_BYTES,
    &AUDIT_SEGMENTS_MAX,
    &ROTATION_POLL_SECS,
    &TARGET_CA_FILE,
    &NODE_ID,
    &PEERS,
    &CLUSTER_SECRET,
    &RAFT_TLS,
    &RAFT_TLS_CERT,
    &RAFT_TLS_KEY,
    &RAFT_TLS_CA,
    &READ_CONSISTENCY,
    &LOG,
    &LOG_FORMAT,
];
