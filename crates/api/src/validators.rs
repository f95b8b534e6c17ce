//! Who certifies blocks, now and next.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who certifies the next block, and who will certify later ones, as far as was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorsView {
    /// Blocks of an epoch: the validators change at its end and not before.
    pub epoch_blocks: u64,
    /// Those of the next block's epoch.
    pub current: ValidatorSetView,
    /// Those of the epoch after.
    pub next: ValidatorSetView,
    /// Those of the epoch after that, and of all that follow until something else is decided.
    pub later: ValidatorSetView,
    /// Keys of those that left last: their nodes may follow, and vote no more.
    pub former: Vec<String>,
}

/// The validators of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorSetView {
    /// The epoch.
    pub epoch: u64,
    /// Its first block.
    pub from_height: u64,
    /// How many of the validators must sign a block.
    pub quorum: u64,
    /// The validators, by key.
    pub validators: Vec<ValidatorView>,
}

/// A validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorView {
    /// Its Ed25519 key, hexadecimal.
    pub key: String,
    /// The organisation that runs it.
    pub organisation: String,
    /// Where other nodes dial it; absent where their configuration says so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
}

impl ValidatorsView {
    /// The sets in their order.
    pub const fn sets(&self) -> [&ValidatorSetView; 3] {
        [&self.current, &self.next, &self.later]
    }
}

impl ValidatorSetView {
    /// Whether this key is one of them.
    pub fn contains(&self, key: &str) -> bool {
        self.validators.iter().any(|validator| validator.key == key)
    }
}
