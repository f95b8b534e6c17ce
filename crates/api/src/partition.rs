//! Partitions as everybody sees them.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{AgreementTerms, Commitment, Hash, MandateId, PrincipalId, Subject};
use utoipa::ToSchema;

use crate::{OutcomeView, Problem, ReadView};

/// A partition: the agreement under which its members share, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionView {
    /// The agreement in force: `partition`, `members`, `purpose`, `legal_basis`, `categories`, `from_ms`, `until_ms`, `review_ms`,
    /// `jurisdictions`, `retention_days`, `acknowledgements`; `managers` and `regulators` where it names any.
    #[schema(value_type = Object)]
    pub agreement: AgreementTerms,
    /// Whether something could be ordered in it at the time of the newest block.
    pub open: bool,
    /// Payloads ordered so far, each of one or more private transactions. Of one partition; absent in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordered: Option<u64>,
    /// The height of which a quorum of its members' nodes posted the same root, the latest; absent in a list, or while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certified_height: Option<u64>,
    /// That root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub certified_root: Option<Hash>,
    /// The nodes that posted different roots of one height, each with its own: until the members amend the agreement none is certified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarm: Vec<PostedRootView>,
    /// How it stands on the node that answers, if that is one of its members'.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<StandingView>,
    /// The place in the log of the transaction that proposed the agreement.
    pub proposed: u64,
    /// The height at which it was opened.
    pub opened_height: u64,
    /// The height at which its agreement last changed.
    pub amended_height: u64,
    /// The height at which it was closed for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_height: Option<u64>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_reason: Option<String>,
    /// Who were members and are none any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<FormerView>,
}

/// An organisation that left a partition: what its nodes hold stays there until it destroys it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FormerView {
    /// Its id.
    pub organisation: String,
    /// The height at which it left, the latest one.
    pub height: u64,
}

/// A root that a member's node posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PostedRootView {
    /// The height of the block after which it is the root.
    pub height: u64,
    /// The node.
    pub node: String,
    /// The root.
    #[schema(value_type = String)]
    pub root: Hash,
}

/// How a partition stands on a member's node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StandingView {
    /// The height of the last block of which something was executed.
    pub height: u64,
    /// The root of its state.
    #[schema(value_type = String)]
    pub root: Hash,
    /// Payloads that nobody has given yet: the partition stands still here until they come.
    pub missing: u64,
}

/// What became of a private transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateResult {
    /// The transaction's id.
    #[schema(value_type = String)]
    pub id: Hash,
    /// The height of the block that ordered it.
    pub height: u64,
    /// Which it was of all in the partition, from 0.
    pub number: u64,
    /// What became of it.
    pub outcome: OutcomeView,
    /// The records that it reads, in the order of its reads: of an accepted one, and once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<GivenView>,
}

/// What became of several private transactions that were handed in together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateResults {
    /// One for each, in their order.
    pub results: Vec<PrivateAnswer>,
}

/// What became of one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PrivateAnswer {
    /// It was executed: accepted, or refused.
    Executed(PrivateResult),
    /// It was not, or not yet.
    Problem(Problem),
}

/// A record that was read in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GivenView {
    /// The register.
    pub register: String,
    /// The record as openregister shows it, `{"<key>": {…}}`: its items with those fields alone that were asked for.
    #[schema(value_type = Object)]
    pub record: serde_json::Value,
    /// What opens the values that are sealed in these fields, each an opening in CBOR, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub openings: Vec<String>,
    /// Those of the fields with a sealed value whose opening is not on this node, though it is not erased.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// Those of the fields with a sealed value that is erased. What a hold keeps of it may still be on another node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub erased: Vec<String>,
    /// Whom sealed values in these fields are about, `register:key`, and the read does not name: they are not opened. Sign one that names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub unnamed: Vec<Subject>,
    /// What it corrects, if the record's entry corrects another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<CorrectingView>,
    /// Of one that is disclosed to somebody outside: the file that proves it to them, in hexadecimal. Shows the record whole, and is not there
    /// unless all of its fields are named that are not sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosure: Option<String>,
    /// The same file of the named fields alone, with nothing of the others; not there if the record has none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_disclosure: Option<String>,
}

/// That an entry corrects one that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CorrectingView {
    /// The number of the wrong entry.
    pub corrects: u64,
    /// Why.
    pub reason: String,
    /// Who demanded it, or found it.
    pub authority: String,
    /// The law that it rests on.
    pub legal_basis: String,
}

/// How many notices of corrections wait in a partition: of reads of what was wrong, each until somebody says that the reader knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateNotices {
    /// The partition.
    pub partition: String,
    /// The height of the last block of which something was executed.
    pub height: u64,
    /// Those for whoever asks.
    pub own: u64,
    /// Those for all people of their organisation.
    pub organisation: u64,
    /// Whether these are all: while something cannot be read, or the node looks through what was executed, there may be more.
    pub is_whole: bool,
}

/// A page of the reads that are on record in a partition, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateReads {
    /// The partition.
    pub partition: String,
    /// Every read up to this block is told, on this page or a later one.
    pub height: u64,
    /// The reads, refused ones too; `leaf` is the number among the partition's private transactions. A page may hold fewer than were asked
    /// for and not be the last: only the absence of `next` says that.
    pub reads: Vec<ReadView>,
    /// Corrections, the latest first.
    #[serde(default)]
    pub corrections: Vec<PrivateCorrection>,
    /// Who said that they know of one, the latest first.
    #[serde(default)]
    pub acknowledgements: Vec<PrivateAcknowledgement>,
    /// Numbers of private transactions that this node cannot read any more: another member's node tells what they are, if it is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<u64>,
    /// The `cursor` of the next page, of earlier ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A correction in a partition. Whoever read the record from the block of height `since` on, and before that of `height`, read what was wrong: what
/// is read is read as it is after the block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateCorrection {
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The number of the entry that was wrong.
    pub corrects: u64,
    /// The number of the entry that corrects it.
    pub entry: u64,
    /// Why.
    pub reason: String,
    /// Who demanded it, or found it.
    pub authority: String,
    /// The law that it rests on.
    pub legal_basis: String,
    /// What is sealed in the wrong entry, and neither in that which corrects it nor in the record now, unless it is erased: each can be erased by
    /// itself. If it was asked for, and the wrong entry came without others of its record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<WrongValue>,
    /// That the node was asked for them and cannot tell: the wrong entry came with others of its record, or cannot be read there any more.
    #[serde(default)]
    pub untold: bool,
    /// The private transaction that corrects it.
    #[schema(value_type = String)]
    pub id: Hash,
    /// Which that is of the partition's, from 0.
    pub number: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
    /// The height of the block that corrects it.
    pub height: u64,
    /// The height of the block that brought the wrong entry.
    pub since: u64,
}

/// A value that is sealed in an entry that was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WrongValue {
    /// The field.
    pub field: String,
    /// Whom it is about, as an order of erasure names them.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// What the entry has in its place.
    #[schema(value_type = String)]
    pub commitment: Commitment,
}

/// That somebody knows of a correction in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateAcknowledgement {
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The number of the entry that was wrong.
    pub corrects: u64,
    /// Who knows.
    #[schema(value_type = String)]
    pub reader: PrincipalId,
    /// To whom they passed it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Who says so.
    #[schema(value_type = String)]
    pub principal: PrincipalId,
    /// The private transaction that says so.
    #[schema(value_type = String)]
    pub id: Hash,
    /// Which that is of the partition's, from 0.
    pub number: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
}

/// Whom a question is about. It is asked in a body, so that no address names a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateQuestion {
    /// Whom: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
}

/// Which reads and corrections are asked for. It is asked in a body, so that no address names a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateReadsAsked {
    /// Whom they are about: `register:key`. Reads of its own record, or of values sealed about it in others; corrections of its own. All if it is
    /// not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub subject: Option<Subject>,
    /// Whether corrections say what is sealed in the wrong entry alone. It is told to members' own alone.
    #[serde(default)]
    pub values: bool,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Transactions on a page: 100 by default, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Whose consents are asked for. It is asked in a body, so that no address names a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateConsents {
    /// Whose: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// The organisation to which they were given: the register's custodian if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Consents on a page: 100 by default, 200 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// Which of a partition's own mandates are asked for. It is asked in a body, so that no address says who acts for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateMandates {
    /// This one alone: `partition/organisation/name/mandate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mandate: Option<MandateId>,
    /// Only those that this principal granted: `organisation/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub granted_by: Option<PrincipalId>,
    /// Only those of which this principal is an agent: `organisation/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub granted_to: Option<PrincipalId>,
    /// `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<u64>,
    /// Mandates on a page: 100 by default, 1,000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// A page of what was written about somebody in a partition, the latest first. What it says is not told: reading it is an act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateHeld {
    /// The partition.
    pub partition: String,
    /// Whom it is about: `register:key`.
    #[schema(value_type = String)]
    pub subject: Subject,
    /// Every entry up to this block is told, on this page or a later one.
    pub height: u64,
    /// The entries. A page may hold none and not be the last: only the absence of `next` says that.
    pub entries: Vec<PrivateEntryView>,
    /// Numbers of private transactions that this node cannot read any more: whether they are about this person it does not know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<u64>,
    /// The `cursor` of the next page, of earlier entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An entry about somebody in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrivateEntryView {
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The fields in which it names the person; none of their own record.
    pub named_in: Vec<String>,
    /// Whether it is what the record holds now. Of one that is not, no value is given any more.
    pub current: bool,
    /// Which private transaction wrote it, from 0.
    pub number: u64,
    /// The block that ordered it.
    pub height: u64,
    /// That block's time: milliseconds since 1970.
    pub time_ms: u64,
    /// The transaction's id.
    #[schema(value_type = String)]
    pub id: Hash,
    /// Who signed it.
    #[schema(value_type = String)]
    pub principal: PrincipalId,
}

/// Partitions, in the order in which they were opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartitionList {
    /// The partitions.
    pub partitions: Vec<PartitionView>,
}
