//! Every endpoint there is. The router, the audit trail, the metrics and the tests take them from here.

/// One method on one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    CreateSecret,
    ListSecrets,
    ReadSecret,
    UpdateSecret,
    DeleteSecret,
    RotateSecret,
    VerifySecret,
    BatchReadSecrets,
    ListVersions,
    CreateRole,
    ListRoles,
    ReadRole,
    DeleteRole,
    SetPermissions,
    IssueToken,
    ListTokens,
    RevokeToken,
    ReadAudit,
    ListLockouts,
    LiftLockout,
    ReadCluster,
    AddNode,
    PromoteNode,
    RemoveNode,
    StepDown,
    Rewrap,
    ReadRewrapStatus,
    Metrics,
    Health,
    Ready,
}

/// How an endpoint is called and what it answers when all goes well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub endpoint: Endpoint,
    pub method: &'static str,
    /// `{name}` stands for one percent-encoded parameter; only the name of a secret may hold `/`.
    pub path: &'static str,
    /// Status of success.
    pub success: u16,
}

const fn route(endpoint: Endpoint, method: &'static str, path: &'static str, success: u16) -> Route {
    Route { endpoint, method, path, success }
}

/// All routes.
pub const ROUTES: [Route; 30] = [
    route(Endpoint::CreateSecret, "POST", "/v1/secrets", 201),
    route(Endpoint::ListSecrets, "GET", "/v1/secrets", 200),
    route(Endpoint::ReadSecret, "GET", "/v1/secrets/{name}", 200),
    route(Endpoint::UpdateSecret, "PUT", "/v1/secrets/{name}", 200),
    route(Endpoint::DeleteSecret, "DELETE", "/v1/secrets/{name}", 204),
    route(Endpoint::RotateSecret, "POST", "/v1/secrets/{name}/rotate", 200),
    route(Endpoint::VerifySecret, "POST", "/v1/secrets/{name}/verify", 200),
    route(Endpoint::BatchReadSecrets, "POST", "/v1/batch/secrets", 200),
    route(Endpoint::ListVersions, "GET", "/v1/versions/{name}", 200),
    route(Endpoint::CreateRole, "POST", "/v1/roles", 201),
    route(Endpoint::ListRoles, "GET", "/v1/roles", 200),
    route(Endpoint::ReadRole, "GET", "/v1/roles/{name}", 200),
    route(Endpoint::DeleteRole, "DELETE", "/v1/roles/{name}", 204),
    route(Endpoint::SetPermissions, "PUT", "/v1/roles/{name}/permissions", 200),
    route(Endpoint::IssueToken, "POST", "/v1/tokens", 201),
    route(Endpoint::ListTokens, "GET", "/v1/tokens", 200),
    route(Endpoint::RevokeToken, "DELETE", "/v1/tokens/{name}", 204),
    route(Endpoint::ReadAudit, "GET", "/v1/admin/audit", 200),
    route(Endpoint::ListLockouts, "GET", "/v1/admin/lockouts", 200),
    route(Endpoint::LiftLockout, "DELETE", "/v1/admin/lockouts/{name}", 204),
    route(Endpoint::ReadCluster, "GET", "/v1/admin/cluster", 200),
    route(Endpoint::AddNode, "POST", "/v1/admin/cluster/nodes", 201),
    route(Endpoint::PromoteNode, "POST", "/v1/admin/cluster/nodes/{name}/promote", 200),
    route(Endpoint::RemoveNode, "DELETE", "/v1/admin/cluster/nodes/{name}", 204),
    route(Endpoint::StepDown, "POST", "/v1/admin/cluster/step-down", 200),
    route(Endpoint::Rewrap, "POST", "/v1/admin/kms/rewrap", 200),
    route(Endpoint::ReadRewrapStatus, "GET", "/v1/admin/kms/rewrap/status", 200),
    route(Endpoint::Metrics, "GET", "/metrics", 200),
    route(Endpoint::Health, "GET", "/healthz", 200),
    route(Endpoint::Ready, "GET", "/readyz", 200),
];

impl Endpoint {
    /// What the metrics call it. Dashboards and alarms name it too: it stays when a variant is renamed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::CreateSecret => "CreateSecret",
            Endpoint::ListSecrets => "ListSecrets",
            Endpoint::ReadSecret => "ReadSecret",
            Endpoint::UpdateSecret => "UpdateSecret",
            Endpoint::DeleteSecret => "DeleteSecret",
            Endpoint::RotateSecret => "RotateSecret",
            Endpoint::VerifySecret => "VerifySecret",
            Endpoint::BatchReadSecrets => "BatchReadSecrets",
            Endpoint::ListVersions => "ListVersions",
            Endpoint::CreateRole => "CreateRole",
            Endpoint::ListRoles => "ListRoles",
            Endpoint::ReadRole => "ReadRole",
            Endpoint::DeleteRole => "DeleteRole",
            Endpoint::SetPermissions => "SetPermissions",
            Endpoint::IssueToken => "IssueToken",
            Endpoint::ListTokens => "ListTokens",
            Endpoint::RevokeToken => "RevokeToken",
            Endpoint::ReadAudit => "ReadAudit",
            Endpoint::ListLockouts => "ListLockouts",
            Endpoint::LiftLockout => "LiftLockout",
            Endpoint::ReadCluster => "ReadCluster",
            Endpoint::AddNode => "AddNode",
            Endpoint::PromoteNode => "PromoteNode",
            Endpoint::RemoveNode => "RemoveNode",
            Endpoint::StepDown => "StepDown",
            Endpoint::Rewrap => "Rewrap",
            Endpoint::ReadRewrapStatus => "ReadRewrapStatus",
            Endpoint::Metrics => "Metrics",
            Endpoint::Health => "Health",
            Endpoint::Ready => "Ready",
        }
    }

    /// Whether this is a probe of the process, which is no operation: exempt from lockout and audit.
    #[must_use]
    pub fn is_probe(self) -> bool {
        matches!(self, Endpoint::Health | Endpoint::Ready)
    }

    /// Whether this reads the replicated state, and so takes `?consistency=`.
    #[must_use]
    pub fn takes_consistency(self) -> bool {
        matches!(
            self,
            Endpoint::ListSecrets
                | Endpoint::ReadSecret
                | Endpoint::VerifySecret
                | Endpoint::BatchReadSecrets
                | Endpoint::ListVersions
                | Endpoint::ListRoles
                | Endpoint::ReadRole
                | Endpoint::ListTokens
        )
    }

    /// The route it is called by.
    #[must_use]
    pub fn route(self) -> Option<&'static Route> {
        ROUTES.iter().find(|route| route.endpoint == self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_endpoints_share_a_name() {
        let names: HashSet<_> = ROUTES.iter().map(|route| route.endpoint.as_str()).collect();
        assert_eq!(names.len(), ROUTES.len());
    }
}
