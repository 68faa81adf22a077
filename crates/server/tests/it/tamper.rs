//! What somebody can make of the stored rows who can write the disk but has no master key.
//!
//! He knows the format, computes checksums as well as we do, and has kept the rows of every earlier moment. He
//! flips bits, moves rows and parts of rows, renames and renumbers. Whatever he does, a read answers with what
//! was sealed as that version of that secret, or it is refused; it never answers with another value.
//!
//! What he can still do, because it needs no key:
//! - set a secret back as a whole, its row and its versions' rows together, to a moment that he kept
//!   (`a_secret_set_back_as_a_whole_opens_again` below shows it);
//! - remove rows, so that a secret or a version isn't found;
//! - change what is not sealed: a description, a schedule, when a version was made or when it expires, so that
//!   a superseded version which is still stored stays valid for longer.
//!
//! The remedy for these is the same: nobody but the vault writes its data directory; another node's copy and
//! the audit log tell the difference.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::name::{SecretName, TokenName};
use hyperion_vault_core::policy::{Action, Principal, Role, SecretPermit, permit_read_by_address};
use hyperion_vault_core::secret::{SealedVersion, Secret, SecretFormat, SecretKind, Version, VersionNumber};
use hyperion_vault_core::time::{Seconds, Timestamp};
use hyperion_vault_crypto::{Material, Plaintext};
use hyperion_vault_kms::{CacheConfig, CachedKeys, LocalProvider};
use hyperion_vault_server::adapters::entropy::OsEntropy;
use hyperion_vault_server::audit::{AuditConfig, AuditLog};
use hyperion_vault_server::failure::Failure;
use hyperion_vault_server::replica::Replica;
use hyperion_vault_server::sealing::Sealing;
use hyperion_vault_server::secrets::{NewMaterial, NewSecret, Opened, SecretChange, Secrets, Verdict};
use hyperion_vault_server::trail::Trail;
use tempfile::TempDir;

use crate::audit_fixture::{SetClock, log_path, open};
use crate::disk_fixture::{Disk, Table, edit, record, with_checksum, without_checksum};

/// First bytes of the keys of these tables.
const SECRETS: u8 = 2;
const VERSIONS: u8 = 3;

const OPAQUE: &str = "db/password";
const OPAQUE_VERSIONS: u64 = 3;
const USER_PASS: &str = "db/login";
const REBORN: &str = "db/reborn";
const NAMES: [&str; 3] = [OPAQUE, USER_PASS, REBORN];

/// What a secret's versions hold, as text, and which is current.
struct Truth {
    current: u64,
    versions: BTreeMap<u64, String>,
}

/// A vault whose rows can be tampered with, and what it should answer.
struct World {
    disk: Arc<Disk>,
    secrets: Secrets,
    audit: Arc<AuditLog>,
    truth: BTreeMap<&'static str, Truth>,
    _dir: TempDir,
}

impl World {
    async fn filled() -> World {
        let dir = TempDir::new().unwrap();
        let audit = Arc::new(open(&AuditConfig::at(log_path(dir.path()))));
        let disk = Arc::new(Disk::default());
        let entropy = Arc::new(OsEntropy);
        // The keys are cached, so that a key in memory is no way round what the disk must not do.
        let ttl = Duration::from_secs(300);
        let cache = CacheConfig { ttl, outage_ttl: Duration::ZERO, entries_max: 1_000 };
        let keys = Arc::new(CachedKeys::new(LocalProvider::ephemeral(entropy.clone()), cache));
        let replica = Arc::new(Replica::new(disk.clone(), SetClock::new()));
        let secrets = Secrets::new(replica, Arc::new(Sealing::new(keys, entropy)));
        let mut world = World { disk, secrets, audit, truth: BTreeMap::new(), _dir: dir };
        world.create(OPAQUE, ["opaque 1", ""]).await;
        world.update(OPAQUE, ["opaque 2", ""]).await;
        world.update(OPAQUE, ["opaque 3", ""]).await;
        world.create(USER_PASS, ["user 1", "pass 1"]).await;
        world.update(USER_PASS, ["user 2", "pass 2"]).await;
        world.create(REBORN, ["first life 1", ""]).await;
        world.update(REBORN, ["first life 2", ""]).await;
        let permit = admin(Action::Delete, REBORN);
        world.secrets.delete(permit, &mut world.trail()).await.unwrap();
        world.create(REBORN, ["second life 1", ""]).await;
        world.update(REBORN, ["second life 2", ""]).await;
        let refused = world.refusals(&world.disk.rows(), "nothing").await;
        assert!(refused.is_empty(), "what nobody touched opens: {refused:?}");
        world
    }

    fn trail(&self) -> Trail {
        Trail::of_request(Arc::clone(&self.audit), "request".to_owned(), IpAddr::from([127, 0, 0, 1]))
    }

    async fn create(&mut self, name: &'static str, texts: [&str; 2]) {
        let grace = Some(Seconds::new(3_600));
        let new = NewSecret::parse(SecretKind::Manual, Some(material(texts)), None, None, grace).unwrap();
        let opened = self.secrets.create(admin(Action::Create, name), new, &mut self.trail()).await.unwrap();
        let versions = BTreeMap::from([(1, shown(&opened).1)]);
        self.truth.insert(name, Truth { current: 1, versions });
    }

    async fn update(&mut self, name: &'static str, texts: [&str; 2]) {
        let change = SecretChange::parse(Some(material(texts)), None, None, None, None).unwrap();
        self.secrets.update(admin(Action::Update, name), change, &mut self.trail()).await.unwrap();
        let (version, text) = shown(&self.read(name, None).await.unwrap());
        let truth = self.truth.get_mut(name).unwrap();
        truth.current = version;
        truth.versions.insert(version, text);
    }

    async fn read(&self, name: &str, version: Option<u64>) -> Result<Opened, Failure> {
        self.secrets.read(permit(name), version.map(VersionNumber::new)).await
    }

    /// As [`World::refusals_of`], of everything.
    async fn refusals(&self, rows: &Table, tampering: &str) -> Vec<String> {
        self.refusals_of(&NAMES, rows, tampering).await
    }

    /// Puts these rows on the disk, reads the named secrets in every way there is, and holds each answer
    /// against the truth; the reads that were refused. The rows are put back as they were.
    async fn refusals_of(&self, names: &[&str], rows: &Table, tampering: &str) -> Vec<String> {
        let before = self.disk.rows();
        self.disk.overwrite(rows.clone());
        let mut refused = Vec::new();
        for name in names {
            let truth = &self.truth[name];
            let versions = truth.versions.keys().copied();
            for asked in versions.map(Some).chain([None, Some(0), Some(9)]) {
                let number = asked.unwrap_or(truth.current);
                match self.read(name, asked).await {
                    Ok(opened) => {
                        let (version, text) = shown(&opened);
                        let answer = (opened.secret.name.as_str(), version, Some(&text));
                        assert_eq!(answer, (*name, number, truth.versions.get(&number)), "{tampering}");
                    }
                    Err(failure) if truth.versions.contains_key(&number) => {
                        refused.push(refusal(&format!("{name} {asked:?}"), failure, tampering));
                    }
                    Err(_) => {}
                }
            }
            self.check_verdicts(name, truth, &mut refused, tampering).await;
        }
        self.disk.overwrite(before);
        refused
    }

    /// No value is found valid for a secret, or for a version of it, that it was not sealed as.
    async fn check_verdicts(&self, name: &str, truth: &Truth, refused: &mut Vec<String>, tampering: &str) {
        let foreign = ["first life 2".to_owned(), self.truth[OPAQUE].versions[&OPAQUE_VERSIONS].clone()];
        for candidate in truth.versions.values().rev().take(2).chain(&foreign) {
            let value = candidate.split_once(':').map_or(candidate.as_str(), |(_, password)| password);
            match self.secrets.verify(permit(name), &Plaintext::from(value.as_bytes())).await {
                Ok(Verdict::Valid(version)) => {
                    assert_eq!(truth.versions.get(&version.get()), Some(candidate), "{name}: {tampering}");
                }
                Ok(Verdict::Invalid) => {}
                Err(failure) => refused.push(refusal(&format!("verify {name}"), failure, tampering)),
            }
        }
    }

    /// The rows as they were after each change, the present ones included.
    fn kept(&self) -> Vec<Arc<Table>> {
        self.disk.kept()
    }
}

/// A refused read must be the vault's own failure, or say that there is nothing: never the caller's fault.
fn refusal(what: &str, failure: Failure, tampering: &str) -> String {
    // Another master key's id in the place of ours is the operator's to look into.
    let fits =
        matches!(failure, Failure::Internal { .. } | Failure::NotFound(_) | Failure::Misconfigured { .. });
    assert!(fits, "{what}: {failure:?} after {tampering}");
    what.to_owned()
}

fn permit(name: &str) -> SecretPermit {
    permit_read_by_address(&SecretName::parse(name).unwrap())
}

fn admin(action: Action, name: &str) -> SecretPermit {
    let role = Role::built_in(Timestamp::EPOCH).unwrap();
    let principal = Principal { token: TokenName::parse("tester").unwrap(), role };
    principal.authorize(action, &SecretName::parse(name).unwrap()).unwrap()
}

/// A value, or a username and a password.
fn material([first, second]: [&str; 2]) -> NewMaterial {
    let text = |text: &str| Some(Plaintext::from(text.as_bytes()));
    let parsed = match second {
        "" => NewMaterial::parse(text(first), None, None),
        password => NewMaterial::parse(None, text(first), text(password)),
    };
    parsed.unwrap().unwrap()
}

/// The version that was opened, and its value or `username:password`.
fn shown(opened: &Opened) -> (u64, String) {
    let text = |plaintext: &Plaintext| String::from_utf8(plaintext.expose().to_vec()).unwrap();
    let shown = match &opened.material {
        Material::Opaque(value) => text(value),
        Material::UserPass { username, password } => format!("{}:{}", text(username), text(password)),
    };
    (opened.version.get(), shown)
}

fn key_of_secret(name: &str) -> Vec<u8> {
    [&[SECRETS], name.as_bytes()].concat()
}

fn key_of_version(name: &str, version: u64) -> Vec<u8> {
    [&[VERSIONS], name.as_bytes(), &[0], &version.to_be_bytes()].concat()
}

fn sealed(rows: &Table, key: &[u8]) -> SealedVersion {
    record::<Version>(rows, key).sealed
}

fn keys_of_versions(rows: &Table) -> Vec<Vec<u8>> {
    rows.keys().filter(|key| key[0] == VERSIONS).cloned().collect()
}

/// Whether a read can come upon the row at all.
fn is_read(key: &[u8]) -> bool {
    key[0] == SECRETS || key[0] == VERSIONS
}

/// The secret that a row which is read belongs to, and all of them for any other row.
fn secrets_of(key: &[u8]) -> Vec<&str> {
    let named = |name: &&str| key[1..].split(|byte| *byte == 0).next() == Some(name.as_bytes());
    NAMES.into_iter().filter(|name| !is_read(key) || named(name)).collect()
}

/// Whether a read of the row's secret was among those refused.
fn concerns(key: &[u8], refused: &[String]) -> bool {
    secrets_of(key).iter().any(|name| refused.iter().any(|read| read.contains(name)))
}

#[tokio::test]
async fn a_flipped_bit_is_found_out() {
    let world = World::filled().await;
    let rows = world.disk.rows();
    for (key, row) in &rows {
        for place in 0..row.len() {
            // Every byte as a whole, and every bit of some.
            let bits = (0..8).map(|bit| 1 << bit).filter(|_| place % 29 == 0);
            for mask in bits.chain([0xff]) {
                let mut tampered = rows.clone();
                tampered.get_mut(key).unwrap()[place] ^= mask;
                let what = format!("byte {place} of {key:?} ^ {mask:#x}");
                let refused = world.refusals_of(&secrets_of(key), &tampered, &what).await;
                assert!(!is_read(key) || concerns(key, &refused), "unnoticed: {what}");
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_under_a_mended_checksum_gives_no_other_value() {
    let world = World::filled().await;
    let rows = world.disk.rows();
    for (key, row) in &rows {
        for place in 0..without_checksum(row).len() {
            for mask in [0x01, 0xff] {
                let mut body = without_checksum(row).to_vec();
                body[place] ^= mask;
                let mut tampered = rows.clone();
                tampered.insert(key.clone(), with_checksum(key, &body));
                let what = format!("byte {place} of {key:?} ^ {mask:#x}");
                world.refusals_of(&secrets_of(key), &tampered, &what).await;
            }
        }
    }
}

/// Every row of every moment under every key of the present: versions of one secret and of two, secrets under
/// each other's names, what an earlier secret of the same name left behind.
#[tokio::test]
async fn a_row_put_in_another_s_place_gives_no_other_value() {
    let world = World::filled().await;
    let rows = world.disk.rows();
    let kept = world.kept();
    let mut sources: Vec<_> = kept.iter().flat_map(|rows| rows.iter()).collect();
    sources.sort();
    sources.dedup();
    for (source, row) in sources {
        for target in rows.keys() {
            let mut tampered = rows.clone();
            tampered.insert(target.clone(), with_checksum(target, without_checksum(row)));
            let refused = world.refusals(&tampered, &format!("{source:?} under {target:?}")).await;
            let noticed = !is_read(target) || source == target || concerns(target, &refused);
            assert!(noticed, "{source:?} under {target:?}");
        }
    }
}

#[tokio::test]
async fn rows_that_change_places_give_no_other_value() {
    let world = World::filled().await;
    let rows = world.disk.rows();
    for (one, one_row) in &rows {
        for (other, other_row) in rows.range(one.clone()..).skip(1) {
            let mut tampered = rows.clone();
            tampered.insert(one.clone(), with_checksum(one, without_checksum(other_row)));
            tampered.insert(other.clone(), with_checksum(other, without_checksum(one_row)));
            world.refusals(&tampered, &format!("{one:?} and {other:?} change places")).await;
        }
    }
}

/// Whole names: all rows of one secret under the name of another, with and without the name in the record.
#[tokio::test]
async fn a_secret_under_another_name_does_not_open() {
    let world = World::filled().await;
    let rows = world.disk.rows();
    for (from, to) in NAMES.iter().flat_map(|from| NAMES.map(|to| (*from, to))).filter(|(a, b)| a != b) {
        for renamed in [false, true] {
            let mut tampered = rows.clone();
            for version in world.truth[from].versions.keys() {
                let target = key_of_version(to, *version);
                let row = with_checksum(&target, without_checksum(&rows[&key_of_version(from, *version)]));
                tampered.insert(target, row);
            }
            let target = key_of_secret(to);
            let row = with_checksum(&target, without_checksum(&rows[&key_of_secret(from)]));
            tampered.insert(target.clone(), row);
            if renamed {
                edit(&mut tampered, &target, |secret: &mut Secret| {
                    secret.name = SecretName::parse(to).unwrap();
                });
            }
            let refused = world.refusals(&tampered, &format!("{from} as {to}")).await;
            assert!(concerns(&target, &refused), "{from} as {to}");
        }
    }
}

/// Each part of a sealed version in place of the same part of each other.
#[tokio::test]
async fn a_sealed_version_with_another_s_part_does_not_open() {
    type Part = (&'static str, fn(&mut SealedVersion, SealedVersion));
    let parts: [Part; 4] = [
        ("wrapped key", |own, other| own.wrapped_data_key = other.wrapped_data_key),
        ("nonce", |own, other| own.nonce = other.nonce),
        ("ciphertext", |own, other| own.ciphertext = other.ciphertext),
        ("all", |own, other| *own = other),
    ];
    let world = World::filled().await;
    let rows = world.disk.rows();
    let kept = world.kept();
    for target in keys_of_versions(&rows) {
        for source_rows in &kept {
            for source in keys_of_versions(source_rows) {
                let other = sealed(source_rows, &source);
                if other == sealed(&rows, &target) {
                    continue;
                }
                for (part, replace) in parts {
                    let mut tampered = rows.clone();
                    edit(&mut tampered, &target, |version: &mut Version| {
                        replace(&mut version.sealed, other.clone());
                    });
                    let what = format!("{part} of {source:?} in {target:?}");
                    let refused = world.refusals(&tampered, &what).await;
                    assert!(concerns(&target, &refused), "unnoticed: {what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_secret_says_of_itself_only_what_is_sealed() {
    let world = World::filled().await;
    let rows = world.disk.rows();
    let key = key_of_secret(OPAQUE);
    for current in (0..OPAQUE_VERSIONS).chain([OPAQUE_VERSIONS + 1, u64::MAX]) {
        let mut tampered = rows.clone();
        edit(&mut tampered, &key, |secret: &mut Secret| secret.current = VersionNumber::new(current));
        let refused = world.refusals(&tampered, &format!("current is {current}")).await;
        assert!(concerns(&key, &refused), "current is {current}");
    }
    for (name, format) in [(OPAQUE, SecretFormat::UserPass), (USER_PASS, SecretFormat::Opaque)] {
        let mut tampered = rows.clone();
        let key = key_of_secret(name);
        edit(&mut tampered, &key, |secret: &mut Secret| secret.format = format);
        assert!(concerns(&key, &world.refusals(&tampered, "format").await), "{name}");
    }
    let other: Secret = record(&rows, &key_of_secret(REBORN));
    let mut tampered = rows.clone();
    edit(&mut tampered, &key, |secret: &mut Secret| secret.id = other.id);
    assert!(concerns(&key, &world.refusals(&tampered, "another's id").await));
}

/// An earlier version under the number of the next: the row moved, and the secret told so.
#[tokio::test]
async fn an_old_version_does_not_open_under_a_new_number() {
    let world = World::filled().await;
    let rows = world.disk.rows();
    let key = key_of_secret(OPAQUE);
    for source in 1..=OPAQUE_VERSIONS {
        for number in [source + 1, OPAQUE_VERSIONS + 1] {
            let mut tampered = rows.clone();
            let target = key_of_version(OPAQUE, number);
            let row = with_checksum(&target, without_checksum(&rows[&key_of_version(OPAQUE, source)]));
            tampered.insert(target.clone(), row);
            edit(&mut tampered, &target, |version: &mut Version| version.expires_at = None);
            edit(&mut tampered, &key, |secret: &mut Secret| secret.current = VersionNumber::new(number));
            let refused = world.refusals(&tampered, &format!("{source} as {number}")).await;
            assert!(concerns(&key, &refused), "{source} as {number}");
        }
    }
}

/// The limit of what can be found out without a word from another node, written down so that nobody takes it
/// for covered: who sets every row of a secret back gets what was true then. But for its first life, the id of
/// which is in each of its sealed versions, no single row of the past is of use (see above).
#[tokio::test]
async fn a_secret_set_back_as_a_whole_opens_again() {
    let world = World::filled().await;
    let kept = world.kept();
    // After the first change of all: `db/password` at its first version.
    world.disk.overwrite(Table::clone(&kept[0]));
    let opened = world.read(OPAQUE, None).await.unwrap();
    assert_eq!(shown(&opened), (1, "opaque 1".to_owned()));
}
