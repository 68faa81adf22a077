//! Who gets through a handshake, who doesn't, and what a renewal changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyperion_vault_core::ports::Clock;
use hyperion_vault_core::time::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS12;
use rustls::{ClientConfig, ServerConfig};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::authority::Authority;
use super::credentials::Credentials;
use super::live::Live;
use super::{ClusterSecret, NodeTls, PkiFiles, Renewal, TlsError, node_name, peer_node_id};

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// 2026-11-01, noon.
const NOON: u64 = 1_793_534_400_000;

/// A clock that shows what it is told to.
struct SetClock(AtomicU64);

impl SetClock {
    fn at(unix_ms: u64) -> Arc<SetClock> {
        Arc::new(SetClock(AtomicU64::new(unix_ms)))
    }

    fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn set_back(&self, ms: u64) {
        self.0.fetch_sub(ms, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::Relaxed))
    }
}

fn secret() -> ClusterSecret {
    ClusterSecret::from_text(b"correct horse battery staple").unwrap()
}

fn other_secret() -> ClusterSecret {
    ClusterSecret::from_text(b"incorrect horse battery staple").unwrap()
}

fn node(node_id: u64, clock: &Arc<SetClock>) -> NodeTls {
    NodeTls::derived(&secret(), node_id, Arc::<SetClock>::clone(clock)).unwrap()
}

/// Both ends of a connection over which a byte went each way.
struct Meeting {
    caller: client::TlsStream<DuplexStream>,
    called: server::TlsStream<DuplexStream>,
}

impl Meeting {
    /// Who called, as the called node sees it.
    fn caller_id(&self) -> Option<u64> {
        peer_node_id(self.called.get_ref().1.peer_certificates().unwrap())
    }

    /// Who was called, as the caller sees it.
    fn called_id(&self) -> Option<u64> {
        peer_node_id(self.shown_by_called())
    }

    fn shown_by_called(&self) -> &[CertificateDer<'static>] {
        self.caller.get_ref().1.peer_certificates().unwrap()
    }

    async fn talk(&mut self) -> io::Result<()> {
        self.caller.write_all(b"?").await?;
        self.caller.flush().await?;
        assert_eq!(self.called.read_u8().await?, b'?');
        self.called.write_all(b"!").await?;
        self.called.flush().await?;
        assert_eq!(self.caller.read_u8().await?, b'!');
        Ok(())
    }
}

/// Dials `name` and is answered by `called`; the first error of either end.
async fn meet_as(
    caller: Arc<ClientConfig>,
    called: Arc<ServerConfig>,
    name: ServerName<'static>,
) -> io::Result<Meeting> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (caller, called) =
        tokio::join!(async { TlsConnector::from(caller).connect(name, near).await }, async {
            TlsAcceptor::from(called).accept(far).await
        });
    // The end that refuses says why; the other hears an alert, or that the line is cut.
    let (caller, called) = match (caller, called) {
        (Ok(caller), Ok(called)) => (caller, called),
        (Err(error), Err(alert)) => return Err(if is_alert(&error) { alert } else { error }),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let mut meeting = Meeting { caller, called };
    meeting.talk().await?;
    Ok(meeting)
}

fn is_alert(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, None | Some(rustls::Error::AlertReceived(_)))
}

async fn meet(caller: &NodeTls, called: &NodeTls, dialled: u64) -> io::Result<Meeting> {
    meet_as(caller.client_config(), called.server_config(), NodeTls::server_name(dialled)).await
}

/// Why the two didn't meet.
async fn refusal(caller: &NodeTls, called: &NodeTls, dialled: u64) -> String {
    let refused = meet(caller, called, dialled).await.map(|_| "met");
    refused.expect_err("a stranger was let in").to_string()
}

fn shown(tls: &NodeTls) -> CertificateDer<'static> {
    tls.live.current().identity.cert[0].clone()
}

mod derived {
    use super::*;

    #[test]
    fn the_authority_of_a_secret_is_the_same_bytes_on_every_node() {
        let certificate = |secret| Authority::derived(&secret).unwrap().certificate.clone();
        assert_eq!(certificate(secret()), certificate(secret()));
        assert_ne!(certificate(secret()), certificate(other_secret()));
    }

    /// Computed with Python's `hmac` and `cryptography`. When this changes, members of two releases no longer
    /// know each other.
    #[test]
    fn the_authority_of_a_secret_is_the_same_key_in_every_release() {
        let public_key = |secret| hex::encode(Authority::derived(&secret).unwrap().key.public_key_raw());
        assert_eq!(public_key(secret()), "30d935e7524af19d5344eb9e8f0ce36eda5ff0292cf958c0a975400a98a464b8");
        let bytes = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(
            public_key(ClusterSecret::from_bytes(&bytes)),
            "a585db391cdefff40b146465776173a8f3f3f59972e69d6f10a535d447873b44"
        );
    }

    #[test]
    fn a_short_text_is_no_secret() {
        assert!(ClusterSecret::from_text(&[b'x'; 16]).is_ok());
        let error = ClusterSecret::from_text(&[b'x'; 15]).map(|_| "taken").unwrap_err();
        assert_eq!(error.to_string(), "the cluster secret is shorter than 16 bytes");
    }

    #[tokio::test]
    async fn members_meet_and_each_knows_which_node_the_other_is() {
        let clock = SetClock::at(NOON);
        let meeting = meet(&node(2, &clock), &node(3, &clock), 3).await.unwrap();
        assert_eq!((meeting.caller_id(), meeting.called_id()), (Some(2), Some(3)));
        assert_eq!(meeting.caller.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let version = meeting.called.get_ref().1.protocol_version();
        assert_eq!(version, Some(rustls::ProtocolVersion::TLSv1_3));
    }

    #[tokio::test]
    async fn members_of_another_cluster_are_refused_whoever_calls() {
        let clock = SetClock::at(NOON);
        let member = node(2, &clock);
        let stranger = NodeTls::derived(&other_secret(), 3, Arc::<SetClock>::clone(&clock)).unwrap();
        // Each is told by its own verifier, so both directions of distrust are seen.
        assert!(refusal(&member, &stranger, 3).await.contains("invalid peer certificate"));
        assert!(refusal(&stranger, &member, 2).await.contains("invalid peer certificate"));
        let credulous = credulous_client(Some(&stranger));
        let refused = meet_as(credulous, member.server_config(), NodeTls::server_name(2)).await;
        let refused = refused.map(|_| "met").expect_err("a stranger's certificate was believed");
        assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
    }

    #[tokio::test]
    async fn a_caller_without_a_certificate_is_refused() {
        let member = node(2, &SetClock::at(NOON));
        let refused = meet_as(credulous_client(None), member.server_config(), NodeTls::server_name(2)).await;
        let refused = refused.map(|_| "met").expect_err("nobody was let in");
        assert!(refused.to_string().contains("sent no certificates"), "{refused}");
    }

    #[tokio::test]
    async fn another_member_than_the_one_that_was_dialled_is_refused() {
        let clock = SetClock::at(NOON);
        let refused = refusal(&node(1, &clock), &node(3, &clock), 2).await;
        assert!(refused.contains("node-2.hyperion-vault.internal"), "{refused}");
    }

    #[tokio::test]
    async fn tls_1_2_is_refused() {
        let member = node(2, &SetClock::at(NOON));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let old = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS12])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Credulous))
            .with_no_client_auth();
        let refused = meet_as(Arc::new(old), member.server_config(), NodeTls::server_name(2)).await;
        assert!(refused.is_err());
    }

    #[tokio::test]
    async fn clocks_may_differ_by_hours() {
        let (slow, fast) = (node(1, &SetClock::at(NOON)), node(2, &SetClock::at(NOON + 11 * HOUR_MS)));
        meet(&slow, &fast, 2).await.unwrap();
        meet(&fast, &slow, 1).await.unwrap();
    }

    #[test]
    fn a_clock_past_all_dates_gives_an_error() {
        for unix_ms in [0, 1] {
            node(1, &SetClock::at(unix_ms));
        }
        let clock = SetClock::at(u64::MAX);
        let refused = NodeTls::derived(&secret(), 1, clock);
        assert!(matches!(refused, Err(TlsError::Clock)));
    }
}

mod renewal {
    use super::*;

    #[tokio::test]
    async fn an_expired_certificate_is_refused_and_a_renewed_one_is_not() {
        let clock = SetClock::at(NOON);
        let late = node(1, &clock);
        clock.advance(25 * HOUR_MS);
        let member = node(2, &clock);
        assert!(refusal(&late, &member, 2).await.contains("expired"));
        assert!(refusal(&member, &late, 1).await.contains("expired"));
        assert_eq!(late.renew().unwrap(), Renewal::Renewed);
        meet(&late, &member, 2).await.unwrap();
        meet(&member, &late, 1).await.unwrap();
    }

    #[tokio::test]
    async fn new_handshakes_show_the_new_certificate_and_open_connections_stay() {
        let clock = SetClock::at(NOON);
        let (caller, called) = (node(1, &clock), node(2, &clock));
        let (caller_config, called_config) = (caller.client_config(), called.server_config());
        let mut open = meet(&caller, &called, 2).await.unwrap();
        let before = shown(&called);
        clock.advance(8 * HOUR_MS);
        assert_eq!(called.renew().unwrap(), Renewal::Renewed);
        assert_eq!(caller.renew().unwrap(), Renewal::Renewed);
        // Configurations that were taken before the renewal follow it.
        let new = meet_as(caller_config, called_config, NodeTls::server_name(2)).await.unwrap();
        assert_eq!(open.shown_by_called()[0], before);
        assert_eq!(new.shown_by_called()[0], shown(&called));
        assert_eq!(new.called.get_ref().1.peer_certificates().unwrap()[0], shown(&caller));
        assert_ne!(shown(&called), before);
        open.talk().await.unwrap();
    }

    #[test]
    fn a_certificate_is_due_after_eight_hours_or_when_the_clock_was_set_back_as_much() {
        let clock = SetClock::at(NOON);
        let tls = node(1, &clock);
        clock.advance(8 * HOUR_MS - 1);
        assert_eq!(tls.renew().unwrap(), Renewal::NotDue);
        clock.advance(1);
        assert_eq!(tls.renew().unwrap(), Renewal::Renewed);
        assert_eq!(tls.renew().unwrap(), Renewal::NotDue);
        clock.set_back(8 * HOUR_MS);
        assert_eq!(tls.renew().unwrap(), Renewal::Renewed);
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_renews_by_the_wall_clock() {
        let clock = SetClock::at(NOON);
        let tls = Arc::new(node(1, &clock));
        let before = shown(&tls);
        let renewing = tokio::spawn(Arc::clone(&tls).renew_when_due());
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(shown(&tls), before, "renewed though its clock stood still");
        clock.advance(9 * HOUR_MS);
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_ne!(shown(&tls), before);
        renewing.abort();
    }
}

mod own_pki {
    use super::*;

    /// An operator's authority.
    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Writes what `authority` issues for `names` into `folder`.
    fn issue(folder: &Path, authority: &CertifiedIssuer<'static, KeyPair>, names: &[&str]) -> PkiFiles {
        issue_until(folder, authority, names, 2100)
    }

    fn issue_until(
        folder: &Path,
        authority: &CertifiedIssuer<'static, KeyPair>,
        names: &[&str],
        year: i32,
    ) -> PkiFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let files = files(folder);
        let certificate = params.signed_by(&key, authority).unwrap();
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        fs::write(&files.authority, authority.pem()).unwrap();
        files
    }

    fn files(folder: &Path) -> PkiFiles {
        PkiFiles {
            certificate: folder.join("node.crt"),
            key: folder.join("node.key"),
            authority: folder.join("authority.crt"),
        }
    }

    fn from(files: PkiFiles, node_id: u64) -> Result<NodeTls, TlsError> {
        NodeTls::from_files(files, node_id, SetClock::at(NOON))
    }

    fn error_of(files: PkiFiles) -> String {
        from(files, 1).expect_err("these files were taken").to_string()
    }

    #[tokio::test]
    async fn members_meet_under_the_operators_authority() {
        let (folder, authority) = (TempDir::new().unwrap(), authority());
        let one = from(issue(folder.path(), &authority, &[&node_name(1)]), 1).unwrap();
        // The name under which people know the machine may stand beside.
        let names = ["vault-2.example.com", &node_name(2)];
        let two = from(issue(folder.path(), &authority, &names), 2).unwrap();
        let meeting = meet(&one, &two, 2).await.unwrap();
        assert_eq!((meeting.caller_id(), meeting.called_id()), (Some(1), Some(2)));
    }

    #[test]
    fn a_certificate_that_is_not_for_this_node_alone_is_refused_with_the_name_that_it_must_have() {
        let (folder, authority) = (TempDir::new().unwrap(), authority());
        let (one, two) = (node_name(1), node_name(2));
        let all: [&[&str]; 4] =
            [&["vault-1.example.com"], &[&two], &[&one, &two], &["*.hyperion-vault.internal"]];
        for names in all {
            let error = error_of(issue(folder.path(), &authority, names));
            assert!(error.contains("must carry the DNS name node-1.hyperion-vault.internal"), "{error}");
            assert!(error.contains("node.crt"), "{error}");
        }
    }

    #[test]
    fn a_certificate_that_no_member_would_believe_is_refused_at_once() {
        let (folder, own) = (TempDir::new().unwrap(), authority());
        let expired = issue_until(folder.path(), &own, &[&node_name(1)], 2026);
        assert!(error_of(expired).contains("expired"));
        let files = issue(folder.path(), &own, &[&node_name(1)]);
        fs::write(&files.authority, authority().pem()).unwrap();
        assert!(error_of(files).contains("is not valid under"));
    }

    #[test]
    fn files_that_are_missing_malformed_or_of_two_pairs_are_named() {
        let (folder, authority) = (TempDir::new().unwrap(), authority());
        let issued = || issue(folder.path(), &authority, &[&node_name(1)]);
        assert!(error_of(PkiFiles { key: folder.path().join("absent"), ..issued() }).contains("absent"));
        let swapped = PkiFiles { key: files(folder.path()).certificate, ..issued() };
        assert!(error_of(swapped).contains("node.crt holds no private key"));
        let swapped = PkiFiles { authority: files(folder.path()).key, ..issued() };
        assert!(error_of(swapped).contains("node.key holds no certificate"));
        let files = issued();
        fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert!(error_of(files).contains("don't make a TLS identity"));
    }

    /// Even if the authority is careless: what it may sign and what a member believes are two things.
    #[tokio::test]
    async fn a_wildcard_and_a_certificate_of_two_nodes_are_refused_by_the_others() {
        let (folder, authority) = (TempDir::new().unwrap(), authority());
        let (one, two, three) = (node_name(1), node_name(2), node_name(3));
        let member = from(issue(folder.path(), &authority, &[&one]), 1).unwrap();
        let all: [&[&str]; 2] = [&["*.hyperion-vault.internal"], &[&two, &three]];
        for names in all {
            let impostor = from(issue(folder.path(), &authority, &[&two]), 2).unwrap();
            show(&impostor, &issue(folder.path(), &authority, names));
            assert!(refusal(&member, &impostor, 2).await.contains("ApplicationVerificationFailure"));
            assert!(refusal(&impostor, &member, 1).await.contains("ApplicationVerificationFailure"));
        }
    }

    /// Makes `tls` show the certificate of `files`, which it would refuse to take by itself.
    fn show(tls: &NodeTls, files: &PkiFiles) {
        tls.live.replace(unchecked(files));
    }

    fn unchecked(files: &PkiFiles) -> Credentials {
        let (identity, roots) = (files.read_identity().unwrap(), files.read_roots().unwrap());
        Credentials::new(identity, roots, Timestamp::from_unix_ms(NOON)).unwrap()
    }

    #[tokio::test]
    async fn changed_files_are_taken_once_they_fit_together() {
        let (folder, old) = (TempDir::new().unwrap(), authority());
        let files = issue(folder.path(), &old, &[&node_name(1)]);
        let tls = from(files.clone(), 1).unwrap();
        assert_eq!(tls.renew().unwrap(), Renewal::NotDue);

        let new = authority();
        let renewed_elsewhere = TempDir::new().unwrap();
        let next = issue(renewed_elsewhere.path(), &new, &[&node_name(1)]);
        let peer_folder = TempDir::new().unwrap();
        let peer = from(issue(peer_folder.path(), &new, &[&node_name(2)]), 2).unwrap();
        let before = shown(&tls);
        fs::copy(&next.certificate, &files.certificate).unwrap();
        assert!(tls.renew().is_err(), "a certificate was taken without its key");
        fs::copy(&next.key, &files.key).unwrap();
        assert!(tls.renew().is_err(), "a certificate was taken that the authorities don't vouch for");
        assert_eq!(shown(&tls), before);
        refusal(&peer, &tls, 1).await;

        fs::copy(&next.authority, &files.authority).unwrap();
        assert_eq!(tls.renew().unwrap(), Renewal::Renewed);
        meet(&peer, &tls, 1).await.unwrap();
        meet(&tls, &peer, 2).await.unwrap();
    }
}

/// A client that believes whoever answers, so that the other end is the one to refuse.
fn credulous_client(identity: Option<&NodeTls>) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous));
    let mut config = match identity {
        Some(tls) => config.with_client_cert_resolver(Arc::new(Live::clone(&tls.live))),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

#[derive(Debug)]
struct Credulous;

impl rustls::client::danger::ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
