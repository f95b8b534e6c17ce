//! Notices: who read, or was given, what was wrong, and who has said that they know.

use crate::WrongValue;
use serde::{Deserialize, Serialize};
use tallystick_protocol::{Hash, PrincipalId};
use utoipa::ToSchema;

/// A page of corrections, newest first, each with who must know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticePage {
    /// Every correction up to this block is told, on this page or a later one.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// The corrections; of those that concern nobody asked for, none.
    pub corrections: Vec<NoticesView>,
    /// The `cursor` of the next page, of older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A correction, and who must know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticesView {
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The number of the entry that was wrong.
    pub corrects: u64,
    /// Why.
    pub reason: String,
    /// Who demanded it, or found it.
    pub authority: String,
    /// The law that it rests on.
    pub legal_basis: String,
    /// In a partition, what is sealed in the wrong entry, and neither in that which corrects it nor in the record now, unless it is erased: each can
    /// be erased by itself. In public the entry says it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<WrongValue>,
    /// That the node was asked for them and cannot tell.
    #[serde(default)]
    pub untold: bool,
    /// The transaction that corrects it.
    #[schema(value_type = String)]
    pub id: Hash,
    /// The leaf of that in the log, from 0.
    pub leaf: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
    /// Those who read the wrong entry, or were given it.
    pub notices: Vec<NoticeView>,
    /// Whether all reads of it, and all that readers said, were looked at: of very many, the latest are.
    pub is_whole: bool,
}

/// One who must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeView {
    /// Who read.
    #[schema(value_type = String)]
    pub reader: PrincipalId,
    /// To whom the reader disclosed it, and must pass the notice on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// The transaction of the latest read.
    #[schema(value_type = String)]
    pub read: Hash,
    /// When: milliseconds since 1970.
    pub read_ms: u64,
    /// Who said that they know; none while nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub acknowledged_by: Option<PrincipalId>,
    /// The transaction that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub acknowledged: Option<Hash>,
    /// When: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_ms: Option<u64>,
}
