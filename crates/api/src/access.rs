//! Reads of sealed values: who, when, which, what for, under which power; and what there is to read about somebody.

use crate::{ActOutcome, DecisionView, ReadConsentView, routes};
use serde::{Deserialize, Serialize};
use tallystick_protocol::{
    Commitment, ConsentQuestion, ConsentRow, Hash, Jurisdiction, MandateId, Operation, Outcome, PrincipalId,
    SignedTransaction, Subject, is_consent,
};
use utoipa::ToSchema;

/// A page of the reads of what is sealed about somebody, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessLogPage {
    /// Whom it is about: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// Every read up to this block is told, on this page or a later one.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// The reads, refused ones too. A page may hold fewer than were asked for and not be the last: only the absence of `next` says that.
    pub reads: Vec<ReadView>,
    /// The `cursor` of the next page, of older reads. It stays good whatever is appended meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Where the sealed values about somebody stand that a node keeps. The values are not told: reading them is an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldList {
    /// The holder that answers.
    #[schema(value_type = String)]
    pub node: PrincipalId,
    /// Whom they are about: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// One for each value, by register, key and field.
    pub values: Vec<HeldView>,
}

/// Where a value stands that a node keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeldView {
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The field.
    pub field: String,
    /// What the ledger has in its place.
    #[schema(value_type = String)]
    pub commitment: Commitment,
    /// Whether the record has it now. One that only an earlier entry had is kept until it is erased, and not given any more.
    pub current: bool,
}

/// One read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadView {
    /// The leaf of its transaction in the log, from 0.
    pub leaf: u64,
    /// The block that holds it.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// The transaction's id.
    #[schema(value_type = String)]
    pub id: Hash,
    /// Who signed it.
    #[schema(value_type = String)]
    pub principal: PrincipalId,
    /// For whom, under a mandate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub on_behalf_of: Option<PrincipalId>,
    /// The mandate that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mandate: Option<MandateId>,
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// Which fields' values.
    pub fields: Vec<String>,
    /// What for.
    pub purpose: String,
    /// The power that it relied on.
    pub legal_basis: String,
    /// The consents on which it stood, of whom the log is about: more than one when each alone would have borne it. Only of a read by
    /// consent that was accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consents: Vec<ReadConsentView>,
    /// To whom the values were disclosed; none when the signer read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Where they were, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub jurisdiction: Option<Jurisdiction>,
    /// What became of it: of a refused one no value was given.
    pub outcome: ActOutcome,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The policies that determined this, in which version, and the mandates under which it was done.
    pub decision: DecisionView,
    /// Where its receipt is; one in a private partition has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<String>,
}

/// Whether an operation reads somebody's own record, or what is sealed about them.
pub fn is_read_about(operation: &Operation, subject: &Subject) -> bool {
    match operation {
        Operation::RecordRead { register, key, subjects, .. } => {
            subjects.contains(subject) || (subject.register(), subject.key()) == (register, key)
        }
        _ => false,
    }
}

/// Where a read stands, and what became of it.
#[derive(Debug, Clone, Copy)]
pub struct ReadPlace<'a> {
    /// Its leaf in the log; in a private partition, its number.
    pub leaf: u64,
    /// The block that holds it.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// What became of it.
    pub outcome: &'a Outcome,
}

impl ReadView {
    /// It, with those of a subject's consents to this controller on which it stood.
    #[must_use]
    pub fn standing_on(mut self, controller: &str, consents: &[ConsentRow]) -> Self {
        if self.outcome == ActOutcome::Accepted && is_consent(&self.legal_basis) {
            let actor = self.on_behalf_of.as_ref().unwrap_or(&self.principal);
            let read = ConsentQuestion {
                controller,
                reader: actor.organisation(),
                purpose: &self.purpose,
                recipient: self.recipient.as_deref(),
                time_ms: self.time_ms,
            };
            self.consents =
                consents.iter().filter(|row| row.bore(self.leaf, &read)).map(ReadConsentView::from).collect();
        }
        self
    }

    /// The reads in an act, about `subject` alone if it is given.
    pub fn of(subject: Option<&Subject>, place: ReadPlace<'_>, transaction: &SignedTransaction) -> Vec<Self> {
        let decision = place.outcome.decision();
        let (outcome, code) = match place.outcome {
            Outcome::Accepted { .. } => (ActOutcome::Accepted, None),
            Outcome::Refused(refusal) => (ActOutcome::Refused, Some(refusal.code.to_string())),
        };
        let view = |operation: &Operation| {
            let Operation::RecordRead { register, key, fields, purpose, legal_basis, recipient, .. } = operation else {
                return None;
            };
            let is_public = transaction.partition().is_none();
            subject.is_none_or(|subject| is_read_about(operation, subject)).then(|| Self {
                consents: Vec::new(),
                leaf: place.leaf,
                height: place.height,
                time_ms: place.time_ms,
                id: transaction.id(),
                principal: transaction.principal().clone(),
                on_behalf_of: transaction.mandate().map(|_| transaction.actor(decision)),
                mandate: transaction.mandate().cloned(),
                register: register.clone(),
                key: key.clone(),
                fields: fields.clone(),
                purpose: purpose.clone(),
                legal_basis: legal_basis.clone(),
                recipient: recipient.as_ref().map(|to| to.name.clone()),
                jurisdiction: recipient.as_ref().and_then(|to| to.jurisdiction.clone()),
                outcome,
                code: code.clone(),
                decision: decision.into(),
                receipt: is_public.then(|| routes::transaction_receipt(&transaction.id())),
            })
        };
        transaction.operations().iter().filter_map(view).collect()
    }
}
