//! The figures that the audit log, the cache, the storage and consensus keep for themselves.

use std::sync::Arc;

use hyperion_vault_core::state::table::meta;
use hyperion_vault_core::state::table::rewrap;
use hyperion_vault_core::state::table::rotation_due;
use hyperion_vault_kms::KeyProvider;
use hyperion_vault_raft::{MemberStatus, Node};

use super::keys::Keys;
use crate::audit::AuditLog;
use crate::grants::Grants;
use crate::telemetry::{Figure, Reading};

/// All of them.
pub(super) fn readings(
    audit: &Arc<AuditLog>,
    keys: &Arc<Keys>,
    node: &Arc<Node>,
    grants: &Arc<Grants>,
) -> Vec<Reading> {
    let parts = of_audit(audit).into_iter().chain(of_keys(keys));
    let parts = parts.chain(of_storage(node)).chain(of_consensus(node)).chain(of_rewrap(node));
    parts.chain(of_rotation(node)).chain(of_grants(grants)).collect()
}

fn of_audit(audit: &Arc<AuditLog>) -> [Reading; 4] {
    [
        counter("audit_records", "Audit records written", audit, |audit| audit.stats().records),
        counter("audit_groups", "Writes of audit records", audit, |audit| audit.stats().groups),
        counter("audit_syncs", "Syncs of the audit log", audit, |audit| audit.stats().syncs),
        counter("audit_failures", "Failed writes of the audit log", audit, |audit| audit.stats().failures),
    ]
}

fn of_keys(keys: &Arc<Keys>) -> [Reading; 5] {
    [
        gauge("data_key_cache_entries", "Data keys in memory", keys, |keys| {
            Some(signed(keys.provider().stats().entries))
        }),
        counter("data_key_cache_hits", "Data keys found in memory", keys, |keys| {
            keys.provider().stats().hits
        }),
        counter("data_key_cache_misses", "Data keys not in memory", keys, |keys| {
            keys.provider().stats().misses
        }),
        counter("kms_unwraps", "Data keys that key management was asked to unwrap", keys, |keys| {
            keys.provider().stats().provider_calls
        }),
        gauge(
            "kms_circuit_open",
            "1 while key management isn't asked, since it can't be reached",
            keys,
            |keys| Some(i64::from(!keys.is_reachable())),
        ),
    ]
}

fn of_storage(node: &Arc<Node>) -> [Reading; 7] {
    [
        counter("raft_log_syncs", "Syncs of the Raft log", node, |node| node.stats().log_syncs.get()),
        counter("raft_log_batches", "Batches of the Raft log", node, |node| node.stats().log_batches.get()),
        counter("raft_entries_applied", "Entries applied", node, |node| node.stats().entries_applied.get()),
        counter("state_syncs", "Syncs of the state file", node, |node| node.stats().state_syncs.get()),
        counter("state_views", "Views of the state published", node, |node| {
            node.stats().views_published.get()
        }),
        counter("state_checkpoints", "Checkpoints of the state", node, |node| node.stats().checkpoints.get()),
        counter("snapshots", "Snapshots built", node, |node| node.stats().snapshots.get()),
    ]
}

fn of_consensus(node: &Arc<Node>) -> [Reading; 8] {
    [
        gauge("raft_term", "Latest term seen", node, |node| Some(signed(node.status().term))),
        gauge("raft_is_leader", "1 on the node that leads, else 0", node, |node| {
            Some(i64::from(node.is_leader()))
        }),
        gauge("raft_applied_index", "Last entry applied", node, |node| Some(signed(node.applied_index()))),
        gauge("raft_apply_lag", "Entries known to be committed and not applied", node, |node| {
            let committed = node.status().committed_index?;
            Some(signed(committed.saturating_sub(node.applied_index())))
        }),
        gauge("cluster_members", "Members of the cluster", node, |node| {
            Some(length(node.cluster().nodes.len()))
        }),
        gauge(
            "cluster_members_reachable",
            "Members that were heard lately, this one included",
            node,
            |node| {
                let reachable = node.cluster().nodes.into_iter().filter(|member| member.reachable);
                Some(length(reachable.count()))
            },
        ),
        gauge("clock_skew_ms", "This node's clock before (+) or behind (-) the cluster's", node, |node| {
            own(node)?.clock_skew_ms
        }),
        gauge("feature_level", "Level of the commands that the cluster uses", node, |node| {
            meta::feature_level(&*node.view()).ok().map(i64::from)
        }),
    ]
}

fn of_rewrap(node: &Arc<Node>) -> [Reading; 2] {
    [
        gauge("rewrap_pending_versions", "Versions that are to be re-wrapped", node, |node| {
            rewrap::pending(&*node.view()).ok().map(|pending| signed(pending.versions))
        }),
        gauge(
            "rewrap_completed_rotation_seconds",
            "Rotation of the master key up to which nothing is left to re-wrap, as Unix time",
            node,
            |node| {
                let agreed = rewrap::get(&*node.view()).ok()??;
                Some(signed(agreed.completed_rotation_at?.as_unix_ms() / 1_000))
            },
        ),
    ]
}

/// Entries of the index of rotations that are counted at most.
const DUE_COUNTED_MAX: usize = 10_000;

fn of_rotation(node: &Arc<Node>) -> [Reading; 2] {
    [
        gauge("rotations_due", "Secrets that are due to be rotated, or to be tried again", node, |node| {
            Some(length(overdue_ms(node)?.len()))
        }),
        gauge(
            "rotation_overdue_seconds",
            "For how long the most overdue rotation has been due",
            node,
            |node| Some(signed(overdue_ms(node)?.into_iter().max().unwrap_or(0) / 1_000)),
        ),
    ]
}

/// For how long each rotation has been due that is, the first [`DUE_COUNTED_MAX`] of them.
fn overdue_ms(node: &Node) -> Option<Vec<u64>> {
    let (view, now) = (node.view(), node.cluster_clock().now());
    let entries = rotation_due::first(&*view, DUE_COUNTED_MAX).ok()?;
    let due_at = entries.into_iter().map(|entry| entry.overdue_since.unwrap_or(entry.at));
    Some(due_at.filter(|at| *at <= now).map(|at| now.ms_since(at)).collect())
}

fn of_grants(grants: &Arc<Grants>) -> [Reading; 2] {
    [
        gauge("grants_in_force", "1 while tokens can be checked on this node, else 0", grants, |grants| {
            Some(i64::from(grants.are_in_force()))
        }),
        gauge(
            "altered_grants",
            "Roles and tokens on this disk that the vault did not write",
            grants,
            |grants| Some(signed(grants.altered())),
        ),
    ]
}

fn own(node: &Node) -> Option<MemberStatus> {
    let own_id = node.status().node_id;
    node.cluster().nodes.into_iter().find(|member| member.node_id == own_id)
}

fn counter<T: Send + Sync + 'static>(
    name: &'static str,
    help: &'static str,
    source: &Arc<T>,
    read: fn(&T) -> u64,
) -> Reading {
    let source = Arc::clone(source);
    Reading { name, help, read: Box::new(move || Some(Figure::Counter(read(&source)))) }
}

fn gauge<T: Send + Sync + 'static>(
    name: &'static str,
    help: &'static str,
    source: &Arc<T>,
    read: fn(&T) -> Option<i64>,
) -> Reading {
    let source = Arc::clone(source);
    Reading { name, help, read: Box::new(move || read(&source).map(Figure::Gauge)) }
}

fn signed(figure: u64) -> i64 {
    i64::try_from(figure).unwrap_or(i64::MAX)
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
