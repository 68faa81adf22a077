//! The workers of a node, and what each is given.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Parts;
use crate::config::Workers;
use crate::secrets::Means;
use crate::worker::{Agenda, Attempts, Expiry, GrantCheck, Rewrap, Rotation, Supervisor, TokenUsage};

impl Parts {
    pub(super) fn workers(&self, settings: &Workers, stop: &CancellationToken) -> Supervisor {
        let sleep_max = Duration::from_secs(settings.rotation_poll.get());
        let mut workers = Supervisor::new(Arc::clone(&self.replica), sleep_max, stop.clone());
        workers.run(Rotation {
            replica: Arc::clone(&self.replica),
            secrets: Arc::clone(&self.secrets),
            metrics: Arc::clone(&self.metrics),
            attempts: Arc::new(self.attempts(settings, stop)),
            stop: stop.clone(),
        });
        workers.run(Expiry {
            replica: Arc::clone(&self.replica),
            audit: Arc::clone(&self.audit),
            metrics: Arc::clone(&self.metrics),
            request_ids: self.request_ids.clone(),
        });
        workers.run(Rewrap {
            replica: Arc::clone(&self.replica),
            keys: Arc::clone(&self.keys) as Arc<_>,
            audit: Arc::clone(&self.audit),
            metrics: Arc::clone(&self.metrics),
            request_ids: self.request_ids.clone(),
            settings: settings.rewrap,
            agenda: Agenda::new(&settings.rewrap),
            stop: stop.clone(),
        });
        workers.run(GrantCheck::new(
            Arc::clone(&self.replica),
            Arc::clone(&self.grants),
            Arc::clone(&self.audit),
            self.request_ids.clone(),
        ));
        workers.run(TokenUsage { replica: Arc::clone(&self.replica), uses: Arc::clone(&self.uses) });
        workers
    }

    fn attempts(&self, settings: &Workers, stop: &CancellationToken) -> Attempts {
        let means = Means {
            target: Arc::clone(&self.target),
            audit: Arc::clone(&self.audit),
            request_ids: self.request_ids.clone(),
            pause_at: settings.pause_rotation_at,
        };
        Attempts::new(
            means,
            Arc::clone(&self.replica),
            Arc::clone(&self.secrets),
            Arc::clone(&self.metrics),
            Arc::clone(&self.entropy),
            stop.clone(),
        )
    }
}
