//! Where the API listens.

use std::net::IpAddr;

use super::environment::Environment;
use super::error::shown;
use super::host_port::HostPort;
use super::table::{API_LISTEN, API_PORT};

/// The address of the API. Port 0 stands for any free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Every interface, IPv6 and IPv4.
    EveryInterface { port: u16 },
    /// One address, which may still be a name.
    Address(HostPort),
}

impl Listen {
    pub(super) fn read(env: &mut Environment) -> Listen {
        let port = u16::try_from(env.number(&API_PORT)).unwrap_or_default();
        let address = env.parse(&API_LISTEN, |text| {
            text.parse::<HostPort>().map_err(|error| format!("{} {error}", shown(text)))
        });
        let Some(address) = address else { return Listen::EveryInterface { port } };
        if env.is_given(&API_PORT) && address.port != port {
            env.refuse(&API_LISTEN, format!("names another port than {}; set only one", API_PORT.name));
        }
        Listen::Address(address)
    }

    /// Whether only this machine can connect, as far as the setting itself tells.
    pub(super) fn is_loopback(&self) -> bool {
        let Listen::Address(HostPort { host, .. }) = self else { return false };
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}
