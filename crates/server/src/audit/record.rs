//! What a record says. There is no member for a value, and none may be added.

use std::borrow::Cow;
use std::net::IpAddr;

use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::action::{Action, Outcome};
use super::rfc3339;

/// Version of the line format that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// Longest text of a caller in one member, in characters. Longer than the longest legal name of anything, so
/// only a name that was refused is ever cut.
pub(super) const TEXT_CHARS_MAX: usize = 255;
/// Stands at the end of a text that was cut. It is in no legal name, so a cut name equals no real one.
const CUT_MARK: char = '…';
/// How an anonymous caller stands in a record.
const ANONYMOUS: &str = "anonymous";

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of the token of this name.
    Token(String),
    /// Nobody who proved who he is.
    Anonymous,
    /// A worker of the vault itself, by its name.
    System(&'static str),
}

impl Actor {
    /// As it stands in a record: the token's name, `anonymous`, or `system:<worker>`. A token whose name
    /// could be taken for one of the others stands as `token:<name>`: nobody may hide behind a name.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Actor::Token(name) if name == ANONYMOUS || name.contains(':') => format!("token:{name}"),
            Actor::Token(name) => name,
            Actor::Anonymous => ANONYMOUS.to_owned(),
            Actor::System(worker) => format!("system:{worker}"),
        }
    }
}

/// One of the secrets that a batch asked for. Its name is parsed in an [`Event`], a text in a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSecret<Name> {
    pub name: Name,
    /// The version that the answer revealed; none of a secret that wasn't there, and none when the batch was
    /// refused.
    pub version: Option<u64>,
}

/// A pass of re-wrapping, and how far it had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassRecord {
    /// Counts the passes of the cluster, from 1.
    pub number: u64,
    /// Versions that were looked at.
    pub scanned: u64,
    pub rewrapped: u64,
    pub failed: u64,
}

/// What a caller of the log knows: everything but what the log itself adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The `X-Request-Id` of the answer.
    pub request_id: String,
    pub actor: Actor,
    /// Address of the client; none for what the vault does of itself.
    pub client: Option<IpAddr>,
    pub action: Action,
    /// Name of the secret, role or token; as it was sent, so it can be any text.
    pub name: Option<String>,
    /// The secrets that a batch asked for, all of them, in the order asked; at most `BATCH_NAMES_MAX`.
    pub secrets: Vec<BatchSecret<SecretName>>,
    /// Version of the secret; none for a batch.
    pub version: Option<u64>,
    /// The pass of re-wrapping that it began or ended.
    pub pass: Option<PassRecord>,
    /// HTTP status of the answer; none for what the vault does of itself.
    pub status: Option<u16>,
    pub outcome: Outcome,
    /// Why, in a few fixed words. Static, so that nothing a client sent can get in.
    pub detail: Option<&'static str>,
}

/// One record, without its place in the chain. The order of the members is the order on the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format version of the line.
    pub v: u32,
    /// Number of the record on this node: 1, 2, 3, without gaps.
    pub seq: u64,
    /// When it was written, on this node's clock.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// The node that wrote it.
    pub node: u64,
    pub request_id: String,
    /// See [`Actor::into_text`].
    pub actor: String,
    pub client: Option<IpAddr>,
    pub action: Action,
    pub name: Option<String>,
    /// Not on the line when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<BatchSecret<String>>,
    pub version: Option<u64>,
    /// Not on the line when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass: Option<PassRecord>,
    pub status: Option<u16>,
    pub outcome: Outcome,
    pub detail: Option<Cow<'static, str>>,
}

impl Record {
    /// The record of `event` as number `seq` of `node`. Texts longer than a line may hold are cut.
    #[must_use]
    pub fn of(event: Event, seq: u64, time: Timestamp, node: u64) -> Record {
        Record {
            v: FORMAT_VERSION,
            seq,
            time,
            node,
            request_id: cut(event.request_id),
            actor: cut(event.actor.into_text()),
            client: event.client.map(|address| address.to_canonical()),
            action: event.action,
            name: event.name.map(cut),
            secrets: event.secrets.iter().map(listed).collect(),
            version: event.version,
            pass: event.pass,
            status: event.status,
            outcome: event.outcome,
            detail: event.detail.map(Cow::Borrowed),
        }
    }

    /// The log's own record that something was mended.
    pub(super) fn recovered(detail: Cow<'static, str>, seq: u64, time: Timestamp, node: u64) -> Record {
        let event = Event {
            request_id: String::new(),
            actor: Actor::System("audit"),
            client: None,
            action: Action::AuditRecovered,
            name: None,
            secrets: Vec::new(),
            version: None,
            pass: None,
            status: None,
            outcome: Outcome::Ok,
            detail: None,
        };
        Record { detail: Some(detail), ..Record::of(event, seq, time, node) }
    }
}

fn listed(secret: &BatchSecret<SecretName>) -> BatchSecret<String> {
    BatchSecret { name: secret.name.to_string(), version: secret.version }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_CHARS_MAX
        && let Some((end, _)) = text.char_indices().nth(TEXT_CHARS_MAX)
    {
        text.truncate(end);
        text.push(CUT_MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn text_of_token(name: &str) -> String {
        Actor::Token(name.to_owned()).into_text()
    }

    #[test]
    fn a_token_can_not_be_named_so_that_it_passes_for_somebody_else() {
        assert_eq!(text_of_token("deploy"), "deploy");
        assert_eq!(Actor::Anonymous.into_text(), "anonymous");
        assert_eq!(Actor::System("rotation").into_text(), "system:rotation");
        assert_eq!(text_of_token("anonymous"), "token:anonymous");
        assert_eq!(text_of_token("system:rotation"), "token:system:rotation");
        assert_eq!(text_of_token("token:deploy"), "token:token:deploy");
    }

    #[test]
    fn a_text_is_cut_at_its_limit_between_characters_and_marked() {
        assert_eq!(cut("ü".repeat(TEXT_CHARS_MAX)), "ü".repeat(TEXT_CHARS_MAX));
        assert_eq!(cut("ü".repeat(TEXT_CHARS_MAX + 1)), "ü".repeat(TEXT_CHARS_MAX) + "…");
    }
}
