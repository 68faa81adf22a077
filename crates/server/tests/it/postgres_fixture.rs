//! A target as a secret describes it, and what the tests of PostgreSQL have in common.

use std::path::Path;
use std::sync::Arc;

use hyperion_vault_core::target::{DatabaseIdentifier, Target, TargetText};
use hyperion_vault_crypto::Plaintext;
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::target::postgres::PostgresTarget;
use hyperion_vault_server::target::{CredentialTarget, Login, Proof, TargetFault};

use crate::postgres_server::{Server, quoted};

/// The role whose password rotates.
pub(crate) const APP: &str = "app";
pub(crate) const FIRST_PASSWORD: &str = "the first password";
/// The account that rotates it.
pub(crate) const ROTATOR: &str = "rotator";
pub(crate) const ROTATOR_PASSWORD: &str = "the rotator's own";

/// A server with both roles.
pub(crate) fn server() -> Server {
    let server = Server::start();
    create_roles(&server);
    server
}

pub(crate) fn create_roles(server: &Server) {
    server.sql(&format!("CREATE ROLE {APP} LOGIN PASSWORD '{FIRST_PASSWORD}'"));
    let password = ROTATOR_PASSWORD.replace('\'', "''");
    server.sql(&format!("CREATE ROLE {ROTATOR} LOGIN CREATEROLE PASSWORD '{password}'"));
}

/// Hosts that are asked, and how.
pub(crate) struct Described {
    pub(crate) kind: &'static str,
    pub(crate) hosts: Vec<String>,
    pub(crate) sslmode: &'static str,
    pub(crate) database: &'static str,
    pub(crate) vault: PostgresTarget,
}

impl Described {
    pub(crate) fn of(servers: &[&Server]) -> Described {
        Described::at(servers.iter().map(|server| server.host()).collect())
    }

    pub(crate) fn at(hosts: Vec<String>) -> Described {
        Described { kind: "postgres", hosts, sslmode: "disable", database: "postgres", vault: vault(None) }
    }

    pub(crate) fn target(&self) -> Target {
        let text = TargetText {
            kind: self.kind,
            hosts: &self.hosts,
            database: Some(self.database),
            sslmode: Some(self.sslmode),
            ..TargetText::default()
        };
        Target::parse(&text).unwrap()
    }

    /// As the account that is there for it.
    pub(crate) async fn apply(&self, role: &str, password: &str) -> Result<(), TargetFault> {
        self.apply_as((ROTATOR, ROTATOR_PASSWORD), role, password).await
    }

    pub(crate) async fn apply_as(
        &self,
        (username, login): (&str, &str),
        role: &str,
        password: &str,
    ) -> Result<(), TargetFault> {
        let login = Login { username: identifier(username), password: plaintext(login) };
        self.vault.apply(&self.target(), &login, &identifier(role), &plaintext(password)).await
    }

    pub(crate) async fn prove(&self, role: &str, password: &str) -> Result<Proof, TargetFault> {
        self.vault.prove(&self.target(), &identifier(role), &plaintext(password)).await
    }
}

pub(crate) fn vault(authorities: Option<&Path>) -> PostgresTarget {
    PostgresTarget::new(Arc::new(OsEntropy), authorities).unwrap()
}

pub(crate) fn identifier(name: &str) -> DatabaseIdentifier {
    DatabaseIdentifier::parse(name).unwrap()
}

pub(crate) fn plaintext(text: &str) -> Plaintext {
    Plaintext::from(text.to_owned())
}

pub(crate) fn create_role(server: &Server, role: &str) {
    server.sql(&format!("CREATE ROLE {} LOGIN PASSWORD '{FIRST_PASSWORD}'", quoted(role)));
}
