//! Notes when tokens were last used: many uses of many tokens in one command.

use minicbor::{Decode, Encode};

use crate::name::TokenName;
use crate::state::table::tokens;
use crate::state::{Effect, Outcome, RowsMut, StateFault};
use crate::time::Timestamp;
use crate::token::TokenFingerprint;

/// The latest use of a token.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TokenUse {
    #[n(0)]
    pub name: TokenName,
    /// Tells it from a later token of the same name.
    #[n(1)]
    pub fingerprint: TokenFingerprint,
    #[n(2)]
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TouchTokens {
    /// At most `COMMAND_ITEMS_MAX`.
    #[n(0)]
    pub uses: Vec<TokenUse>,
}

impl TouchTokens {
    pub(in crate::state) fn apply(
        &self,
        now: Timestamp,
        rows: &mut dyn RowsMut,
    ) -> Result<Outcome, StateFault> {
        for token_use in &self.uses {
            let Some(mut token) = tokens::get(rows, &token_use.name)? else { continue };
            if token.fingerprint != token_use.fingerprint {
                continue;
            }
            let used_at = token_use.at.min(now);
            token.last_used_at = Some(token.last_used_at.map_or(used_at, |last| last.max(used_at)));
            tokens::put(rows, &token)?;
        }
        Ok(Effect::Done.outcome())
    }
}
