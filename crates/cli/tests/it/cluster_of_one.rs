//! What the cluster's endpoints answer on a node that is alone.

use reqwest::Method;
use serde_json::{Value, json};

use crate::vault::Vault;

const NODES: &str = "/v1/admin/cluster/nodes";

async fn refused(vault: &Vault, method: Method, path: &str, body: Value, status: u16) -> String {
    vault.expect(method, path, body, status).await["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_node_on_its_own_is_a_cluster_of_one_that_it_leads() {
    let vault = Vault::start(&[]);
    let cluster = vault.expect(Method::GET, "/v1/admin/cluster", Value::Null, 200).await;
    let id = cluster["cluster_id"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{cluster}");
    assert_eq!((&cluster["leader"], &cluster["quorum"]), (&json!(1), &json!(true)));
    let [node] = cluster["nodes"].as_array().unwrap().as_slice() else { panic!("{cluster}") };
    let known = ["id", "role", "voter", "lag", "clock_skew_ms", "version"].map(|member| node[member].clone());
    assert_eq!(json!(known), json!([1, "leader", true, 0, 0, env!("CARGO_PKG_VERSION")]));
    assert_eq!(node.as_object().unwrap().len(), 12, "{node}");
    assert_eq!(node["term"], cluster["term"]);
    assert_eq!(node["log_index"], node["applied_index"]);
}

#[tokio::test]
async fn a_change_that_can_not_be_made_says_why() {
    let vault = Vault::start(&[]);
    let known = json!({"id": 1, "address": "127.0.0.1:8300"});
    assert_eq!(
        refused(&vault, Method::POST, NODES, known, 409).await,
        "a node of this id is a member already"
    );
    for (address, why) in [
        ("vault-2", "address has no port; write host:port"),
        (":8300", "address has no host; write host:port"),
        ("vault-2:0", "address has port 0, at which nobody can be reached"),
    ] {
        assert_eq!(
            refused(&vault, Method::POST, NODES, json!({"id": 2, "address": address}), 400).await,
            why
        );
    }
    let nobody = json!({"id": 0, "address": "vault-2:8300"});
    assert_eq!(refused(&vault, Method::POST, NODES, nobody, 400).await, "the id of a node is at least 1");

    for (method, path) in
        [(Method::POST, "/9/promote"), (Method::DELETE, "/9"), (Method::DELETE, "/9?force=true")]
    {
        assert_eq!(
            refused(&vault, method, &format!("{NODES}{path}"), Value::Null, 404).await,
            "no such node"
        );
    }
    for (path, why) in [
        ("/first", "the path must name a node by its number"),
        ("/0", "the id of a node is at least 1"),
        ("/1?force=yes", "force must be true or false"),
    ] {
        assert_eq!(refused(&vault, Method::DELETE, &format!("{NODES}{path}"), Value::Null, 400).await, why);
    }
    for path in ["/1", "/1?force=true"] {
        let why = refused(&vault, Method::DELETE, &format!("{NODES}{path}"), Value::Null, 409).await;
        assert_eq!(why, "it would cost the quorum: too few voters would be left");
    }
    let why = refused(&vault, Method::POST, "/v1/admin/cluster/step-down", Value::Null, 409).await;
    assert_eq!(why, "no other voter is there to lead");
}

#[tokio::test]
async fn a_member_that_votes_may_be_promoted_again() {
    let vault = Vault::start(&[]);
    let promoted = vault.expect(Method::POST, &format!("{NODES}/1/promote"), Value::Null, 200).await;
    assert_eq!(promoted, json!({"id": 1, "voter": true}));
}
