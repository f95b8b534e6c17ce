//! A block's header: all that a certificate signs, and all that a light client needs.
//!
//! INVARIANT: the hash commits to the whole consensus context (epoch, view, leader, parent view and digest), which the
//! engine demands of every block it certifies.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    limits::HEADER_BYTES_MAX,
    network::NetworkId,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// The state after a block. In CBOR: `[root, operations root, start, end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCommitment {
    /// Proves that a row is current, or that there is none.
    pub root: Hash,
    /// Root over the database's operations: the target of state sync.
    pub operations_root: Hash,
    /// First operation that is retained.
    pub start: u64,
    /// Operations so far.
    pub end: u64,
}

/// The log after a block. In CBOR: `[size, root, store root, store end]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogCommitment {
    /// Leaves so far.
    pub size: u64,
    /// Root of the RFC 9162 tree over them.
    pub root: Hash,
    /// Root of the database that stores the log entries: the target of state sync.
    pub store_root: Hash,
    /// Operations of that database so far.
    pub store_end: u64,
}

/// A block's header. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockHeader {
    /// The network.
    pub network: NetworkId,
    /// Blocks before this one.
    pub height: u64,
    /// The epoch in which it was proposed.
    pub epoch: u64,
    /// The view in which it was proposed.
    pub view: u64,
    /// The Ed25519 key of the validator that proposed it.
    pub leader: [u8; 32],
    /// The view of its parent.
    pub parent_view: u64,
    /// The digest of its parent.
    pub parent: Hash,
    /// Its agreed time, in Unix milliseconds.
    pub time_ms: u64,
    /// [`transactions_hash`] of its transactions.
    pub transactions: Hash,
    /// How many transactions it holds.
    pub transaction_count: u64,
    /// The state after it.
    pub state: StateCommitment,
    /// The log after it.
    pub log: LogCommitment,
    /// [`crate::ValidatorSet::hash`] of those who may certify it.
    pub validators: Hash,
    /// [`crate::ValidatorSet::hash`] of those who may certify the blocks of the next epoch: by this a certificate over any
    /// header of an epoch hands over.
    pub next_validators: Hash,
}

impl BlockHeader {
    /// The block's digest: SHA-256 of the header's encoding.
    pub fn hash(&self) -> Hash {
        Hash::of(&[&self.to_bytes()])
    }

    /// The header's encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a header.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, HEADER_BYTES_MAX)
    }
}

/// What a header commits its transactions by: SHA-256 over their ids, one after another.
pub fn transactions_hash<'a>(ids: impl IntoIterator<Item = &'a Hash>) -> Hash {
    let ids: Vec<u8> = ids.into_iter().flat_map(|id| id.0).collect();
    Hash::of(&[&ids])
}

impl<C> Encode<C> for StateCommitment {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.encode(self.root)?.encode(self.operations_root)?.u64(self.start)?.u64(self.end)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for StateCommitment {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a state commitment")?;
        Ok(Self { root: d.decode()?, operations_root: d.decode()?, start: d.u64()?, end: d.u64()? })
    }
}

impl<C> Encode<C> for LogCommitment {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.u64(self.size)?.encode(self.root)?.encode(self.store_root)?.u64(self.store_end)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for LogCommitment {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "a log commitment")?;
        Ok(Self { size: d.u64()?, root: d.decode()?, store_root: d.decode()?, store_end: d.u64()? })
    }
}

impl<C> Encode<C> for BlockHeader {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(14)?.encode(self.network)?.u64(self.height)?.u64(self.epoch)?.u64(self.view)?;
        e.bytes(&self.leader)?.u64(self.parent_view)?.encode(self.parent)?.u64(self.time_ms)?;
        e.encode(self.transactions)?.u64(self.transaction_count)?.encode(self.state)?.encode(self.log)?;
        e.encode(self.validators)?.encode(self.next_validators)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for BlockHeader {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 14, "a block header")?;
        Ok(Self {
            network: d.decode()?,
            height: d.u64()?,
            epoch: d.u64()?,
            view: d.u64()?,
            leader: cbor::fixed(d, "a leader's key")?,
            parent_view: d.u64()?,
            parent: d.decode()?,
            time_ms: d.u64()?,
            transactions: d.decode()?,
            transaction_count: d.u64()?,
            state: d.decode()?,
            log: d.decode()?,
            validators: d.decode()?,
            next_validators: d.decode()?,
        })
    }
}
