//! Revokes a token. Its row stays, so that the list shows when.

use minicbor::{Decode, Encode};

use crate::name::TokenName;
use crate::state::table::{role_tokens, tokens};
use crate::state::{Effect, Outcome, Refusal, RowsMut, StateFault};
use crate::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct RevokeToken {
    #[n(0)]
    pub name: TokenName,
}

impl RevokeToken {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        let Some(mut token) = tokens::get(rows, &self.name)?.filter(|token| token.revoked_at.is_none())
        else {
            return Ok(Refusal::TokenNotFound.outcome());
        };
        token.revoked_at = Some(now);
        // Without it the row stays worthless, should somebody take the time away again.
        token.mac = None;
        tokens::put(rows, &token)?;
        role_tokens::remove(rows, &token.role, &token.name)?;
        Ok(Effect::Token(Box::new(token)).outcome())
    }
}
