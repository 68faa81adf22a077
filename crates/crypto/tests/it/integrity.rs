//! The MACs of what grants something.

use hyperion_vault_core::grant::GrantMac;
use hyperion_vault_crypto::{DataKey, EncryptionContext, IntegrityKey};

fn key(first: u8) -> IntegrityKey {
    IntegrityKey::from_data_key(&DataKey::filled_by(|bytes| {
        for (byte, number) in bytes.iter_mut().zip(first..) {
            *byte = number;
        }
    }))
}

/// Computed with Python's `hmac` and `hashlib`: HKDF-SHA256 without salt over the bytes 0 to 31 with the label
/// `hyperion-vault integrity key: grants, v1`, and HMAC-SHA256 under what comes of it.
#[test]
fn the_mac_is_hmac_sha256_under_a_derived_key() {
    let mac = key(0).mac(b"what a row grants");
    assert_eq!(
        hex::encode(mac.as_bytes()),
        "7abbbfa43de10a9beaac66991f69dc80c06c45b47c1c3c661ce467a79882c86e"
    );
}

#[test]
fn a_mac_is_good_for_its_facts_and_its_key_alone() {
    let mac = key(0).mac(b"facts");
    assert!(key(0).verify(b"facts", &mac));
    assert!(!key(0).verify(b"fact", &mac));
    assert!(!key(1).verify(b"facts", &mac));
    for bit in 0..256 {
        let mut bytes = *mac.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(!key(0).verify(b"facts", &GrantMac::from_bytes(bytes)), "bit {bit}");
    }
}

#[test]
fn the_context_of_an_integrity_key_names_its_cluster() {
    let context = EncryptionContext::for_integrity_key(&[0xab; 16]);
    let pairs: Vec<_> = context.pairs().collect();
    let id = "ab".repeat(16);
    assert_eq!(pairs, [("cluster", id.as_str()), ("purpose", "integrity")]);
    assert_ne!(context.encode(), EncryptionContext::for_integrity_key(&[0xac; 16]).encode());
}
