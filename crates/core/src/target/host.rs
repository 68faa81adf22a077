//! Where a database listens.

use std::fmt;
use std::net::Ipv6Addr;

use crate::limits::HOST_NAME_BYTES_MAX;

/// PostgreSQL's registered port (IANA), for an entry that names none.
const PORT_DEFAULT: u16 = 5432;

/// A host name or IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseHost {
    /// An IPv6 address has no brackets here.
    host: String,
    port: u16,
}

/// Why a text names no host. The text itself is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    #[error("must be host:port, with an IPv6 address in brackets")]
    Malformed,
    #[error("the port must be a number from 1 to 65535")]
    Port,
    #[error("the host must be an IP address or at most {HOST_NAME_BYTES_MAX} of A-Z a-z 0-9 - _ .")]
    Name,
}

impl DatabaseHost {
    /// Reads `host:port`, `[ipv6]:port`, or either without its port, which then is 5432. Names are taken in lower
    /// case: in DNS the case doesn't matter (RFC 4343).
    ///
    /// # Errors
    /// [`HostError`] says which part is wrong.
    pub fn parse(text: &str) -> Result<DatabaseHost, HostError> {
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (address, rest) = bracketed.split_once(']').ok_or(HostError::Malformed)?;
            (address.parse::<Ipv6Addr>().map_err(|_| HostError::Name)?.to_string(), rest)
        } else {
            let (name, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (parse_name(name)?, rest)
        };
        Ok(DatabaseHost { host, port: parse_port(port)? })
    }

    /// The name or the address, as it is resolved and as a certificate names it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn parse_name(name: &str) -> Result<String, HostError> {
    let fits = (1..=HOST_NAME_BYTES_MAX).contains(&name.len());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if fits && name.bytes().all(allowed) { Ok(name.to_ascii_lowercase()) } else { Err(HostError::Name) }
}

/// What follows the host: nothing, or a colon and digits; `u16::from_str` would also take `+5432`.
fn parse_port(rest: &str) -> Result<u16, HostError> {
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok(PORT_DEFAULT),
        None => Err(HostError::Malformed),
        Some(digits) if digits.contains(':') => Err(HostError::Malformed),
        Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => Err(HostError::Port),
        Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or(HostError::Port),
    }
}

/// As [`DatabaseHost::parse`] reads it.
impl fmt::Display for DatabaseHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// As text, which `Display` writes.
impl<C> minicbor::Encode<C> for DatabaseHost {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for DatabaseHost {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<DatabaseHost, minicbor::decode::Error> {
        DatabaseHost::parse(d.str()?).map_err(minicbor::decode::Error::custom)
    }
}
