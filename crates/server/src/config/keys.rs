//! Who holds the master key, and how long unwrapped data keys live.

use hyperion_vault_core::time::Seconds;
use hyperion_vault_crypto::MasterKey;
use hyperion_vault_kms::parse_master_key;

use super::environment::{Environment, not_one_of};
use super::error::Warning;
use super::table::{DEK_CACHE_TTL_SECS, KMS_MODE, LOCAL_MASTER_KEY};

/// Key management.
pub struct Keys {
    pub mode: KmsMode,
    /// How long an unwrapped data key stays cached; zero turns the cache off.
    pub data_key_cache_ttl: Seconds,
}

/// Which key management service wraps the data keys.
pub enum KmsMode {
    Local {
        /// `None`: a random one for the life of the process.
        master_key: Option<MasterKey>,
    },
}

impl Keys {
    /// Whether the master key outlives this process.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        let KmsMode::Local { master_key } = &self.mode;
        master_key.is_some()
    }

    pub(super) fn read(env: &mut Environment) -> Keys {
        let local = env.parse(&KMS_MODE, |text| match text {
            "local" => Ok(()),
            "aws" => Err("aws, the default, is not in this version; set VAULT_KMS_MODE=local".to_owned()),
            _ => Err(not_one_of(text, KMS_MODE.values.words())),
        });
        let master_key = read_master_key(env);
        if local.is_some() && !env.is_given(&LOCAL_MASTER_KEY) {
            env.warn(Warning::EphemeralMasterKey);
        }
        let data_key_cache_ttl = Seconds::new(env.number(&DEK_CACHE_TTL_SECS));
        Keys { mode: KmsMode::Local { master_key }, data_key_cache_ttl }
    }
}

fn read_master_key(env: &mut Environment) -> Option<MasterKey> {
    let text = env.secret(&LOCAL_MASTER_KEY)?;
    let parsed = parse_master_key(text.expose());
    parsed.map_err(|error| env.refuse(&LOCAL_MASTER_KEY, error.to_string())).ok()
}
