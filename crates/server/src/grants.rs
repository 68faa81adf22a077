//! Whether roles and tokens are what the vault wrote: the cluster's integrity key, opened, and what it vouches for.
//!
//! Who can write a node's disk can write a row there that makes him an admin. A role or a token grants only what the
//! MAC in its row is over, and the key of that MAC is wrapped by key management. Until this node has it, no token
//! counts here; a row that isn't authentic counts as none, and somebody is told.
//!
//! Not found out is a row that was authentic once: an older one of the same name, put back, is believed again. So
//! is a row that is gone.

mod key;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use hyperion_vault_core::grant::GrantMac;
use hyperion_vault_core::policy::Role;
use hyperion_vault_core::state::StateFault;
use hyperion_vault_core::state::table::{roles, tokens};
use hyperion_vault_core::token::Token;
use hyperion_vault_crypto::IntegrityKey;

pub use key::{make_integrity_key, open_integrity_key};

use crate::failure::Failure;
use crate::ports::View;
use crate::said::Said;

/// All that a caller learns while no token counts.
const CLOSED: &str = "key management unavailable: roles and tokens can't be checked yet";

/// What vouches for roles and tokens on this node. Closed at first.
#[derive(Default)]
pub struct Grants {
    key: OnceLock<IntegrityKey>,
    in_force: AtomicBool,
    /// Why the latest try to put it in force failed.
    fault: Mutex<Option<String>>,
    altered: AtomicU64,
    said: Said,
}

/// The row is not what the vault wrote. It grants nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the row was altered")]
pub struct Altered;

/// A row that was altered, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlteredRow {
    Role(String),
    Token(String),
}

impl AlteredRow {
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            AlteredRow::Role(name) | AlteredRow::Token(name) => name,
        }
    }

    /// What the audit log says of it.
    #[must_use]
    pub fn detail(&self) -> &'static str {
        match self {
            AlteredRow::Role(_) => "altered role row",
            AlteredRow::Token(_) => "altered token row",
        }
    }
}

impl Grants {
    /// Grants can be made and checked from here on; the first key is the one that stays.
    pub fn open(&self, key: IntegrityKey) {
        self.key.get_or_init(|| key);
    }

    /// Tokens count from here on.
    pub fn put_in_force(&self) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.in_force.store(true, Ordering::Release);
    }

    /// Tokens don't count yet, for this reason.
    pub fn note_fault(&self, reason: String) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// Why the latest try to have tokens count failed, for people; absent before any, and once they do.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether tokens count on this node.
    #[must_use]
    pub fn are_in_force(&self) -> bool {
        self.in_force.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`Failure::Unavailable`] while no token counts.
    pub fn standing(&self) -> Result<(), Failure> {
        if self.are_in_force() { Ok(()) } else { Err(self.closed()) }
    }

    /// The MAC over what a row is to grant.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] before the integrity key is open.
    pub fn mac(&self, granted: &[u8]) -> Result<GrantMac, Failure> {
        Ok(self.key()?.mac(granted))
    }

    /// A role as it was read, if that is what the vault wrote.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] before the integrity key is open; inside, [`Altered`].
    pub fn authentic_role(&self, role: Role) -> Result<Result<Role, Altered>, Failure> {
        if is_authentic_role(self.key()?, &role) {
            return Ok(Ok(role));
        }
        self.alarm(&AlteredRow::Role(role.name.to_string()));
        Ok(Err(Altered))
    }

    /// A token as it was read, if that is what the vault wrote. One that is revoked needs nobody to vouch for it.
    ///
    /// # Errors
    /// [`Failure::Unavailable`] before the integrity key is open; inside, [`Altered`].
    pub fn authentic_token(&self, token: Token) -> Result<Result<Token, Altered>, Failure> {
        if is_authentic_token(self.key()?, &token) {
            return Ok(Ok(token));
        }
        self.alarm(&AlteredRow::Token(token.name.to_string()));
        Ok(Err(Altered))
    }

    /// All rows that were altered. Blocking: it reads every role and token.
    ///
    /// # Errors
    /// [`Failure`] before the integrity key is open, or when the state can't be read. The latter counts as one row.
    pub fn find_altered(&self, view: &View) -> Result<Vec<AlteredRow>, Failure> {
        let altered = altered_rows(self.key()?, view);
        self.altered.store(altered.as_ref().map_or(1, |rows| rows.len() as u64), Ordering::Relaxed);
        Ok(altered?)
    }

    /// How many rows were found altered when all were last looked at.
    #[must_use]
    pub fn altered(&self) -> u64 {
        self.altered.load(Ordering::Relaxed)
    }

    fn key(&self) -> Result<&IntegrityKey, Failure> {
        self.key.get().ok_or_else(|| self.closed())
    }

    fn closed(&self) -> Failure {
        let reason = self.fault().unwrap_or_else(|| "the cluster's integrity key is not open yet".to_owned());
        Failure::unavailable(CLOSED, reason)
    }

    /// Rows come to be used often: one line for each now and then is enough.
    fn alarm(&self, row: &AlteredRow) {
        let (name, what) = (row.name(), row.detail());
        if self.said.is_news(&format!("{what} {name}")) {
            tracing::error!(name, "{what}: somebody else than the vault wrote it, and it grants nothing");
        }
    }
}

fn altered_rows(key: &IntegrityKey, view: &View) -> Result<Vec<AlteredRow>, StateFault> {
    let roles = roles::all(&**view)?.into_iter().filter(|role| !is_authentic_role(key, role));
    let mut altered: Vec<_> = roles.map(|role| AlteredRow::Role(role.name.to_string())).collect();
    let tokens = tokens::all(&**view)?.into_iter().filter(|token| !is_authentic_token(key, token));
    altered.extend(tokens.map(|token| AlteredRow::Token(token.name.to_string())));
    Ok(altered)
}

fn is_authentic_role(key: &IntegrityKey, role: &Role) -> bool {
    if role.is_built_in() {
        // What it grants is the law, whatever its row says.
        return Role::built_in(role.created_at).as_ref() == Some(role);
    }
    role.mac.is_some_and(|mac| key.verify(&role.granted(), &mac))
}

fn is_authentic_token(key: &IntegrityKey, token: &Token) -> bool {
    match token.mac {
        // The vault takes the MAC away when it revokes.
        Some(mac) => token.revoked_at.is_none() && key.verify(&token.granted(), &mac),
        None => token.revoked_at.is_some(),
    }
}
