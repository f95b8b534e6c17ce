//! Organisations and their principals.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{
    Assurance, Jurisdiction, MandateId, OrganisationStatus, PrincipalId, PrincipalKind, PrincipalStatus, PublicKey,
    Registration, Roles, SealingKey,
};
use utoipa::ToSchema;

/// A member of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationView {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its name in law.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_name: Option<String>,
    /// Where it is registered, and as what: the register's code of org-id.guide, `-`, and its number there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub registration: Option<Registration>,
    /// Whose law it is under: an ISO 3166 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub jurisdiction: Option<Jurisdiction>,
    /// How it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// `active`, `suspended` or `expelled`.
    #[schema(value_type = String)]
    pub status: OrganisationStatus,
    /// Why, when it was suspended or expelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Principals enrolled so far.
    pub principals: u32,
    /// Its administrators; one that is suspended still counts.
    pub administrators: u32,
    /// Administrators who must sign to recover a principal; absent until it says so: then two, or one where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<u32>,
}

/// Organisations, in the order in which they joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrganisationList {
    /// The organisations.
    pub organisations: Vec<OrganisationView>,
}

/// A principal of an organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalView {
    /// `organisation/name`.
    pub id: String,
    /// `person`, `organisation`, `role`, `device` or `program`.
    #[schema(value_type = String)]
    pub kind: PrincipalKind,
    /// What it is to its organisation.
    #[schema(value_type = Vec<String>)]
    pub roles: Roles,
    /// `active`, `suspended` or `retired`.
    #[schema(value_type = String)]
    pub status: PrincipalStatus,
    /// Why, once it was changed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Its keys, past ones included, oldest first.
    pub keys: Vec<KeyView>,
}

/// Principals of an organisation, the latest enrolled first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrincipalList {
    /// The principals. A page may hold fewer than were asked for and not be the last: only the absence of `next` says that.
    pub principals: Vec<PrincipalView>,
    /// The `cursor` of the next page. It stays good whoever is enrolled meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A key and when it was in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// `ed25519:<hex>` or `p256:<hex>`.
    pub key: String,
    /// Valid from: milliseconds since 1970, by the blocks' time.
    pub from_ms: u64,
    /// How sure the organisation is of it: `low`, `substantial` or `high`.
    #[schema(value_type = String)]
    pub assurance: Assurance,
    /// Retired at: milliseconds since 1970, in the future while a rotation's overlap lasts; absent while it is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_ms: Option<u64>,
    /// Its certificate ends at: milliseconds since 1970; absent for a key without a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// A mandate: who lets whom act for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MandateView {
    /// `organisation/name/mandate`: the grantor, and what it calls it; of a partition's own, after the partition's name and `/`.
    #[schema(value_type = String)]
    pub id: MandateId,
    /// Who may act.
    #[schema(value_type = Vec<String>)]
    pub agents: Vec<PrincipalId>,
    /// What they may do: names of operations, or `*`.
    pub actions: Vec<String>,
    /// To what: such as `register:country`; a `*` at the end stands for anything.
    pub resources: Vec<String>,
    /// What for.
    pub purpose: String,
    /// From when: seconds since 1970, by the blocks' time.
    pub from: u64,
    /// Until when: seconds since 1970, by the blocks' time.
    pub until: u64,
    /// How many times it may be passed on.
    pub depth: u32,
    /// How many of the agents must sign each act.
    pub concur: u32,
    /// The mandate that it passes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub parent: Option<MandateId>,
    /// The log's leaf that granted it; of a partition's own, the number of the private transaction that did.
    pub granted: u64,
    /// Revoked at: milliseconds since 1970; absent while it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

/// Mandates, the latest granted first, revoked ones too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MandateList {
    /// The mandates. A page may hold fewer than were asked for and not be the last: only the absence of `next` says that.
    pub mandates: Vec<MandateView>,
    /// The `cursor` of the next page. It stays good whatever is granted meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A node that holds what only some may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its principal: `organisation/name`.
    #[schema(value_type = String)]
    pub node: PrincipalId,
    /// The key its peers know it by: `ed25519:` and 64 hexadecimal digits.
    #[schema(value_type = String)]
    pub peer: PublicKey,
    /// The X25519 key to which others encrypt what it is to hold: 64 hexadecimal digits.
    #[schema(value_type = String)]
    pub sealing: SealingKey,
    /// Where it stands, under whose law: an ISO 3166 code.
    #[schema(value_type = String)]
    pub jurisdiction: Jurisdiction,
    /// Since when it stands so: milliseconds since 1970.
    pub since_ms: u64,
}

/// The nodes of an organisation that hold what only some may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeList {
    /// The nodes, by their principals.
    pub nodes: Vec<NodeView>,
    /// Those that are retired, and of which it was not said that what they held is destroyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<String>,
    /// How many more there are of these, when there was no room to name them.
    #[serde(default)]
    pub unnamed: u32,
}
