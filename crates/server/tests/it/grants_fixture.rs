//! A vault with roles and tokens, on a disk that somebody else can write, with key management that does as it is told.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hyperion_vault_core::allowlist::Allowlist;
use hyperion_vault_core::name::{RoleName, SecretName, TokenName};
use hyperion_vault_core::policy::{Action as Right, AdminPermit, PathPattern, Principal, Role, Rule};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_crypto::{DataKey, EncryptionContext, MasterKey};
use hyperion_vault_kms::{
    CurrentKey, GeneratedDataKey, KeyProvider, KmsError, LocalProvider, Outage, WrappedDataKey,
};
use hyperion_vault_server::access::{Access, TokenUses};
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::audit::{AuditConfig, AuditLog, Record};
use hyperion_vault_server::bootstrap::FirstWork;
use hyperion_vault_server::config::{ReadAuth, SecretText};
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::grants::Grants;
use hyperion_vault_server::readiness::Readiness;
use hyperion_vault_server::replica::Replica;
use hyperion_vault_server::request_id::RequestIds;
use hyperion_vault_server::roles::{NewRole, Roles};
use hyperion_vault_server::sealing::Sealing;
use hyperion_vault_server::tokens::{NewToken, Tokens};
use hyperion_vault_server::trail::Trail;
use hyperion_vault_server::worker::GrantCheck;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::audit_fixture::{SetClock, log_path, open, records};
use crate::disk_fixture::Disk;

/// The bootstrap token.
pub(crate) const ADMIN: &str = "hvt_the-bootstrap-token-of-the-tests";
pub(crate) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 1));

/// Key management that answers as it is told, with the master key it is given.
pub(crate) struct Kms {
    provider: Mutex<Arc<LocalProvider>>,
    says_no: Mutex<Option<KmsError>>,
}

impl Kms {
    /// `number` tells master keys apart.
    pub(crate) fn with_master_key(number: u8) -> Arc<Kms> {
        let kms = Kms { provider: Mutex::new(Arc::new(provider(number))), says_no: Mutex::default() };
        Arc::new(kms)
    }

    /// The operator mends what he had set wrong.
    pub(crate) fn use_master_key(&self, number: u8) {
        *self.provider.lock().unwrap() = Arc::new(provider(number));
    }

    pub(crate) fn goes_away(&self) {
        let detail = "nobody answers".to_owned();
        *self.says_no.lock().unwrap() = Some(KmsError::Unavailable { outage: Outage::Unreachable, detail });
    }

    pub(crate) fn is_back(&self) {
        *self.says_no.lock().unwrap() = None;
    }

    fn answering(&self) -> Result<Arc<LocalProvider>, KmsError> {
        match &*self.says_no.lock().unwrap() {
            Some(no) => Err(no.clone()),
            None => Ok(Arc::clone(&self.provider.lock().unwrap())),
        }
    }
}

fn provider(number: u8) -> LocalProvider {
    LocalProvider::new(MasterKey::from_bytes(&[number; 32]), Vec::new(), Arc::new(OsEntropy))
}

#[async_trait]
impl KeyProvider for Kms {
    async fn generate_data_key(&self, context: &EncryptionContext) -> Result<GeneratedDataKey, KmsError> {
        self.answering()?.generate_data_key(context).await
    }

    async fn unwrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<DataKey, KmsError> {
        self.answering()?.unwrap_data_key(wrapped, context).await
    }

    async fn rewrap_data_key(
        &self,
        wrapped: &WrappedDataKey,
        context: &EncryptionContext,
    ) -> Result<WrappedDataKey, KmsError> {
        self.answering()?.rewrap_data_key(wrapped, context).await
    }

    async fn current_key(&self) -> Result<CurrentKey, KmsError> {
        self.answering()?.current_key().await
    }

    async fn health(&self) -> Result<(), KmsError> {
        self.answering().map(|_| ())
    }
}

/// A node's disks, and the key management that it turns to.
pub(crate) struct World {
    pub(crate) disk: Arc<Disk>,
    pub(crate) kms: Arc<Kms>,
    audit: Arc<AuditLog>,
    audit_path: PathBuf,
    _dir: TempDir,
}

impl World {
    pub(crate) fn new() -> World {
        let dir = TempDir::new().unwrap();
        let audit_path = log_path(dir.path());
        World {
            disk: Arc::new(Disk::default()),
            kms: Kms::with_master_key(1),
            audit: Arc::new(open(&AuditConfig::at(&audit_path))),
            audit_path,
            _dir: dir,
        }
    }

    /// A start of the node's process.
    pub(crate) fn node(&self) -> Node {
        let (disk, keys) = (Arc::clone(&self.disk), Arc::clone(&self.kms) as Arc<dyn KeyProvider>);
        let replica = Arc::new(Replica::new(disk, SetClock::new()));
        let (grants, request_ids) = (Arc::new(Grants::default()), RequestIds::new(Arc::new(OsEntropy)));
        let sealing = Arc::new(Sealing::new(Arc::clone(&keys), Arc::new(OsEntropy)));
        let audit = || Arc::clone(&self.audit);
        let access = |read_auth| {
            let readers = Allowlist::parse("127.0.0.0/8").unwrap();
            let uses = Arc::new(TokenUses::default());
            Access::new(Arc::clone(&replica), Arc::clone(&grants), readers, read_auth, uses)
        };
        Node {
            access: access(ReadAuth::None),
            access_by_token: access(ReadAuth::Token),
            roles: Roles::new(Arc::clone(&replica), Arc::clone(&grants)),
            tokens: Tokens::new(Arc::clone(&replica), Arc::clone(&sealing), Arc::clone(&grants)),
            check: GrantCheck::new(Arc::clone(&replica), Arc::clone(&grants), audit(), request_ids.clone()),
            readiness: Readiness::new(Arc::clone(&replica), Arc::clone(&grants), sealing, audit()),
            audit: audit(),
            keys,
            request_ids,
            replica,
            grants,
        }
    }

    /// A start that has come to its end.
    pub(crate) async fn started(&self) -> Node {
        let node = self.node();
        node.first_work().done().await.unwrap();
        node
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        records(&self.audit_path)
    }
}

pub(crate) struct Node {
    pub(crate) replica: Arc<Replica>,
    pub(crate) grants: Arc<Grants>,
    pub(crate) access: Access,
    /// As with `VAULT_READ_AUTH=token`.
    pub(crate) access_by_token: Access,
    pub(crate) roles: Roles,
    pub(crate) tokens: Tokens,
    pub(crate) check: GrantCheck,
    pub(crate) readiness: Readiness,
    audit: Arc<AuditLog>,
    keys: Arc<dyn KeyProvider>,
    request_ids: RequestIds,
}

impl Node {
    pub(crate) fn first_work(&self) -> FirstWork {
        FirstWork {
            replica: Arc::clone(&self.replica),
            grants: Arc::clone(&self.grants),
            keys: Arc::clone(&self.keys),
            audit: Arc::clone(&self.audit),
            request_ids: self.request_ids.clone(),
            entropy: Arc::new(OsEntropy),
            bootstrap_token: Some(SecretText::new(Zeroizing::new(ADMIN.to_owned()))),
            ephemeral_master_key: false,
        }
    }

    pub(crate) fn trail(&self) -> Trail {
        Trail::of_request(Arc::clone(&self.audit), "request".to_owned(), CLIENT)
    }

    pub(crate) fn authenticate(&self, token: &str) -> Result<Principal, Failure> {
        self.access.authenticate(Some(token.as_bytes()), CLIENT, &mut self.trail())
    }

    /// Whether the token may do this to the secret now.
    pub(crate) fn may(&self, token: &str, right: Right, secret: &str) -> bool {
        let secret = SecretName::parse(secret).unwrap();
        self.authenticate(token).is_ok_and(|principal| principal.authorize(right, &secret).is_ok())
    }

    pub(crate) async fn create_role(&self, name: &str, is_admin: bool, rules: Vec<Rule>) {
        let new = NewRole { name: role(name), description: None, is_admin, rules };
        self.roles.create(permit(), new, &mut self.trail()).await.unwrap();
    }

    /// A token of 3,600 s, for the loopback address.
    pub(crate) async fn issue(&self, name: &str, role_name: &str) -> String {
        let (lifetime, addresses) = (Some(Seconds::new(3_600)), Some(vec!["127.0.0.1".to_owned()]));
        let new = NewToken::parse(token(name), role(role_name), lifetime, addresses).unwrap();
        self.tokens.issue(permit(), new, &mut self.trail()).await.unwrap().to_string()
    }
}

pub(crate) fn permit() -> AdminPermit {
    let role = Role::built_in(Timestamp::EPOCH).unwrap();
    Principal { token: token("tester"), role }.authorize_admin().unwrap()
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

pub(crate) fn token(name: &str) -> TokenName {
    TokenName::parse(name).unwrap()
}

pub(crate) fn rule(action: Right, path: &str) -> Rule {
    Rule { action, path: PathPattern::parse(path).unwrap() }
}
