//! Whose address a request comes from: the peer's, or what trusted proxies say in `X-Forwarded-For`.
//!
//! Each proxy appends the address it was called from, so the header reads from the client on the left to the
//! last hop on the right, and only what trusted proxies wrote can be believed. It is therefore read from the
//! right. What stands further left than the first hop that isn't a trusted proxy was written by strangers and
//! decides nothing, but must still be readable: one entry that is no address refuses the whole header.

use std::net::{IpAddr, SocketAddr};

use crate::allowlist::Allowlist;

/// Entries in all `X-Forwarded-For` headers of one request.
pub const FORWARDED_HOPS_MAX: usize = 64;

/// Whose `X-Forwarded-For` is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProxyTrust {
    /// Nobody's: the client is the peer.
    #[default]
    Nobody,
    /// The direct peer's, whoever it is; no other proxy is known. The client is the rightmost entry, the one
    /// that the peer itself appended.
    Peer,
    /// That of these proxies and no others. A list that permits nobody trusts nobody.
    Proxies(Allowlist),
}

/// The `X-Forwarded-For` of a trusted proxy can't be read, so that the client is not known.
///
/// Such a request is refused, and should not be counted as a failure of the peer: the peer is the proxy of
/// everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("X-Forwarded-For is not a list of at most {FORWARDED_HOPS_MAX} IP addresses")]
pub struct UnreadableForwardedFor;

/// The address that a request is judged by, an IPv4-mapped one as IPv4.
///
/// `forwarded_for` has the values of all `X-Forwarded-For` headers in the order received. An entry is `ip`,
/// `ip:port`, `[v6]` or `[v6]:port`. Without any header the client is the peer; when every hop is a trusted
/// proxy it is the leftmost, the first known.
///
/// # Errors
/// [`UnreadableForwardedFor`] when the header counts and can't be read. Deny the request.
pub fn resolve(
    peer: IpAddr,
    forwarded_for: &[&[u8]],
    trust: &ProxyTrust,
) -> Result<IpAddr, UnreadableForwardedFor> {
    let peer = peer.to_canonical();
    match trust {
        ProxyTrust::Nobody => Ok(peer),
        ProxyTrust::Peer => Ok(parse_hops(forwarded_for)?.last().copied().unwrap_or(peer)),
        ProxyTrust::Proxies(proxies) if !proxies.permits(peer) => Ok(peer),
        ProxyTrust::Proxies(proxies) => {
            let hops = parse_hops(forwarded_for)?;
            let client = hops.iter().rfind(|hop| !proxies.permits(**hop)).or(hops.first());
            Ok(client.copied().unwrap_or(peer))
        }
    }
}

fn parse_hops(forwarded_for: &[&[u8]]) -> Result<Vec<IpAddr>, UnreadableForwardedFor> {
    let mut hops = Vec::new();
    for entry in forwarded_for.iter().flat_map(|value| value.split(|byte| *byte == b',')) {
        if hops.len() == FORWARDED_HOPS_MAX {
            return Err(UnreadableForwardedFor);
        }
        hops.push(parse_hop(entry).ok_or(UnreadableForwardedFor)?);
    }
    Ok(hops)
}

fn parse_hop(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let address = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(bracketed) => IpAddr::V6(bracketed.parse().ok()?),
        None => text.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?,
    };
    Some(address.to_canonical())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.1";
    const STRANGER: &str = "203.0.113.66";

    fn proxies() -> ProxyTrust {
        ProxyTrust::Proxies(Allowlist::parse("10.0.0.0/8, 2001:db8:ffff::/48").unwrap())
    }

    fn client(peer: &str, headers: &[&str], trust: &ProxyTrust) -> Option<String> {
        let values: Vec<&[u8]> = headers.iter().map(|header| header.as_bytes()).collect();
        resolve(peer.parse().unwrap(), &values, trust).ok().map(|address| address.to_string())
    }

    #[track_caller]
    fn assert_client(peer: &str, headers: &[&str], trust: &ProxyTrust, expected: &str) {
        assert_eq!(client(peer, headers, trust).as_deref(), Some(expected), "{headers:?}");
    }

    #[test]
    fn without_trust_the_header_is_not_even_read() {
        assert_client(PROXY, &["198.51.100.1"], &ProxyTrust::Nobody, PROXY);
        assert_client(PROXY, &["nonsense"], &ProxyTrust::Nobody, PROXY);
    }

    #[test]
    fn a_stranger_can_not_speak_for_others() {
        assert_client(STRANGER, &["10.0.0.9"], &proxies(), STRANGER);
        assert_client(STRANGER, &["nonsense"], &proxies(), STRANGER);
    }

    #[test]
    fn an_empty_list_of_proxies_trusts_nobody() {
        let nobody = ProxyTrust::Proxies(Allowlist::default());
        assert_client(PROXY, &["198.51.100.1"], &nobody, PROXY);
    }

    #[test]
    fn the_client_is_the_first_hop_from_the_right_that_is_no_proxy() {
        assert_client(PROXY, &["198.51.100.1"], &proxies(), "198.51.100.1");
        assert_client(PROXY, &["198.51.100.1, 10.0.0.3, 10.0.0.2"], &proxies(), "198.51.100.1");
        assert_client(PROXY, &["192.0.2.1, 198.51.100.1, 10.0.0.2"], &proxies(), "198.51.100.1");
    }

    #[test]
    fn what_a_client_puts_on_the_left_decides_nothing() {
        assert_client(PROXY, &["127.0.0.1, 10.0.0.7, 198.51.100.1"], &proxies(), "198.51.100.1");
    }

    #[test]
    fn when_every_hop_is_a_proxy_the_first_known_is_the_client() {
        assert_client(PROXY, &["10.0.0.4, 10.0.0.3"], &proxies(), "10.0.0.4");
    }

    #[test]
    fn with_no_list_the_entry_of_the_direct_peer_counts() {
        assert_client(STRANGER, &["127.0.0.1, 198.51.100.1"], &ProxyTrust::Peer, "198.51.100.1");
        assert_client(STRANGER, &["198.51.100.1", "10.0.0.2"], &ProxyTrust::Peer, "10.0.0.2");
    }

    #[test]
    fn several_headers_are_one_list_in_order() {
        assert_client(PROXY, &["192.0.2.1, 198.51.100.1", "10.0.0.3, 10.0.0.2"], &proxies(), "198.51.100.1");
    }

    #[test]
    fn a_proxy_without_the_header_speaks_for_itself() {
        assert_client(PROXY, &[], &proxies(), PROXY);
        assert_client(STRANGER, &[], &ProxyTrust::Peer, STRANGER);
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        for (entry, expected) in [
            ("198.51.100.1:4711", "198.51.100.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("\t198.51.100.1  ", "198.51.100.1"),
        ] {
            assert_client(PROXY, &[entry], &proxies(), expected);
        }
    }

    #[test]
    fn mapped_addresses_are_ipv4_throughout() {
        assert_client("::ffff:10.0.0.1", &[], &ProxyTrust::Nobody, "10.0.0.1");
        assert_client(
            "::ffff:10.0.0.1",
            &["::ffff:198.51.100.1, [::ffff:10.0.0.2]:80"],
            &proxies(),
            "198.51.100.1",
        );
    }

    #[test]
    fn an_unreadable_header_denies() {
        for header in [
            "",
            " ",
            "nonsense",
            "unknown",
            "198.51.100.1,",
            ", 198.51.100.1",
            "198.51.100.1 198.51.100.2",
            "nonsense, 198.51.100.1",
            "198.51.100.1, nonsense",
            "198.51.100.1:",
            "198.51.100.1:99999",
            "[198.51.100.1]",
            "[2001:db8::1",
            "2001:db8::1]:80",
            "\"198.51.100.1\"",
            "_hidden",
        ] {
            for trust in [proxies(), ProxyTrust::Peer] {
                assert_eq!(client(PROXY, &[header], &trust), None, "{header:?}");
            }
        }
        assert!(resolve(PROXY.parse().unwrap(), &[b"\xff\xfe"], &proxies()).is_err());
    }

    #[test]
    fn the_number_of_hops_is_bounded() {
        let full = vec!["10.0.0.2"; FORWARDED_HOPS_MAX].join(",");
        assert_client(PROXY, &[&full], &proxies(), "10.0.0.2");
        assert_eq!(client(PROXY, &[&full, "10.0.0.2"], &proxies()), None);
    }

    proptest! {
        /// Whatever a client sends, an honest proxy's own entry is what counts.
        #[test]
        fn no_prefix_forges_a_client(forged in proptest::collection::vec("[0-9a-f:., \\[\\]]{0,24}", 0..4)) {
            let mut headers: Vec<&[u8]> = forged.iter().map(|header| header.as_bytes()).collect();
            headers.push(b"198.51.100.1");
            let seen = resolve(PROXY.parse().unwrap(), &headers, &proxies());
            prop_assert!(seen.is_err() || seen == Ok("198.51.100.1".parse().unwrap()));
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = resolve(PROXY.parse().unwrap(), &[&value], &ProxyTrust::Peer);
        }
    }
}
