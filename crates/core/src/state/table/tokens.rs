//! Tokens by name.

use super::{Keyed, Tag, key, record, records};
use crate::limits::TOKENS_MAX;
use crate::name::TokenName;
use crate::state::{Rows, RowsMut, StateFault, row};
use crate::token::Token;

impl Keyed for Token {
    fn key(&self) -> Vec<u8> {
        key_of(&self.name)
    }
}

fn key_of(name: &TokenName) -> Vec<u8> {
    key(Tag::Tokens, &[name.as_str().as_bytes()])
}

/// # Errors
/// [`StateFault`].
pub fn get(rows: &dyn Rows, name: &TokenName) -> Result<Option<Token>, StateFault> {
    record(rows, &key_of(name))
}

/// All tokens, revoked ones included, by name.
///
/// # Errors
/// [`StateFault`].
pub fn all(rows: &dyn Rows) -> Result<Vec<Token>, StateFault> {
    records(rows, &key(Tag::Tokens, &[]), &[], usize::try_from(TOKENS_MAX).unwrap_or(usize::MAX))
}

pub(crate) fn put(rows: &mut dyn RowsMut, token: &Token) -> Result<(), StateFault> {
    row::put(rows, &key_of(&token.name), token)
}
