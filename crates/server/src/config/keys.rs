//! Who holds the master key, and how long unwrapped data keys live.

use hyperion_vault_core::time::Seconds;

use super::environment::{Environment, not_one_of};
use super::error::Warning;
use super::secret_text::SecretText;
use super::table::{DEK_CACHE_TTL_SECS, KMS_MODE, LOCAL_MASTER_KEY};

/// Key management.
pub struct Keys {
    pub provider: KeyProvider,
    /// How long an unwrapped data key stays cached; zero turns the cache off.
    pub data_key_cache_ttl: Seconds,
}

/// Which provider wraps the data keys.
pub enum KeyProvider {
    Local {
        /// Base64 of 32 bytes, not decoded yet. `None`: a random one for the life of the process.
        master_key: Option<SecretText>,
    },
}

impl Keys {
    pub(super) fn read(env: &mut Environment) -> Keys {
        let local = env.parse(&KMS_MODE, |text| match text {
            "local" => Ok(()),
            "aws" => Err("aws, the default, is not in this version; set VAULT_KMS_MODE=local".to_owned()),
            _ => Err(not_one_of(text, KMS_MODE.values.words())),
        });
        let master_key = env.secret(&LOCAL_MASTER_KEY);
        if local.is_some() && master_key.is_none() {
            env.warn(Warning::EphemeralMasterKey);
        }
        let data_key_cache_ttl = Seconds::new(env.number(&DEK_CACHE_TTL_SECS));
        Keys { provider: KeyProvider::Local { master_key }, data_key_cache_ttl }
    }
}
