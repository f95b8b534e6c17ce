//! Partitions as everybody sees them.

use serde::{Deserialize, Serialize};
use tallystick_protocol::AgreementTerms;
use utoipa::ToSchema;

/// A partition: the agreement under which its members share, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionView {
    /// The agreement in force: `partition`, `members`, `purpose`, `legal_basis`, `categories`, `from_ms`, `until_ms`, `review_ms`,
    /// `jurisdictions`, `retention_days`, `acknowledgements`.
    #[schema(value_type = Object)]
    pub agreement: AgreementTerms,
    /// Whether something could be ordered in it at the time of the newest block.
    pub open: bool,
    /// The place in the log of the transaction that proposed the agreement.
    pub proposed: u64,
    /// The height at which it was opened.
    pub opened_height: u64,
    /// The height at which its agreement last changed.
    pub amended_height: u64,
    /// The height at which it was closed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_height: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_reason: Option<String>,
}

/// Partitions, in the order in which they were opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionList {
    /// The partitions.
    pub partitions: Vec<PartitionView>,
}
