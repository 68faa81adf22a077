//! Who holds the master key, how patiently it is asked, and how long unwrapped data keys live.

use hyperion_vault_core::time::Seconds;
use hyperion_vault_crypto::MasterKey;
use hyperion_vault_kms::parse_master_key;

use super::environment::{Environment, not_one_of};
use super::error::Warning;
use super::table::{
    DEK_CACHE_OUTAGE_TTL_SECS, DEK_CACHE_TTL_SECS, KMS_KEY_ID, KMS_MAX_RETRIES, KMS_MODE, LOCAL_MASTER_KEY,
    LOCAL_PREVIOUS_KEYS, Setting,
};

/// Earlier master keys that local mode can be given: one for each time that the key was changed and not
/// everything re-wrapped since.
pub const LOCAL_PREVIOUS_KEYS_MAX: usize = 16;
/// Longest id of a key, in bytes: that of `KeyId` in the API of AWS KMS.
pub const KMS_KEY_ID_BYTES_MAX: usize = 2_048;

/// Key management. Has no `Debug`: it may hold keys.
pub struct Keys {
    pub mode: KmsMode,
    /// How often a call that didn't get through is made again; zero: never.
    pub retries_max: u32,
    /// How long an unwrapped data key stays cached; zero turns the cache off.
    pub data_key_cache_ttl: Seconds,
    /// How much longer it stays while key management can't be reached.
    pub data_key_cache_outage_ttl: Seconds,
}

/// Which key management service wraps the data keys.
pub enum KmsMode {
    /// AWS KMS; who asks it, where and as whom, is in the environment of the SDK.
    Aws {
        /// Id, ARN or alias; visible ASCII, not empty.
        key_id: String,
    },
    Local {
        /// `None`: a random one for the life of the process.
        master_key: Option<MasterKey>,
        /// Those before it, which open what they wrapped and wrap nothing new.
        previous: Vec<MasterKey>,
    },
}

impl Keys {
    /// Whether the master key outlives this process.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match &self.mode {
            KmsMode::Aws { .. } => true,
            KmsMode::Local { master_key, .. } => master_key.is_some(),
        }
    }

    pub(super) fn read(env: &mut Environment) -> Keys {
        let mode = env.parse(&KMS_MODE, |word| {
            Mode::parse(word).ok_or_else(|| not_one_of(word, KMS_MODE.values.words()))
        });
        // What isn't used is checked all the same: it will be, once the mode is changed.
        let key_id = env.parse(&KMS_KEY_ID, parse_key_id);
        let local = KmsMode::Local { master_key: read_master_key(env), previous: read_previous_keys(env) };
        let data_key_cache_ttl = Seconds::new(env.number(&DEK_CACHE_TTL_SECS));
        let data_key_cache_outage_ttl = Seconds::new(env.number(&DEK_CACHE_OUTAGE_TTL_SECS));
        if data_key_cache_ttl == Seconds::ZERO && data_key_cache_outage_ttl > Seconds::ZERO {
            env.warn(Warning::OutageWithoutCache);
        }
        Keys {
            mode: match mode {
                Some(Mode::Aws) => aws(env, key_id),
                Some(Mode::Local) => checked_local(env, local),
                None => local,
            },
            retries_max: u32::try_from(env.number(&KMS_MAX_RETRIES)).unwrap_or(u32::MAX),
            data_key_cache_ttl,
            data_key_cache_outage_ttl,
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Aws,
    Local,
}

impl Mode {
    fn parse(word: &str) -> Option<Mode> {
        match word {
            "aws" => Some(Mode::Aws),
            "local" => Some(Mode::Local),
            _ => None,
        }
    }
}

fn aws(env: &mut Environment, key_id: Option<String>) -> KmsMode {
    if !env.is_given(&KMS_KEY_ID) {
        let reason = format!(
            "not set, but {}=aws, the default, needs the id, ARN or alias of the AWS KMS key that wraps the data \
             keys; for development, {}=local needs none",
            KMS_MODE.name, KMS_MODE.name
        );
        env.refuse(&KMS_KEY_ID, reason);
    }
    warn_of_unused(env, &LOCAL_MASTER_KEY, "aws");
    warn_of_unused(env, &LOCAL_PREVIOUS_KEYS, "aws");
    KmsMode::Aws { key_id: key_id.unwrap_or_default() }
}

fn checked_local(env: &mut Environment, local: KmsMode) -> KmsMode {
    warn_of_unused(env, &KMS_KEY_ID, "local");
    let (master, previous) = (env.is_given(&LOCAL_MASTER_KEY), env.is_given(&LOCAL_PREVIOUS_KEYS));
    match (master, previous) {
        (true, _) => {}
        // Everything moved to a key that nobody keeps would be lost, the old keys or not.
        (false, true) => {
            env.refuse(&LOCAL_MASTER_KEY, format!("not set, though {} is", LOCAL_PREVIOUS_KEYS.name))
        }
        (false, false) => env.warn(Warning::EphemeralMasterKey),
    }
    local
}

fn warn_of_unused(env: &mut Environment, setting: &Setting, mode: &'static str) {
    if env.is_given(setting) {
        env.warn(Warning::OfAnotherKmsMode { name: setting.name, mode });
    }
}

fn parse_key_id(text: &str) -> Result<String, String> {
    if text.len() > KMS_KEY_ID_BYTES_MAX {
        return Err(format!("is longer than {KMS_KEY_ID_BYTES_MAX} bytes"));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("may hold only visible ASCII characters, no blanks".to_owned());
    }
    Ok(text.to_owned())
}

fn read_master_key(env: &mut Environment) -> Option<MasterKey> {
    let text = env.secret(&LOCAL_MASTER_KEY)?;
    let parsed = parse_master_key(text.expose());
    parsed.map_err(|error| env.refuse(&LOCAL_MASTER_KEY, error.to_string())).ok()
}

/// Every entry that is wrong is told by its place, since it can't be shown.
fn read_previous_keys(env: &mut Environment) -> Vec<MasterKey> {
    let Some(text) = env.secret(&LOCAL_PREVIOUS_KEYS) else { return Vec::new() };
    let entries: Vec<_> = text.expose().split(',').filter(|entry| !entry.trim().is_empty()).collect();
    if entries.len() > LOCAL_PREVIOUS_KEYS_MAX {
        env.refuse(&LOCAL_PREVIOUS_KEYS, format!("names more than {LOCAL_PREVIOUS_KEYS_MAX} keys"));
        return Vec::new();
    }
    let mut keys = Vec::with_capacity(entries.len());
    for (at, entry) in entries.into_iter().enumerate() {
        match parse_master_key(entry) {
            Ok(key) => keys.push(key),
            Err(error) => env.refuse(&LOCAL_PREVIOUS_KEYS, format!("key {} of the list {error}", at + 1)),
        }
    }
    keys
}
