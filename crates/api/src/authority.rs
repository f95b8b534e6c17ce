//! The trust list: the certificate authorities of organisations.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{AuthorityTerms, Hash};
use utoipa::ToSchema;

/// A certificate authority of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorityView {
    /// SHA-256 of its certificate: hexadecimal.
    #[schema(value_type = String)]
    pub id: Hash,
    /// Whose certificate it is: the distinguished name (RFC 4514).
    pub subject: String,
    /// Its certificate, PEM (RFC 7468).
    pub certificate: String,
    /// What its certificate policies mean here (`policies`), and how the names begin that it may certify (`names`; any when empty).
    #[schema(value_type = Object)]
    pub terms: AuthorityTerms,
    /// Admitted at: milliseconds since 1970.
    pub from_ms: u64,
    /// Its certificate ends at: milliseconds since 1970.
    pub until_ms: u64,
    /// Retired at: milliseconds since 1970; absent while it is trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_ms: Option<u64>,
    /// The number of its latest revocation list (RFC 5280, section 5.2.3): hexadecimal; absent while none was posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocations: Option<String>,
    /// By when a later list is due: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocations_due_ms: Option<u64>,
}

/// The authorities of one organisation, retired ones too, the latest admitted first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorityList {
    /// Them.
    pub authorities: Vec<AuthorityView>,
    /// Whether these are all: of very many admissions and proposals the latest are looked at.
    pub is_whole: bool,
}
