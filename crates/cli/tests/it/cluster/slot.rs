//! A number that one cluster of the machine has to itself: its addresses and names are made of it.

use std::fs::{self, File};

/// Clusters that the machine has room for at once.
const SLOTS: u8 = 64;

/// Held by a lock on a file, so that the death of its owner gives it back, whatever kind of death.
pub(super) struct Slot {
    pub(super) number: u8,
    _lock: File,
}

impl Slot {
    /// Takes the first free slot. `tidy` clears away what the dead left in a slot that nobody holds.
    pub(super) fn take(tidy: impl Fn(u8)) -> Slot {
        let directory = std::env::temp_dir().join("hyperion-vault-tests");
        fs::create_dir_all(&directory).unwrap();
        let mut taken = None;
        for number in 1..=SLOTS {
            let lock = File::create(directory.join(format!("cluster-{number}.lock"))).unwrap();
            if lock.try_lock().is_ok() {
                tidy(number);
                // The others are given back at once: somebody else may be looking for one.
                taken.get_or_insert(Slot { number, _lock: lock });
            }
        }
        taken.expect("no slot for one more cluster")
    }
}

#[test]
fn no_two_clusters_have_the_same_slot_even_if_they_start_at_once() {
    let taken: Vec<_> = std::thread::scope(|scope| {
        let taking: Vec<_> = (0..8).map(|_| scope.spawn(|| Slot::take(|_| ()))).collect();
        taking.into_iter().map(|slot| slot.join().unwrap()).collect()
    });
    let numbers: std::collections::BTreeSet<_> = taken.iter().map(|slot| slot.number).collect();
    assert_eq!(numbers.len(), taken.len());
}
