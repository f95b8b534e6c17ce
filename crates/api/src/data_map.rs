//! The data map: what is held about people, where, why and for how long. It is made of the state, so it is true of the block that it names.
//!
//! What a controller must keep in writing of its processing: UK GDPR, Article 30(1).

use serde::{Deserialize, Serialize};
use tallystick_protocol::{Jurisdiction, OrganisationStatus, Phase, PrincipalId, Registration};
use utoipa::ToSchema;

use crate::FieldView;

/// A page of the data map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataMap {
    /// One for each organisation on the page, in the order in which they joined; also those that hold nothing.
    pub controllers: Vec<ControllerView>,
}

/// What an organisation answers for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ControllerView {
    /// Its id.
    pub organisation: String,
    /// Its name in law; its name where that is not said.
    pub name: String,
    /// Where it is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub registration: Option<Registration>,
    /// Under whose law it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub jurisdiction: Option<Jurisdiction>,
    /// How it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// `active`, `suspended` or `expelled`.
    #[schema(value_type = String)]
    pub status: OrganisationStatus,
    /// Its nodes that hold what only some may see.
    pub nodes: Vec<PlaceView>,
    /// Its nodes that are retired, and on whose disks it may lie still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_at: Vec<String>,
    /// The backups that the node which answers makes of what it holds, if it is one of this organisation's; what others make, they tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<BackupsView>,
    /// The registers of which it is the custodian and that have protected fields: their values are held by its nodes, sealed for all others.
    pub registers: Vec<ProtectedRegisterView>,
    /// The agreements under which it shares, ended ones too.
    pub agreements: Vec<SharedView>,
}

/// A node that holds, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct PlaceView {
    /// The node; its organisation is the part before the slash.
    #[schema(value_type = String)]
    pub node: PrincipalId,
    /// Where it stands.
    #[schema(value_type = String)]
    pub jurisdiction: Jurisdiction,
}

/// The backups that a node makes of what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackupsView {
    /// The node.
    #[schema(value_type = String)]
    pub node: PrincipalId,
    /// Where they stand.
    #[schema(value_type = String)]
    pub jurisdiction: Jurisdiction,
    /// Hours from one to the next.
    pub every_hours: u32,
    /// For how many days each is kept.
    pub keep_days: u32,
}

/// A register with protected fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProtectedRegisterView {
    /// Its name.
    pub register: String,
    /// What it is about, in its custodian's words.
    pub text: String,
    /// `draft`, `live`, `superseded` or `closed`.
    #[schema(value_type = String)]
    pub phase: Phase,
    /// How many records it has.
    pub records: u64,
    /// Its protected fields.
    pub fields: Vec<FieldView>,
}

/// An agreement, as one of its members answers for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SharedView {
    /// The partition in which it is shared.
    pub partition: String,
    /// What for.
    pub purpose: String,
    /// The power relied on.
    pub legal_basis: String,
    /// What sorts of data.
    pub categories: Vec<String>,
    /// The other members.
    pub recipients: Vec<String>,
    /// Regulators that may ask who read what, and what is ordered of erasures and holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regulators: Vec<String>,
    /// Where it may be held.
    #[schema(value_type = Vec<String>)]
    pub jurisdictions: Vec<Jurisdiction>,
    /// The members' nodes to which it goes: those that stand where it may be held.
    pub held_at: Vec<PlaceView>,
    /// The members' nodes that are given nothing, for they stand elsewhere.
    pub refused: Vec<PlaceView>,
    /// Those on whose disks it may lie still, and to which nothing goes: members' nodes that are retired, and organisations that have left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_at: Vec<String>,
    /// From when on: milliseconds since 1970.
    pub from_ms: u64,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// When it is looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_ms: Option<u64>,
    /// For how many days it is kept.
    pub retention_days: u32,
    /// Whether something could be ordered in it at the time of the newest block.
    pub open: bool,
}
