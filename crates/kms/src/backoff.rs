//! How long to wait before a call is tried again.

use std::time::Duration;

use hyperion_vault_core::ports::Entropy;

use crate::provider::Outage;

/// Longest first pause after a call that didn't get through. The first five attempts fit into a second.
const FIRST: Duration = Duration::from_millis(50);
/// The same after a throttled one: it got through, and has to come at another time.
const FIRST_THROTTLED: Duration = Duration::from_millis(200);
/// Longest pause of all.
const LONGEST: Duration = Duration::from_secs(2);

/// A pause after the `failures`th failed attempt, from 1: at random up to a bound that doubles with each ("full
/// jitter"), so that many who failed together don't come back together.
pub(crate) fn pause(outage: Outage, failures: u32, entropy: &dyn Entropy) -> Duration {
    let mut random = [0; 4];
    entropy.fill(&mut random);
    bound(outage, failures).mul_f64(f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX))
}

fn bound(outage: Outage, failures: u32) -> Duration {
    let first = if outage == Outage::Throttled { FIRST_THROTTLED } else { FIRST };
    first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Constant(u8);

    impl Entropy for Constant {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn the_longest_pause_doubles_up_to_two_seconds() {
        let longest = |outage| {
            (1..=8).map(|failures| pause(outage, failures, &Constant(0xff)).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(longest(Outage::Unreachable), [50, 100, 200, 400, 800, 1_600, 2_000, 2_000]);
        assert_eq!(longest(Outage::Throttled), [200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000]);
        assert_eq!(pause(Outage::Faulty, u32::MAX, &Constant(0xff)), LONGEST);
    }

    #[test]
    fn a_pause_is_anything_from_none_to_the_longest() {
        assert_eq!(pause(Outage::Unreachable, 3, &Constant(0)), Duration::ZERO);
        let middle = pause(Outage::Unreachable, 3, &Constant(0x80));
        assert!((Duration::from_millis(99)..Duration::from_millis(102)).contains(&middle), "{middle:?}");
    }
}
