//! `host:port`, the host not yet resolved.

use std::fmt;
use std::str::FromStr;

/// A host (a name or an address, IPv6 without its brackets) and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

/// Why a text is not `host:port`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    #[error("has no port; write host:port")]
    NoPort,
    #[error("has no host; write host:port")]
    NoHost,
    #[error("has a port that is not a number from 0 to 65535")]
    BadPort,
    #[error("needs its IPv6 address in brackets: [address]:port")]
    NoBrackets,
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<HostPort, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError::NoPort)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if bracketed.is_none() && host.contains(':') {
            return Err(HostPortError::NoBrackets);
        }
        let host = bracketed.unwrap_or(host);
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(HostPortError::NoHost);
        }
        // Digits only: `u16::from_str` would also take `+80`.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or(HostPortError::BadPort)?;
        Ok(HostPort { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_addresses() {
        for (text, host, port) in [
            ("vault.example:8200", "vault.example", 8200),
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("[::1]:65535", "::1", 65535),
        ] {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!((parsed.host.as_str(), parsed.port), (host, port));
            assert_eq!(parsed.to_string(), text);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, error) in [
            ("8200", HostPortError::NoPort),
            (":8200", HostPortError::NoHost),
            ("[]:8200", HostPortError::NoHost),
            ("a b:8200", HostPortError::NoHost),
            ("host:65536", HostPortError::BadPort),
            ("host:+80", HostPortError::BadPort),
            ("host:", HostPortError::BadPort),
            ("::1:8200", HostPortError::NoBrackets),
        ] {
            assert_eq!(text.parse::<HostPort>(), Err(error), "{text}");
        }
    }
}
