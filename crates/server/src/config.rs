//! The environment, turned into validated parts.
//!
//! [`Settings::from_env`] is pure over its arguments: the variables and a way to read a secret's file. It
//! reports every error at once, each on one line with the setting's name, and never shows the value of a
//! secret. What every setting is called and what it stands at otherwise is written down once, in
//! [`table`], from which `docs/settings.md` is made too.
//!
//! Each part has a file of its own and knows nothing of the others, but for the directory of the node's files.

mod access;
mod audit;
mod environment;
mod error;
mod host_port;
mod keys;
mod listen;
mod log;
mod node;
mod peer_security;
mod storage;
pub mod table;
#[cfg(test)]
mod tests;
mod tls;
mod workers;

use std::ffi::OsString;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

pub use access::{Access, BOOTSTRAP_TOKEN_BYTES_MAX, LOCKOUT_CLIENTS_MAX, ReadAuth};
use audit::read_audit;
use environment::Environment;
pub use environment::{SECRET_FILE_BYTES_MAX, read_secret_file};
pub use error::{SettingError, Warning};
pub use host_port::{HostPort, HostPortError};
pub use hyperion_vault_api::text::SecretText;
pub use keys::{KMS_KEY_ID_BYTES_MAX, Keys, KmsMode, LOCAL_PREVIOUS_KEYS_MAX};
pub use listen::Listen;
pub use log::{Log, LogFormat};
pub use node::{Consistency, Node, PEERS_MAX};
pub use peer_security::PeerSecurity;
pub use storage::{Storage, state_file};
pub use tls::TlsFiles;
pub use workers::{Rewrap, Workers};

use crate::audit::AuditConfig;

/// Everything the environment decides, valid and complete. Has no `Debug`: some of its parts hold secrets.
pub struct Settings {
    pub listen: Listen,
    /// `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    pub storage: Storage,
    pub keys: Keys,
    pub access: Access,
    pub audit: AuditConfig,
    pub workers: Workers,
    pub node: Node,
    /// `None`: this node can't speak to others.
    pub peer_security: Option<PeerSecurity>,
    pub log: Log,
}

impl Settings {
    /// Reads the settings out of `vars`, and the files that `NAME_FILE` variables name through `read_file`.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of [`table::TABLE`]; never empty.
    pub fn from_env(
        vars: impl Iterator<Item = (OsString, OsString)>,
        read_file: impl FnMut(&Path) -> io::Result<Zeroizing<Vec<u8>>>,
    ) -> Result<(Settings, Vec<Warning>), Vec<SettingError>> {
        let mut env = Environment::collect(vars, read_file);
        let listen = Listen::read(&mut env);
        let tls = TlsFiles::read(&mut env);
        let storage = Storage::read(&mut env);
        let keys = Keys::read(&mut env);
        let access = Access::read(&mut env);
        let audit = read_audit(&mut env, &storage);
        let workers = Workers::read(&mut env);
        let node = Node::read(&mut env);
        let peer_security = PeerSecurity::read(&mut env, &node, &keys);
        let log = Log::read(&mut env);
        if tls.is_none() && !listen.is_loopback() && !access.behind_proxy() {
            env.warn(Warning::PlainHttp);
        }
        let warnings = env.finish()?;
        let settings =
            Settings { listen, tls, storage, keys, access, audit, workers, node, peer_security, log };
        Ok((settings, warnings))
    }
}
