//! Who gets through to which route: every route × every kind of caller × every kind of address.

use std::collections::BTreeSet;
use std::fmt::Write;

use hyperion_vault_api::endpoint::{Endpoint, ROUTES, Route};
use reqwest::header::WWW_AUTHENTICATE;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::callers::{behind_proxy, create_role, from_address, issue_token, revoke_token, token_granted};
use crate::vault::{ADMIN, Vault, expect};

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy)]
enum Access {
    /// Nothing.
    Probe,
    /// An allowed address; where `VAULT_READ_AUTH=token`, also a rule.
    Reader,
    /// Any live token.
    Token,
    /// A token whose role has a rule for it.
    Rule,
    /// A token of an admin role.
    Admin,
    /// An allowed address, or, for who shows a token, an admin's.
    Metrics,
}

/// Every route, by what it asks of its caller.
const TABLE: [(&str, Access); 30] = [
    ("POST /v1/secrets", Access::Rule),
    ("GET /v1/secrets", Access::Token),
    ("GET /v1/secrets/{name}", Access::Reader),
    ("PUT /v1/secrets/{name}", Access::Rule),
    ("DELETE /v1/secrets/{name}", Access::Rule),
    ("POST /v1/secrets/{name}/rotate", Access::Rule),
    ("POST /v1/secrets/{name}/verify", Access::Reader),
    ("POST /v1/batch/secrets", Access::Reader),
    ("GET /v1/versions/{name}", Access::Rule),
    ("POST /v1/roles", Access::Admin),
    ("GET /v1/roles", Access::Admin),
    ("GET /v1/roles/{name}", Access::Admin),
    ("DELETE /v1/roles/{name}", Access::Admin),
    ("PUT /v1/roles/{name}/permissions", Access::Admin),
    ("POST /v1/tokens", Access::Admin),
    ("GET /v1/tokens", Access::Admin),
    ("DELETE /v1/tokens/{name}", Access::Admin),
    ("GET /v1/admin/audit", Access::Admin),
    ("GET /v1/admin/lockouts", Access::Admin),
    ("DELETE /v1/admin/lockouts/{name}", Access::Admin),
    ("GET /v1/admin/cluster", Access::Admin),
    ("POST /v1/admin/cluster/nodes", Access::Admin),
    ("POST /v1/admin/cluster/nodes/{name}/promote", Access::Admin),
    ("DELETE /v1/admin/cluster/nodes/{name}", Access::Admin),
    ("POST /v1/admin/cluster/step-down", Access::Admin),
    ("POST /v1/admin/kms/rewrap", Access::Admin),
    ("GET /v1/admin/kms/rewrap/status", Access::Admin),
    ("GET /metrics", Access::Metrics),
    ("GET /healthz", Access::Probe),
    ("GET /readyz", Access::Probe),
];

/// Stands for what the route answers who is let in.
const OK: u16 = 0;

/// What who is let in is answered. These vaults are alone: no node can be added to them, none is there to go.
fn granted(route: &Route) -> u16 {
    match route.endpoint {
        Endpoint::AddNode | Endpoint::StepDown => 409,
        Endpoint::RemoveNode => 404,
        _ => route.success,
    }
}

/// The columns of the grids below.
const CALLERS: [&str; 7] =
    ["no token", "bad", "revoked", "expired", "role without it", "role with it", "admin"];
/// The lines of the grids below.
const ADDRESSES: [&str; 3] = ["allowed", "denied", "list empty"];

/// A status for each caller, for each address.
type Grid = [[u16; CALLERS.len()]; ADDRESSES.len()];

const PROBE: Grid = [[OK; 7]; 3];
const READER: Grid = [[OK; 7], [403; 7], [403; 7]];
const READER_WITH_TOKEN: Grid = [[401, 401, 401, 401, 403, OK, OK], [403; 7], [403; 7]];
const TOKEN: Grid = [[401, 401, 401, 401, OK, OK, OK]; 3];
const RULE: Grid = [[401, 401, 401, 401, 403, OK, OK]; 3];
const ADMINS: Grid = [[401, 401, 401, 401, 403, 403, OK]; 3];
const METRICS: Grid = [
    [OK, 401, 401, 401, 403, 403, OK],
    [403, 401, 401, 401, 403, 403, OK],
    [403, 401, 401, 401, 403, 403, OK],
];

fn grid(access: Access, read_auth: &str) -> Grid {
    match access {
        Access::Probe => PROBE,
        Access::Reader if read_auth == "token" => READER_WITH_TOKEN,
        Access::Reader => READER,
        Access::Token => TOKEN,
        Access::Rule => RULE,
        Access::Admin => ADMINS,
        Access::Metrics => METRICS,
    }
}

#[test]
fn every_route_stands_in_the_table() {
    let routes: BTreeSet<_> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let table: BTreeSet<_> = TABLE.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(routes, table);
}

#[tokio::test]
async fn every_route_answers_every_caller_as_the_table_says() {
    check("none").await;
}

#[tokio::test]
async fn every_route_answers_as_the_table_says_where_reads_ask_for_a_token() {
    check("token").await;
}

async fn check(read_auth: &'static str) {
    let settings = behind_proxy(&[
        ("VAULT_READ_AUTH", read_auth),
        // A lockout to lift costs two failures; no other address makes as many.
        ("VAULT_AUTH_MAX_FAILURES", "2"),
    ]);
    let mut wrong = String::new();
    let mut listed = Matrix::start(&settings, read_auth).await;
    listed.check(&[0, 1], &mut wrong).await;
    let mut empty = Matrix::start(&[&settings[..], &[("VAULT_ALLOWED_IPS", "")]].concat(), read_auth).await;
    empty.check(&[2], &mut wrong).await;
    assert!(wrong.is_empty(), "{wrong}");
}

/// One vault and those who call it.
struct Matrix {
    vault: Vault,
    read_auth: &'static str,
    /// One for each of [`CALLERS`].
    tokens: [Option<String>; CALLERS.len()],
    /// Cells so far, for names and addresses that no other has.
    cells: usize,
}

/// One request and what should come of it.
struct Cell {
    route: &'static Route,
    what: String,
    address: String,
    token: Option<String>,
    path: String,
    body: Value,
    expected: u16,
}

impl Matrix {
    async fn start(settings: &[(&str, &str)], read_auth: &'static str) -> Matrix {
        let vault = Vault::start(settings);
        let with = token_granted(&vault, "with", &[("*", "cell/*")]).await;
        let without = token_granted(&vault, "without", &[("*", "other/*")]).await;
        let revoked = issue_token(&vault, json!({"name": "revoked", "role": "admin"})).await;
        revoke_token(&vault, "revoked").await;
        let expiring = json!({"name": "expired", "role": "admin", "expires_in_secs": 1});
        let expired = issue_token(&vault, expiring).await;
        tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
        let bad = "hvt_nobody-has-this-token".to_owned();
        let tokens = [
            None,
            Some(bad),
            Some(revoked),
            Some(expired),
            Some(without),
            Some(with),
            Some(ADMIN.to_owned()),
        ];
        Matrix { vault, read_auth, tokens, cells: 0 }
    }

    /// Every route and caller from these lines of the grids.
    async fn check(&mut self, addresses: &[usize], wrong: &mut String) {
        for (named, access) in TABLE {
            let route =
                ROUTES.iter().find(|route| format!("{} {}", route.method, route.path) == named).unwrap();
            let mut cells = Vec::new();
            for address in addresses {
                for caller in 0..CALLERS.len() {
                    cells.push(self.cell(route, access, *address, caller).await);
                }
            }
            self.send(cells, wrong).await;
        }
    }

    async fn cell(&mut self, route: &'static Route, access: Access, address: usize, caller: usize) -> Cell {
        self.cells += 1;
        let (high, low) = (self.cells / 250, self.cells % 250 + 1);
        let (path, body) = self.request(route, self.cells).await;
        Cell {
            route,
            what: format!(
                "{} {}: {}, address {}",
                route.method, route.path, CALLERS[caller], ADDRESSES[address]
            ),
            address: if address == 1 {
                format!("192.168.{high}.{low}")
            } else {
                format!("10.0.{high}.{low}")
            },
            token: self.tokens[caller].clone(),
            path,
            body,
            expected: match grid(access, self.read_auth)[address][caller] {
                OK => granted(route),
                refused => refused,
            },
        }
    }

    /// A request that an admin is granted, on a name of its own; what it needs is made.
    async fn request(&self, route: &Route, number: usize) -> (String, Value) {
        let vault = &self.vault;
        let (name, secret) = (format!("r{number}"), format!("cell/{number}"));
        let path = |parameter: &str| route.path.replace("{name}", parameter);
        match route.endpoint {
            Endpoint::CreateSecret => {
                (path(""), json!({"name": secret, "kind": "manual", "value": "material"}))
            }
            Endpoint::UpdateSecret => (path(&self.secret(&secret).await), json!({"description": "changed"})),
            Endpoint::VerifySecret => (path(&self.secret(&secret).await), json!({"value": "material"})),
            Endpoint::BatchReadSecrets => (path(""), json!({"names": [self.secret(&secret).await]})),
            Endpoint::ReadSecret
            | Endpoint::DeleteSecret
            | Endpoint::RotateSecret
            | Endpoint::ListVersions => (path(&self.secret(&secret).await), Value::Null),
            Endpoint::CreateRole => (path(""), json!({"name": name})),
            Endpoint::ReadRole | Endpoint::DeleteRole | Endpoint::SetPermissions => {
                create_role(vault, &name, &[]).await;
                let sets = route.endpoint == Endpoint::SetPermissions;
                (path(&name), if sets { json!({"permissions": []}) } else { Value::Null })
            }
            Endpoint::IssueToken => (path(""), json!({"name": name, "role": "with"})),
            Endpoint::RevokeToken => {
                issue_token(vault, json!({"name": name, "role": "with"})).await;
                (path(&name), Value::Null)
            }
            Endpoint::LiftLockout => (path(&self.lockout(number).await), Value::Null),
            Endpoint::AddNode => (path(""), json!({"id": 1, "address": "127.0.0.1:8300"})),
            // It votes already.
            Endpoint::PromoteNode => (path("1"), Value::Null),
            Endpoint::RemoveNode => (path("9"), Value::Null),
            Endpoint::ReadCluster
            | Endpoint::StepDown
            | Endpoint::Rewrap
            | Endpoint::ReadRewrapStatus
            | Endpoint::ListSecrets
            | Endpoint::ListRoles
            | Endpoint::ListTokens
            | Endpoint::ReadAudit
            | Endpoint::ListLockouts
            | Endpoint::Metrics
            | Endpoint::Health
            | Endpoint::Ready => (path(""), Value::Null),
        }
    }

    async fn secret(&self, name: &str) -> String {
        let body =
            json!({"name": name, "kind": "automatic", "value": "material", "rotation_interval_secs": 86_400});
        self.vault.expect(Method::POST, "/v1/secrets", body, 201).await;
        name.to_owned()
    }

    /// An address that is locked out.
    async fn lockout(&self, number: usize) -> String {
        let address = format!("172.16.{}.{}", number / 250, number % 250 + 1);
        for _ in 0..2 {
            expect(from_address(self.vault.request(Method::GET, "/v1/secrets"), &address), 401).await;
        }
        address
    }

    /// First what must be refused, which must change nothing; then the rest.
    async fn send(&self, cells: Vec<Cell>, wrong: &mut String) {
        let (refused, granted): (Vec<_>, Vec<_>) =
            cells.into_iter().partition(|cell| cell.expected != granted(cell.route));
        let before = self.state().await;
        for cell in &refused {
            let answer = self.answer(cell).await;
            let challenged = answer.headers().contains_key(WWW_AUTHENTICATE);
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            let body: Value = serde_json::from_str(&text).unwrap_or_default();
            let says_why_alone =
                body.as_object().is_some_and(|body| body.len() == 1 && body.contains_key("error"));
            if status != cell.expected || !says_why_alone || challenged != (status == 401) {
                writeln!(wrong, "{}: {} expected, {status} {text}", cell.what, cell.expected).unwrap();
            }
        }
        if self.state().await != before {
            writeln!(wrong, "{}: a refused request changed something", refused[0].what).unwrap();
        }
        for cell in &granted {
            let status = self.answer(cell).await.status().as_u16();
            if status != cell.expected {
                writeln!(wrong, "{}: {} expected, {status}", cell.what, cell.expected).unwrap();
            }
        }
    }

    async fn answer(&self, cell: &Cell) -> Response {
        let method = cell.route.method.parse().unwrap();
        let mut request = from_address(self.vault.request(method, &cell.path), &cell.address);
        if let Some(token) = &cell.token {
            request = request.bearer_auth(token);
        }
        if !cell.body.is_null() {
            request = request.json(&cell.body);
        }
        request.send().await.unwrap()
    }

    /// Everything that a request could change.
    async fn state(&self) -> Vec<Value> {
        let mut state = Vec::new();
        for path in ["/v1/secrets", "/v1/roles", "/v1/tokens", "/v1/admin/lockouts"] {
            state.push(self.vault.expect(Method::GET, path, Value::Null, 200).await);
        }
        for token in state[2].as_array_mut().unwrap() {
            token["last_used_at"] = Value::Null;
        }
        state
    }
}

/// The actions of rules and the request that each is asked for.
const ACTIONS: [(&str, &str, &str); 5] = [
    ("create", "POST", "/v1/secrets"),
    ("update", "PUT", "/v1/secrets/db/one"),
    ("rotate", "POST", "/v1/secrets/db/one/rotate"),
    ("read", "GET", "/v1/secrets/db/one"),
    ("delete", "DELETE", "/v1/secrets/db/one"),
];

#[tokio::test]
async fn a_rule_grants_its_own_action_on_its_own_path_and_no_other() {
    let vault = Vault::start(&[("VAULT_READ_AUTH", "token")]);
    let one = json!({"name": "db/one", "kind": "automatic", "rotation_interval_secs": 86_400});
    for (granted, ..) in ACTIONS {
        for (path, covers) in
            [("db/one", true), ("db/*", true), ("*", true), ("db/o", false), ("DB/*", false)]
        {
            let name = format!("{granted}-{}", path.replace(['/', '*'], "_"));
            let token = token_granted(&vault, &name, &[(granted, path)]).await;
            for (asked, method, target) in ACTIONS {
                // There for all but the creation.
                let other = if asked == "create" { Method::DELETE } else { Method::POST };
                let target_of_setup = if asked == "create" { "/v1/secrets/db/one" } else { "/v1/secrets" };
                let setup = vault.admin(other, target_of_setup);
                let _ = if asked == "create" { setup } else { setup.json(&one) }.send().await.unwrap();

                let mut request = vault.request(method.parse().unwrap(), target).bearer_auth(&token);
                match asked {
                    "create" => request = request.json(&one),
                    "update" => request = request.json(&json!({"description": "changed"})),
                    _ => {}
                }
                let status = request.send().await.unwrap().status().as_u16();
                let is_granted = covers && asked == granted;
                assert_eq!(status < 300, is_granted, "{asked} with {granted} on {path}: {status}");
                assert!(is_granted || status == 403, "{asked} with {granted} on {path}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_shows_what_the_rules_are_about_and_nothing_else() {
    let vault = Vault::start(&[]);
    for name in ["app/one", "app/two", "db/one", "apple"] {
        let body = json!({"name": name, "kind": "manual", "value": "v"});
        vault.expect(Method::POST, "/v1/secrets", body, 201).await;
    }
    for (name, permissions, seen) in [
        ("nothing", &[][..], &[][..]),
        ("prefix", &[("rotate", "app/*")], &["app/one", "app/two"]),
        ("exact", &[("read", "db/one"), ("update", "apple")], &["apple", "db/one"]),
        ("all", &[("create", "*")], &["app/one", "app/two", "apple", "db/one"]),
    ] {
        let token = token_granted(&vault, name, permissions).await;
        let list = expect(vault.request(Method::GET, "/v1/secrets").bearer_auth(&token), 200).await;
        let names: Vec<_> =
            list.as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap()).collect();
        assert_eq!(names, seen, "{name}");
    }
}
