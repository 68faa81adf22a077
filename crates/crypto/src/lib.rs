//! From secret material to bytes that may be stored, and back. The whole cipher path of the vault is in this
//! crate, and nothing else is.
//!
//! ```text
//! Material --payload--> Plaintext --envelope, under a DataKey used once--> SealedVersion
//!                                     DataKey --wrap, under the MasterKey--> wrapped data key
//! ```
//!
//! Pure: no I/O, no clock, no randomness. Nonces, keys and random bytes are arguments, and whoever passes them
//! answers for their quality. The one AEAD is XChaCha20-Poly1305 (`cipher.rs`); keys are told apart by
//! HKDF-SHA256 labels (`wrap.rs`). Every stored format begins with, or binds, its version.
//!
//! No type that holds plaintext or key material has `Debug`, `Display`, `Clone` or a serialization, and each is
//! wiped when dropped. No error says anything about either.

mod associated_data;
mod cipher;
mod data_key;
mod encryption_context;
mod envelope;
mod generate;
mod integrity;
mod key_bytes;
mod payload;
mod plaintext;
mod wrap;

pub use associated_data::AssociatedData;
pub use cipher::{NONCE_BYTES, TAG_BYTES};
pub use data_key::DataKey;
pub use encryption_context::EncryptionContext;
pub use envelope::{ENVELOPE_FORMAT, OpenError, SealError, Sealed, open, seal};
pub use generate::{GENERATED_RANDOM_BYTES, generated_from, generated_value};
pub use integrity::IntegrityKey;
pub use key_bytes::KEY_BYTES;
pub use payload::{Material, PayloadError};
pub use plaintext::Plaintext;
pub use wrap::{MasterKey, UnwrapError, WRAP_FORMAT, WrapError, unwrap, wrap};
