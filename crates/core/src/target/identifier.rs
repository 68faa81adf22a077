//! Names of databases and roles in PostgreSQL.

use crate::limits::DATABASE_IDENTIFIER_BYTES_MAX;

/// The name of a database or a role: 1 to 63 bytes of UTF-8 without control characters. What is special in SQL
/// is allowed, and quoted by who writes the statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DatabaseIdentifier(String);

/// Why a text is no identifier. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    #[error("must not be empty")]
    Empty,
    /// PostgreSQL would cut it off without an error, and name another role.
    #[error("must be at most {DATABASE_IDENTIFIER_BYTES_MAX} bytes")]
    TooLong,
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl DatabaseIdentifier {
    /// # Errors
    /// [`IdentifierError`] says which rule the text breaks.
    pub fn parse(text: &str) -> Result<DatabaseIdentifier, IdentifierError> {
        DatabaseIdentifier::check(text)?;
        Ok(DatabaseIdentifier(text.to_owned()))
    }

    /// What [`DatabaseIdentifier::parse`] checks, without a copy: for a name that is part of a secret.
    ///
    /// # Errors
    /// [`IdentifierError`] says which rule the text breaks.
    pub fn check(text: &str) -> Result<(), IdentifierError> {
        if text.is_empty() {
            Err(IdentifierError::Empty)
        } else if text.len() > DATABASE_IDENTIFIER_BYTES_MAX {
            Err(IdentifierError::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(IdentifierError::ControlCharacter)
        } else {
            Ok(())
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<C> minicbor::Encode<C> for DatabaseIdentifier {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for DatabaseIdentifier {
    fn decode(
        d: &mut minicbor::Decoder<'b>,
        _: &mut C,
    ) -> Result<DatabaseIdentifier, minicbor::decode::Error> {
        DatabaseIdentifier::parse(d.str()?).map_err(minicbor::decode::Error::custom)
    }
}
