//! What a node shows in a handshake and whom it believes, at one time.

use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::time::Timestamp;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;

use super::authority::LEAF_RENEWED_AFTER;
use super::error::TlsError;

/// An identity, and the verifiers of the others'. Never changed, only replaced.
pub(super) struct Credentials {
    made: Timestamp,
    roots: Arc<RootCertStore>,
    pub(super) identity: Arc<CertifiedKey>,
    pub(super) callers: Arc<dyn ClientCertVerifier>,
    pub(super) called: Arc<WebPkiServerVerifier>,
}

impl Credentials {
    /// `roots` holds at least one authority.
    pub(super) fn new(
        identity: CertifiedKey,
        roots: RootCertStore,
        made: Timestamp,
    ) -> Result<Credentials, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(roots);
        let callers =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider)).build();
        let called = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider).build();
        let unverifiable = |error| TlsError::Library(rustls::Error::General(format!("{error}")));
        Ok(Credentials {
            made,
            roots,
            identity: Arc::new(identity),
            callers: callers.map_err(unverifiable)?,
            called: called.map_err(unverifiable)?,
        })
    }

    /// Whether an issued certificate is old enough to be replaced. Or young enough: a clock that was set back
    /// would otherwise be ahead of its certificate for longer than the certificate allows for.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        let age = now.ms_since(self.made).max(self.made.ms_since(now));
        Duration::from_millis(age) >= LEAF_RENEWED_AFTER
    }

    /// Whether to replace one with the other would change nothing for anybody.
    pub(super) fn shows_the_same_as(&self, other: &Credentials) -> bool {
        self.identity.cert == other.identity.cert && self.roots.roots == other.roots.roots
    }
}

/// The same point in time as the TLS library takes it, in whole seconds.
pub(super) fn unix_time(time: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(time.as_unix_ms()))
}
