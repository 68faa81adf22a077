//! Tokens, of which the vault keeps only a fingerprint. The token itself has no type here.

use std::fmt;
use std::net::IpAddr;

use minicbor::{Decode, Encode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::allowlist::Allowlist;
use crate::grant::{self, GrantMac};
use crate::name::{RoleName, TokenName};
use crate::rotation::expired;
use crate::time::Timestamp;

/// SHA-256 of a token. Comparison takes the same time whatever the bytes are.
#[derive(Clone, Copy, Encode, Decode)]
#[cbor(transparent)]
pub struct TokenFingerprint(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

impl TokenFingerprint {
    /// The fingerprint of a token as it stands behind `Bearer `.
    #[must_use]
    pub fn of(token: &[u8]) -> TokenFingerprint {
        TokenFingerprint(Sha256::digest(token).into())
    }

    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenFingerprint {
    fn eq(&self, other: &TokenFingerprint) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenFingerprint {}

impl fmt::Debug for TokenFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenFingerprint(..)")
    }
}

/// A token, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Token {
    #[n(0)]
    pub name: TokenName,
    #[n(1)]
    pub fingerprint: TokenFingerprint,
    #[n(2)]
    pub role: RoleName,
    #[n(3)]
    pub created_at: Timestamp,
    #[n(4)]
    pub last_used_at: Option<Timestamp>,
    #[n(5)]
    pub revoked_at: Option<Timestamp>,
    #[n(6)]
    pub expires_at: Option<Timestamp>,
    /// Addresses and networks it may be used from, as given; absent: from anywhere.
    #[n(7)]
    pub allowed_ips: Option<Vec<String>>,
    /// Over [`Token::granted`]; absent once the token is revoked, and where none was given: such a row grants nothing.
    #[n(8)]
    pub mac: Option<GrantMac>,
}

/// Why a known token doesn't count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    #[error("token is revoked")]
    Revoked,
    #[error("token is expired")]
    Expired,
    #[error("token is not allowed from this address")]
    Address,
}

impl Token {
    /// What the row grants, as the bytes that its MAC is over.
    #[must_use]
    pub fn granted(&self) -> Vec<u8> {
        let allowed_ips = self.allowed_ips.as_deref();
        grant::of_token(&self.name, &self.fingerprint, &self.role, self.expires_at, allowed_ips)
    }

    /// Neither revoked nor expired.
    #[must_use]
    pub fn live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && !expired(self.expires_at, now)
    }

    /// Whether the token counts for a request from `client` at `now`. An allowlist of its own that can't be
    /// read admits nobody.
    ///
    /// # Errors
    /// [`TokenRefusal`] says why not.
    pub fn admits(&self, client: IpAddr, now: Timestamp) -> Result<(), TokenRefusal> {
        if self.revoked_at.is_some() {
            return Err(TokenRefusal::Revoked);
        }
        if expired(self.expires_at, now) {
            return Err(TokenRefusal::Expired);
        }
        match &self.allowed_ips {
            None => Ok(()),
            Some(entries) if allows(entries, client) => Ok(()),
            Some(_) => Err(TokenRefusal::Address),
        }
    }
}

fn allows(entries: &[String], client: IpAddr) -> bool {
    Allowlist::parse(&entries.join(",")).is_ok_and(|list| list.permits(client))
}
