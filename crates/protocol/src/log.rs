//! The log: one leaf for each transaction with its outcome, in the order of the blocks.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    limits::{LOG_ENTRY_BYTES_MAX, LOG_LEAF_BYTES_MAX, TRANSACTION_BYTES_MAX},
    merkle,
    outcome::Outcome,
};
use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// What a leaf commits to. In CBOR: `[transaction id, height, time, outcome]`; that is the leaf's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLeaf {
    /// The transaction's id.
    pub transaction: Hash,
    /// The height of its block.
    pub height: u64,
    /// The time of its block, in Unix milliseconds.
    pub time_ms: u64,
    /// What became of it.
    pub outcome: Outcome,
}

impl LogLeaf {
    /// The RFC 9162 leaf hash: SHA-256 of a zero byte and the leaf's data.
    pub fn hash(&self) -> Hash {
        merkle::leaf_hash(&self.to_bytes())
    }

    /// The leaf's data.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a leaf's data.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, LOG_LEAF_BYTES_MAX)
    }
}

impl<C> Encode<C> for LogLeaf {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.encode(self.transaction)?.u64(self.height)?.u64(self.time_ms)?.encode(&self.outcome)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for LogLeaf {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a log leaf")?;
        Ok(Self { transaction: d.decode()?, height: d.u64()?, time_ms: d.u64()?, outcome: d.decode()? })
    }
}

/// What the log database stores. In CBOR: `[transaction, height, time, outcome]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The transaction's bytes.
    pub transaction: Bytes,
    /// The height of its block.
    pub height: u64,
    /// The time of its block, in Unix milliseconds.
    pub time_ms: u64,
    /// What became of it.
    pub outcome: Outcome,
}

impl LogEntry {
    /// The leaf of this entry.
    pub fn leaf(&self) -> LogLeaf {
        self.leaf_of(Hash::of(&[&self.transaction]))
    }

    /// The leaf of this entry, for one who knows its transaction's id: hashing the transaction is most of the work.
    pub fn leaf_of(&self, transaction: Hash) -> LogLeaf {
        LogLeaf { transaction, height: self.height, time_ms: self.time_ms, outcome: self.outcome.clone() }
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode_about(self, self.transaction.len() + 128)
    }

    /// Decodes the stored form. The transaction in it is not decoded.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, LOG_ENTRY_BYTES_MAX)
    }
}

impl<C> Encode<C> for LogEntry {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.bytes(&self.transaction)?.u64(self.height)?.u64(self.time_ms)?.encode(&self.outcome)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for LogEntry {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a log entry")?;
        Ok(Self {
            transaction: Bytes::copy_from_slice(cbor::bytes(d, 1..=TRANSACTION_BYTES_MAX, "a transaction")?),
            height: d.u64()?,
            time_ms: d.u64()?,
            outcome: d.decode()?,
        })
    }
}
