//! Who a node is on the wire: mutual TLS 1.3 between the members of one cluster, and nobody else.
//!
//! Each side shows a certificate that one authority vouches for and that names exactly one node. Whoever dials
//! node 3 talks to node 3; whoever is called learns from [`peer_node_id`] who calls. The authority is derived
//! from a secret that the members share ([`NodeTls::derived`]: no files to hand round, certificates of a day), or
//! it is the operator's own ([`NodeTls::from_files`]). Either way certificates are replaced while connections
//! stand: a handshake takes what is current, what is open stays open.
//!
//! ```text
//! ClusterSecret ─HKDF─▶ Authority ─issues─┐
//!                                          ├─▶ Credentials ─▶ Live ─▶ every handshake
//! certificate, key and authority files ───┘   (replaced by `renew`)
//! ```

mod authority;
mod credentials;
mod error;
mod live;
mod name;
mod pem;
mod pki_files;
mod secret;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use authority::Authority;
use live::Live;

pub use error::TlsError;
pub use name::{node_name, peer_node_id};
pub use pem::PemError;
pub use pki_files::PkiFiles;
pub use secret::{CLUSTER_SECRET_BYTES_MIN, ClusterSecret};

/// The one protocol between nodes, offered by ALPN (RFC 7301).
const ALPN_HTTP2: &[u8] = b"h2";

/// How often [`NodeTls::renew_when_due`] looks. Often, because what it compares is the wall clock, which may be
/// set at any time; and changed files should not wait long.
const RENEWAL_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How node-to-node connections are protected.
#[derive(Debug, Clone)]
pub enum TransportSecurity {
    /// Not at all. For a private overlay that encrypts and authenticates by itself, and for a cluster of one.
    Plain,
    /// Mutual TLS.
    Tls(Arc<NodeTls>),
}

/// What [`NodeTls::renew`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The certificate is young enough, or the files say what they said before.
    NotDue,
    /// From now on handshakes use another certificate or believe other authorities.
    Renewed,
}

/// A node's identity and whom it believes, renewed while in use.
pub struct NodeTls {
    node_id: u64,
    clock: Arc<dyn Clock>,
    source: Source,
    live: Live,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// Where certificates come from.
enum Source {
    Derived(Box<Authority>),
    Files(PkiFiles),
}

impl NodeTls {
    /// An identity under the authority that all holders of `secret` derive. `clock` judges validity, now and in
    /// each handshake.
    ///
    /// # Errors
    /// [`TlsError::Clock`] when the clock shows no possible time, [`TlsError::Issue`] and [`TlsError::Library`]
    /// when the TLS library fails.
    pub fn derived(secret: &ClusterSecret, node_id: u64, clock: Arc<dyn Clock>) -> Result<NodeTls, TlsError> {
        NodeTls::new(Source::Derived(Box::new(Authority::derived(secret)?)), node_id, clock)
    }

    /// The identity and the authorities in these files.
    ///
    /// # Errors
    /// [`TlsError`] names the file that is missing, malformed or doesn't fit the others, and the name that the
    /// certificate must carry.
    pub fn from_files(files: PkiFiles, node_id: u64, clock: Arc<dyn Clock>) -> Result<NodeTls, TlsError> {
        NodeTls::new(Source::Files(files), node_id, clock)
    }

    fn new(source: Source, node_id: u64, clock: Arc<dyn Clock>) -> Result<NodeTls, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let live = Live::new(source.credentials(node_id, &*clock)?);
        let time: Arc<dyn TimeProvider> = Arc::new(PortTime(Arc::clone(&clock)));
        let server = server_config(&live, Arc::clone(&provider), Arc::clone(&time))?;
        let client = client_config(&live, provider, time)?;
        Ok(NodeTls { node_id, clock, source, live, server, client })
    }

    /// For the side that is called: TLS 1.3, HTTP/2, and no caller without a certificate. Follows each renewal.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For the side that calls: TLS 1.3, HTTP/2, with this node's certificate. Use it with [`server_name`] of
    /// the node that is dialled: any other name is refused. Follows each renewal.
    ///
    /// [`server_name`]: NodeTls::server_name
    #[must_use]
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The name that the certificate of node `peer` must carry, whatever address it is dialled at.
    #[must_use]
    pub fn server_name(peer: u64) -> ServerName<'static> {
        name::server_name(peer)
    }

    /// Takes a new certificate if the derived one is due, or what the files say now if they were changed. What
    /// can't be used is not taken: the node goes on with what it has.
    ///
    /// # Errors
    /// Those of [`NodeTls::derived`] and [`NodeTls::from_files`].
    pub fn renew(&self) -> Result<Renewal, TlsError> {
        let current = self.live.current();
        if matches!(self.source, Source::Derived(_)) && !current.is_due(self.clock.now()) {
            return Ok(Renewal::NotDue);
        }
        let next = self.source.credentials(self.node_id, &*self.clock)?;
        if next.shows_the_same_as(&current) {
            return Ok(Renewal::NotDue);
        }
        self.live.replace(next);
        Ok(Renewal::Renewed)
    }

    /// Renews for ever, so that no certificate in use expires. A failure is logged and tried again. The node
    /// spawns it and aborts it at its end.
    pub async fn renew_when_due(self: Arc<Self>) {
        loop {
            tokio::time::sleep(RENEWAL_CHECK_INTERVAL).await;
            let own = Arc::clone(&self);
            // Files may lie on a slow disk; consensus must not wait for it.
            match tokio::task::spawn_blocking(move || own.renew()).await {
                Ok(Ok(Renewal::NotDue)) => {}
                Ok(Ok(Renewal::Renewed)) => tracing::info!(node = self.node_id, "node certificate renewed"),
                Ok(Err(error)) => tracing::warn!(node = self.node_id, %error, "node certificate not renewed"),
                // The runtime is shutting down.
                Err(_) => return,
            }
        }
    }
}

/// Shows no key.
impl fmt::Debug for NodeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeTls").field("node_id", &self.node_id).finish_non_exhaustive()
    }
}

impl Source {
    fn credentials(&self, node_id: u64, clock: &dyn Clock) -> Result<credentials::Credentials, TlsError> {
        match self {
            Source::Derived(authority) => authority.issue(node_id, clock.now()),
            Source::Files(files) => files.read(node_id, clock.now()),
        }
    }
}

fn server_config(
    live: &Live,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Library)?
        .with_client_cert_verifier(Arc::new(live.clone()))
        .with_cert_resolver(Arc::new(live.clone()));
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    // A resumed session shows no certificate, so that it would outlive the one it began with.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

fn client_config(
    live: &Live,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])
        .map_err(TlsError::Library)?
        // Not less strict than the library's own verifier, which it asks first: see `live.rs`.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(live.clone()))
        .with_client_cert_resolver(Arc::new(live.clone()));
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    // A node has one name: it needs no telling which is meant, and an onlooker needs none either.
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The house's clock for the TLS library.
struct PortTime(Arc<dyn Clock>);

impl TimeProvider for PortTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(credentials::unix_time(self.0.now()))
    }
}

impl fmt::Debug for PortTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PortTime")
    }
}
