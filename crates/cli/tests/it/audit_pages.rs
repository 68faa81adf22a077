//! Paging back through the trail over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::callers::token_granted;
use crate::trail::{records, unchained};
use crate::vault::Vault;

/// All pages of a query, and how many there were.
async fn pages(vault: &Vault, filter: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut found, mut count, mut before) = (Vec::new(), 0, None);
    loop {
        let cursor = before.map(|before: u64| format!("&before={before}")).unwrap_or_default();
        let path = format!("/v1/admin/audit?limit={limit}{filter}{cursor}");
        let page = vault.expect(Method::GET, &path, Value::Null, 200).await;
        let records = page["records"].as_array().unwrap();
        assert!(records.len() <= limit, "{path}");
        found.extend(records.iter().cloned());
        count += 1;
        let Some(next) = page["next_before"].as_u64() else { return (found, count) };
        assert!(before.is_none_or(|before| next < before), "{path} leads back to {next}");
        before = Some(next);
    }
}

/// Two dozen requests of two tokens on three names, granted and not.
async fn busy_vault() -> Vault {
    let vault = Vault::start(&[]);
    let one = token_granted(&vault, "one", &[("*", "app/*")]).await;
    let two = token_granted(&vault, "two", &[("create", "app/a")]).await;
    for name in ["app/a", "app/b", "db/a"] {
        for token in [&one, &two] {
            let body = json!({"name": name, "kind": "manual", "value": "v"});
            let path = format!("/v1/secrets/{name}");
            for request in [
                vault.request(Method::POST, "/v1/secrets").json(&body),
                vault.request(Method::GET, &path),
                vault.request(Method::DELETE, &path),
                vault.request(Method::GET, "/v1/secrets"),
            ] {
                request.bearer_auth(token).send().await.unwrap();
            }
        }
    }
    vault
}

#[tokio::test]
async fn each_filter_finds_all_that_it_is_about_and_nothing_else_whatever_the_page() {
    let vault = busy_vault().await;
    let all = records(&vault);
    let time_of = |index: usize| all[index]["time"].as_str().unwrap().to_owned();
    let (from, to) = (time_of(10), time_of(20));
    let between = format!("&from={from}&to={to}");
    type Condition = Box<dyn Fn(&Value) -> bool>;
    let member = |name: &'static str, wanted: &'static str| -> Condition {
        Box::new(move |record| record[name] == wanted)
    };
    let queries: Vec<(&str, Condition)> = vec![
        ("", Box::new(|_| true)),
        ("&actor=one", member("actor", "one")),
        ("&actor=nobody", member("actor", "nobody")),
        ("&name=app/a", member("name", "app/a")),
        ("&name=app", member("name", "app")),
        ("&outcome=denied", member("outcome", "denied")),
        ("&action=secret.create", member("action", "secret.create")),
        (
            "&actor=two&outcome=denied&name=db%2Fa",
            Box::new(|record| {
                record["actor"] == "two" && record["outcome"] == "denied" && record["name"] == "db/a"
            }),
        ),
        (
            &between,
            Box::new(move |record| (from.as_str()..to.as_str()).contains(&record["time"].as_str().unwrap())),
        ),
    ];
    for (filter, condition) in queries {
        for limit in [1, 7, 1_000] {
            // Each page leaves a record of its own: newer than what it shows.
            let all = records(&vault);
            let expected: Vec<_> =
                all.iter().rev().filter(|record| condition(record)).map(unchained).collect();
            let (found, _) = pages(&vault, filter, limit).await;
            assert_eq!(found, expected, "{filter}, pages of {limit}");
        }
    }
}

#[tokio::test]
async fn paging_has_neither_gap_nor_repetition_while_records_are_added() {
    let vault = busy_vault().await;
    let snapshot = records(&vault);
    let adding = async {
        loop {
            vault.request(Method::GET, "/v1/secrets/none").send().await.unwrap();
        }
    };
    let (found, count) = tokio::select! {
        paged = pages(&vault, "", 2) => paged,
        () = adding => unreachable!(),
    };
    let added = found.len() - snapshot.len();
    assert!(found[added..].iter().cloned().eq(snapshot.iter().rev().map(unchained)));
    assert!(count >= snapshot.len() / 2, "{count}");
    assert!(records(&vault).len() > found.len() + count, "nothing was added meanwhile");
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused() {
    let vault = Vault::start(&[]);
    for query in [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "before=x",
        "from=yesterday",
        "outcome=good",
        "action=steal",
        "actor=a&actor=b",
        "color=red",
    ] {
        vault.expect(Method::GET, &format!("/v1/admin/audit?{query}"), Value::Null, 400).await;
    }
}
