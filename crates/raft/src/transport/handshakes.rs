//! How many are in handshake from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::HANDSHAKES_PER_ADDRESS_MAX;

/// Shared by all connections; as many addresses as there are handshakes.
#[derive(Clone, Default)]
pub(super) struct Handshakes(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// Counts until it is dropped.
pub(super) struct Handshaking {
    address: IpAddr,
    all: Handshakes,
}

impl Handshakes {
    /// `None` when the address has as many as it may.
    pub(super) fn begin(&self, address: IpAddr) -> Option<Handshaking> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= HANDSHAKES_PER_ADDRESS_MAX {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Handshaking { address, all: self.clone() })
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_has_a_share_of_the_handshakes_and_gives_it_back() {
        let [stranger, member] = [1, 2].map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last)));
        let handshakes = Handshakes::default();
        let held: Vec<_> = (0..HANDSHAKES_PER_ADDRESS_MAX).map(|_| handshakes.begin(stranger)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(handshakes.begin(stranger).is_none());
        assert!(handshakes.begin(member).is_some());
        drop(held);
        assert!(handshakes.begin(stranger).is_some());
        assert!(handshakes.0.lock().unwrap().is_empty());
    }
}
