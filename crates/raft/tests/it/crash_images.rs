//! Every moment at which a node could have been killed, or its power cut, leaves a disk from which it comes back
//! with all that was acknowledged and no half of a command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyperion_vault_core::state::Command;

use crate::fixture::*;
use crate::recording_disk::{Event, Image, RecordingDisk};

const PROPOSERS: u64 = 8;
const PROPOSALS_EACH: u64 = 60;
/// Moments to try, of each kind; the ignored tests try all of them.
const SAMPLE: usize = 250;
const SEED: u64 = 0x5EED;

/// A run under load: what the disk held and was told, and the commands by their places in the log.
struct Run {
    base: Image,
    events: Vec<Event>,
    commands: BTreeMap<u64, Command>,
}

async fn run_under_load() -> Run {
    let disk = RecordingDisk::new();
    let node = Arc::new(disk.start(busy_config()).await);
    disk.record();
    let proposers: Vec<_> = (0..PROPOSERS)
        .map(|proposer| {
            let (node, disk) = (Arc::clone(&node), disk.clone());
            tokio::spawn(async move {
                let mut made = Vec::new();
                for number in 0..PROPOSALS_EACH {
                    let command = command(proposer * PROPOSALS_EACH + number);
                    let applied = node.propose(command.clone()).await.unwrap();
                    disk.acknowledge(applied.log_index);
                    made.push((applied.log_index, command));
                }
                made
            })
        })
        .collect();
    let mut commands = BTreeMap::new();
    for proposer in proposers {
        commands.extend(proposer.await.unwrap());
    }
    while node.status().purged_index.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.shutdown().await.unwrap();
    let (base, events) = disk.recorded();
    Run { base, events, commands }
}

fn command(number: u64) -> Command {
    match number % 4 {
        3 => delete(number - 1),
        _ => create(number, 32 * usize::try_from(number % 9).unwrap()),
    }
}

impl Run {
    /// Starts a node on `image`, which some moment after the first `happened` events left.
    async fn check(&self, image: Image, happened: usize) {
        let mut config = busy_config();
        config.snapshot_every_entries = 1_000_000;
        let node = RecordingDisk::holding(image).start(config).await;
        // The log ends with the blank entry with which the node took the lead again, or, if it came to that by now,
        // with the one after it, by which the membership learns of this start.
        let end = node.status().last_log_index.unwrap();
        let acknowledged = self.events[..happened].iter().filter_map(|event| match event {
            Event::Acknowledged { log_index } => Some(*log_index),
            _ => None,
        });
        let last = acknowledged.max();
        let rows = rows(&node.view());
        let is_whole = |blank: u64| {
            let expected = apply_all(self.commands.range(..blank).map(|(_, command)| command));
            last < Some(blank) && rows == expected
        };
        assert!(
            is_whole(end) || is_whole(end - 1),
            "after {happened} events: {last:?} was acknowledged, the log ends at {end}: not the rows of its entries but {:?} and the first command is at {:?}",
            rows.keys().collect::<Vec<_>>(),
            self.commands.keys().next()
        );
        node.shutdown().await.unwrap();
    }

    /// Moments spread over the run, about this many.
    fn moments(&self, sample: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.events.len();
        (0..=count).step_by((count / sample).max(1))
    }

    async fn kill_at_each_of(&self, moments: impl Iterator<Item = usize>) {
        let (mut image, mut performed) = (self.base.clone(), 0);
        for moment in moments {
            for event in &self.events[performed..moment] {
                image.perform(event);
            }
            performed = moment;
            self.check(image.clone(), moment).await;
        }
    }

    async fn cut_power_at_each_of(&self, moments: impl Iterator<Item = usize>) {
        for (seed, moment) in (SEED..).zip(moments) {
            let image = self.base.clone().after_power_cut(&self.events[..moment], &mut chances(seed));
            self.check(image, moment).await;
        }
    }
}

/// xorshift64: the same sample for the same seed.
fn chances(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_moment_loses_nothing_acknowledged() {
    let run = run_under_load().await;
    run.kill_at_each_of(run.moments(SAMPLE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    let run = run_under_load().await;
    run.cut_power_at_each_of(run.moments(SAMPLE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_kill_at_every_moment_loses_nothing_acknowledged() {
    let run = run_under_load().await;
    run.kill_at_each_of(run.moments(usize::MAX)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_power_cut_at_every_moment_loses_nothing_acknowledged() {
    let run = run_under_load().await;
    run.cut_power_at_each_of(run.moments(usize::MAX)).await;
}

#[tokio::test]
async fn the_recording_itself_forgets_what_was_not_synced() {
    // The test of the tests: a disk that loses synced writes must be noticed.
    let run = run_under_load().await;
    let written = run.events.iter().filter(|event| !matches!(event, Event::Sync { .. }));
    let lossy: Vec<Event> = written.cloned().collect();
    let image = run.base.clone().after_power_cut(&lossy, &mut |_| 0);
    assert_eq!(image, run.base);
    let checked = tokio::spawn(async move { run.check(image, run.events.len()).await });
    assert!(tokio::time::timeout(Duration::from_secs(5), checked).await.unwrap().is_err());
}
