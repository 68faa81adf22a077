//! What each `sslmode` takes for the server that a password belongs to.

use std::path::PathBuf;
use std::sync::Arc;

use hyperion_vault_core::rotation::RotationFault;
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::target::Proof;
use hyperion_vault_server::target::postgres::{AuthoritiesError, PostgresTarget};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ED25519, SignatureAlgorithm,
};
use tempfile::TempDir;

use crate::postgres_between::Between;
use crate::postgres_fixture::{APP, Described, FIRST_PASSWORD, create_roles, vault};
use crate::postgres_server::{Identity, Server};

/// The one name in the server's certificate. By address it is another.
const NAME: &str = "localhost";

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Authority {
        Authority::with(&PKCS_ECDSA_P256_SHA256)
    }

    fn with(algorithm: &'static SignatureAlgorithm) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate_for(algorithm).unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, dir }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A server that has a certificate of this authority.
    fn server(&self) -> Server {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity { certificate: &certificate.pem(), key: &key.serialize_pem() };
        let server = Server::with("", Some(identity));
        create_roles(&server);
        server
    }
}

fn described(server: &Server, host: &str, sslmode: &'static str, trusted: Option<&Authority>) -> Described {
    let authorities = trusted.map(Authority::file);
    let vault = vault(authorities.as_deref());
    Described { sslmode, vault, ..Described::at(vec![format!("{host}:{}", server.port())]) }
}

/// Whether the last login as the role that rotates went over TLS.
fn was_over_tls(server: &Server) -> bool {
    let log = server.log();
    let mut logins = log.lines().filter(|line| line.contains("connection authorized: user=rotator"));
    logins.next_back().unwrap().contains("SSL enabled")
}

#[tokio::test]
async fn a_certificate_has_to_be_of_an_authority_and_for_the_name_as_the_mode_says() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.server();
    for (sslmode, host, trusted, takes) in [
        ("verify-full", NAME, &authority, true),
        ("verify-full", "127.0.0.1", &authority, false),
        ("verify-full", NAME, &stranger, false),
        ("verify-ca", NAME, &authority, true),
        ("verify-ca", "127.0.0.1", &authority, true),
        ("verify-ca", "127.0.0.1", &stranger, false),
        ("require", "127.0.0.1", &stranger, true),
    ] {
        let database = described(&server, host, sslmode, Some(trusted));
        let applied = database.apply(APP, "second").await;
        assert_eq!(applied.is_ok(), takes, "{sslmode} {host} {applied:?}");
        if takes {
            assert!(was_over_tls(&server));
            assert_eq!(database.prove(APP, "second").await, Ok(Proof::Accepted));
        } else {
            let fault = applied.unwrap_err();
            assert_eq!(fault.fault, RotationFault::Tls);
            let said = format!("no TLS with {host}:{} as sslmode asks for it", server.port());
            assert_eq!(fault.detail, said);
        }
    }
}

#[tokio::test]
async fn verifying_takes_authorities() {
    let authority = Authority::new();
    let server = authority.server();
    for sslmode in ["verify-ca", "verify-full"] {
        let fault = described(&server, NAME, sslmode, None).apply(APP, "second").await.unwrap_err();
        assert_eq!(fault.fault, RotationFault::Tls);
        assert!(fault.detail.contains("need the file of authorities"), "{}", fault.detail);
    }
}

#[tokio::test]
async fn without_tls_at_the_server_only_prefer_and_disable_go_on() {
    let server = Server::start();
    create_roles(&server);
    for (sslmode, takes) in [("disable", true), ("prefer", true), ("require", false)] {
        let database = described(&server, NAME, sslmode, None);
        assert_eq!(database.apply(APP, FIRST_PASSWORD).await.is_ok(), takes, "{sslmode}");
        assert_eq!(database.prove(APP, FIRST_PASSWORD).await.is_ok(), takes, "{sslmode}");
    }
}

#[tokio::test]
async fn with_tls_at_the_server_only_disable_goes_without() {
    let server = Authority::new().server();
    for (sslmode, over_tls) in [("disable", false), ("prefer", true), ("require", true)] {
        described(&server, NAME, sslmode, None).apply(APP, "second").await.unwrap();
        assert_eq!(was_over_tls(&server), over_tls, "{sslmode}");
    }
}

/// Whoever stands in between with a certificate of his own can pass messages on, but not those of SCRAM: they are
/// bound to the server's certificate.
#[tokio::test]
async fn require_finds_out_whoever_stands_in_between_without_any_authority() {
    let authority = Authority::new();
    let server = authority.server();
    let between = Between::start(server.port(), authority.issuer.der().clone()).await;
    let database =
        Described { sslmode: "require", ..Described::at(vec![format!("{NAME}:{}", between.port())]) };
    let fault = database.apply(APP, "second").await.unwrap_err();
    assert_eq!(fault.fault, RotationFault::LoginRefused, "{fault}");
    assert!(database.prove(APP, FIRST_PASSWORD).await.is_err());
    assert!(server.lets_in(APP, FIRST_PASSWORD));

    let careless = Described { sslmode: "prefer", ..database };
    assert!(careless.prove(APP, FIRST_PASSWORD).await.is_err(), "SCRAM is bound wherever it can be");
}

/// Ed25519 signs without a hash that could be told apart, and so there is none to bind the login with.
#[tokio::test]
async fn a_server_that_cannot_bind_the_login_to_its_certificate_needs_a_verified_one() {
    let authority = Authority::with(&PKCS_ED25519);
    let server = authority.server();
    let required = described(&server, NAME, "require", None).apply(APP, "second").await.unwrap_err();
    assert_eq!(required.fault, RotationFault::Tls);
    assert!(required.detail.contains("did not show, by SCRAM"), "{}", required.detail);
    described(&server, NAME, "verify-full", Some(&authority)).apply(APP, "second").await.unwrap();
    assert!(server.lets_in(APP, "second"));
}

#[test]
fn a_file_that_holds_no_authority_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authorities.pem");
    let refused = || PostgresTarget::new(Arc::new(OsEntropy), Some(&path));
    assert!(matches!(refused(), Err(AuthoritiesError::Unreadable { .. })));
    for (text, said) in [("", "holds no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n", "is not PEM")]
    {
        std::fs::write(&path, text).unwrap();
        let error = refused().err().unwrap().to_string();
        assert!(error.contains(said) && error.contains("authorities.pem"), "{error}");
    }
}
