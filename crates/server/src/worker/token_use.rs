//! Replicates when tokens were last used.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::state::Command;
use hyperion_vault_core::state::command::TouchTokens;

use super::supervisor::{Job, Place};
use crate::access::TokenUses;
use crate::replica::Replica;

/// Uses of this long are replicated together.
const GATHER: Duration = Duration::from_secs(5);

/// Replication of token uses.
pub struct TokenUsage {
    pub replica: Arc<Replica>,
    pub uses: Arc<TokenUses>,
}

#[async_trait]
impl Job for TokenUsage {
    fn name(&self) -> &'static str {
        "token use"
    }

    /// A use is known to the node that saw it.
    fn place(&self) -> Place {
        Place::EveryNode
    }

    /// A use that can't be replicated is forgotten: the token's next one comes soon enough.
    async fn round(&self) -> Duration {
        let uses = self.uses.take();
        if !uses.is_empty()
            && let Err(failure) =
                self.replica.propose_recorded(Command::TouchTokens(TouchTokens { uses })).await
        {
            tracing::warn!(detail = failure.detail(), "token uses were not replicated: {failure}");
        }
        GATHER
    }
}
