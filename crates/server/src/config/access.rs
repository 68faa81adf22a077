//! Who is let in: readers' addresses, proxies, the first token, lockout.

use hyperion_vault_api::text::SecretText;
use hyperion_vault_core::allowlist::{Allowlist, AllowlistError};
use hyperion_vault_core::client_address::ProxyTrust;
use hyperion_vault_core::lockout::LockoutConfig;
use hyperion_vault_core::time::Seconds;

use super::environment::Environment;
use super::error::{Warning, shown};
use super::table::{
    ALLOWED_IPS, AUTH_LOCKOUT_SECS, AUTH_MAX_FAILURES, AUTH_WINDOW_SECS, BOOTSTRAP_TOKEN, READ_AUTH,
    TRUST_PROXY, TRUSTED_PROXIES,
};

/// Longest bootstrap token, in bytes: it has to fit in a request header with room to spare.
pub const BOOTSTRAP_TOKEN_BYTES_MAX: usize = 1_024;
/// Shortest bootstrap token that draws no warning, in bytes: 128 bits if they are random.
pub(super) const BOOTSTRAP_TOKEN_BYTES_ADVISED: usize = 16;
/// Failing client addresses that a node remembers, and as many locked ones: up to 40 MB
/// at the default of five failures, and 110 MB at the most that may be asked for.
pub const LOCKOUT_CLIENTS_MAX: usize = 65_536;

/// What guards the API.
pub struct Access {
    /// Who may read secrets; empty denies everybody.
    pub readers: Allowlist,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: ProxyTrust,
    pub read_auth: ReadAuth,
    /// The first admin token; never empty, visible ASCII without blanks.
    pub bootstrap_token: Option<SecretText>,
    pub lockout: LockoutConfig,
}

/// What a read needs besides an allowed address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadAuth {
    /// Nothing.
    #[default]
    None,
    /// A token whose role grants `read` on the name.
    Token,
}

impl Access {
    pub(super) fn read(env: &mut Environment) -> Access {
        let readers = env.parse(&ALLOWED_IPS, parse_addresses).unwrap_or_default();
        if readers.is_empty() {
            env.warn(Warning::NobodyMayRead);
        }
        Access {
            readers,
            proxies: read_proxies(env),
            read_auth: env.choice(&READ_AUTH, |text| match text {
                "none" => Some(ReadAuth::None),
                "token" => Some(ReadAuth::Token),
                _ => None,
            }),
            bootstrap_token: read_bootstrap_token(env),
            lockout: LockoutConfig {
                failures_max: u32::try_from(env.number(&AUTH_MAX_FAILURES)).unwrap_or(u32::MAX),
                window: Seconds::new(env.number(&AUTH_WINDOW_SECS)),
                lockout: Seconds::new(env.number(&AUTH_LOCKOUT_SECS)),
                entries_max: LOCKOUT_CLIENTS_MAX,
            },
        }
    }

    pub(super) fn behind_proxy(&self) -> bool {
        self.proxies != ProxyTrust::Nobody
    }
}

/// The entry that is wrong is named, however long it is, in short.
fn parse_addresses(text: &str) -> Result<Allowlist, String> {
    Allowlist::parse(text).map_err(|error| match error {
        AllowlistError::Malformed { entry } => {
            format!("{} is neither an IP address nor a network in CIDR notation", shown(&entry))
        }
        error => error.to_string(),
    })
}

fn read_proxies(env: &mut Environment) -> ProxyTrust {
    let trust = env.flag(&TRUST_PROXY);
    let proxies = env.parse(&TRUSTED_PROXIES, parse_addresses);
    match (trust, proxies) {
        (true, Some(proxies)) => ProxyTrust::Proxies(proxies),
        (true, None) => {
            env.warn(Warning::EveryPeerIsProxy);
            ProxyTrust::Peer
        }
        (false, Some(_)) => {
            env.warn(Warning::ProxiesWithoutTrust);
            ProxyTrust::Nobody
        }
        (false, None) => ProxyTrust::Nobody,
    }
}

/// A token that no client could send is refused here rather than found out after the first login.
fn read_bootstrap_token(env: &mut Environment) -> Option<SecretText> {
    let token = env.secret(&BOOTSTRAP_TOKEN)?;
    let bytes = token.expose().len();
    if !token.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        env.refuse(&BOOTSTRAP_TOKEN, "may hold only visible ASCII characters, no blanks");
    } else if bytes > BOOTSTRAP_TOKEN_BYTES_MAX {
        env.refuse(&BOOTSTRAP_TOKEN, format!("is longer than {BOOTSTRAP_TOKEN_BYTES_MAX} bytes"));
    } else if bytes < BOOTSTRAP_TOKEN_BYTES_ADVISED {
        env.warn(Warning::ShortBootstrapToken { bytes });
    }
    Some(token)
}
