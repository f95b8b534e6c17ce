//! Finalised blocks: looked up, and as a stream.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{BlockHeader, Hash};
use utoipa::ToSchema;

/// One finalised block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    /// Its height; the first block after genesis has 1.
    pub height: u64,
    /// SHA-256 of its header: what the certificate signs.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// The digest of the block before it.
    #[schema(value_type = String)]
    pub parent: Hash,
    /// The agreed time: milliseconds since 1970.
    pub time_ms: u64,
    /// The epoch of the validator set.
    pub epoch: u64,
    /// The view in which it was proposed.
    pub view: u64,
    /// The validator that proposed it: its Ed25519 key, hexadecimal.
    pub leader: String,
    /// The state's root after it.
    #[schema(value_type = String)]
    pub state_root: Hash,
    /// Leaves in the log after it.
    pub log_size: u64,
    /// The log's root after it (RFC 9162).
    #[schema(value_type = String)]
    pub log_root: Hash,
    /// The ids of its transactions, in order.
    #[schema(value_type = Vec<String>)]
    pub transactions: Vec<Hash>,
    /// The header's deterministic CBOR, hexadecimal: its SHA-256 is the digest.
    pub header: String,
    /// The finality certificate's deterministic CBOR, hexadecimal; absent when a later block's certificate covers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// One finalised block in the stream of blocks (event `block`; the event's id is the height).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockEvent {
    /// Its height.
    pub height: u64,
    /// The agreed time: milliseconds since 1970.
    pub time_ms: u64,
    /// SHA-256 of its header.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// Leaves in the log after it.
    pub log_size: u64,
    /// The log's root after it.
    #[schema(value_type = String)]
    pub log_root: Hash,
    /// The state's root after it.
    #[schema(value_type = String)]
    pub state_root: Hash,
    /// How many transactions it holds.
    pub transactions: u64,
    /// How many of them the ledger refused.
    pub refused: u64,
    /// Their ids, in order, when asked for with `?ids=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub ids: Option<Vec<Hash>>,
}

impl BlockEvent {
    /// The event of the block with this header.
    pub const fn new(header: &BlockHeader, digest: Hash, refused: u64, ids: Option<Vec<Hash>>) -> Self {
        Self {
            height: header.height,
            time_ms: header.time_ms,
            digest,
            log_size: header.log.size,
            log_root: header.log.root,
            state_root: header.state.root,
            transactions: header.transaction_count,
            refused,
            ids,
        }
    }
}
