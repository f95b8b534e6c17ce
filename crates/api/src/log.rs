//! The log's checkpoint and proofs (RFC 9162 section 2.1).

use serde::{Deserialize, Serialize};
use tallystick_protocol::Hash;
use utoipa::ToSchema;

/// The log's size and root, certified by a quorum of validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// The network's id.
    pub network: String,
    /// The height of the block whose size and root these are.
    pub height: u64,
    /// That block's digest.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// Leaves in the log.
    pub log_size: u64,
    /// The log's root.
    #[schema(value_type = String)]
    pub log_root: Hash,
    /// The state's root.
    #[schema(value_type = String)]
    pub state_root: Hash,
    /// Headers as deterministic CBOR, hexadecimal: the first holds the roots above, each next one names the one before
    /// as its parent, the certificate signs the last.
    pub headers: Vec<String>,
    /// The finality certificate as deterministic CBOR, hexadecimal.
    pub certificate: String,
    /// How many validators signed.
    pub signatures: u64,
}

/// Proof that the log of `new_size` leaves continues that of `old_size`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsistencyProof {
    /// The earlier size.
    pub old_size: u64,
    /// The root at that size.
    #[schema(value_type = String)]
    pub old_root: Hash,
    /// The later size.
    pub new_size: u64,
    /// The root at that size.
    #[schema(value_type = String)]
    pub new_root: Hash,
    /// The proof (RFC 9162 section 2.1.4).
    #[schema(value_type = Vec<String>)]
    pub path: Vec<Hash>,
}

/// Proof that the leaf `index` is in the log of `size` leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InclusionProof {
    /// The leaf's place, from 0.
    pub index: u64,
    /// The size of the log.
    pub size: u64,
    /// The leaf's hash.
    #[schema(value_type = String)]
    pub leaf: Hash,
    /// The root at that size.
    #[schema(value_type = String)]
    pub root: Hash,
    /// The proof (RFC 9162 section 2.1.3).
    #[schema(value_type = Vec<String>)]
    pub path: Vec<Hash>,
}
