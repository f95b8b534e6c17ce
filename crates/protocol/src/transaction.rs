//! Transactions: intent → sign → [`SignedTransaction`] → verify → [`VerifiedTransaction`].
//!
//! A transaction is a COSE_Sign1 (RFC 9052 section 4.2) in deterministic CBOR, so that every one is a SCITT signed
//! statement and any COSE library can make one:
//!
//! ```text
//! 18([ << {1: alg, 4: kid = the public key's bytes,
//!          15: {1: iss = principal, 2: sub = subject, 3: aud = network id,
//!               4: exp = not-after in Unix seconds, 7: cti = idempotency key}} >>,
//!      {},
//!      << [operation, …] >>,
//!      signature ])
//! ```
//!
//! Three claims stand there only when they are used: `-65537`, the mandate under which the signer acts, `-65538`, the
//! co-signers, and `-65539`, the partition that it is for, where that is not the public one. Each co-signer, in that order, has then one countersignature (RFC 9338, version 2) under label 11 of the
//! unprotected header, which covers the signer's signature too: the signer signs first, then the others in any order
//! ([`PartlySignedTransaction`]).
//!
//! INVARIANTS: one meaning has one byte string, since every other encoding is refused; a transaction's id is the
//! SHA-256 of its bytes; only this file makes a [`VerifiedTransaction`].

mod batch;
mod codec;
mod partly_signed;

pub use batch::verify_batch;
pub use partly_signed::PartlySignedTransaction;

use crate::{
    cbor::CborError,
    hash::Hash,
    identifier::MandateId,
    key::{KeyError, PublicKey, Signature, SigningKey},
    limits::ENTRIES_MAX,
    network::NetworkId,
    operation::{Operation, PrincipalId},
};
use bytes::Bytes;
use minicbor::decode;
use std::{fmt, ops::Deref, ops::Range, sync::Arc};

/// What someone wants done, not yet signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The network that it is for.
    pub network: NetworkId,
    /// Who asks.
    pub principal: PrincipalId,
    /// What it is about, in the signer's words; shown, never interpreted.
    pub subject: String,
    /// Unix seconds after which it is void.
    pub not_after: u64,
    /// 8 to 32 bytes that this principal uses for this intent only, so that a repetition is not a second one.
    pub idempotency_key: Vec<u8>,
    /// What to do, all or nothing.
    pub operations: Vec<Operation>,
    /// The mandate under which the signer acts for another; none when it acts for itself.
    pub mandate: Option<MandateId>,
    /// Who must sign it too: other principals than the signer, each once.
    pub cosigners: Vec<Cosigner>,
    /// The partition that it is for; none when that is the public one.
    pub partition: Option<String>,
}

/// One who signs a transaction beside its signer. In CBOR: `[principal, key]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigner {
    /// Who.
    pub principal: PrincipalId,
    /// With which key.
    pub key: PublicKey,
}

/// Why an intent could not be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The intent breaks a limit or a grammar.
    #[error("the intent is not valid: {0}")]
    Intent(#[from] DecodeError),
    /// The key failed.
    #[error("signing: {0}")]
    Key(#[from] KeyError),
    /// Nobody who must co-sign has this key.
    #[error("`{0}` is the key of none of the co-signers: co-sign with the key that the transaction names")]
    NotCosigner(PublicKey),
}

/// Why bytes are not a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not deterministic CBOR of the transaction's shape and limits.
    #[error("transaction: {0}")]
    Cbor(#[from] CborError),
    /// The entries of all operations together exceed the limit.
    #[error("transaction: {0} entries, more than {ENTRIES_MAX}: split it")]
    Entries(usize),
    /// Co-signers have not signed.
    #[error("transaction: not co-signed by {}: have each sign it, then send it", list(.0))]
    CosignaturesMissing(Vec<PrincipalId>),
    /// It names a mandate of another partition than it is for.
    #[error("transaction: `{mandate}` is a mandate of partition `{partition}`, and holds in that alone: sign it for that", partition = .0.partition().unwrap_or_default(), mandate = .0)]
    Mandate(MandateId),
}

impl From<decode::Error> for DecodeError {
    fn from(error: decode::Error) -> Self {
        Self::Cbor(error.into())
    }
}

/// Why a transaction's signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("transaction {id}: signature of `{signer}`: {error}")]
pub struct VerifyError {
    /// The transaction's id.
    pub id: Hash,
    /// Whose signature: the signer's or a co-signer's, the first that does not hold.
    pub signer: PrincipalId,
    /// What is wrong.
    pub error: KeyError,
}

/// A decoded transaction, whose signatures are not checked yet. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTransaction(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    bytes: Bytes,
    protected: Range<usize>,
    payload: Range<usize>,
    signature: Signature,
    /// One place for each co-signer; all are taken in a [`SignedTransaction`].
    cosignatures: Vec<Option<Signature>>,
    id: Hash,
    replay_tag: [u8; 16],
    key: PublicKey,
    intent: Intent,
}

impl Parts {
    fn protected(&self) -> &[u8] {
        self.bytes.get(self.protected.clone()).unwrap_or_default()
    }

    fn payload(&self) -> &[u8] {
        self.bytes.get(self.payload.clone()).unwrap_or_default()
    }

    fn to_be_signed(&self) -> Vec<u8> {
        codec::signature_structure(self.protected(), self.payload())
    }

    fn to_be_cosigned(&self, cosigner: &PublicKey) -> Vec<u8> {
        codec::countersign_structure(self.protected(), cosigner, self.payload(), &self.signature)
    }

    /// The signatures that are there, each with its key and what it signs: the signer's, then the co-signers'.
    fn signatures(&self) -> impl Iterator<Item = (&PublicKey, Vec<u8>, &Signature)> {
        let cosigned = self.intent.cosigners.iter().zip(&self.cosignatures);
        let cosigned = cosigned.filter_map(|(cosigner, signature)| Some((&cosigner.key, signature.as_ref()?)));
        std::iter::once((&self.key, self.to_be_signed(), &self.signature))
            .chain(cosigned.map(|(key, signature)| (key, self.to_be_cosigned(key), signature)))
    }

    /// Checks the signatures that are there.
    fn verify(&self) -> Result<(), VerifyError> {
        for (signer, (key, message, signature)) in self.signatures().enumerate() {
            key.verify(&message, signature).map_err(|error| self.verify_error(signer, error))?;
        }
        Ok(())
    }

    /// The error of the signer (0) or a co-signer (from 1).
    fn verify_error(&self, signer: usize, error: KeyError) -> VerifyError {
        let cosigner = signer.checked_sub(1).and_then(|place| {
            let made = self.intent.cosigners.iter().zip(&self.cosignatures).filter(|(_, made)| made.is_some());
            made.map(|(cosigner, _)| &cosigner.principal).nth(place)
        });
        VerifyError { id: self.id, signer: cosigner.unwrap_or(&self.intent.principal).clone(), error }
    }
}

impl Intent {
    /// An intent of one who acts for itself and signs alone. `not_after` and `idempotency_key` are still to be set:
    /// it is void, and not signed, without them.
    pub fn new(
        network: NetworkId,
        principal: PrincipalId,
        subject: impl Into<String>,
        operations: Vec<Operation>,
    ) -> Self {
        Self {
            network,
            principal,
            subject: subject.into(),
            not_after: 0,
            idempotency_key: Vec::new(),
            operations,
            mandate: None,
            cosigners: Vec::new(),
            partition: None,
        }
    }

    /// Encodes and signs. When others must co-sign, this is for [`Intent::begin`] instead.
    ///
    /// # Errors
    /// When the intent breaks a limit or a grammar, which is what the network would refuse it for too, or has co-signers.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedTransaction, SignError> {
        Ok(self.begin(key)?.complete()?)
    }

    /// Encodes and signs what others must co-sign.
    ///
    /// # Errors
    /// When the intent breaks a limit or a grammar.
    pub fn begin(&self, key: &SigningKey) -> Result<PartlySignedTransaction, SignError> {
        let public = key.public();
        Ok(self.begin_with(&public, &key.sign(&self.to_be_signed(&public))?)?)
    }

    /// What `key` must sign (RFC 9052 section 4.4), for a key that is held elsewhere: hand its signature to
    /// [`Intent::with_signature`], or to [`Intent::begin_with`] when others must co-sign.
    pub fn to_be_signed(&self, key: &PublicKey) -> Vec<u8> {
        codec::signature_structure(&codec::protected(self, key), &codec::payload(&self.operations))
    }

    /// The transaction with a signature that was made elsewhere over [`Intent::to_be_signed`]. It is not checked here.
    ///
    /// # Errors
    /// When the intent breaks a limit or a grammar, or has co-signers.
    pub fn with_signature(&self, key: &PublicKey, signature: &Signature) -> Result<SignedTransaction, DecodeError> {
        self.begin_with(key, signature)?.complete()
    }

    /// As [`Intent::with_signature`], of what others must co-sign.
    ///
    /// # Errors
    /// When the intent breaks a limit or a grammar.
    pub fn begin_with(&self, key: &PublicKey, signature: &Signature) -> Result<PartlySignedTransaction, DecodeError> {
        let (protected, payload) = (codec::protected(self, key), codec::payload(&self.operations));
        PartlySignedTransaction::decode(codec::envelope(&protected, &payload, signature, &[], &[]))
    }
}

impl SignedTransaction {
    /// Decodes a transaction: shape, limits and canonical form, and that no co-signature is missing; not the signatures.
    ///
    /// # Errors
    /// When it is longer than [`TRANSACTION_BYTES_MAX`](crate::limits::TRANSACTION_BYTES_MAX), malformed, beyond a limit, not deterministic CBOR, or lacks a
    /// co-signature.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        PartlySignedTransaction::decode(bytes)?.complete()
    }

    /// The encoding.
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// SHA-256 of the encoding.
    pub fn id(&self) -> Hash {
        self.0.id
    }

    /// Who asks.
    pub fn principal(&self) -> &PrincipalId {
        &self.0.intent.principal
    }

    /// The key that is said to have signed it.
    pub fn key(&self) -> &PublicKey {
        &self.0.key
    }

    /// The network that it is for.
    pub fn network(&self) -> NetworkId {
        self.0.intent.network
    }

    /// What it is about, in the signer's words.
    pub fn subject(&self) -> &str {
        &self.0.intent.subject
    }

    /// Unix seconds after which it is void.
    pub fn not_after(&self) -> u64 {
        self.0.intent.not_after
    }

    /// The bytes that mark it as one intent of its principal.
    pub fn idempotency_key(&self) -> &[u8] {
        &self.0.intent.idempotency_key
    }

    /// What to do, all or nothing.
    pub fn operations(&self) -> &[Operation] {
        &self.0.intent.operations
    }

    /// The mandate under which the signer acts.
    pub fn mandate(&self) -> Option<&MandateId> {
        self.0.intent.mandate.as_ref()
    }

    /// The partition that it is for; none when that is the public one.
    pub fn partition(&self) -> Option<&str> {
        self.0.intent.partition.as_deref()
    }

    /// Who signed it beside the signer, at most [`COSIGNERS_MAX`](crate::limits::COSIGNERS_MAX).
    pub fn cosigners(&self) -> &[Cosigner] {
        &self.0.intent.cosigners
    }

    /// The co-signers' signatures, in their order.
    pub fn cosignatures(&self) -> impl Iterator<Item = &Signature> {
        self.0.cosignatures.iter().flatten()
    }

    /// Everybody who signed it, each with the key: the signer, then the co-signers.
    pub fn signers(&self) -> impl Iterator<Item = (&PrincipalId, &PublicKey)> {
        let cosigners = self.cosigners().iter().map(|cosigner| (&cosigner.principal, &cosigner.key));
        std::iter::once((self.principal(), self.key())).chain(cosigners)
    }

    /// All of what was signed.
    pub fn intent(&self) -> &Intent {
        &self.0.intent
    }

    /// The signature.
    pub fn signature(&self) -> &Signature {
        &self.0.signature
    }

    /// What marks a repetition: first 16 bytes of SHA-256(principal ‖ 0 ‖ idempotency key).
    pub fn replay_tag(&self) -> [u8; 16] {
        self.0.replay_tag
    }

    /// What was signed: COSE's `Sig_structure` (RFC 9052 section 4.4).
    pub fn to_be_signed(&self) -> Vec<u8> {
        self.0.to_be_signed()
    }

    /// Checks the signatures of this one transaction.
    ///
    /// # Errors
    /// When one is not its key's.
    pub fn verify(self) -> Result<VerifiedTransaction, VerifyError> {
        self.0.verify()?;
        Ok(VerifiedTransaction(self))
    }
}

impl fmt::Debug for SignedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTransaction").field("id", &self.0.id).field("intent", &self.0.intent).finish()
    }
}

/// A transaction whose signatures hold: proof that it went through [`verify_batch`] or [`SignedTransaction::verify`].
/// Whether the keys are the principals', and what it may do, is for the ledger. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedTransaction(SignedTransaction);

impl VerifiedTransaction {
    /// The transaction.
    pub fn into_signed(self) -> SignedTransaction {
        self.0
    }
}

impl Deref for VerifiedTransaction {
    type Target = SignedTransaction;

    fn deref(&self) -> &SignedTransaction {
        &self.0
    }
}

/// What marks a repetition of a principal's intent.
pub fn replay_tag(principal: &PrincipalId, idempotency_key: &[u8]) -> [u8; 16] {
    let Hash(hash) = Hash::of(&[principal.as_str().as_bytes(), &[0], idempotency_key]);
    hash.first_chunk().copied().unwrap_or_default()
}

fn list(principals: &[PrincipalId]) -> String {
    principals.iter().map(|principal| format!("`{principal}`")).collect::<Vec<_>>().join(", ")
}
