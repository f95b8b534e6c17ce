//! Proofs that a row of the state is current, or that there is none: the one door to the storage engine's verifier.
//!
//! The state is a `qmdb::current::ordered` database with variable values over an MMR, SHA-256 and bitmap chunks of 32
//! bytes (commonware 2026.10). A proof travels in that library's own encoding. One that a row is absent shows the row
//! before the gap in full: what receipts of absence disclose of a neighbour is what the register publishes anyway.

use crate::{
    hash::Hash,
    limits::{STATE_PROOF_BYTES_MAX, STATE_STORED_BYTES_MAX},
    state_key::StateKey,
};
use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, Decode as _, Encode, EncodeSize, RangeCfg, Read, Write};
use commonware_cryptography::{Sha256, sha256::Digest};
use commonware_storage::{
    merkle::MAX_PROOF_DIGESTS_PER_ELEMENT,
    mmr,
    qmdb::{any::value::VariableEncoding, current::ordered::proof::constant},
};

/// Bytes of a chunk of the database's activity bitmap.
pub const STATE_CHUNK_BYTES: usize = 32;

/// A row as the storage engine holds it: its length as a varint, then its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateValue(pub Bytes);

impl Write for StateValue {
    fn write(&self, buf: &mut impl BufMut) {
        self.0.write(buf);
    }
}

impl EncodeSize for StateValue {
    fn encode_size(&self) -> usize {
        self.0.encode_size()
    }
}

impl Read for StateValue {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, commonware_codec::Error> {
        Bytes::read_cfg(buf, &RangeCfg::from(0..=STATE_STORED_BYTES_MAX)).map(Self)
    }
}

/// The engine's proof that a key has a value now.
pub type KeyValueProof = constant::KeyValueProof<mmr::Family, Digest, Digest, STATE_CHUNK_BYTES>;
/// The engine's proof that a key has no value now.
pub type ExclusionProof =
    constant::ExclusionProof<mmr::Family, Digest, VariableEncoding<StateValue>, Digest, STATE_CHUNK_BYTES>;

/// Why a state proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Longer than any proof is.
    #[error("the state proof is {0} bytes, more than {STATE_PROOF_BYTES_MAX}: ask another node")]
    TooLong(usize),
    /// Not a proof.
    #[error("the state proof is malformed: ask another node")]
    Malformed,
    /// A proof of something else.
    #[error("the state proof leads to another root: the row, its key or the proof was altered")]
    Root,
}

/// Checks that the state with this root holds exactly `value` under `key`.
///
/// # Errors
/// When `proof` is malformed or proves something else.
pub fn verify_current(key: &StateKey, value: &[u8], proof: &[u8], root: &Hash) -> Result<(), ProofError> {
    let proof: KeyValueProof = decode(proof, &(MAX_PROOF_DIGESTS_PER_ELEMENT, ()))?;
    let value = StateValue(Bytes::copy_from_slice(value));
    if proof.verify::<Sha256, VariableEncoding<StateValue>>(digest(key), value, &Digest::from(root.0)) {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Checks that the state with this root holds nothing under `key`.
///
/// # Errors
/// When `proof` is malformed or proves something else.
pub fn verify_absent(key: &StateKey, proof: &[u8], root: &Hash) -> Result<(), ProofError> {
    let proof: ExclusionProof = decode(proof, &(MAX_PROOF_DIGESTS_PER_ELEMENT, ((), ()), ()))?;
    if proof.verify::<Sha256>(&digest(key), &Digest::from(root.0)) { Ok(()) } else { Err(ProofError::Root) }
}

fn digest(key: &StateKey) -> Digest {
    Digest::from(key.0)
}

/// Decodes all of `bytes`, and only from the encoding that the library writes.
fn decode<T: Read + Encode>(bytes: &[u8], config: &T::Cfg) -> Result<T, ProofError> {
    if bytes.len() > STATE_PROOF_BYTES_MAX {
        return Err(ProofError::TooLong(bytes.len()));
    }
    let value = T::decode_cfg(Bytes::copy_from_slice(bytes), config).map_err(|_| ProofError::Malformed)?;
    if value.encode() == bytes { Ok(value) } else { Err(ProofError::Malformed) }
}
