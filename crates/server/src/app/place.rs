//! This node's place among the others: where it listens for them, and by what it knows them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use hyperion_vault_core::ports::{Clock, Entropy};
use hyperion_vault_raft::tls::{ClusterSecret, NodeTls, TlsError, TransportSecurity};
use hyperion_vault_raft::{DRAWN_BYTES, NodeConfig};

use crate::config::{HostPort, PeerSecurity, Settings};

/// How the node is set up.
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
    config.security = transport_security(security, node.id, clock)?;
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
    node_id: u64,
    clock: Arc<dyn Clock>,
) -> Result<TransportSecurity, TlsError> {
    let tls = match security {
        PeerSecurity::Plain => return Ok(TransportSecurity::Plain),
        PeerSecurity::Files(files) => NodeTls::from_files(files.clone(), node_id, clock)?,
        PeerSecurity::Secret(text) => {
            let secret = ClusterSecret::from_text(text.expose().as_bytes())?;
            NodeTls::derived(&secret, node_id, clock)?
        }
        PeerSecurity::MasterKey(secret) => NodeTls::derived(secret, node_id, clock)?,
    };
    Ok(TransportSecurity::Tls(Arc::new(tls)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::ffi::OsString;

    use hyperion_vault_core::time::Timestamp;

    use super::*;
    use crate::adapters::entropy::OsEntropy;

    struct StoodClock;

    impl Clock for StoodClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_ms(1_800_000_000_000)
        }
    }

    /// What a node with these settings, in local mode and with a master key, is set up as.
    fn config(vars: &[(&str, &str)]) -> NodeConfig {
        let basic = [
            ("VAULT_KMS_MODE", "local"),
            ("VAULT_LOCAL_MASTER_KEY", "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="),
        ];
        let vars =
            basic.iter().chain(vars).map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let no_files = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let settings = Settings::from_env(vars, no_files).unwrap_or_else(|errors| panic!("{errors:?}")).0;
        node_config(&settings, Arc::new(StoodClock), &OsEntropy).unwrap()
    }

    #[test]
    fn a_node_without_peers_listens_nowhere() {
        let config = config(&[]);
        assert_eq!((config.listen, config.address.as_str(), config.peers.len()), (None, "", 0));
    }

    #[test]
    fn a_node_listens_at_its_own_address_or_at_its_port_everywhere() {
        let peers = ("VAULT_PEERS", "1=127.0.0.1:8301,2=vault-2.internal:8302,3=[::1]:8303");
        let listen = |id| config(&[peers, ("NODE_ID", id)]).listen.unwrap();
        assert_eq!(listen("1").to_string(), "127.0.0.1:8301");
        assert_eq!(listen("3").to_string(), "[::1]:8303");
        let everywhere = listen("2");
        assert!(everywhere.ip().is_unspecified() && everywhere.port() == 8302, "{everywhere}");
    }

    #[test]
    fn peers_are_known_by_certificates_unless_that_is_off() {
        let peers = ("VAULT_PEERS", "1=127.0.0.1:8301,2=127.0.0.1:8302");
        for vars in [&[peers][..], &[peers, ("VAULT_CLUSTER_SECRET", "sixteen-bytes-ok")]] {
            assert!(matches!(config(vars).security, TransportSecurity::Tls(_)));
        }
        assert!(matches!(config(&[peers, ("VAULT_RAFT_TLS", "off")]).security, TransportSecurity::Plain));
    }

    #[test]
    fn a_pretended_level_is_that_of_the_node() {
        assert_eq!(config(&[("HYPERION_VAULT_PRETEND_FEATURE_LEVEL", "1")]).feature_level, 1);
    }
}
