//! Who certifies blocks, now and next.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{GenesisValidator, PrincipalId, Recovery};
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
    /// How the network was recovered when it had lost its quorum for good, each time; the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<RecoveryView>,
}

/// A recovery: the organisations named other validators when too many were lost for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoveryView {
    /// The last block before.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// Leaves of the log up to that block.
    pub log_size: u64,
    /// The first epoch after.
    pub epoch: u64,
    /// Why.
    pub reason: String,
    /// The administrators who signed, one for each organisation that agreed.
    #[schema(value_type = Vec<String>)]
    pub signers: Vec<PrincipalId>,
    /// Who certified from then on.
    pub validators: Vec<ValidatorView>,
}

impl RecoveryView {
    /// The recovery that the epoch began with.
    pub fn new(epoch: u64, recovery: &Recovery) -> Self {
        let Recovery { head, validators, reason, .. } = recovery;
        Self {
            height: head.height,
            time_ms: head.time_ms,
            log_size: head.log.size,
            epoch,
            reason: reason.clone(),
            signers: recovery.signers(),
            validators: validators.iter().map(ValidatorView::from).collect(),
        }
    }

    /// A sentence for people.
    pub fn sentence(&self) -> String {
        let join = |words: Vec<String>| words.join(", ");
        format!(
            "the network was recovered after block {}: it had lost its quorum for good ({}); signed by {}; validators of {} certify from epoch {} on",
            self.height,
            self.reason,
            join(self.signers.iter().map(ToString::to_string).collect()),
            join(self.validators.iter().map(|validator| validator.organisation.clone()).collect()),
            self.epoch
        )
    }
}

impl From<&GenesisValidator> for ValidatorView {
    fn from(validator: &GenesisValidator) -> Self {
        let GenesisValidator { organisation, key, address } = validator.clone();
        Self { key: key.iter().map(|byte| format!("{byte:02x}")).collect(), organisation, address }
    }
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
