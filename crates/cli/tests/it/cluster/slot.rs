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
        let free: Vec<_> = (1..=SLOTS)
            .filter_map(|number| {
                let lock = File::create(directory.join(format!("cluster-{number}.lock"))).unwrap();
                lock.try_lock().ok()?;
                tidy(number);
                Some(Slot { number, _lock: lock })
            })
            .collect();
        free.into_iter().next().expect("no slot for one more cluster")
    }
}

#[test]
fn no_two_clusters_have_the_same_slot() {
    let first = Slot::take(|_| ());
    assert_ne!(first.number, Slot::take(|_| ()).number);
}
