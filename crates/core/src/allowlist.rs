//! Which client addresses something is allowed from: reads of the vault, one token, a trusted proxy.
//!
//! An allowlist is a comma-separated list of addresses and networks in CIDR notation, IPv4 and IPv6. Blank
//! entries (a trailing comma) are passed over. An empty list permits nobody.
//!
//! An IPv4 client that arrives on an IPv6 socket shows as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2). Such an
//! address is judged as `a.b.c.d`, in the list as in the question: `::ffff:10.0.0.0/104` means `10.0.0.0/8`.
//! The reverse follows: an IPv6 network, `::/0` included, permits no IPv4 client.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses and networks in one allowlist.
pub const ALLOWLIST_ENTRIES_MAX: usize = 1_024;

/// Bits before the embedded IPv4 address in `::ffff:a.b.c.d`.
const MAPPED_PREFIX_BITS: u8 = 96;

/// Why a text is not an allowlist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowlistError {
    /// Names the first entry that can't be read.
    #[error("{entry:?} is neither an IP address nor a network in CIDR notation")]
    Malformed { entry: String },
    #[error("must have at most {max} entries")]
    TooMany { max: usize },
}

/// A set of addresses and networks. The default permits nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowlist {
    networks: Vec<IpNet>,
}

impl Allowlist {
    /// # Errors
    /// [`AllowlistError`] names the first malformed entry, or says that there are more than
    /// [`ALLOWLIST_ENTRIES_MAX`].
    pub fn parse(text: &str) -> Result<Allowlist, AllowlistError> {
        let mut networks = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if networks.len() == ALLOWLIST_ENTRIES_MAX {
                return Err(AllowlistError::TooMany { max: ALLOWLIST_ENTRIES_MAX });
            }
            let network = parse_network(entry);
            networks.push(network.ok_or_else(|| AllowlistError::Malformed { entry: entry.to_owned() })?);
        }
        Ok(Allowlist { networks })
    }

    /// Whether `client` is one of the addresses or in one of the networks.
    #[must_use]
    pub fn permits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.networks.iter().any(|network| network.contains(&client))
    }

    /// Whether it permits nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}

fn parse_network(entry: &str) -> Option<IpNet> {
    match entry.split_once('/') {
        None => Some(IpNet::from(entry.parse::<IpAddr>().ok()?.to_canonical())),
        Some((address, prefix)) => network_of(address.parse().ok()?, parse_prefix_bits(prefix)?),
    }
}

/// Digits only: `u8::from_str` would also take `+8`.
fn parse_prefix_bits(text: &str) -> Option<u8> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A mapped network that holds nothing but mapped addresses becomes the IPv4 network it stands for. Any wider
/// one stays IPv6, and so never matches an IPv4 client.
fn network_of(address: IpAddr, prefix_bits: u8) -> Option<IpNet> {
    match (address, address.to_canonical()) {
        (IpAddr::V6(_), mapped @ IpAddr::V4(_)) if prefix_bits >= MAPPED_PREFIX_BITS => {
            IpNet::new(mapped, prefix_bits - MAPPED_PREFIX_BITS).ok()
        }
        _ => IpNet::new(address, prefix_bits).ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn permits(list: &str, client: &str) -> bool {
        Allowlist::parse(list).unwrap().permits(client.parse().unwrap())
    }

    fn malformed(entry: &str) -> AllowlistError {
        AllowlistError::Malformed { entry: entry.to_owned() }
    }

    #[test]
    fn an_empty_list_permits_nobody() {
        for list in ["", "  ", ",", " , ,"] {
            assert!(Allowlist::parse(list).unwrap().is_empty(), "{list:?}");
            assert!(!permits(list, "127.0.0.1"), "{list:?}");
            assert!(!permits(list, "::1"), "{list:?}");
        }
        assert!(!Allowlist::default().permits(Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn an_address_permits_itself_alone() {
        assert!(permits("10.0.0.7", "10.0.0.7"));
        assert!(!permits("10.0.0.7", "10.0.0.8"));
        assert!(permits("2001:db8::7", "2001:db8:0::7"));
        assert!(!permits("2001:db8::7", "2001:db8::8"));
    }

    #[test]
    fn a_network_permits_from_its_first_to_its_last_address() {
        assert!(permits("10.1.0.0/16", "10.1.0.0"));
        assert!(permits("10.1.0.0/16", "10.1.255.255"));
        assert!(!permits("10.1.0.0/16", "10.2.0.0"));
        assert!(permits("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!permits("2001:db8::/32", "2001:db9::1"));
        assert!(permits("0.0.0.0/0", "203.0.113.9"));
    }

    #[test]
    fn bits_beyond_the_prefix_do_not_matter() {
        assert!(permits("10.1.2.3/16", "10.1.99.99"));
    }

    #[test]
    fn every_entry_counts_and_space_does_not() {
        let list = " 192.0.2.1 ,\t2001:db8::/64,10.0.0.0/8, ";
        for client in ["192.0.2.1", "2001:db8::beef", "10.200.0.1"] {
            assert!(permits(list, client), "{client}");
        }
        assert!(!permits(list, "192.0.2.2"));
    }

    #[test]
    fn a_mapped_address_is_judged_as_ipv4_on_either_side() {
        assert!(permits("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(permits("::ffff:10.1.2.3", "10.1.2.3"));
        assert!(permits("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(!permits("::ffff:10.0.0.0/104", "11.0.0.1"));
        assert!(permits("::ffff:0:0/96", "203.0.113.9"));
    }

    #[test]
    fn an_ipv6_network_permits_no_ipv4_client() {
        for client in ["10.1.2.3", "::ffff:10.1.2.3"] {
            assert!(!permits("::/0", client));
            assert!(!permits("::ffff:0:0/95", client));
        }
        assert!(permits("::/0", "2001:db8::1"));
        assert!(!permits("0.0.0.0/0", "2001:db8::1"));
    }

    #[test]
    fn a_malformed_entry_is_named() {
        for entry in [
            "localhost",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "10.0.0.0/8/8",
            "10.0.0.0/-1",
            "10.0.0.0 /8",
            "::/129",
            "::1%eth0",
            "[::1]",
            "*",
            "10.0.0.1 10.0.0.2",
        ] {
            let list = format!("192.0.2.1, {entry}, 192.0.2.2");
            assert_eq!(Allowlist::parse(&list), Err(malformed(entry)), "{entry}");
        }
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let full = vec!["10.0.0.1"; ALLOWLIST_ENTRIES_MAX].join(",");
        assert!(Allowlist::parse(&full).is_ok());
        let over = format!("{full},10.0.0.1");
        assert_eq!(Allowlist::parse(&over), Err(AllowlistError::TooMany { max: ALLOWLIST_ENTRIES_MAX }));
    }

    proptest! {
        #[test]
        fn an_ipv4_network_permits_exactly_what_shares_its_prefix(
            network: u32, client: u32, bits in 0u8..=32,
        ) {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            let list = Allowlist::parse(&format!("{}/{bits}", Ipv4Addr::from(network))).unwrap();
            prop_assert_eq!(list.permits(Ipv4Addr::from(client).into()), network & mask == client & mask);
            prop_assert!(list.permits(Ipv4Addr::from(network).to_ipv6_mapped().into()));
        }

        #[test]
        fn an_ipv6_network_permits_exactly_what_shares_its_prefix(
            network: u128, client: u128, bits in 0u8..=128,
        ) {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            let list = Allowlist::parse(&format!("{}/{bits}", Ipv6Addr::from(network))).unwrap();
            let near = (network & mask) | (client & !mask);
            prop_assert_eq!(list.permits(Ipv6Addr::from(client).into()), network & mask == client & mask);
            prop_assert!(list.permits(Ipv6Addr::from(near).into()));
        }

        #[test]
        fn no_text_panics(text in ".{0,64}") {
            let _ = Allowlist::parse(&text);
        }
    }
}
