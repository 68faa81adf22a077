//! Issues a token. The name of a revoked one may be used again.

use minicbor::{Decode, Encode};

use crate::grant::{self, GrantMac};
use crate::limits::TOKENS_MAX;
use crate::name::{RoleName, TokenName};
use crate::state::table::{meta, role_tokens, roles, token_fingerprints, tokens};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;
use crate::token::{Token, TokenFingerprint};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct IssueToken {
    #[n(0)]
    pub name: TokenName,
    #[n(1)]
    pub role: RoleName,
    #[n(2)]
    pub fingerprint: TokenFingerprint,
    /// At most `TOKEN_ALLOWED_IPS_MAX`; absent: from anywhere.
    #[n(4)]
    pub allowed_ips: Option<Vec<String>>,
    /// Absent: it doesn't expire. Given by the proposer, since the MAC is over it. (Index 3 held a lifetime.)
    #[n(5)]
    pub expires_at: Option<Timestamp>,
    /// Over [`IssueToken::granted`].
    #[n(6)]
    pub mac: Option<GrantMac>,
}

impl IssueToken {
    /// What the token will grant, as the bytes that its MAC is over.
    #[must_use]
    pub fn granted(&self) -> Vec<u8> {
        let allowed_ips = self.allowed_ips.as_deref();
        grant::of_token(&self.name, &self.fingerprint, &self.role, self.expires_at, allowed_ips)
    }

    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        if roles::get(rows, &self.role)?.is_none() {
            return Ok(Refusal::RoleNotFound.outcome());
        }
        match tokens::get(rows, &self.name)? {
            Some(token) if token.revoked_at.is_none() => Ok(Refusal::TokenExists.outcome()),
            None if meta::counts(rows)?.tokens >= TOKENS_MAX => Ok(Refusal::TooManyTokens.outcome()),
            _ => self.replace(now, rows),
        }
    }

    /// Writes the token in place of an older one of its name, whatever state that is in.
    pub(super) fn replace(&self, now: Timestamp, rows: &mut dyn RowsMut) -> Result<Outcome, StateFault> {
        match tokens::get(rows, &self.name)? {
            Some(old) => {
                token_fingerprints::remove(rows, &old.fingerprint)?;
                role_tokens::remove(rows, &old.role, &old.name)?;
            }
            None => meta::count(rows, |counts| counts.tokens += 1)?,
        }
        let token = self.token(now);
        tokens::put(rows, &token)?;
        token_fingerprints::put(rows, &token.fingerprint, &token.name)?;
        role_tokens::put(rows, &token.role, &token.name)?;
        Ok(Effect::Token(Box::new(token)).outcome())
    }

    fn token(&self, now: Timestamp) -> Token {
        Token {
            name: self.name.clone(),
            fingerprint: self.fingerprint,
            role: self.role.clone(),
            created_at: now,
            last_used_at: None,
            revoked_at: None,
            expires_at: self.expires_at,
            allowed_ips: self.allowed_ips.clone(),
            mac: self.mac,
        }
    }
}
