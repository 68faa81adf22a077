//! The embedded default behind `server --dev`: a data directory, a master key kept in it, and settings made
//! of both. Nothing else about a development vault is special.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyperion_vault_core::ports::Entropy;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::config::{SecretText, read_secret_file};

/// The master key, base64 of 32 bytes, readable by its owner alone.
const KEY_FILE: &str = "master.key";
/// Keeps the token's derivation apart from every other use of the key.
const TOKEN_DOMAIN: &[u8] = b"hyperion-vault development token\0";
/// What may read secrets.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// A development vault's environment.
pub struct DevVault {
    /// In the place of the process's own.
    pub vars: Vec<(OsString, OsString)>,
    /// The admin token; derived from the master key, so that it is the same at each start and stands in no
    /// file.
    pub token: SecretText,
}

impl DevVault {
    /// Makes the directory and the key if they aren't there.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn prepare(dir: &Path, port: u16, log: &str, entropy: &dyn Entropy) -> io::Result<DevVault> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let key_file = dir.join(KEY_FILE);
        if !key_file.try_exists()? {
            write_key(&key_file, entropy)?;
        }
        let token = derive_token(&read_secret_file(&key_file)?);
        let text = |text: &str| OsString::from(text);
        let vars = vec![
            (text("VAULT_DATA_DIR"), dir.as_os_str().to_owned()),
            (text("VAULT_KMS_MODE"), text("local")),
            (text("VAULT_LOCAL_MASTER_KEY_FILE"), key_file.into_os_string()),
            (text("VAULT_ALLOWED_IPS"), text(LOOPBACK)),
            (text("VAULT_API_LISTEN"), text(&format!("127.0.0.1:{port}"))),
            (text("VAULT_BOOTSTRAP_TOKEN"), text(token.expose())),
            (text("VAULT_LOG"), text(log)),
        ];
        Ok(DevVault { vars, token })
    }
}

fn write_key(path: &Path, entropy: &dyn Entropy) -> io::Result<()> {
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(key.as_mut_slice());
    let text = Zeroizing::new(STANDARD.encode(key.as_slice()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn derive_token(key: &[u8]) -> SecretText {
    let digest = Sha256::new().chain_update(TOKEN_DOMAIN).chain_update(key.trim_ascii()).finalize();
    SecretText::new(Zeroizing::new(format!("hvt_{}", URL_SAFE_NO_PAD.encode(digest))))
}
