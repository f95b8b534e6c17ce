//! A transaction on its way from one who must sign it to the next.
//!
//! The signer has signed; co-signers add their signatures in any order, each on its own machine. The bytes are those of the
//! transaction without the co-signatures that are still missing: to pass them on is to pass on a file.

use super::{Cosigner, DecodeError, Intent, Parts, SignError, SignedTransaction, VerifyError, codec};
use crate::{
    key::{PublicKey, Signature, SigningKey},
    operation::PrincipalId,
};
use bytes::Bytes;
use std::sync::Arc;

/// A transaction that its signer has signed and some co-signers may not have. Signatures are not checked until
/// [`PartlySignedTransaction::verify`].
#[derive(PartialEq, Eq)]
pub struct PartlySignedTransaction(Parts);

impl PartlySignedTransaction {
    /// Decodes one: shape, limits and canonical form.
    ///
    /// # Errors
    /// As [`SignedTransaction::decode`], but for co-signatures that are missing.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        codec::parse(bytes.into()).map(Self)
    }

    /// The encoding.
    pub const fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// All of what was signed.
    pub const fn intent(&self) -> &Intent {
        &self.0.intent
    }

    /// The key that is said to have signed it.
    pub const fn key(&self) -> &PublicKey {
        &self.0.key
    }

    /// The co-signers, each with whether it has signed.
    pub fn cosigners(&self) -> impl Iterator<Item = (&Cosigner, bool)> {
        self.0.intent.cosigners.iter().zip(self.0.cosignatures.iter().map(Option::is_some))
    }

    /// Co-signers that have not signed.
    pub fn missing(&self) -> impl Iterator<Item = &PrincipalId> {
        self.cosigners().filter(|(_, signed)| !signed).map(|(cosigner, _)| &cosigner.principal)
    }

    /// Checks the signatures that are there. Co-sign only what this holds for.
    ///
    /// # Errors
    /// When one is not its key's.
    pub fn verify(&self) -> Result<(), VerifyError> {
        self.0.verify()
    }

    /// Adds the signature of a co-signer.
    ///
    /// # Errors
    /// When the key is none of the co-signers'.
    pub fn cosign(&self, key: &SigningKey) -> Result<Self, SignError> {
        let public = key.public();
        self.with_cosignature(&public, &key.sign(&self.to_be_cosigned(&public))?)
    }

    /// What a co-signer's `key` must sign (RFC 9338 section 3.3), for a key that is held elsewhere: hand its signature to
    /// [`PartlySignedTransaction::with_cosignature`].
    pub fn to_be_cosigned(&self, key: &PublicKey) -> Vec<u8> {
        self.0.to_be_cosigned(key)
    }

    /// Adds a signature that was made elsewhere; a signature that the co-signer made before is replaced. It is not checked
    /// here.
    ///
    /// # Errors
    /// When the key is none of the co-signers'.
    pub fn with_cosignature(&self, key: &PublicKey, signature: &Signature) -> Result<Self, SignError> {
        let Parts { intent, cosignatures, .. } = &self.0;
        let mut cosignatures = cosignatures.clone();
        let place = intent.cosigners.iter().position(|cosigner| cosigner.key == *key);
        let place = place.and_then(|place| cosignatures.get_mut(place)).ok_or(SignError::NotCosigner(*key))?;
        *place = Some(*signature);
        let (protected, payload) = (self.0.protected(), self.0.payload());
        let bytes = codec::envelope(protected, payload, &self.0.signature, &intent.cosigners, &cosignatures);
        Ok(Self::decode(bytes)?)
    }

    /// The transaction, once everybody has signed.
    ///
    /// # Errors
    /// When a co-signature is missing.
    pub fn complete(self) -> Result<SignedTransaction, DecodeError> {
        let missing: Vec<PrincipalId> = self.missing().cloned().collect();
        if missing.is_empty() {
            Ok(SignedTransaction(Arc::new(self.0)))
        } else {
            Err(DecodeError::CosignaturesMissing(missing))
        }
    }
}

impl std::fmt::Debug for PartlySignedTransaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartlySignedTransaction").field("intent", &self.0.intent).finish_non_exhaustive()
    }
}
