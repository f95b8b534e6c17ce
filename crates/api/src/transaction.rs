//! Submitting transactions and what becomes of them.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{
    Appended, Code, Cosigner, Decision, EntryKind, Hash, Jurisdiction, MandateId, Operation, Outcome, PolicyId,
    PrincipalId, Violation, ViolationRule,
};
use utoipa::ToSchema;

/// A transaction was taken into the pool; its outcome follows (202).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionAccepted {
    /// The transaction's id: SHA-256 of its bytes.
    #[schema(value_type = String)]
    pub id: Hash,
}

/// Where a submitted transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubmissionStatus {
    /// In the pool or in a block that is not final yet.
    Pending,
    /// In a final block: the outcome stands for ever.
    Finalised,
    /// Not admitted: nothing of it is on the ledger.
    Rejected,
}

/// What became of one transaction of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionResult {
    /// Where it stands.
    pub status: SubmissionStatus,
    /// Its id, unless it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<Hash>,
    /// Its place in the log, from 0, once it is finalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// Its outcome, once it is finalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeView>,
    /// Why it was rejected: a code of the problem table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same in words, with the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Milliseconds to wait before it may be sent again as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl SubmissionResult {
    /// The transaction `id` waits for its block.
    pub const fn pending(id: Hash) -> Self {
        Self {
            status: SubmissionStatus::Pending,
            id: Some(id),
            index: None,
            outcome: None,
            code: None,
            detail: None,
            retry_after_ms: None,
        }
    }

    /// The transaction `id` is the log's leaf `index`.
    pub fn finalised(id: Hash, index: u64, outcome: OutcomeView) -> Self {
        Self { status: SubmissionStatus::Finalised, index: Some(index), outcome: Some(outcome), ..Self::pending(id) }
    }

    /// The transaction was not admitted.
    pub fn rejected(code: String, detail: String, retry_after_ms: Option<u64>) -> Self {
        Self {
            status: SubmissionStatus::Rejected,
            id: None,
            index: None,
            outcome: None,
            code: Some(code),
            detail: Some(detail),
            retry_after_ms,
        }
    }
}

/// What became of a sequence of transactions: at least one was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionsView {
    /// How many were taken.
    pub accepted: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// One for each transaction, in the order sent.
    pub results: Vec<SubmissionResult>,
}

impl SubmissionsView {
    /// Counts the results.
    pub fn new(results: Vec<SubmissionResult>) -> Self {
        let rejected = results.iter().filter(|r| r.status == SubmissionStatus::Rejected).count();
        Self { accepted: (results.len().saturating_sub(rejected)) as u64, rejected: rejected as u64, results }
    }

    /// Whether nothing is left to wait for.
    pub fn is_settled(&self) -> bool {
        self.results.iter().all(|r| r.status != SubmissionStatus::Pending)
    }
}

/// What the ledger decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum OutcomeView {
    /// Every operation took effect.
    Accepted {
        /// The entries it appended, range by range.
        appended: Vec<AppendedView>,
        /// What policies said of all its operations.
        decision: DecisionView,
    },
    /// None did.
    Refused {
        /// The stable code; see `docs/reference/errors.md`.
        code: String,
        /// What to do about it.
        advice: String,
        /// The operation that was refused, from 0.
        operation: u32,
        /// The rules of the schema that its items break.
        violations: Vec<ViolationView>,
        /// What policies said of the operation that was refused.
        decision: DecisionView,
    },
}

/// What policies said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// How often policies had been changed; 0 when they were not asked.
    pub version: u64,
    /// The policies that determined it: those that permitted, or those that forbade.
    #[schema(value_type = Vec<String>)]
    pub determining: Vec<PolicyId>,
    /// The policies that failed and were skipped.
    #[schema(value_type = Vec<String>)]
    pub skipped: Vec<PolicyId>,
    /// The mandates under which it acted, from the one that it names to the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub mandates: Vec<MandateId>,
}

impl From<&Decision> for DecisionView {
    fn from(decision: &Decision) -> Self {
        let Decision { version, determining, skipped, mandates } = decision.clone();
        Self { version, determining, skipped, mandates }
    }
}

/// A range of entries that an operation appended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppendedView {
    /// The operation, from 0.
    pub operation: u32,
    /// The register.
    pub register: String,
    /// `user` or `system`.
    #[schema(value_type = String)]
    pub kind: EntryKind,
    /// The first entry's number.
    pub first: u64,
    /// How many there are.
    pub count: u64,
}

/// One broken rule of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ViolationView {
    /// The entry within the operation, from 0.
    pub entry: u32,
    /// The field.
    pub field: String,
    /// The rule.
    #[schema(value_type = String)]
    pub rule: ViolationRule,
}

impl From<&Appended> for AppendedView {
    fn from(appended: &Appended) -> Self {
        Self {
            operation: appended.operation,
            register: appended.register.clone(),
            kind: appended.kind,
            first: appended.first,
            count: appended.count,
        }
    }
}

impl From<&Violation> for ViolationView {
    fn from(violation: &Violation) -> Self {
        Self { entry: violation.entry, field: violation.field.clone(), rule: violation.rule }
    }
}

impl From<&Outcome> for OutcomeView {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted { appended, decision } => Self::Accepted {
                appended: appended.iter().map(AppendedView::from).collect(),
                decision: decision.into(),
            },
            Outcome::Refused(refusal) => Self::Refused {
                code: refusal.code.to_string(),
                advice: refusal.code.advice().to_owned(),
                operation: refusal.operation,
                violations: refusal.violations.iter().map(ViolationView::from).collect(),
                decision: (&refusal.decision).into(),
            },
        }
    }
}

impl OutcomeView {
    /// Whether the transaction took effect.
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// The ledger's code, when it refused and this program knows the code.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Accepted { .. } => None,
            Self::Refused { code, .. } => code.parse().ok(),
        }
    }
}

/// A transaction and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionStatus {
    /// The transaction's id.
    #[schema(value_type = String)]
    pub id: Hash,
    /// `pending` or `finalised`.
    pub status: SubmissionStatus,
    /// Its place in the log, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The block that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// That block's time: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// What the ledger decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeView>,
    /// What was asked, and by whom, once it is finalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TransactionView>,
}

/// Who asked for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionView {
    /// The principal that signed: `organisation/name`.
    pub principal: String,
    /// The key it signed with.
    pub key: String,
    /// The mandate under which it acted: `organisation/name/mandate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mandate: Option<String>,
    /// Who signed it too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cosigners: Vec<CosignerView>,
    /// What the transaction is about (CWT claim `sub`).
    pub subject: String,
    /// The time after which it would not have been taken: seconds since 1970.
    pub not_after: u64,
    /// The idempotency key: hexadecimal.
    pub idempotency_key: String,
    /// The operations in brief.
    pub operations: Vec<OperationView>,
}

/// One who signed beside the signer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CosignerView {
    /// Who: `organisation/name`.
    pub principal: String,
    /// The key it signed with.
    pub key: String,
}

impl From<&Cosigner> for CosignerView {
    fn from(cosigner: &Cosigner) -> Self {
        Self { principal: cosigner.principal.to_string(), key: cosigner.key.to_string() }
    }
}

/// One operation in brief; the receipt holds it whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationView {
    /// Its name, such as `entry-append`.
    pub name: String,
    /// The register it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
    /// How many entries it carries.
    pub entries: u64,
    /// Of a `transfer-refuse`: what was given to whom not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<TransferView>,
}

/// A payload, or what opens sealed values, that did not leave a node, for where it would have come to stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferView {
    /// The partition.
    pub partition: String,
    /// The node that was given nothing: `organisation/name`; of `backup`, the one whose backup that is.
    #[schema(value_type = String)]
    pub node: PrincipalId,
    /// Where it, or its backup, stands, which the agreement does not allow.
    #[schema(value_type = String)]
    pub jurisdiction: Jurisdiction,
    /// How something was about to leave: `delivery`, `fetch` or `backup`.
    pub path: String,
}

impl From<&Operation> for OperationView {
    fn from(operation: &Operation) -> Self {
        Self {
            name: operation.name().to_string(),
            register: operation.register().map(str::to_owned),
            entries: operation.entry_count() as u64,
            transfer: match operation {
                Operation::TransferRefuse { partition, node, jurisdiction, path } => Some(TransferView {
                    partition: partition.clone(),
                    node: node.clone(),
                    jurisdiction: jurisdiction.clone(),
                    path: path.to_string(),
                }),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use tallystick_protocol::{Refusal, TransferPath};

    #[test]
    fn a_refused_transfer_says_of_what_to_whom_and_how() {
        let operation = Operation::TransferRefuse {
            partition: "outbreaks".into(),
            node: "council/vault".parse().unwrap(),
            jurisdiction: "GB-SCT".parse().unwrap(),
            path: TransferPath::Fetch,
        };
        let transfer = OperationView::from(&operation).transfer.unwrap();
        let shown = format!("{} {} {} {}", transfer.partition, transfer.node, transfer.jurisdiction, transfer.path);
        assert_eq!(shown, "outbreaks council/vault GB-SCT fetch");
    }

    fn decision() -> Decision {
        Decision { version: 1, determining: vec!["custodian-writes".parse().unwrap()], ..Decision::default() }
    }

    #[test]
    fn an_accepted_outcome_names_its_ranges() {
        let outcome = Outcome::Accepted {
            appended: vec![Appended {
                operation: 0,
                register: "country".into(),
                kind: EntryKind::User,
                first: 209,
                count: 1,
            }],
            decision: decision(),
        };
        let json = serde_json::to_string(&OutcomeView::from(&outcome)).unwrap();
        assert_eq!(
            json,
            r#"{"result":"accepted","appended":[{"operation":0,"register":"country","kind":"user","first":209,"count":1}],"decision":{"version":1,"determining":["custodian-writes"],"skipped":[]}}"#
        );
    }

    #[test]
    fn a_refusal_gives_code_advice_and_every_violation() {
        let outcome = Outcome::Refused(Refusal {
            code: Code::Schema,
            operation: 2,
            violations: vec![Violation { entry: 0, field: "start-date".into(), rule: ViolationRule::Datatype }],
            decision: decision(),
        });
        let view = OutcomeView::from(&outcome);
        assert_eq!(view.code(), Some(Code::Schema));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "result": "refused", "code": "schema", "advice": Code::Schema.advice(), "operation": 2,
                "violations": [{"entry": 0, "field": "start-date", "rule": "datatype"}],
                "decision": {"version": 1, "determining": ["custodian-writes"], "skipped": []},
            })
        );
        assert_eq!(serde_json::from_value::<OutcomeView>(json).unwrap(), view);
    }

    #[test]
    fn a_result_holds_only_what_applies() {
        let results = vec![
            SubmissionResult::pending(Hash([1; 32])),
            SubmissionResult::rejected("busy".into(), "the pool is full: send it again".into(), Some(500)),
        ];
        let view = SubmissionsView::new(results);
        assert_eq!((view.accepted, view.rejected, view.is_settled()), (1, 1, false));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["results"][0], serde_json::json!({"status": "pending", "id": "01".repeat(32)}));
        assert_eq!(json["results"][1]["retry_after_ms"], 500);
    }
}
