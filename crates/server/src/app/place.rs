//! This node's place among the others: where it listens for them, and by what it knows them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use hyperion_vault_core::ports::{Clock, Entropy};
use hyperion_vault_raft::tls::{ClusterSecret, NodeTls, TlsError, TransportSecurity};
use hyperion_vault_raft::{DRAWN_BYTES, NodeConfig};

use crate::config::{HostPort, KmsMode, PeerSecurity, Settings};

/// How the node is set up. Reads the master key, so before it is given away.
///
/// # Errors
/// [`TlsError`] when there is no identity to be had from what the settings name.
pub(super) fn node_config(
    settings: &Settings,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<NodeConfig, TlsError> {
    let mut random = [0; DRAWN_BYTES];
    entropy.fill(&mut random);
    let node = &settings.node;
    let mut config = NodeConfig::new(node.id, random);
    if let Some(level) = node.pretended_feature_level {
        config.feature_level = level;
    }
    // Nobody to speak to, or nothing to know him by.
    let (Some(address), Some(security)) = (node.own_address(), &settings.peer_security) else {
        return Ok(config);
    };
    config.address = address.to_string();
    config.listen = Some(listen(address));
    config.peers = node.peers.iter().map(|(id, address)| (*id, address.to_string())).collect();
    config.security = transport_security(security, settings, clock)?;
    Ok(config)
}

/// The address if it is one, else the port on every interface: what a name means to the others need not be
/// something that this machine has.
fn listen(own: &HostPort) -> SocketAddr {
    match own.host.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, own.port),
        Err(_) => SocketAddr::new(every_interface(), own.port),
    }
}

/// The IPv6 socket takes IPv4 too; only a kernel without IPv6 needs the IPv4 one.
fn every_interface() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

fn transport_security(
    security: &PeerSecurity,
    settings: &Settings,
    clock: Arc<dyn Clock>,
) -> Result<TransportSecurity, TlsError> {
    let id = settings.node.id;
    let tls = match (security, &settings.keys.mode) {
        (PeerSecurity::Plain, _) | (PeerSecurity::MasterKey, KmsMode::Local { master_key: None }) => {
            return Ok(TransportSecurity::Plain);
        }
        (PeerSecurity::Files(files), _) => NodeTls::from_files(files.clone(), id, clock)?,
        (PeerSecurity::Secret(text), _) => {
            let secret = ClusterSecret::from_text(text.expose().as_bytes())?;
            NodeTls::derived(&secret, id, clock)?
        }
        (PeerSecurity::MasterKey, KmsMode::Local { master_key: Some(key) }) => {
            NodeTls::derived(&ClusterSecret::from_bytes(key.cluster_secret()), id, clock)?
        }
    };
    Ok(TransportSecurity::Tls(Arc::new(tls)))
}
