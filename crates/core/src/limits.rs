//! Every maximum of the domain, with its unit in the name. A limit that belongs to one adapter (a queue, a
//! connection pool) stands in that adapter's configuration instead.

use crate::time::Seconds;

/// Longest secret name, in bytes (names are ASCII).
pub const SECRET_NAME_BYTES_MAX: usize = 255;
/// Longest role or token name, in bytes (names are ASCII).
pub const GRANT_NAME_BYTES_MAX: usize = 128;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 1_024;
/// Longest value, username or password, each, in bytes.
pub const MATERIAL_BYTES_MAX: usize = 65_536;
/// Longest interval, grace period or token lifetime: ten years of 365.25 days.
pub const PERIOD_MAX: Seconds = Seconds::new(10 * 31_557_600);
/// Versions of one secret that may be stored at once: the current one and those in grace.
pub const STORED_VERSIONS_MAX: u64 = 256;
/// Secrets that one batch read may ask for.
pub const BATCH_NAMES_MAX: usize = 256;
/// Bytes of the answer to one batch read: the most names with the largest usernames and passwords fit, as long
/// as they need no escapes.
pub const BATCH_ANSWER_BYTES_MAX: usize = 40 * 1024 * 1024;
/// Items on one page of a list; also what is answered when no limit is asked for.
pub const PAGE_ITEMS_MAX: usize = 10_000;
/// Roles of a cluster.
pub const ROLES_MAX: u64 = 10_000;
/// Rules of one role.
pub const ROLE_RULES_MAX: usize = 256;
/// Tokens of a cluster, revoked ones included.
pub const TOKENS_MAX: u64 = 100_000;
/// Addresses and networks in one token's own allowlist.
pub const TOKEN_ALLOWED_IPS_MAX: usize = 64;
/// Versions that one command removes, and tokens that one command marks as used.
pub const COMMAND_ITEMS_MAX: usize = 256;
/// Longest path pattern of a rule, in bytes: a name and the closing `*`.
pub const PATH_PATTERN_BYTES_MAX: usize = SECRET_NAME_BYTES_MAX + 1;
/// Hosts of one rotation target.
pub const TARGET_HOSTS_MAX: usize = 16;
/// Longest name of a host, in bytes (RFC 1035, section 2.3.4, without the closing dot).
pub const HOST_NAME_BYTES_MAX: usize = 253;
/// Longest name of a role or database in PostgreSQL, in bytes: its `NAMEDATALEN` less the closing zero.
pub const DATABASE_IDENTIFIER_BYTES_MAX: usize = 63;
/// Fewest characters of a generated value.
pub const GENERATED_CHARS_MIN: u32 = 8;
/// Most characters of a generated value.
pub const GENERATED_CHARS_MAX: u32 = 1_024;
/// Least entropy of a generated value, in bits: what can't be guessed while it is looked up online.
pub const GENERATED_ENTROPY_BITS_MIN: u32 = 64;
/// Longest that one attempt to apply a new password counts as running. Its worker gives up before; whoever takes over
/// doesn't wait for it.
pub const ATTEMPT_MAX: Seconds = Seconds::new(60);
/// Longest pause after a failed rotation, in milliseconds.
pub const RETRY_AFTER_MS_MAX: u64 = 600_000;
