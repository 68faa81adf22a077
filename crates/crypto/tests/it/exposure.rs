//! What holds secrets can't be printed, copied or left in memory, and says nothing when it is compared.

use std::fmt::{Debug, Display};

use hyperion_vault_crypto::{DataKey, IntegrityKey, MasterKey, Material, Plaintext};
use subtle::ConstantTimeEq;
use zeroize::ZeroizeOnDrop;

/// Fails to compile when the type has the trait: the call is then ambiguous.
macro_rules! assert_lacks {
    ($type:ty: $($bound:path),+) => {
        const _: fn() = || {
            trait Ambiguous<Marker> {
                fn check() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            $({
                struct Marker;
                impl<T: ?Sized + $bound> Ambiguous<Marker> for T {}
            })+
            <$type as Ambiguous<_>>::check();
        };
    };
}

assert_lacks!(DataKey: Debug, Display, Clone);
assert_lacks!(MasterKey: Debug, Display, Clone);
assert_lacks!(IntegrityKey: Debug, Display, Clone);
assert_lacks!(Plaintext: Debug, Display, Clone, AsRef<[u8]>, PartialEq);
assert_lacks!(Material: Debug, Display, Clone);

const _: fn() = || {
    fn wiped_on_drop<T: ZeroizeOnDrop>() {}
    wiped_on_drop::<DataKey>();
    wiped_on_drop::<MasterKey>();
    wiped_on_drop::<IntegrityKey>();
    wiped_on_drop::<Plaintext>();
    // The cipher holds a copy of the key while it works; its `zeroize` feature is not a default.
    wiped_on_drop::<chacha20poly1305::XChaCha20Poly1305>();
};

#[test]
fn plaintexts_compare_by_content() {
    let secret = Plaintext::from("hunter2".to_owned());
    assert!(bool::from(secret.ct_eq(&Plaintext::from(b"hunter2".as_slice()))));
    for other in ["hunter3", "hunter", "hunter22", ""] {
        assert!(!bool::from(secret.ct_eq(&Plaintext::from(other.to_owned()))), "{other:?}");
    }
    assert!(bool::from(Plaintext::from(Vec::new()).ct_eq(&Plaintext::from(String::new()))));
}

#[test]
fn a_data_key_is_what_it_was_filled_with() {
    let key = DataKey::filled_by(|bytes| bytes.fill(5));
    assert_eq!(key.expose(), &[5; 32]);
}
