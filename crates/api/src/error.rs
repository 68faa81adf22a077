//! The one shape of every error: `{"error": "<message>"}`.

use serde::{Deserialize, Serialize};

/// What went wrong, in words for a person. Never what was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub error: String,
}
