//! Registers: their definitions. Records, entries, items and proofs have the shapes of openregister v1, which
//! `docs/reference/api.md` shows.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{Cardinality, Datatype, Field, Phase, Protection};
use utoipa::ToSchema;

/// A register: who keeps it, its schema, and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterView {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub text: String,
    /// The organisation that keeps it and alone may write to it.
    pub custodian: String,
    /// `draft`, `live`, `superseded` or `closed`.
    #[schema(value_type = String)]
    pub phase: Phase,
    /// The register that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// Its schema.
    pub fields: Vec<FieldView>,
    /// Current records.
    pub records: u64,
    /// User entries: the leaves under the root.
    pub entries: u64,
    /// System entries.
    pub system_entries: u64,
    /// The root over the user entries: `sha-256:<hex>`.
    pub root: String,
    /// The log leaf, from 0, of the transaction that created it.
    pub created: u64,
}

/// One field of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldView {
    /// Its name.
    pub name: String,
    /// The datatype of its values.
    #[schema(value_type = String)]
    pub datatype: Datatype,
    /// `1` or `n`.
    #[schema(value_type = String)]
    pub cardinality: Cardinality,
    /// The register its values are keys of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    /// What it means.
    pub text: String,
    /// Who may read its values, which are then written only sealed: `restricted`, or `personal:` and the field that names the record
    /// that they are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub protection: Option<Protection>,
}

impl From<&Field> for FieldView {
    fn from(field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            datatype: field.datatype,
            cardinality: field.cardinality,
            register: field.register.clone(),
            text: field.text.clone(),
            protection: field.protection.clone(),
        }
    }
}

impl From<&FieldView> for Field {
    fn from(view: &FieldView) -> Self {
        Self {
            name: view.name.clone(),
            datatype: view.datatype,
            cardinality: view.cardinality,
            register: view.register.clone(),
            text: view.text.clone(),
            protection: view.protection.clone(),
        }
    }
}

/// All registers, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegisterList {
    /// One for each register.
    pub registers: Vec<RegisterView>,
}
