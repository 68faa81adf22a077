//! The audit trail as it lies on the disk.

use std::path::Path;

use serde_json::Value;

use crate::vault::Vault;

/// Every whole record of the vault's own audit file, oldest first.
pub(crate) fn records(vault: &Vault) -> Vec<Value> {
    records_at(&vault.audit_path())
}

/// Every whole record of an audit file, oldest first. What is being written just now is left out.
pub(crate) fn records_at(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records that requests left: all but those of what the vault does of itself.
pub(crate) fn of_requests(records: Vec<Value>) -> Vec<Value> {
    records.into_iter().filter(|record| !record["client"].is_null()).collect()
}

/// The one record of this request.
#[track_caller]
pub(crate) fn record_of(vault: &Vault, request_id: &str) -> Value {
    let mut found: Vec<_> =
        records(vault).into_iter().filter(|record| record["request_id"] == request_id).collect();
    assert_eq!(found.len(), 1, "{request_id}: {found:?}");
    found.remove(0)
}

/// A record as the API shows it: without its link to the one before.
pub(crate) fn unchained(record: &Value) -> Value {
    let mut shown = record.as_object().unwrap().clone();
    shown.retain(|member, _| member != "prev" && member != "hash");
    Value::Object(shown)
}
