//! Binding the API's socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use tokio::net::TcpListener;

use crate::config::Listen;

/// The API's address can't be listened on. Says the address and what to look at.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {address}: {}", self.advice())]
pub struct BindError {
    pub address: String,
    #[source]
    pub source: io::Error,
}

impl BindError {
    fn advice(&self) -> String {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => "the port is in use by another process".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "this port needs a privilege the process doesn't have".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address".to_owned(),
            _ => self.source.to_string(),
        }
    }
}

/// A socket that listens where `listen` says.
///
/// # Errors
/// [`BindError`] when the port is taken, not permitted, or the address is not one of this machine's.
pub async fn bind(listen: &Listen) -> Result<TcpListener, BindError> {
    match listen {
        Listen::EveryInterface { port } => bind_every_interface(*port).await,
        Listen::Address(address) => {
            let bound = TcpListener::bind((address.host.as_str(), address.port)).await;
            bound.map_err(|source| BindError { address: address.to_string(), source })
        }
    }
}

/// The IPv6 socket takes IPv4 too; only a kernel without IPv6 needs the IPv4 one.
async fn bind_every_interface(port: u16) -> Result<TcpListener, BindError> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => Ok(listener),
        Err(source)
            if matches!(source.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) =>
        {
            Err(BindError { address: format!("[::]:{port}"), source })
        }
        Err(_) => {
            let bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
            bound.map_err(|source| BindError { address: format!("0.0.0.0:{port}"), source })
        }
    }
}
