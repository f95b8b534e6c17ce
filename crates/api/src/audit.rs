//! Acts: who did what, when, to what, and what became of it.

use crate::{DecisionView, ProposalBrief, RecoveryView, routes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tallystick_protocol::{
    Hash, LogEntry, MandateId, Operation, Outcome, PrincipalId, ProposalStatus, ResourceKind, SignedTransaction,
    limits::AUDIT_RESOURCES_MAX,
};
use utoipa::ToSchema;

/// A page of acts, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Every act that was asked for up to this block is told, on this page or a later one.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// Leaves in the log up to that block: acts of any kind.
    pub log_size: u64,
    /// The acts. A page may hold fewer than were asked for and not be the last: only the absence of `next` says that.
    pub acts: Vec<ActView>,
    /// What became of proposals at the beginning of blocks, newest first: no transaction tells of it. Asked for by time, resource
    /// and proposal alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turns: Vec<TurnView>,
    /// Recoveries of the network, newest first: no transaction tells of them. Asked for by time alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recoveries: Vec<RecoveryView>,
    /// Where the proposal stands that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<ProposalBrief>,
    /// The `cursor` of the next page, of older acts. It stays good whatever is appended meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One act: a transaction that was ordered, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActView {
    /// Its place in the log, from 0.
    pub leaf: u64,
    /// The block that holds it.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// The transaction's id.
    #[schema(value_type = String)]
    pub id: Hash,
    /// Who signed it: `organisation/name`.
    pub principal: String,
    /// The organisation of who signed.
    pub organisation: String,
    /// Who signed it besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub cosigners: Vec<PrincipalId>,
    /// The mandate that it names; of one that held, the decision lists the whole chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mandate: Option<MandateId>,
    /// For whom it was done under that mandate: the grantor at the root of its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub on_behalf_of: Option<PrincipalId>,
    /// What it is about, in the signer's words.
    pub subject: String,
    /// What was asked: the names of its operations, each once.
    pub actions: Vec<String>,
    /// What it was asked of, such as `register:country`, each once: the first 32.
    pub resources: Vec<String>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resources_more: u64,
    /// The proposals among these, each once: the first 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proposals: Vec<String>,
    /// What became of it.
    pub outcome: ActOutcome,
    /// Why it was refused: a code of the refusal table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The operation that was refused, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<u32>,
    /// The policies that determined this, in which version, and the mandates under which it was done.
    pub decision: DecisionView,
    /// Where its receipt is.
    pub receipt: String,
}

/// What became of a proposal at the beginning of a block, before its transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TurnView {
    /// The block.
    pub height: u64,
    /// Its time: milliseconds since 1970.
    pub time_ms: u64,
    /// Leaves of the log before the block: it happened after the last of them, and before the leaf of this number.
    pub log_size: u64,
    /// The proposal.
    pub proposal: String,
    /// Where it stood from then on: `effective` or `failed` when its height had come, `lapsed` when its time was up, `open` or
    /// `accepted` when an objection no longer held it up.
    #[schema(value_type = String)]
    pub status: ProposalStatus,
    /// The changes of the proposal, in words: made when it became effective, and not otherwise.
    pub changes: Vec<String>,
    /// Where the receipt of the proposal is.
    pub receipt: String,
}

/// What became of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActOutcome {
    /// Every operation took effect.
    Accepted,
    /// None did.
    Refused,
}

impl ActView {
    /// The act at `leaf`, whose entry holds `transaction`.
    pub fn new(leaf: u64, entry: &LogEntry, transaction: &SignedTransaction) -> Self {
        let signer = transaction.principal();
        let decision = entry.outcome.decision();
        let actor = transaction.actor(decision);
        let about = || transaction.operations().iter().flat_map(|operation| operation.resources(&actor));
        let proposals = about().filter(|resource| resource.kind() == ResourceKind::Proposal);
        let mut proposals = once(proposals.map(|resource| resource.name().to_owned()));
        proposals.truncate(AUDIT_RESOURCES_MAX);
        let mut resources = once(about());
        let resources_more = resources.len().saturating_sub(AUDIT_RESOURCES_MAX) as u64;
        resources.truncate(AUDIT_RESOURCES_MAX);
        let (outcome, refusal) = match &entry.outcome {
            Outcome::Accepted { .. } => (ActOutcome::Accepted, None),
            Outcome::Refused(refusal) => (ActOutcome::Refused, Some(refusal)),
        };
        Self {
            leaf,
            height: entry.height,
            time_ms: entry.time_ms,
            id: transaction.id(),
            principal: signer.to_string(),
            organisation: signer.organisation().to_owned(),
            cosigners: transaction.cosigners().iter().map(|cosigner| cosigner.principal.clone()).collect(),
            mandate: transaction.mandate().cloned(),
            on_behalf_of: transaction.mandate().map(|_| actor.clone()),
            subject: transaction.subject().to_owned(),
            actions: once(transaction.operations().iter().map(Operation::name)),
            resources,
            resources_more,
            proposals,
            outcome,
            code: refusal.map(|refusal| refusal.code.to_string()),
            operation: refusal.map(|refusal| refusal.operation),
            decision: decision.into(),
            receipt: routes::transaction_receipt(&transaction.id()),
        }
    }
}

/// Each as text, once, in the order of their first.
fn once<T: Ord + Clone + ToString>(things: impl Iterator<Item = T>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    things.filter(|thing| seen.insert(thing.clone())).map(|thing| thing.to_string()).collect()
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use tallystick_protocol::{Code, Intent, NetworkId, NewEntry, PublicKey};

    #[test]
    fn a_row_names_each_thing_once_and_says_how_many_more() {
        let entry = |key: u32| NewEntry { key: format!("key-{key}"), items: vec!["{}".to_owned()] };
        let append = Operation::EntryAppend { register: "country".to_owned(), entries: (0..40).map(entry).collect() };
        let principal = "hmrc/alice".parse().unwrap();
        let intent = Intent {
            not_after: 1_700_000_000,
            idempotency_key: vec![1; 8],
            ..Intent::new(NetworkId([7; 16]), principal, "test", vec![append.clone(), append])
        };
        let transaction = intent.with_signature(&PublicKey::Ed25519([1; 32]), &[0; 64]).unwrap();
        let outcome = Outcome::refused(Code::EntryUnchanged, 1);
        let entry = LogEntry { transaction: transaction.bytes().clone(), height: 3, time_ms: 1_000, outcome };
        let row = ActView::new(7, &entry, &transaction);
        assert_eq!(row.actions, ["entry-append"]);
        assert_eq!((row.resources.len(), row.resources_more), (AUDIT_RESOURCES_MAX, 41 - AUDIT_RESOURCES_MAX as u64));
        assert_eq!(row.resources[..2], ["register:country", "record:country/key-0"]);
        let refused = (row.outcome, row.code.as_deref(), row.operation);
        assert_eq!(refused, (ActOutcome::Refused, Some("entry-unchanged"), Some(1)));
        assert_eq!(row.receipt, format!("/v1/transactions/{}/receipt", transaction.id()));
    }
}
