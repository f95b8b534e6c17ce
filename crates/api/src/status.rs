//! The node and its network.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{Genesis, Hash};
use utoipa::ToSchema;

/// What is served here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Index {
    /// `Tallystick`.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The network's id.
    pub network: String,
    /// Where to look next: a word and its path.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub links: std::collections::BTreeMap<String, String>,
}

/// The network: its id and genesis. Take a trust anchor from someone you trust, not from the node you would check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkView {
    /// The network's id: the first 16 bytes of the SHA-256 of the genesis, hexadecimal.
    pub id: String,
    /// How many validators must sign.
    pub quorum: u64,
    /// The genesis, as `network.json` holds it.
    #[schema(value_type = Object)]
    pub genesis: Genesis,
}

/// How this node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeStatus {
    /// The program's version.
    pub version: String,
    /// The network's id.
    pub network: String,
    /// The network's name.
    pub network_name: String,
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
    /// The newest finalised block it has applied.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// That block's digest.
    #[schema(value_type = String)]
    pub digest: Hash,
    /// Leaves in the log.
    pub log_size: u64,
    /// The log's root.
    #[schema(value_type = String)]
    pub log_root: Hash,
    /// The state's root.
    #[schema(value_type = String)]
    pub state_root: Hash,
    /// Milliseconds since that time, by this node's clock.
    pub age_ms: u64,
    /// Transactions waiting here to be ordered.
    pub pool: u64,
    /// Validators of the network.
    pub validators: u64,
    /// Whether it votes.
    pub voting: bool,
    /// Registers on the ledger.
    pub registers: u64,
}

/// Whether the node serves (`/readyz`; 503 while it does not).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// Whether it serves.
    pub ready: bool,
    /// Why it does not.
    pub reasons: Vec<String>,
    /// The newest finalised block it has applied.
    pub height: u64,
}
