//! A block as the engine carries it: a header and the transactions it commits to.
//!
//! ```text
//! varint length ‖ header (deterministic CBOR, protocol::BlockHeader)
//! varint count  ‖ count × ( varint length ‖ transaction )
//! ```
//!
//! INVARIANT: the digest is the hash of the header alone, so that whoever has the header and a certificate needs no
//! transaction to check it.
//! INVARIANT: a decoded block holds exactly the transactions its header names; nothing else decodes.

use bytes::{BufMut, Bytes};
use commonware_codec::{Buf, EncodeSize, Error, RangeCfg, Read, Write, varint::UInt};
use commonware_consensus::{
    Block as EngineBlock, BoundedBlock, CertifiableBlock, Heightable, simplex,
    types::{Epoch, Height, Round, View},
};
use commonware_cryptography::{Digestible, ed25519::PublicKey, sha256::Digest};
use tallystick_protocol::{
    BlockHeader, Hash,
    header::transactions_hash,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, HEADER_BYTES_MAX, TRANSACTION_BYTES_MAX},
};

/// What the engine knows of a block before it reads it: round, leader, parent.
pub type Context = simplex::types::Context<Digest, PublicKey>;

/// A header with its transactions.
#[derive(Clone, Debug)]
pub struct Block {
    header: BlockHeader,
    header_bytes: Bytes,
    digest: Digest,
    context: Context,
    transactions: Vec<Bytes>,
    ids: Vec<Hash>,
}

/// Why a header and transactions make no block.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BlockError {
    /// The header's leader is not a point on the curve.
    #[error("the leader's key in the header is not an Ed25519 key")]
    Leader,
    /// The header names other transactions.
    #[error("the header does not commit to the transactions that follow it")]
    Transactions,
    /// More bytes or transactions than a block may hold.
    #[error("the block is larger than {BLOCK_TRANSACTIONS_MAX} transactions or {BLOCK_BYTES_MAX} bytes")]
    TooLarge,
}

impl Block {
    /// Joins a header and the transactions it commits to.
    pub fn new(header: BlockHeader, transactions: Vec<Bytes>) -> Result<Self, BlockError> {
        let ids = transactions.iter().map(|t| Hash::of(&[t])).collect();
        Self::with_ids(header, transactions, ids)
    }

    /// As [`Block::new`], for a caller that has hashed the transactions already.
    pub fn with_ids(header: BlockHeader, transactions: Vec<Bytes>, ids: Vec<Hash>) -> Result<Self, BlockError> {
        let size: usize = transactions.iter().map(Bytes::len).sum();
        if transactions.len() > BLOCK_TRANSACTIONS_MAX || size > BLOCK_BYTES_MAX {
            return Err(BlockError::TooLarge);
        }
        if header.transaction_count != ids.len() as u64 || header.transactions != transactions_hash(&ids) {
            return Err(BlockError::Transactions);
        }
        let context = context_of(&header).ok_or(BlockError::Leader)?;
        let header_bytes = Bytes::from(header.to_bytes());
        let digest = Digest::from(Hash::of(&[&header_bytes]).0);
        Ok(Self { header, header_bytes, digest, context, transactions, ids })
    }

    /// The header.
    pub fn header(&self) -> &BlockHeader {
        &self.header
    }

    /// The signed transactions, in order.
    pub fn transactions(&self) -> &[Bytes] {
        &self.transactions
    }

    /// The transactions' ids, in order.
    pub fn ids(&self) -> &[Hash] {
        &self.ids
    }
}

fn context_of(header: &BlockHeader) -> Option<Context> {
    use commonware_codec::DecodeExt as _;
    let leader = PublicKey::decode(Bytes::copy_from_slice(&header.leader)).ok()?;
    Some(Context {
        round: Round::new(Epoch::new(header.epoch), View::new(header.view)),
        leader,
        parent: (View::new(header.parent_view), Digest::from(header.parent.0)),
    })
}

impl Write for Block {
    fn write(&self, buf: &mut impl BufMut) {
        self.header_bytes.write(buf);
        UInt(self.transactions.len() as u32).write(buf);
        for transaction in &self.transactions {
            transaction.write(buf);
        }
    }
}

impl EncodeSize for Block {
    fn encode_size(&self) -> usize {
        self.header_bytes.encode_size()
            + UInt(self.transactions.len() as u32).encode_size()
            + self.transactions.iter().map(EncodeSize::encode_size).sum::<usize>()
    }
}

impl Read for Block {
    type Cfg = ();

    fn read_cfg(buf: &mut impl Buf, (): &()) -> Result<Self, Error> {
        let header_bytes = Bytes::read_cfg(buf, &RangeCfg::from(0..=HEADER_BYTES_MAX))?;
        let header =
            BlockHeader::decode(&header_bytes).map_err(|_| Error::Invalid("block", "the header does not decode"))?;
        let count: u32 = UInt::read_cfg(buf, &())?.into();
        if count as usize > BLOCK_TRANSACTIONS_MAX {
            return Err(Error::InvalidLength(count as usize));
        }
        let (mut transactions, mut size) = (Vec::new(), 0);
        for _ in 0..count {
            let transaction = Bytes::read_cfg(buf, &RangeCfg::from(0..=TRANSACTION_BYTES_MAX))?;
            size += transaction.len();
            if size > BLOCK_BYTES_MAX {
                return Err(Error::InvalidLength(size));
            }
            transactions.push(transaction);
        }
        Self::new(header, transactions)
            .map_err(|_| Error::Invalid("block", "the header does not commit to these transactions"))
    }
}

impl Digestible for Block {
    type Digest = Digest;

    fn digest(&self) -> Digest {
        self.digest
    }
}

impl Heightable for Block {
    fn height(&self) -> Height {
        Height::new(self.header.height)
    }
}

impl EngineBlock for Block {
    fn parent(&self) -> Digest {
        Digest::from(self.header.parent.0)
    }
}

impl CertifiableBlock for Block {
    type Context = Context;

    fn context(&self) -> Context {
        self.context.clone()
    }
}

impl BoundedBlock for Block {
    fn max_encode_size((): &()) -> usize {
        const VARINT_BYTES: usize = 5;
        (VARINT_BYTES + HEADER_BYTES_MAX) + VARINT_BYTES + BLOCK_TRANSACTIONS_MAX * VARINT_BYTES + BLOCK_BYTES_MAX
    }
}

impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Block {}
