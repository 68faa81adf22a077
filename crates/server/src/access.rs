//! Who is let in: tokens, readers' addresses, lockout.

mod lockouts;
mod token_uses;

use std::net::IpAddr;
use std::sync::Arc;

use hyperion_vault_core::allowlist::Allowlist;
use hyperion_vault_core::name::SecretName;
use hyperion_vault_core::policy::{Action, Principal, SecretPermit, permit_read_by_address};
use hyperion_vault_core::state::table::{roles, token_fingerprints, tokens};
use hyperion_vault_core::token::{TokenFingerprint, TokenRefusal};

pub use lockouts::LockoutGuard;
pub use token_uses::TokenUses;

use crate::config::ReadAuth;
use crate::failure::Failure;
use crate::grants::Grants;
use crate::replica::Replica;
use crate::trail::Trail;

/// Lets requests in, or not.
pub struct Access {
    replica: Arc<Replica>,
    grants: Arc<Grants>,
    readers: Allowlist,
    read_auth: ReadAuth,
    uses: Arc<TokenUses>,
}

/// Somebody who may read some secrets.
pub enum Reader {
    /// Any secret, for the address alone.
    Address,
    /// What the token's role grants.
    Token(Box<Principal>),
}

impl Reader {
    /// # Errors
    /// [`Failure::Denied`] when the token's role has no rule to read the name.
    pub fn permit(&self, name: &SecretName) -> Result<SecretPermit, Failure> {
        match self {
            Reader::Address => Ok(permit_read_by_address(name)),
            Reader::Token(principal) => Ok(principal.authorize(Action::Read, name)?),
        }
    }
}

impl Access {
    #[must_use]
    pub fn new(
        replica: Arc<Replica>,
        grants: Arc<Grants>,
        readers: Allowlist,
        read_auth: ReadAuth,
        uses: Arc<TokenUses>,
    ) -> Access {
        Access { replica, grants, readers, read_auth, uses }
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// [`Failure::Unauthenticated`] for a missing, unknown, revoked or expired token, or one used from an
    /// address that it isn't for, or one whose row or role was altered. The caller isn't told which.
    /// [`Failure::Unavailable`] while no token counts, whoever's it is.
    pub fn authenticate(
        &self,
        token: Option<&[u8]>,
        client: IpAddr,
        trail: &mut Trail,
    ) -> Result<Principal, Failure> {
        let token = token.ok_or_else(|| unauthenticated("no bearer token", trail))?;
        let principal = self.principal(token, client).and_then(|found| match found {
            Ok(principal) => Ok(principal),
            Err(detail) => Err(unauthenticated(detail, trail)),
        })?;
        trail.actor(principal.token.as_str());
        Ok(principal)
    }

    /// The outer result: whether the state could be read; the inner: whether the token counts.
    fn principal(&self, token: &[u8], client: IpAddr) -> Result<Result<Principal, &'static str>, Failure> {
        self.grants.standing()?;
        let view = self.replica.view();
        let fingerprint = TokenFingerprint::of(token);
        let Some(name) = token_fingerprints::get(&*view, &fingerprint)? else {
            return Ok(Err("unknown token"));
        };
        let token = tokens::get(&*view, &name)?.filter(|token| token.fingerprint == fingerprint);
        let Some(token) = token else { return Ok(Err("unknown token")) };
        let Ok(token) = self.grants.authentic_token(token)? else { return Ok(Err("altered token row")) };
        let now = self.replica.now(&view)?;
        if let Err(refusal) = token.admits(client, now) {
            return Ok(Err(refusal_detail(refusal)));
        }
        let Some(role) = roles::get(&*view, &token.role)? else {
            return Ok(Err("the token's role is gone"));
        };
        let Ok(role) = self.grants.authentic_role(role)? else { return Ok(Err("altered role row")) };
        self.uses.note(&token, now);
        Ok(Ok(Principal { token: token.name, role }))
    }

    /// Who may read: by address, and by token where the vault asks for one.
    ///
    /// # Errors
    /// [`Failure::Denied`] from an address that is not allowed; as [`Access::authenticate`] for the token.
    pub fn admit_reader(
        &self,
        token: Option<&[u8]>,
        client: IpAddr,
        trail: &mut Trail,
    ) -> Result<Reader, Failure> {
        self.check_address(client, trail)?;
        match self.read_auth {
            ReadAuth::Token => Ok(Reader::Token(Box::new(self.authenticate(token, client, trail)?))),
            ReadAuth::None => {
                self.name_bearer(token, client, trail)?;
                Ok(Reader::Address)
            }
        }
    }

    /// Nobody has to say who he is here. Who does is named in the record, if that can be told now.
    fn name_bearer(&self, token: Option<&[u8]>, client: IpAddr, trail: &mut Trail) -> Result<(), Failure> {
        match token.map(|token| self.principal(token, client)).transpose() {
            Ok(Some(Ok(principal))) => trail.actor(principal.token.as_str()),
            Err(failure) if !failure.is_unavailability() => return Err(failure),
            _ => {}
        }
        Ok(())
    }

    /// # Errors
    /// [`Failure::Denied`] when the address is not in the readers' allowlist.
    pub fn check_address(&self, client: IpAddr, trail: &mut Trail) -> Result<(), Failure> {
        if self.readers.permits(client) {
            return Ok(());
        }
        trail.detail("address not allowed");
        Err(Failure::Denied { message: "reads are not allowed from this address" })
    }
}

fn unauthenticated(detail: &'static str, trail: &mut Trail) -> Failure {
    trail.detail(detail);
    Failure::Unauthenticated { detail }
}

fn refusal_detail(refusal: TokenRefusal) -> &'static str {
    match refusal {
        TokenRefusal::Revoked => "revoked token",
        TokenRefusal::Expired => "expired token",
        TokenRefusal::Address => "token not allowed from this address",
    }
}
