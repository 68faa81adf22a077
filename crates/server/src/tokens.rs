//! The use cases of tokens.

use std::sync::Arc;

use hyperion_vault_core::allowlist::Allowlist;
use hyperion_vault_core::limits::{PERIOD_MAX, TOKEN_ALLOWED_IPS_MAX};
use hyperion_vault_core::name::{RoleName, TokenName};
use hyperion_vault_core::policy::AdminPermit;
use hyperion_vault_core::state::command::{IssueToken, RevokeToken};
use hyperion_vault_core::state::table::tokens;
use hyperion_vault_core::state::{Command, Effect, Refusal};
use hyperion_vault_core::time::Seconds;
use hyperion_vault_core::token::{Token, TokenFingerprint};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::grants::Grants;
use crate::replica::{ChangeFailure, Replica};
use crate::sealing::Sealing;
use crate::trail::Trail;

/// What every token begins with, so that a leaked one is recognised by who scans for secrets.
const TOKEN_PREFIX: &str = "hvt_";

/// What can be done with tokens.
pub struct Tokens {
    replica: Arc<Replica>,
    sealing: Arc<Sealing>,
    grants: Arc<Grants>,
}

/// A token to be issued.
pub struct NewToken {
    pub name: TokenName,
    pub role: RoleName,
    lifetime: Option<Seconds>,
    allowed_ips: Option<Vec<String>>,
}

impl NewToken {
    /// # Errors
    /// [`Failure::Invalid`] names the field and the rule.
    pub fn parse(
        name: TokenName,
        role: RoleName,
        lifetime: Option<Seconds>,
        allowed_ips: Option<Vec<String>>,
    ) -> Result<NewToken, Failure> {
        if lifetime.is_some_and(|lifetime| lifetime == Seconds::ZERO || lifetime > PERIOD_MAX) {
            let max = PERIOD_MAX.get();
            return Err(Failure::Invalid(format!("expires_in_secs must be from 1 to {max}")));
        }
        if let Some(entries) = &allowed_ips {
            check_allowed_ips(entries)?;
        }
        Ok(NewToken { name, role, lifetime, allowed_ips })
    }
}

fn check_allowed_ips(entries: &[String]) -> Result<(), Failure> {
    if entries.is_empty() || entries.len() > TOKEN_ALLOWED_IPS_MAX {
        return Err(Failure::Invalid(format!(
            "allowed_ips takes 1 to {TOKEN_ALLOWED_IPS_MAX} entries; leave it out to allow every address"
        )));
    }
    for (index, entry) in entries.iter().enumerate() {
        let one = !entry.contains(',') && Allowlist::parse(entry).is_ok_and(|list| !list.is_empty());
        if !one {
            let message = format!("allowed_ips[{index}] must be an address or a CIDR");
            return Err(Failure::Invalid(message));
        }
    }
    Ok(())
}

impl Tokens {
    #[must_use]
    pub fn new(replica: Arc<Replica>, sealing: Arc<Sealing>, grants: Arc<Grants>) -> Tokens {
        Tokens { replica, sealing, grants }
    }

    /// Issues a token and answers with it, this once.
    ///
    /// # Errors
    /// [`Failure::Invalid`] when there is no such role; [`Failure::Conflict`] when an unrevoked token has the
    /// name.
    pub async fn issue(
        &self,
        _: AdminPermit,
        new: NewToken,
        trail: &mut Trail,
    ) -> Result<Zeroizing<String>, Failure> {
        let token = self.generate();
        let now = self.replica.now(&self.replica.view())?;
        let mut issue = IssueToken {
            name: new.name,
            role: new.role,
            fingerprint: TokenFingerprint::of(token.as_bytes()),
            allowed_ips: new.allowed_ips,
            expires_at: new.lifetime.map(|lifetime| now.plus(lifetime)),
            mac: None,
        };
        issue.mac = Some(self.grants.mac(&issue.granted())?);
        let _lock = self.replica.lock_grants().await;
        match self.replica.change(Command::IssueToken(issue), trail).await {
            Ok(_) => Ok(token),
            Err(ChangeFailure::Refused(Refusal::RoleNotFound)) => {
                Err(Failure::Invalid("there is no role of this name".to_owned()))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// All tokens, revoked ones included, by name. One whose row was altered is left out: what it says isn't so.
    ///
    /// # Errors
    /// [`Failure`] when the state can't be read.
    pub fn list(&self, _: AdminPermit) -> Result<Vec<Token>, Failure> {
        let tokens = tokens::all(&*self.replica.view())?.into_iter();
        tokens.filter_map(|token| self.grants.authentic_token(token).map(Result::ok).transpose()).collect()
    }

    /// Revokes a token, for this node's requests at once; also one whose row was altered.
    ///
    /// # Errors
    /// [`Failure::NotFound`], also for one that is revoked already.
    pub async fn revoke(&self, _: AdminPermit, name: TokenName, trail: &mut Trail) -> Result<(), Failure> {
        let _lock = self.replica.lock_grants().await;
        match self.replica.change(Command::RevokeToken(RevokeToken { name }), trail).await? {
            Effect::Token(_) => Ok(()),
            _ => Err(Failure::internal("a command on a token had another effect")),
        }
    }

    /// 32 random bytes behind the prefix.
    fn generate(&self) -> Zeroizing<String> {
        let random = self.sealing.generate();
        let mut token = Zeroizing::new(String::with_capacity(TOKEN_PREFIX.len() + random.len()));
        token.push_str(TOKEN_PREFIX);
        // The generated text is base64url: nothing is lost here.
        token.push_str(&String::from_utf8_lossy(random.expose()));
        token
    }
}
