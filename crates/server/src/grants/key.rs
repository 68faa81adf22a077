//! The integrity key as the state has it: how it is made and opened.

use hyperion_vault_core::state::table::meta::WrappedIntegrityKey;
use hyperion_vault_core::state::table::rewrap;
use hyperion_vault_crypto::{EncryptionContext, IntegrityKey};
use hyperion_vault_kms::{KeyProvider, KmsError, WrappedDataKey};

use crate::failure::Failure;
use crate::ports::View;

/// A new integrity key for a cluster that has none. `view` tells which rotation of the master key is known.
///
/// # Errors
/// The outer [`Failure`] when the state can't be read; the inner [`KmsError`].
pub async fn make_integrity_key(
    keys: &dyn KeyProvider,
    view: View,
    cluster_id: &[u8; 16],
) -> Result<Result<WrappedIntegrityKey, KmsError>, Failure> {
    // What is known before the data key is made is older than the wrap. What is learnt afterwards need not be.
    let known = rewrap::get(&*view)?.map(|rewrap| rewrap.target);
    drop(view);
    let made = keys.generate_data_key(&EncryptionContext::for_integrity_key(cluster_id)).await;
    Ok(made.map(|made| {
        let known = known.filter(|known| known.kms_key_id == made.wrapped.key_id);
        WrappedIntegrityKey {
            kms_key_id: made.wrapped.key_id,
            wrapped: made.wrapped.bytes,
            wrapped_rotation_at: known.and_then(|known| known.rotation_at),
        }
    }))
}

/// Opens the integrity key of a cluster. That of another one isn't opened.
///
/// # Errors
/// [`KmsError`].
pub async fn open_integrity_key(
    keys: &dyn KeyProvider,
    stored: WrappedIntegrityKey,
    cluster_id: &[u8; 16],
) -> Result<IntegrityKey, KmsError> {
    let wrapped = WrappedDataKey { key_id: stored.kms_key_id, bytes: stored.wrapped };
    let data_key = keys.unwrap_data_key(&wrapped, &EncryptionContext::for_integrity_key(cluster_id)).await?;
    Ok(IntegrityKey::from_data_key(&data_key))
}
