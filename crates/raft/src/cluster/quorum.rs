//! Arithmetic of majorities.

use std::collections::BTreeSet;

use crate::types::Membership;

/// The least number that is more than half of `of`.
pub(super) fn majority(of: usize) -> usize {
    of / 2 + 1
}

/// Whether the member votes, by any set of a joint membership.
pub(crate) fn is_voter(membership: &Membership, id: u64) -> bool {
    membership.voter_ids().any(|voter| voter == id)
}

/// Whether `present` holds a majority of each set of voters. A membership without voters has no quorum.
pub(super) fn has_quorum(membership: &Membership, present: &BTreeSet<u64>) -> bool {
    let sets = membership.get_joint_config();
    !sets.is_empty() && sets.iter().all(|voters| holds_majority(voters, present))
}

fn holds_majority(voters: &BTreeSet<u64>, present: &BTreeSet<u64>) -> bool {
    voters.intersection(present).count() >= majority(voters.len())
}

/// Whether the cluster can remove `removed` and go on without it: the voters of before must agree to it, and
/// those that are left must be able to commit. `present`: the voters that can be reached now.
///
/// # Errors
/// The voters whose absence is in the way; none where no voter would be left.
pub(super) fn check_removal(
    voters: &BTreeSet<u64>,
    removed: u64,
    present: &BTreeSet<u64>,
) -> Result<(), BTreeSet<u64>> {
    let left: BTreeSet<u64> = voters.iter().copied().filter(|id| *id != removed).collect();
    if !left.is_empty() && holds_majority(voters, present) && holds_majority(&left, present) {
        return Ok(());
    }
    Err(left.difference(present).copied().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!([1, 2, 3, 4, 5].map(majority), [1, 2, 2, 3, 3]);
    }

    #[test]
    fn a_removal_must_leave_a_quorum() {
        let three = ids(&[1, 2, 3]);
        assert_eq!(check_removal(&three, 3, &ids(&[1, 2, 3])), Ok(()));
        assert_eq!(check_removal(&three, 3, &ids(&[1, 2])), Ok(()), "the one that is down is removed");
        assert_eq!(
            check_removal(&three, 2, &ids(&[1, 2])),
            Err(ids(&[3])),
            "1 alone is no majority of 1 and 3"
        );
        assert_eq!(check_removal(&three, 3, &ids(&[1])), Err(ids(&[2])));
        assert_eq!(check_removal(&ids(&[1]), 1, &ids(&[1])), Err(ids(&[])), "nobody would be left");
        assert_eq!(
            check_removal(&ids(&[1, 2]), 2, &ids(&[1])),
            Err(ids(&[])),
            "2 itself would have to agree"
        );
    }

    proptest! {
        #[test]
        fn what_is_allowed_leaves_a_majority_of_those_left(
            voters in prop::collection::btree_set(1_u64..8, 1..7),
            present in prop::collection::btree_set(1_u64..8, 0..7),
            removed in 1_u64..8,
        ) {
            if check_removal(&voters, removed, &present).is_ok() {
                let left: BTreeSet<u64> = voters.iter().copied().filter(|id| *id != removed).collect();
                let there = left.intersection(&present).count();
                prop_assert!(there * 2 > left.len());
            }
        }
    }
}
