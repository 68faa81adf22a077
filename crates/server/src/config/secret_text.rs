//! Secret text out of the environment.

use zeroize::Zeroizing;

/// A secret setting's value. Zeroized on drop; has neither `Debug` nor `Display`, so that no message can
/// show it by accident.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    #[must_use]
    pub fn new(text: Zeroizing<String>) -> SecretText {
        SecretText(text)
    }

    /// The value itself. Don't keep, log or format it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}
