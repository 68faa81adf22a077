//! Takes the bootstrap token that the nodes were started with, so that there is a first admin.
//!
//! A value is taken once and never again, revoked or not. Another value is taken only while no live admin
//! token exists: a team that revoked its last one isn't locked out for ever, and nobody who can only set a
//! node's environment gains an admin token beside the living ones.

use minicbor::{Decode, Encode};

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
}

impl Bootstrap {
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
        let (Ok(name), Ok(role)) = (TokenName::parse(BOOTSTRAP_TOKEN_NAME), RoleName::parse(ADMIN_ROLE))
        else {
            return Ok(Refusal::RoleNotFound.outcome());
        };
        bootstraps::put(rows, &self.fingerprint, now)?;
        IssueToken { name, role, fingerprint: self.fingerprint, lifetime: None, allowed_ips: None }
            .replace(now, rows)
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
