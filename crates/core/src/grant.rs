//! What a row grants, as bytes, and the MAC over them. The key is nobody's here: who proposes a grant makes its
//! MAC, the state machine stores it, and who relies on the row verifies it.
//!
//! The bytes are a label, then each fact behind its length, so that no two grants have the same. Facts that grant
//! nothing (when a row was made, when it was last used) are left out: the state machine sets them.

use minicbor::{Decode, Encode};
use subtle::ConstantTimeEq;

use crate::name::{RoleName, TokenName};
use crate::policy::Rule;
use crate::secret::Description;
use crate::time::Timestamp;
use crate::token::TokenFingerprint;

/// Each ends in a byte that no label contains.
const ROLE_LABEL: &[u8] = b"hyperion-vault role\0";
const TOKEN_LABEL: &[u8] = b"hyperion-vault token\0";

/// HMAC-SHA256 over what a role or a token grants, under the cluster's integrity key. Comparison takes the same
/// time whatever the bytes are.
#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(transparent)]
pub struct GrantMac(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

impl GrantMac {
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> GrantMac {
        GrantMac(bytes)
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for GrantMac {
    fn eq(&self, other: &GrantMac) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for GrantMac {}

/// The facts of a role.
pub(crate) fn of_role(
    name: &RoleName,
    description: Option<&Description>,
    is_admin: bool,
    rules: &[Rule],
) -> Vec<u8> {
    let mut facts = Facts::labelled(ROLE_LABEL);
    facts.add(name.as_str().as_bytes());
    facts.add_option(description.map(|description| description.as_str().as_bytes()));
    facts.add(&[u8::from(is_admin)]);
    facts.add_count(rules.len());
    for rule in rules {
        facts.add(rule.action.as_str().as_bytes());
        facts.add(rule.path.as_str().as_bytes());
    }
    facts.0
}

/// The facts of a token that isn't revoked.
pub(crate) fn of_token(
    name: &TokenName,
    fingerprint: &TokenFingerprint,
    role: &RoleName,
    expires_at: Option<Timestamp>,
    allowed_ips: Option<&[String]>,
) -> Vec<u8> {
    let mut facts = Facts::labelled(TOKEN_LABEL);
    facts.add(name.as_str().as_bytes());
    facts.add(fingerprint.as_bytes());
    facts.add(role.as_str().as_bytes());
    facts.add_option(expires_at.map(|at| at.as_unix_ms().to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    facts.add_count(allowed_ips.map_or(0, |entries| entries.len() + 1));
    for entry in allowed_ips.unwrap_or_default() {
        facts.add(entry.as_bytes());
    }
    facts.0
}

struct Facts(Vec<u8>);

impl Facts {
    fn labelled(label: &[u8]) -> Facts {
        Facts(label.to_vec())
    }

    fn add_count(&mut self, count: usize) {
        self.0.extend_from_slice(&(count as u64).to_be_bytes());
    }

    fn add(&mut self, fact: &[u8]) {
        self.add_count(fact.len());
        self.0.extend_from_slice(fact);
    }

    /// Nothing and empty are two facts.
    fn add_option(&mut self, fact: Option<&[u8]>) {
        self.0.push(u8::from(fact.is_some()));
        self.add(fact.unwrap_or_default());
    }
}
