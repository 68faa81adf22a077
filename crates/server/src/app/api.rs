//! The use cases that requests are answered by, and what each is given.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::access::{Access, LockoutGuard};
use crate::adapters::clock::SteadyClock;
use crate::adapters::membership::RaftMembership;
use crate::cluster::Cluster;
use crate::config::Settings;
use crate::http::Api;
use crate::readiness::Readiness;
use crate::rewrap::Rewrapping;
use crate::roles::Roles;
use crate::tokens::Tokens;

impl Parts {
    pub(super) fn api(&self, settings: Settings, stop: &CancellationToken) -> Api {
        let (replica, sealing) = (&self.replica, &self.sealing);
        let access = settings.access;
        Api {
            access: Access::new(
                Arc::clone(replica),
                Arc::clone(&self.grants),
                access.readers,
                access.read_auth,
                Arc::clone(&self.uses),
            ),
            // A step of the wall clock must neither free anybody nor lock him out for years.
            lockouts: LockoutGuard::new(access.lockout, Arc::new(SteadyClock::starting_at(self.clock.now()))),
            secrets: Arc::clone(&self.secrets),
            roles: Roles::new(Arc::clone(replica), Arc::clone(&self.grants)),
            tokens: Tokens::new(Arc::clone(replica), Arc::clone(sealing), Arc::clone(&self.grants)),
            cluster: Cluster::new(Arc::clone(replica), Arc::new(RaftMembership(Arc::clone(&self.node)))),
            rewrapping: Rewrapping::new(
                Arc::clone(replica),
                Arc::clone(&self.keys) as Arc<_>,
                settings.workers.rewrap.enabled,
                stop.clone(),
            ),
            replica: Arc::clone(replica),
            read_consistency: settings.node.read_consistency,
            audit: Arc::clone(&self.audit),
            readiness: Readiness::new(
                Arc::clone(replica),
                Arc::clone(&self.grants),
                Arc::clone(sealing),
                Arc::clone(&self.audit),
            ),
            metrics: Arc::clone(&self.metrics),
            proxies: access.proxies,
            request_ids: self.request_ids.clone(),
        }
    }
}
