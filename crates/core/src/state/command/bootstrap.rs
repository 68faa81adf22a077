//! Takes the bootstrap token that the nodes were started with, so that there is a first admin.
//!
//! A value is taken once and never again, revoked or not. Another value is taken only while no live admin
//! token exists: a team that revoked its last one isn't locked out for ever, and nobody who can only set a
//! node's environment gains an admin token beside the living ones.

use minicbor::{Decode, Encode};

use crate::grant::GrantMac;
use crate::name::{RoleName, TokenName};
use crate::policy::ADMIN_ROLE;
use crate::state::command::IssueToken;
use crate::state::table::{bootstraps, roles, tokens};
use crate::state::{Outcome, Refusal, Rows, RowsMut, StateFault};
use crate::time::Timestamp;
use crate::token::TokenFingerprint;

/// The name of the token that a bootstrap makes.
pub const BOOTSTRAP_TOKEN_NAME: &str = "bootstrap-admin";

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Bootstrap {
    #[n(0)]
    pub fingerprint: TokenFingerprint,
    /// Over [`Bootstrap::granted`].
    #[n(1)]
    pub mac: Option<GrantMac>,
}

impl Bootstrap {
    /// What the token will grant, as the bytes that its MAC is over; none in practice when the names that the vault
    /// itself gives are no names.
    #[must_use]
    pub fn granted(&self) -> Option<Vec<u8>> {
        self.token().map(|token| token.granted())
    }

    /// The token that is issued.
    fn token(&self) -> Option<IssueToken> {
        let name = TokenName::parse(BOOTSTRAP_TOKEN_NAME).ok()?;
        let role = RoleName::parse(ADMIN_ROLE).ok()?;
        let (fingerprint, mac) = (self.fingerprint, self.mac);
        Some(IssueToken { name, role, fingerprint, allowed_ips: None, expires_at: None, mac })
    }

    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        if bootstraps::taken_at(rows, &self.fingerprint)?.is_some() {
            return Ok(Refusal::BootstrapTaken.outcome());
        }
        if live_admin_exists(rows, now)? {
            return Ok(Refusal::LiveAdminExists.outcome());
        }
        let Some(token) = self.token() else { return Ok(Refusal::RoleNotFound.outcome()) };
        bootstraps::put(rows, &self.fingerprint, now)?;
        token.replace(now, rows)
    }
}

fn live_admin_exists(rows: &dyn Rows, now: Timestamp) -> Result<bool, StateFault> {
    for token in tokens::all(rows)? {
        if token.live(now) && roles::get(rows, &token.role)?.is_some_and(|role| role.is_admin) {
            return Ok(true);
        }
    }
    Ok(false)
}
