//! The bytes of a transaction: what is signed, what is co-signed, and the envelope around both.

use super::{Cosigner, DecodeError, Intent, Parts, replay_tag};
use crate::{
    cbor::{self, CborError},
    hash::{Hash, from_hex},
    identifier::{MandateId, validate_name},
    key::{Algorithm, PublicKey, Signature},
    limits::{
        COSIGNERS_MAX, ENTRIES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MIN, OPERATIONS_MAX,
        SUBJECT_BYTES_MAX, TRANSACTION_BYTES_MAX,
    },
    network::NetworkId,
    operation::Operation,
};
use bytes::Bytes;
use minicbor::{
    Decode, Decoder, Encode, Encoder,
    data::Tag,
    decode,
    encode::{self, Write},
};
use std::ops::Range;

/// COSE_Sign1's tag (RFC 9052 section 2).
const COSE_SIGN1: u64 = 18;
/// Header labels (RFC 9052 section 3.1, RFC 9338 section 3, RFC 9597) and claim keys (RFC 8392; the last three for private
/// use).
const HEADER_ALG: i64 = 1;
const HEADER_KID: i64 = 4;
const HEADER_COUNTERSIGNATURES: i64 = 11;
const HEADER_CWT_CLAIMS: i64 = 15;
const CLAIM_ISS: i64 = 1;
const CLAIM_SUB: i64 = 2;
const CLAIM_AUD: i64 = 3;
const CLAIM_EXP: i64 = 4;
const CLAIM_CTI: i64 = 7;
const CLAIM_MANDATE: i64 = -65_537;
const CLAIM_COSIGNERS: i64 = -65_538;
const CLAIM_PARTITION: i64 = -65_539;

/// Decodes everything but the rule that no co-signature is missing.
pub(super) fn parse(bytes: Bytes) -> Result<Parts, DecodeError> {
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return Err(CborError::TooLong { bytes: bytes.len(), bytes_max: TRANSACTION_BYTES_MAX }.into());
    }
    let mut d = Decoder::new(&bytes);
    if d.tag()? != Tag::new(COSE_SIGN1) {
        return Err(decode::Error::message("a transaction must be a COSE_Sign1 with tag 18").at(0).into());
    }
    cbor::array(&mut d, 4, "a COSE_Sign1")?;
    let protected = nested(&mut d, "the protected header")?;
    let (mut intent, key) = decode_protected(bytes.get(protected.clone()).unwrap_or_default())?;
    let cosignatures = decode_unprotected(&mut d, &intent.cosigners)?;
    let payload = nested(&mut d, "the payload")?;
    let signature = cbor::fixed(&mut d, "the signature")?;
    if d.position() != bytes.len() {
        return Err(CborError::Trailing { bytes: bytes.len().saturating_sub(d.position()) }.into());
    }
    intent.operations = decode_payload(bytes.get(payload.clone()).unwrap_or_default())?;
    let entries = intent.operations.iter().map(Operation::entry_count).sum();
    if entries > ENTRIES_MAX {
        return Err(DecodeError::Entries(entries));
    }
    let is_elsewhere = |id: &&MandateId| id.partition().is_some() && id.partition() != intent.partition.as_deref();
    if let Some(id) = named_mandates(&intent).find(is_elsewhere) {
        return Err(DecodeError::Mandate(id.clone()));
    }
    let canonical = cbor::is_encoding_of(&bytes, |e| {
        let (protected, payload) = (protected.len() as u64, payload.len() as u64);
        e.tag(Tag::new(COSE_SIGN1))?
            .array(4)?
            .bytes_len(protected)?
            .encode(Protected { intent: &intent, key: &key })?;
        e.encode(Unprotected { cosigners: &intent.cosigners, cosignatures: &cosignatures })?;
        e.bytes_len(payload)?.encode(Payload(&intent.operations))?.bytes(&signature)?.ok()
    });
    if !canonical {
        return Err(CborError::NotCanonical.into());
    }
    let id = Hash::of(&[&bytes]);
    let replay_tag = replay_tag(&intent.principal, &intent.idempotency_key);
    Ok(Parts { bytes, protected, payload, signature, cosignatures, id, replay_tag, key, intent })
}

/// The mandates that an intent names. INVARIANT: none of a partition stands in a transaction of another, nor in one that everybody sees:
/// not even its name comes to be known by mistake.
fn named_mandates(intent: &Intent) -> impl Iterator<Item = &MandateId> {
    let named = intent.operations.iter().filter_map(|operation| match operation {
        Operation::MandateGrant { terms, .. } => terms.parent.as_ref(),
        Operation::MandateRevoke { mandate } => Some(mandate),
        _ => None,
    });
    intent.mandate.iter().chain(named)
}

/// The protected header of an intent that `key` signs.
pub(super) fn protected(intent: &Intent, key: &PublicKey) -> Vec<u8> {
    cbor::encode(&Protected { intent, key })
}

/// The payload of operations.
pub(super) fn payload(operations: &[Operation]) -> Vec<u8> {
    cbor::encode(&Payload(operations))
}

/// A transaction of parts that are encoded already, with the co-signatures made so far: one place for each co-signer.
pub(super) fn envelope(
    protected: &[u8],
    payload: &[u8],
    signature: &Signature,
    cosigners: &[Cosigner],
    cosignatures: &[Option<Signature>],
) -> Vec<u8> {
    cbor::encode(&Envelope { protected, unprotected: Unprotected { cosigners, cosignatures }, payload, signature })
}

/// What the signer signs: RFC 9052 section 4.4, with no external data.
pub(super) fn signature_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    struct SigStructure<'a>(&'a [u8], &'a [u8]);
    impl<C> Encode<C> for SigStructure<'_> {
        fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
            e.array(4)?.str("Signature1")?.bytes(self.0)?.bytes(&[])?.bytes(self.1)?.ok()
        }
    }
    cbor::encode(&SigStructure(protected, payload))
}

/// What a co-signer signs: RFC 9338 section 3.3, with no external data. It covers the signer's signature, so that whoever
/// co-signs has seen that the signer did.
pub(super) fn countersign_structure(
    protected: &[u8],
    cosigner: &PublicKey,
    payload: &[u8],
    signature: &Signature,
) -> Vec<u8> {
    struct CountersignStructure<'a>(&'a [u8], &'a PublicKey, &'a [u8], &'a Signature);
    impl<C> Encode<C> for CountersignStructure<'_> {
        fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
            e.array(6)?.str("CounterSignatureV2")?.bytes(self.0)?.bytes(&cosigner_header(self.1))?;
            e.bytes(&[])?.bytes(self.2)?.array(1)?.bytes(self.3)?.ok()
        }
    }
    cbor::encode(&CountersignStructure(protected, cosigner, payload, signature))
}

/// The protected header of a co-signature.
fn cosigner_header(key: &PublicKey) -> Vec<u8> {
    struct Header<'a>(&'a PublicKey);
    impl<C> Encode<C> for Header<'_> {
        fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
            e.map(2)?;
            write_key(e, self.0)
        }
    }
    cbor::encode(&Header(key))
}

fn write_key<W: Write>(e: &mut Encoder<W>, key: &PublicKey) -> Result<(), encode::Error<W::Error>> {
    e.i64(HEADER_ALG)?.i64(key.algorithm().cose())?.i64(HEADER_KID)?.bytes(key.as_bytes())?.ok()
}

struct Envelope<'a> {
    protected: &'a [u8],
    unprotected: Unprotected<'a>,
    payload: &'a [u8],
    signature: &'a Signature,
}

impl<C> Encode<C> for Envelope<'_> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.tag(Tag::new(COSE_SIGN1))?.array(4)?.bytes(self.protected)?.encode(&self.unprotected)?;
        e.bytes(self.payload)?.bytes(self.signature)?.ok()
    }
}

struct Unprotected<'a> {
    cosigners: &'a [Cosigner],
    cosignatures: &'a [Option<Signature>],
}

impl<C> Encode<C> for Unprotected<'_> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let made = || self.cosigners.iter().zip(self.cosignatures).filter_map(|(c, s)| s.as_ref().map(|s| (c, s)));
        let count = made().count();
        if count == 0 {
            return e.map(0)?.ok();
        }
        e.map(1)?.i64(HEADER_COUNTERSIGNATURES)?.array(count as u64)?;
        for (cosigner, signature) in made() {
            e.array(3)?.bytes(&cosigner_header(&cosigner.key))?.map(0)?.bytes(signature)?;
        }
        Ok(())
    }
}

struct Protected<'a> {
    intent: &'a Intent,
    key: &'a PublicKey,
}

impl<C> Encode<C> for Protected<'_> {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Intent { network, principal, subject, not_after, idempotency_key, mandate, cosigners, .. } = self.intent;
        e.map(3)?;
        write_key(e, self.key)?;
        let partition = &self.intent.partition;
        let more =
            [mandate.is_some(), !cosigners.is_empty(), partition.is_some()].into_iter().map(u64::from).sum::<u64>();
        e.i64(HEADER_CWT_CLAIMS)?.map(5 + more)?;
        e.i64(CLAIM_ISS)?.str(principal.as_str())?;
        e.i64(CLAIM_SUB)?.str(subject)?;
        e.i64(CLAIM_AUD)?.str(&network.to_string())?;
        e.i64(CLAIM_EXP)?.u64(*not_after)?;
        e.i64(CLAIM_CTI)?.bytes(idempotency_key)?;
        if let Some(mandate) = mandate {
            e.i64(CLAIM_MANDATE)?.encode(mandate)?;
        }
        if !cosigners.is_empty() {
            e.i64(CLAIM_COSIGNERS)?;
            cbor::write_values(e, cosigners)?;
        }
        if let Some(partition) = partition {
            e.i64(CLAIM_PARTITION)?.str(partition)?;
        }
        Ok(())
    }
}

impl<C> Encode<C> for Cosigner {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.encode(&self.principal)?.encode(self.key)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Cosigner {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "a co-signer")?;
        Ok(Self { principal: d.decode()?, key: d.decode()? })
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

fn map(d: &mut Decoder<'_>, len: std::ops::RangeInclusive<u64>, what: &str) -> Result<u64, decode::Error> {
    let at = d.position();
    match d.map()? {
        Some(n) if len.contains(&n) => Ok(n),
        _ => {
            let (min, max) = len.into_inner();
            let pairs = if min == max { min.to_string() } else { format!("{min} to {max}") };
            Err(decode::Error::message(format!("{what} must be a map of {pairs} pairs")).at(at))
        }
    }
}

/// Reads a map key that must be `key`.
fn label(d: &mut Decoder<'_>, key: i64, what: &str) -> Result<(), decode::Error> {
    let at = d.position();
    if d.i64()? == key {
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

/// The co-signatures that are there: an ordered choice of those that the intent asks for.
fn decode_unprotected(d: &mut Decoder<'_>, cosigners: &[Cosigner]) -> Result<Vec<Option<Signature>>, decode::Error> {
    let mut cosignatures = vec![None; cosigners.len()];
    let what = "the unprotected header";
    if map(d, 0..=u64::from(!cosigners.is_empty()), what)? == 0 {
        return Ok(cosignatures);
    }
    label(d, HEADER_COUNTERSIGNATURES, "the co-signatures")?;
    let count = cbor::list(d, 1..=cosigners.len(), "the co-signatures")?;
    let mut places = cosigners.iter().zip(&mut cosignatures);
    for _ in 0..count {
        let at = d.position();
        cbor::array(d, 3, "a co-signature")?;
        let header = cbor::bytes(d, 1..=TRANSACTION_BYTES_MAX, "the header of a co-signature")?;
        let place = places.find(|(cosigner, _)| cosigner_header(&cosigner.key) == header);
        map(d, 0..=0, "the unprotected header of a co-signature")?;
        let signature = cbor::fixed(d, "a co-signature")?;
        match place {
            Some((_, place)) => *place = Some(signature),
            None => {
                let message = "each co-signature must name by alg and kid one co-signer, in their order, each once";
                return Err(decode::Error::message(message).at(at));
            }
        }
    }
    Ok(cosignatures)
}

fn decode_protected(bytes: &[u8]) -> Result<(Intent, PublicKey), DecodeError> {
    let d = &mut Decoder::new(bytes);
    map(d, 3..=3, "the protected header")?;
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
    let mut more = map(d, 5..=8, "the CWT claims")?.saturating_sub(5);
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
    let mut intent = Intent { not_after, idempotency_key, ..Intent::new(network, principal, subject, Vec::new()) };
    if more > 0 && d.probe().i64()? == CLAIM_MANDATE {
        label(d, CLAIM_MANDATE, "the mandate")?;
        intent.mandate = Some(d.decode()?);
        more = more.saturating_sub(1);
    }
    if more > 0 && d.probe().i64()? == CLAIM_COSIGNERS {
        label(d, CLAIM_COSIGNERS, "the co-signers")?;
        let at = d.position();
        intent.cosigners = cbor::values(d, 1..=COSIGNERS_MAX, "the co-signers")?;
        if !are_distinct(&intent, &key) {
            let message = "signer and co-signers must be different principals with different keys";
            return Err(decode::Error::message(message).at(at).into());
        }
        more = more.saturating_sub(1);
    }
    if more > 0 {
        label(d, CLAIM_PARTITION, "the partition")?;
        let at = d.position();
        let partition = d.str()?;
        validate_name(partition).map_err(|error| decode::Error::message(error).at(at))?;
        intent.partition = Some(partition.to_owned());
    }
    ended(d)?;
    Ok((intent, key))
}

fn are_distinct(intent: &Intent, key: &PublicKey) -> bool {
    let mut seen = vec![(&intent.principal, key)];
    intent.cosigners.iter().all(|Cosigner { principal, key }| {
        let is_new = seen.iter().all(|(p, k)| *p != principal && *k != key);
        seen.push((principal, key));
        is_new
    })
}

fn decode_payload(bytes: &[u8]) -> Result<Vec<Operation>, DecodeError> {
    let d = &mut Decoder::new(bytes);
    let operations = cbor::values(d, 1..=OPERATIONS_MAX, "the payload")?;
    ended(d)?;
    Ok(operations)
}
