//! Consents: whose, to whom, what for, until when; and how each ended.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{ConsentRow, ConsentStatus, Subject};
use utoipa::ToSchema;

/// A consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentView {
    /// Its id.
    pub consent: String,
    /// The organisation to which it was given.
    pub controller: String,
    /// Whose it is: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// `in-force`, `withdrawn` or `over`, by the blocks' time.
    #[schema(value_type = String)]
    pub status: ConsentStatus,
    /// What for.
    pub purposes: Vec<String>,
    /// Who may read beside the controller, or be given what is read.
    pub recipients: Vec<String>,
    /// When it ends by itself: milliseconds since 1970.
    pub until_ms: u64,
    /// How it was given.
    pub evidence: String,
    /// Who put it on record.
    pub principal: String,
    /// The place of that transaction in the log.
    pub index: u64,
    /// When: milliseconds since 1970.
    pub given_ms: u64,
    /// How it was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<WithdrawnView>,
}

/// How a consent was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WithdrawnView {
    /// Who put it on record.
    pub principal: String,
    /// Why, or how it was said.
    pub reason: String,
    /// The place of that transaction in the log.
    pub index: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
}

/// Consents of one subject to one controller, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentList {
    /// The consents.
    pub consents: Vec<ConsentView>,
    /// The `cursor` of the next page, of older ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A consent on which a read stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadConsentView {
    /// Its id.
    pub consent: String,
    /// When it ends by itself: milliseconds since 1970.
    pub until_ms: u64,
    /// When it was withdrawn, after the read: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_ms: Option<u64>,
}

impl ConsentView {
    /// The consent at this time.
    pub fn new(row: ConsentRow, now_ms: u64) -> Self {
        Self {
            status: row.status(now_ms),
            consent: row.consent,
            controller: row.controller,
            subject: row.subject,
            purposes: row.terms.purposes,
            recipients: row.terms.recipients,
            until_ms: row.terms.until_ms,
            evidence: row.evidence,
            principal: row.principal.to_string(),
            index: row.leaf,
            given_ms: row.given_ms,
            withdrawn: row.withdrawn.map(|withdrawn| WithdrawnView {
                principal: withdrawn.principal.to_string(),
                reason: withdrawn.reason,
                index: withdrawn.leaf,
                time_ms: withdrawn.time_ms,
            }),
        }
    }
}

impl From<&ConsentRow> for ReadConsentView {
    fn from(row: &ConsentRow) -> Self {
        Self {
            consent: row.consent.clone(),
            until_ms: row.terms.until_ms,
            withdrawn_ms: row.withdrawn.as_ref().map(|withdrawn| withdrawn.time_ms),
        }
    }
}
