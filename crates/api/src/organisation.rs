//! Organisations and their principals.

use serde::{Deserialize, Serialize};
use tallystick_protocol::Role;
use utoipa::ToSchema;

/// A member of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A principal of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalView {
    /// `organisation/name`.
    pub id: String,
    /// What it may do.
    #[schema(value_type = String)]
    pub role: Role,
    /// Its keys, past ones included, oldest first.
    pub keys: Vec<KeyView>,
}

/// A key and when it was in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// `ed25519:<hex>` or `p256:<hex>`.
    pub key: String,
    /// Valid from: milliseconds since 1970, by the blocks' time.
    pub from_ms: u64,
    /// Retired at: milliseconds since 1970; absent while it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_ms: Option<u64>,
    /// Its certificate ends at: milliseconds since 1970; absent for a key without a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}
