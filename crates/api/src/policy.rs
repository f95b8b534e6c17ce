//! Policies in force, and why something is permitted or not.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{Code, MandateId, PolicyId};
use utoipa::ToSchema;

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyView {
    /// Its id: a name, or register/name.
    #[schema(value_type = String)]
    pub id: PolicyId,
    /// The number of the change that put it.
    pub version: u64,
    /// One Cedar policy.
    pub text: String,
}

/// A policy as it was put, and whether it still stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyAsPut {
    /// It.
    pub policy: PolicyView,
    /// Whether this very text is in force now.
    pub in_force: bool,
}

/// The policies in force, of the partition or for a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyList {
    /// Them, by id.
    pub policies: Vec<PolicyView>,
}

/// May this principal do this action to this resource?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuestion {
    /// Who signs: organisation/name.
    pub principal: String,
    /// Who signs besides.
    #[serde(default)]
    pub cosigners: Vec<String>,
    /// The mandate under which it acts: organisation/name/mandate.
    #[serde(default)]
    pub mandate: Option<String>,
    /// What: the name of an operation, such as `entry-append`.
    pub action: String,
    /// To what: `organisation:ID`, `principal:ID` or `register:NAME`.
    pub resource: String,
}

/// The answer, against the state as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyAnswer {
    /// Whether policies permit it.
    pub allowed: bool,
    /// Why it is refused whatever policies say: who signs may not act, or the mandate does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refusal: Option<Code>,
    /// The mandates under which it acts, from the one that is named to the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub mandates: Vec<MandateId>,
    /// How often policies had been changed.
    pub version: u64,
    /// The policies that determine it: those that permit, or those that forbid; none when nothing permits.
    pub determining: Vec<PolicyView>,
    /// Policies that failed and were skipped, with the reason.
    pub skipped: Vec<SkippedView>,
    /// What policies could look at: each thing, with what it is in.
    pub entities: Vec<EntityView>,
}

/// A policy that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SkippedView {
    /// Which.
    #[schema(value_type = String)]
    pub id: PolicyId,
    /// Why.
    pub reason: String,
}

/// A thing as policies see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntityView {
    /// Its name, as Cedar writes it.
    pub name: String,
    /// What it is in, directly.
    pub parents: Vec<String>,
}
