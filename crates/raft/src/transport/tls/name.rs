//! The name by which a certificate says which node it is for.

use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

/// What all names of nodes end in. `.internal` is reserved for private use and never resolves (ICANN, 2024).
const NAME_END: &str = ".hyperion-vault.internal";

/// What they begin with; between them stands the id.
const NAME_BEGIN: &str = "node-";

/// The DNS name that the certificate of node `node_id` carries, `node-<id>.hyperion-vault.internal`.
#[must_use]
pub fn node_name(node_id: u64) -> String {
    format!("{NAME_BEGIN}{node_id}{NAME_END}")
}

/// Which node this peer is, from the certificates of a completed handshake, its own first. `None` unless its own
/// carries exactly one name of a node; names of other domains beside it mean nothing here. Says nothing about
/// who vouches for it: that the handshake has seen to.
#[must_use]
pub fn peer_node_id(certificates: &[CertificateDer<'_>]) -> Option<u64> {
    let certificate = EndEntityCert::try_from(certificates.first()?).ok()?;
    let mut names = certificate.valid_dns_names().filter(|name| is_ours(name));
    let name = names.next()?;
    // Two names would be two nodes.
    if names.next().is_some() { None } else { node_id(name) }
}

#[expect(clippy::expect_used, reason = "letters, digits, hyphens and dots, each label within 63 bytes")]
pub(super) fn server_name(node_id: u64) -> ServerName<'static> {
    ServerName::try_from(node_name(node_id)).expect("a DNS name")
}

/// Whether it is a name below our domain, in whatever case and with whatever in front: DNS names are compared
/// without regard to case, and a wildcard would be any node.
fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(NAME_END)
}

/// The id in a name that [`node_name`] could have made.
fn node_id(name: &str) -> Option<u64> {
    let id = name.strip_prefix(NAME_BEGIN)?.strip_suffix(NAME_END)?.parse().ok()?;
    // Not `+3`, not `03`: one node, one name.
    (node_name(id) == name).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_one_id_and_an_id_has_one_name() {
        for id in [0, 1, 42, u64::MAX] {
            assert_eq!(node_id(&node_name(id)), Some(id));
            assert_eq!(server_name(id).to_str(), node_name(id));
        }
        for name in [
            "node-.hyperion-vault.internal",
            "node-03.hyperion-vault.internal",
            "node-+3.hyperion-vault.internal",
            "node--3.hyperion-vault.internal",
            "NODE-3.hyperion-vault.internal",
            "node-3.hyperion-vault.internal.",
            "node-3.hyperion-vault.internal.example.com",
            "*.hyperion-vault.internal",
            "node-18446744073709551616.hyperion-vault.internal",
        ] {
            assert_eq!(node_id(name), None, "{name}");
        }
    }
}
