//! How many connections there are, of all clients together and of each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one client has for itself at the least (RFC 6177 §2): by single addresses it would be 2^64 clients.
const CLIENT_PREFIX_BITS: u32 = 64;

/// The places for connections.
pub(super) struct Places {
    all: Arc<Semaphore>,
    clients: Arc<Clients>,
}

impl Places {
    pub(super) fn new(connections_max: usize, connections_per_address_max: usize) -> Places {
        let clients = Clients { each_max: connections_per_address_max, taken: Mutex::default() };
        Places { all: Arc::new(Semaphore::new(connections_max)), clients: Arc::new(clients) }
    }

    /// Waits for a place among all.
    pub(super) async fn next(&self) -> FreePlace {
        loop {
            // The semaphore is never closed, so that this can't fail.
            let Ok(permit) = Arc::clone(&self.all).acquire_owned().await else { continue };
            return FreePlace { permit, clients: Arc::clone(&self.clients) };
        }
    }
}

/// A place that is nobody's yet.
pub(super) struct FreePlace {
    permit: OwnedSemaphorePermit,
    clients: Arc<Clients>,
}

impl FreePlace {
    /// The place for this client, or nothing when it has as many as it may. `address` is to be canonical.
    pub(super) fn take(self, address: IpAddr) -> Option<Place> {
        let client = client_of(address);
        let mut taken = self.clients.taken();
        let count = taken.get(&client).copied().unwrap_or_default();
        if count >= self.clients.each_max {
            return None;
        }
        taken.insert(client, count + 1);
        drop(taken);
        Some(Place { _permit: self.permit, client, clients: self.clients })
    }
}

/// A connection's place, free again when this is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    client: IpAddr,
    clients: Arc<Clients>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.clients.taken().entry(self.client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The places that each client has taken. Holds no client without one, so never more than there are places.
struct Clients {
    each_max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl Clients {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that holds the lock can panic half way.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one client: an IPv4 address, or the network of an IPv6 address.
fn client_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << (Ipv6Addr::BITS - CLIENT_PREFIX_BITS));
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(places: &Places, address: &str) -> Option<Place> {
        places.next().await.take(address.parse().unwrap())
    }

    #[tokio::test]
    async fn an_ipv4_address_and_an_ipv6_network_of_64_bits_are_one_client_each() {
        for (one, same, other) in [
            ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:2::1"),
        ] {
            let places = Places::new(10, 1);
            let _one = take(&places, one).await.unwrap();
            assert!(take(&places, same).await.is_none(), "{same} is the client {one}");
            assert!(take(&places, other).await.is_some(), "{other} is not the client {one}");
        }
    }

    #[tokio::test]
    async fn a_client_without_a_connection_is_not_remembered() {
        let places = Places::new(10, 2);
        let (one, two) = (take(&places, "192.0.2.1").await, take(&places, "192.0.2.1").await);
        assert!(take(&places, "192.0.2.1").await.is_none());
        drop(one);
        assert_eq!(places.clients.taken().len(), 1);
        drop(two);
        assert_eq!(places.clients.taken().len(), 0);
        assert_eq!(places.all.available_permits(), 10, "a refused connection keeps no place");
    }
}
