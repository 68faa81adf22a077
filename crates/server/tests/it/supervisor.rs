//! When the workers do their rounds: what is the leader's on the leader alone, and as soon as there is a reason.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyperion_vault_core::state::{Command, Outcome};
use hyperion_vault_server::ports::{Consensus, ProposeFailure, View};
use hyperion_vault_server::replica::Replica;
use hyperion_vault_server::worker::{Job, Place, Supervisor};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::audit_fixture::SetClock;

/// Longest time between two rounds here.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// A node that leads or not, and has applied so much.
#[derive(Default)]
struct Member {
    leads: AtomicBool,
    applied: AtomicU64,
}

#[async_trait]
impl Consensus for Member {
    fn view(&self) -> View {
        Arc::new(BTreeMap::<Vec<u8>, Vec<u8>>::new())
    }

    async fn propose(&self, _command: Command) -> Result<Outcome, ProposeFailure> {
        Err(ProposeFailure::NoLeader)
    }

    async fn barrier(&self) -> Result<(), ProposeFailure> {
        Ok(())
    }

    async fn wait_applied(&self, _index: u64, _limit: Duration) -> bool {
        true
    }

    fn applied_index(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    fn is_leader(&self) -> bool {
        self.leads.load(Ordering::Relaxed)
    }

    fn standing(&self) -> Result<(), String> {
        Ok(())
    }

    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Counts its rounds and never has anything due.
struct Counting {
    place: Place,
    rounds: Arc<AtomicU64>,
}

#[async_trait]
impl Job for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn place(&self) -> Place {
        self.place
    }

    async fn round(&self) -> Duration {
        self.rounds.fetch_add(1, Ordering::Relaxed);
        Duration::from_secs(3_600)
    }
}

struct World {
    member: Arc<Member>,
    rounds: Arc<AtomicU64>,
    supervisor: Supervisor,
    stop: CancellationToken,
}

impl World {
    fn with_a_job_of(place: Place) -> World {
        let (member, stop) = (Arc::new(Member::default()), CancellationToken::new());
        let replica = Arc::new(Replica::new(member.clone(), SetClock::new()));
        let mut supervisor = Supervisor::new(replica, SLEEP_MAX, stop.clone());
        let rounds = Arc::new(AtomicU64::new(0));
        supervisor.run(Counting { place, rounds: Arc::clone(&rounds) });
        World { member, rounds, supervisor, stop }
    }

    fn lead(&self, leads: bool) {
        self.member.leads.store(leads, Ordering::Relaxed);
    }

    async fn rounds_after(&self, pause: Duration) -> u64 {
        sleep(pause).await;
        self.rounds.load(Ordering::Relaxed)
    }
}

const MOMENT: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn the_leaders_work_begins_with_the_leadership_and_ends_with_it() {
    let world = World::with_a_job_of(Place::Leader);
    assert_eq!(world.rounds_after(10 * SLEEP_MAX).await, 0);
    world.lead(true);
    assert_eq!(world.rounds_after(MOMENT).await, 1);
    assert_eq!(world.rounds_after(SLEEP_MAX).await, 2, "no round comes later than this");
    world.lead(false);
    assert_eq!(world.rounds_after(10 * SLEEP_MAX).await, 2);
    world.lead(true);
    assert_eq!(world.rounds_after(MOMENT).await, 3);
}

/// A secret that was made by way of a follower was rotated up to a poll's time late.
#[tokio::test(start_paused = true)]
async fn what_was_changed_by_way_of_another_node_wakes_the_leaders_work() {
    let world = World::with_a_job_of(Place::Leader);
    world.lead(true);
    assert_eq!(world.rounds_after(MOMENT).await, 1);
    world.member.applied.fetch_add(1, Ordering::Relaxed);
    assert_eq!(world.rounds_after(MOMENT).await, 2);
    assert_eq!(world.rounds_after(MOMENT).await, 2, "once for each reason");
}

#[tokio::test(start_paused = true)]
async fn many_changes_make_few_rounds() {
    let world = World::with_a_job_of(Place::Leader);
    world.lead(true);
    for _ in 0..1_000 {
        world.member.applied.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(10)).await;
    }
    let rounds = world.rounds_after(MOMENT).await;
    assert!((20..=50).contains(&rounds), "{rounds} in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn each_nodes_own_work_is_done_whoever_leads_and_at_its_own_pace() {
    let world = World::with_a_job_of(Place::EveryNode);
    assert_eq!(world.rounds_after(MOMENT).await, 1);
    world.member.applied.fetch_add(1, Ordering::Relaxed);
    assert_eq!(world.rounds_after(MOMENT).await, 1);
    assert_eq!(world.rounds_after(SLEEP_MAX).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_whoever_waits() {
    for place in [Place::Leader, Place::EveryNode] {
        for leads in [false, true] {
            let world = World::with_a_job_of(place);
            world.lead(leads);
            sleep(MOMENT).await;
            world.stop.cancel();
            tokio::time::timeout(MOMENT, world.supervisor.ended()).await.expect("a worker that waits stops");
        }
    }
}
