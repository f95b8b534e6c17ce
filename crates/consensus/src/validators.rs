//! The validators of a network as the engine knows them: an ordered set of Ed25519 keys and the scheme they vote with.

use crate::scheme::{NodeKey, Scheme};
use commonware_codec::DecodeExt as _;
use commonware_cryptography::ed25519::PublicKey;
use commonware_utils::{TryCollect as _, ordered::Set};
use tallystick_protocol::{NetworkId, ValidatorSet};

/// The voting members of a network in one epoch.
#[derive(Clone, Debug)]
pub struct Validators {
    network: NetworkId,
    keys: Set<PublicKey>,
}

/// Why a set of keys gives no validators.
#[derive(Debug, thiserror::Error)]
pub enum ValidatorsError {
    /// A listed key is not a point on the curve.
    #[error("validator key {0} is not an Ed25519 key: ask its organisation for a new one")]
    Key(String),
    /// One key stands twice.
    #[error("one validator key is listed twice: each validator needs a key of its own")]
    Duplicate,
}

impl Validators {
    /// The validators of a set.
    pub fn new(network: NetworkId, set: &ValidatorSet) -> Result<Self, ValidatorsError> {
        let keys = set.keys().iter().map(decode_key).collect::<Result<Vec<_>, _>>()?;
        let keys: Set<PublicKey> = keys.into_iter().try_collect().map_err(|_| ValidatorsError::Duplicate)?;
        Ok(Self { network, keys })
    }

    /// The keys, in the order that certificates number them.
    pub fn keys(&self) -> &Set<PublicKey> {
        &self.keys
    }

    /// A scheme that votes with `key`; `None` when `key` is not a validator's.
    pub fn signer(&self, key: NodeKey) -> Option<Scheme> {
        Scheme::signer(&self.network.consensus_namespace(), self.keys.clone(), key)
    }

    /// A scheme that checks votes and casts none.
    pub fn observer(&self) -> Scheme {
        Scheme::verifier(&self.network.consensus_namespace(), self.keys.clone())
    }
}

/// An engine key from its 32 bytes.
pub fn decode_key(key: &[u8; 32]) -> Result<PublicKey, ValidatorsError> {
    PublicKey::decode(bytes::Bytes::copy_from_slice(key))
        .map_err(|_| ValidatorsError::Key(key.iter().map(|byte| format!("{byte:02x}")).collect()))
}
