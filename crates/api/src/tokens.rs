//! Tokens on the wire.

use hyperion_vault_core::token::Token;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::text::SecretText;
use crate::time::rfc3339;

/// `POST /v1/tokens`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssueTokenRequest {
    pub name: String,
    pub role: String,
    #[serde(default)]
    pub expires_in_secs: Option<u64>,
    #[serde(default)]
    pub allowed_ips: Option<Vec<String>>,
}

/// A token, shown this once. It goes to bytes by [`IssuedToken::to_json`] alone, which wipes them.
pub struct IssuedToken {
    pub name: String,
    pub role: String,
    pub token: SecretText,
}

impl IssuedToken {
    /// The answer's bytes, wiped when dropped. Names and tokens have no character that JSON escapes.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let (name, role, token) = (&self.name, &self.role, self.token.expose());
        let parts = [r#"{"name":""#, name, r#"","role":""#, role, r#"","token":""#, token, r#""}"#];
        // Room for all of it at once: bytes that grew would leave a copy of the token behind, unwiped.
        let mut json = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
        for part in parts {
            json.extend_from_slice(part.as_bytes());
        }
        json
    }
}

/// A token without what makes it one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    pub name: String,
    pub role: String,
    pub created_at: String,
    pub last_used_at: Option<String>,
    pub revoked_at: Option<String>,
    pub expires_at: Option<String>,
    pub allowed_ips: Option<Vec<String>>,
}

impl From<&Token> for TokenInfo {
    fn from(token: &Token) -> TokenInfo {
        TokenInfo {
            name: token.name.to_string(),
            role: token.role.to_string(),
            created_at: rfc3339(token.created_at),
            last_used_at: token.last_used_at.map(rfc3339),
            revoked_at: token.revoked_at.map(rfc3339),
            expires_at: token.expires_at.map(rfc3339),
            allowed_ips: token.allowed_ips.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_token_is_written_without_growing() {
        let token = SecretText::new(Zeroizing::new("hvt_0123456789abcdef".to_owned()));
        let json = IssuedToken { name: "deploy".to_owned(), role: "ops".to_owned(), token }.to_json();
        assert_eq!(*json, br#"{"name":"deploy","role":"ops","token":"hvt_0123456789abcdef"}"#);
        assert_eq!(json.capacity(), json.len());
    }
}
