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
//! INVARIANTS: one meaning has one byte string, since every other encoding is refused; a transaction's id is the
//! SHA-256 of its bytes; only this file makes a [`VerifiedTransaction`].

use crate::{
    cbor::{self, CborError},
    hash::{Hash, from_hex},
    key::{Algorithm, KeyError, PublicKey, Signature, SigningKey},
    limits::{
        ENTRIES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MIN, OPERATIONS_MAX, SUBJECT_BYTES_MAX,
        TRANSACTION_BYTES_MAX,
    },
    network::NetworkId,
    operation::{Operation, PrincipalId},
};
use bytes::Bytes;
use ed25519_zebra::{VerificationKeyBytes, batch};
use minicbor::{
    Decoder, Encode, Encoder,
    data::Tag,
    decode,
    encode::{self, Write},
};
use rand_core::CryptoRng;
use std::{fmt, ops::Deref, ops::Range, sync::Arc};

/// COSE_Sign1's tag (RFC 9052 section 2).
const COSE_SIGN1: u64 = 18;
/// Header labels (RFC 9052 section 3.1, RFC 9597) and claim keys (RFC 8392).
const HEADER_ALG: u64 = 1;
const HEADER_KID: u64 = 4;
const HEADER_CWT_CLAIMS: u64 = 15;
const CLAIM_ISS: u64 = 1;
const CLAIM_SUB: u64 = 2;
const CLAIM_AUD: u64 = 3;
const CLAIM_EXP: u64 = 4;
const CLAIM_CTI: u64 = 7;

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
}

impl From<decode::Error> for DecodeError {
    fn from(error: decode::Error) -> Self {
        Self::Cbor(error.into())
    }
}

/// Why a transaction's signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("transaction {id}: {error}")]
pub struct VerifyError {
    /// The transaction's id.
    pub id: Hash,
    /// What is wrong.
    pub error: KeyError,
}

/// A decoded transaction, whose signature is not checked yet. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTransaction(Arc<Parts>);

#[derive(PartialEq, Eq)]
struct Parts {
    bytes: Bytes,
    protected: Range<usize>,
    payload: Range<usize>,
    signature: Signature,
    id: Hash,
    replay_tag: [u8; 16],
    key: PublicKey,
    intent: Intent,
}

impl Intent {
    /// Encodes and signs.
    ///
    /// # Errors
    /// When the intent breaks a limit or a grammar, which is what the network would refuse it for too.
    pub fn sign(&self, key: &SigningKey) -> Result<SignedTransaction, SignError> {
        let (protected, payload) = (self.protected(&key.public()), self.payload());
        let signature = key.sign(&signature_structure(&protected, &payload))?;
        Ok(SignedTransaction::assemble(&protected, &payload, &signature)?)
    }

    /// What `key` must sign (RFC 9052 section 4.4), for a key that is held elsewhere: hand its signature to
    /// [`Intent::with_signature`].
    pub fn to_be_signed(&self, key: &PublicKey) -> Vec<u8> {
        signature_structure(&self.protected(key), &self.payload())
    }

    /// The transaction with a signature that was made elsewhere over [`Intent::to_be_signed`]. It is not checked here.
    ///
    /// # Errors
    /// When the intent breaks a limit or a grammar.
    pub fn with_signature(&self, key: &PublicKey, signature: &Signature) -> Result<SignedTransaction, DecodeError> {
        SignedTransaction::assemble(&self.protected(key), &self.payload(), signature)
    }

    fn protected(&self, key: &PublicKey) -> Vec<u8> {
        cbor::encode(&Protected { intent: self, key })
    }

    fn payload(&self) -> Vec<u8> {
        cbor::encode(&Payload(&self.operations))
    }
}

impl SignedTransaction {
    /// Decodes a transaction: shape, limits and canonical form, not the signature.
    ///
    /// # Errors
    /// When it is longer than [`TRANSACTION_BYTES_MAX`], malformed, beyond a limit, or not deterministic CBOR.
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let bytes = bytes.into();
        if bytes.len() > TRANSACTION_BYTES_MAX {
            return Err(CborError::TooLong { bytes: bytes.len(), bytes_max: TRANSACTION_BYTES_MAX }.into());
        }
        let mut d = Decoder::new(&bytes);
        if d.tag()? != Tag::new(COSE_SIGN1) {
            return Err(decode::Error::message("a transaction must be a COSE_Sign1 with tag 18").at(0).into());
        }
        cbor::array(&mut d, 4, "a COSE_Sign1")?;
        let protected = nested(&mut d, "the protected header")?;
        map(&mut d, 0, "the unprotected header")?;
        let payload = nested(&mut d, "the payload")?;
        let signature = cbor::fixed(&mut d, "the signature")?;
        if d.position() != bytes.len() {
            return Err(CborError::Trailing { bytes: bytes.len().saturating_sub(d.position()) }.into());
        }
        let (mut intent, key) = decode_protected(bytes.get(protected.clone()).unwrap_or_default())?;
        intent.operations = decode_payload(bytes.get(payload.clone()).unwrap_or_default())?;
        let entries = intent.operations.iter().map(Operation::entry_count).sum();
        if entries > ENTRIES_MAX {
            return Err(DecodeError::Entries(entries));
        }
        let canonical = cbor::is_encoding_of(&bytes, |e| {
            let (protected, payload) = (protected.len() as u64, payload.len() as u64);
            e.tag(Tag::new(COSE_SIGN1))?
                .array(4)?
                .bytes_len(protected)?
                .encode(Protected { intent: &intent, key: &key })?;
            e.map(0)?.bytes_len(payload)?.encode(Payload(&intent.operations))?.bytes(&signature)?.ok()
        });
        if !canonical {
            return Err(CborError::NotCanonical.into());
        }
        let id = Hash::of(&[&bytes]);
        let replay_tag = replay_tag(&intent.principal, &intent.idempotency_key);
        Ok(Self(Arc::new(Parts { bytes, protected, payload, signature, id, replay_tag, key, intent })))
    }

    fn assemble(protected: &[u8], payload: &[u8], signature: &Signature) -> Result<Self, DecodeError> {
        Self::decode(cbor::encode(&Envelope { protected, payload, signature }))
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
        let Parts { bytes, protected, payload, .. } = &*self.0;
        let part = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
        signature_structure(part(protected), part(payload))
    }

    /// Checks the signature of this one transaction.
    ///
    /// # Errors
    /// When it is not the key's.
    pub fn verify(self) -> Result<VerifiedTransaction, VerifyError> {
        match self.key().verify(&self.to_be_signed(), self.signature()) {
            Ok(()) => Ok(VerifiedTransaction(self)),
            Err(error) => Err(VerifyError { id: self.id(), error }),
        }
    }
}

impl fmt::Debug for SignedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTransaction").field("id", &self.0.id).field("intent", &self.0.intent).finish()
    }
}

/// A transaction whose signature holds: proof that it went through [`verify_batch`] or [`SignedTransaction::verify`].
/// Whether the key is the principal's, and what it may do, is for the ledger. Cheap to clone.
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

/// Checks many signatures at once; results stand in the order of `transactions`.
///
/// Ed25519 signatures share one equation (cheaper still where keys repeat). When it fails, parts of the batch are asked,
/// and in those that fail each signature alone. By ZIP-215 the answer for each transaction is that of
/// [`SignedTransaction::verify`], whatever `rng` gives and whatever else is in the batch.
pub fn verify_batch(
    transactions: Vec<SignedTransaction>,
    rng: &mut impl CryptoRng,
) -> Vec<Result<VerifiedTransaction, VerifyError>> {
    let mut errors: Vec<Option<KeyError>> = vec![None; transactions.len()];
    let mut items = Vec::with_capacity(transactions.len());
    for ((index, transaction), error) in transactions.iter().enumerate().zip(&mut errors) {
        let message = transaction.to_be_signed();
        match transaction.key() {
            PublicKey::Ed25519(key) => {
                let signature = ed25519_zebra::Signature::from_bytes(transaction.signature());
                items.push((index, batch::Item::from((VerificationKeyBytes::from(*key), signature, &message))));
            }
            key @ PublicKey::P256(_) => *error = key.verify(&message, transaction.signature()).err(),
        }
    }
    let mut bad = Vec::new();
    find_bad(&items, rng, &mut bad);
    for index in bad {
        if let Some(error) = errors.get_mut(index) {
            *error = Some(KeyError::Signature);
        }
    }
    let judge = |(transaction, error): (SignedTransaction, Option<KeyError>)| match error {
        None => Ok(VerifiedTransaction(transaction)),
        Some(error) => Err(VerifyError { id: transaction.id(), error }),
    };
    transactions.into_iter().zip(errors).map(judge).collect()
}

/// Parts that a batch which fails is cut into: those that fail too are judged one by one.
const PARTS: usize = 8;

/// Collects the indices of the items that fail. One bad item costs two batches and the items of a part; many cost no more
/// than two batches and each item alone, so that who sends nothing but forgeries does not multiply the work.
fn find_bad(items: &[(usize, batch::Item)], rng: &mut impl CryptoRng, bad: &mut Vec<usize>) {
    if items.is_empty() || holds(items, rng) {
        return;
    }
    for part in items.chunks(items.len().div_ceil(PARTS)) {
        if part.len() > 1 && holds(part, rng) {
            continue;
        }
        let failing = part.iter().filter(|(_, item)| item.clone().verify_single().is_err());
        bad.extend(failing.map(|(index, _)| *index));
    }
}

fn holds(items: &[(usize, batch::Item)], rng: &mut impl CryptoRng) -> bool {
    let mut verifier = batch::Verifier::new();
    items.iter().for_each(|(_, item)| verifier.queue(item.clone()));
    verifier.verify(rng).is_ok()
}

/// What marks a repetition of a principal's intent.
pub fn replay_tag(principal: &PrincipalId, idempotency_key: &[u8]) -> [u8; 16] {
    let Hash(hash) = Hash::of(&[principal.as_str().as_bytes(), &[0], idempotency_key]);
    hash.first_chunk().copied().unwrap_or_default()
}

/// RFC 9052 section 4.4, with no external data.
fn signature_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    struct SigStructure<'a>(&'a [u8], &'a [u8]);
    impl<C> Encode<C> for SigStructure<'_> {
        fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
            e.array(4)?.str("Signature1")?.bytes(self.0)?.bytes(&[])?.bytes(self.1)?.ok()
        }
    }
    cbor::encode(&SigStructure(protected, payload))
}

struct Envelope<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    signature: &'a Signature,
}

impl<C> Encode<C> for Envelope<'_> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.tag(Tag::new(COSE_SIGN1))?.array(4)?.bytes(self.protected)?.map(0)?.bytes(self.payload)?;
        e.bytes(self.signature)?.ok()
    }
}

struct Protected<'a> {
    intent: &'a Intent,
    key: &'a PublicKey,
}

impl<C> Encode<C> for Protected<'_> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Intent { network, principal, subject, not_after, idempotency_key, operations: _ } = self.intent;
        e.map(3)?.u64(HEADER_ALG)?.i64(self.key.algorithm().cose())?;
        e.u64(HEADER_KID)?.bytes(self.key.as_bytes())?;
        e.u64(HEADER_CWT_CLAIMS)?.map(5)?;
        e.u64(CLAIM_ISS)?.str(principal.as_str())?;
        e.u64(CLAIM_SUB)?.str(subject)?;
        e.u64(CLAIM_AUD)?.str(&network.to_string())?;
        e.u64(CLAIM_EXP)?.u64(*not_after)?;
        e.u64(CLAIM_CTI)?.bytes(idempotency_key)?.ok()
    }
}

struct Payload<'a>(&'a [Operation]);

impl<C> Encode<C> for Payload<'_> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        cbor::write_values(e, self.0)
    }
}

/// Reads a byte string that holds CBOR, and says where its content lies in the input.
fn nested(d: &mut Decoder<'_>, what: &str) -> Result<Range<usize>, decode::Error> {
    let content = cbor::bytes(d, 1..=TRANSACTION_BYTES_MAX, what)?;
    let end = d.position();
    Ok(end.saturating_sub(content.len())..end)
}

fn map(d: &mut Decoder<'_>, len: u64, what: &str) -> Result<(), decode::Error> {
    let at = d.position();
    match d.map()? {
        Some(n) if n == len => Ok(()),
        _ => Err(decode::Error::message(format!("{what} must be a map of {len} pairs")).at(at)),
    }
}

/// Reads a map key that must be `key`.
fn label(d: &mut Decoder<'_>, key: u64, what: &str) -> Result<(), decode::Error> {
    let at = d.position();
    if d.u64()? == key {
        return Ok(());
    }
    Err(decode::Error::message(format!("expected {what} under key {key}")).at(at))
}

fn ended(d: &Decoder<'_>) -> Result<(), CborError> {
    match d.input().len().saturating_sub(d.position()) {
        0 => Ok(()),
        bytes => Err(CborError::Trailing { bytes }),
    }
}

fn decode_protected(bytes: &[u8]) -> Result<(Intent, PublicKey), DecodeError> {
    let d = &mut Decoder::new(bytes);
    map(d, 3, "the protected header")?;
    label(d, HEADER_ALG, "the algorithm")?;
    let at = d.position();
    let algorithm = Algorithm::from_cose(d.i64()?)
        .ok_or_else(|| decode::Error::message("the algorithm must be EdDSA (-8) or ES256 (-7)").at(at))?;
    label(d, HEADER_KID, "the key")?;
    let key: PublicKey = d.decode()?;
    if key.algorithm() != algorithm {
        return Err(decode::Error::message("the key must be of the header's algorithm").at(at).into());
    }
    label(d, HEADER_CWT_CLAIMS, "the CWT claims")?;
    map(d, 5, "the CWT claims")?;
    label(d, CLAIM_ISS, "the principal")?;
    let principal = d.decode()?;
    label(d, CLAIM_SUB, "the subject")?;
    let subject = cbor::text(d, 1..=SUBJECT_BYTES_MAX, "the subject")?.to_owned();
    label(d, CLAIM_AUD, "the network")?;
    let at = d.position();
    let network = from_hex(d.str()?)
        .map(NetworkId)
        .map_err(|_| decode::Error::message("the network must be 32 lower-case hexadecimal digits").at(at))?;
    label(d, CLAIM_EXP, "the not-after time")?;
    let not_after = d.u64()?;
    label(d, CLAIM_CTI, "the idempotency key")?;
    let length = IDEMPOTENCY_KEY_BYTES_MIN..=IDEMPOTENCY_KEY_BYTES_MAX;
    let idempotency_key = cbor::bytes(d, length, "the idempotency key")?.to_vec();
    ended(d)?;
    Ok((Intent { network, principal, subject, not_after, idempotency_key, operations: Vec::new() }, key))
}

fn decode_payload(bytes: &[u8]) -> Result<Vec<Operation>, DecodeError> {
    let d = &mut Decoder::new(bytes);
    let operations = cbor::values(d, 1..=OPERATIONS_MAX, "the payload")?;
    ended(d)?;
    Ok(operations)
}
