//! When tokens were last used, gathered in memory: a request costs no consensus round, and a token's
//! `last_used_at` is replicated at most once a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hyperion_vault_core::limits::COMMAND_ITEMS_MAX;
use hyperion_vault_core::name::TokenName;
use hyperion_vault_core::state::command::TokenUse;
use hyperion_vault_core::time::Timestamp;
use hyperion_vault_core::token::Token;

/// A use is worth replicating when the last one known is this long ago.
const REPLICATE_EVERY_MS: u64 = 60_000;
/// Tokens whose latest use waits to be replicated; the uses of more are noted by a later request.
const PENDING_USES_MAX: usize = 10_000;

/// Uses that wait to be replicated.
#[derive(Default)]
pub struct TokenUses {
    pending: Mutex<BTreeMap<TokenName, TokenUse>>,
}

impl TokenUses {
    /// Notes that the token was used.
    pub fn note(&self, token: &Token, now: Timestamp) {
        if token.last_used_at.is_some_and(|last| now.ms_since(last) < REPLICATE_EVERY_MS) {
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.len() < PENDING_USES_MAX || pending.contains_key(&token.name) {
            let token_use = TokenUse { name: token.name.clone(), fingerprint: token.fingerprint, at: now };
            pending.insert(token.name.clone(), token_use);
        }
    }

    /// Takes out as many as fit into one command.
    pub fn take(&self) -> Vec<TokenUse> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        while taken.len() < COMMAND_ITEMS_MAX
            && let Some((_, token_use)) = pending.pop_first()
        {
            taken.push(token_use);
        }
        taken
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use hyperion_vault_core::name::RoleName;
    use hyperion_vault_core::token::TokenFingerprint;

    use super::*;

    fn token(name: &str, last_used_ms: Option<u64>) -> Token {
        Token {
            name: TokenName::parse(name).unwrap(),
            fingerprint: TokenFingerprint::of(name.as_bytes()),
            role: RoleName::parse("r").unwrap(),
            created_at: Timestamp::EPOCH,
            last_used_at: last_used_ms.map(Timestamp::from_unix_ms),
            revoked_at: None,
            expires_at: None,
            allowed_ips: None,
            mac: None,
        }
    }

    #[test]
    fn a_token_is_replicated_at_most_once_a_minute_with_its_latest_use() {
        let uses = TokenUses::default();
        let at = Timestamp::from_unix_ms;
        uses.note(&token("t", Some(0)), at(59_999));
        assert!(uses.take().is_empty());
        uses.note(&token("t", Some(0)), at(60_000));
        uses.note(&token("t", Some(0)), at(60_500));
        uses.note(&token("never", None), at(1));
        let taken = uses.take();
        assert_eq!(taken.iter().map(|token_use| token_use.at).collect::<Vec<_>>(), [at(1), at(60_500)]);
        assert!(uses.take().is_empty());
    }
}
