//! Proposals, ballots and the rulebook, and what a proposal would do.

use serde::{Deserialize, Serialize};
use tallystick_protocol::{Change, Choice, Hash, ProposalStatus, Rulebook};
use utoipa::ToSchema;

use crate::ViolationView;

/// A proposal in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalBrief {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub title: String,
    /// Who submitted it: `organisation/name`.
    pub proposer: String,
    /// `open`, `accepted`, `rejected`, `withdrawn`, `lapsed`, `effective` or `failed`.
    #[schema(value_type = String)]
    pub status: ProposalStatus,
    /// The time after which no ballots are taken: milliseconds since 1970, by the blocks' time.
    pub closes_ms: u64,
    /// Until when an objection holds it up: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until_ms: Option<u64>,
    /// The height at which it was accepted, rejected, withdrawn or lapsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_height: Option<u64>,
    /// The height at which it takes or took effect, once it is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect_height: Option<u64>,
}

/// Proposals, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalList {
    /// The proposals.
    pub proposals: Vec<ProposalBrief>,
    /// The `cursor` of the next page, of older ones. It stays good whatever is proposed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A proposal with all that was said on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalView {
    /// The proposal in a line.
    pub brief: ProposalBrief,
    /// SHA-256 of the text of the rule that it makes.
    #[schema(value_type = String)]
    pub text_hash: Hash,
    /// The text, when the proposal carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What it changes.
    pub changes: Vec<ChangeView>,
    /// The place of the transaction that submitted it in the log.
    pub index: u64,
    /// The height at which it was submitted: later members have no vote on it.
    pub submitted_height: u64,
    /// The time of that block: milliseconds since 1970.
    pub submitted_ms: u64,
    /// The height that its proposer asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stated_height: Option<u64>,
    /// Why it changed nothing, if it was accepted and did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// The polls that it must pass, at least one for each kind of change.
    pub polls: Vec<PollView>,
    /// Who voted what.
    pub ballots: Vec<BallotView>,
    /// The organisations that have a vote on it and have not cast it.
    pub outstanding: Vec<String>,
    /// Who held it up, and why.
    pub objections: Vec<ObjectionView>,
}

/// A change, in words and as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// In words.
    pub words: String,
    /// As it is written in a draft; `docs/reference/formats.md` lists the kinds.
    #[schema(value_type = Object)]
    pub change: Change,
}

/// Why an accepted proposal changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// The change that could not be made, from 0.
    pub change: u32,
    /// The code; see `docs/reference/errors.md`.
    pub code: String,
    /// What to do about it.
    pub advice: String,
    /// Which principal's key, validator, policy or certificate of that change; the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolationView>,
}

/// How the ballots stand on one kind of change, or on what such changes do to one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PollView {
    /// The kind of change.
    pub kind: String,
    /// The organisation that it is about, where not all members vote on this kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The rule it goes by, in a line.
    pub rule: String,
    /// The share of the votes that it needs, such as `2/3` or `>1/2`.
    pub threshold: String,
    /// All votes there are.
    pub votes: u64,
    /// Votes for it.
    pub yes: u64,
    /// Votes against it.
    pub no: u64,
    /// Votes that stood aside, and are left out of the count.
    pub abstain: u64,
    /// Votes for it that are still needed, as things stand.
    pub needed: u64,
    /// `passed`, `failed` or `undecided`.
    pub verdict: String,
}

/// The ballot of one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BallotView {
    /// The organisation.
    pub organisation: String,
    /// Who cast it.
    pub principal: String,
    /// `yes`, `no` or `abstain`.
    #[schema(value_type = String)]
    pub choice: Choice,
    /// The place of the transaction in the log.
    pub index: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
}

/// The objection of one organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectionView {
    /// The organisation.
    pub organisation: String,
    /// Who lodged it.
    pub principal: String,
    /// Why.
    pub reason: String,
    /// The place of the transaction in the log.
    pub index: u64,
    /// When: milliseconds since 1970.
    pub time_ms: u64,
    /// Until when it held the proposal up: milliseconds since 1970.
    pub until_ms: u64,
}

/// The rulebook in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RulebookView {
    /// The version of the protocol by which blocks are applied.
    pub protocol_version: u32,
    /// The rules; `docs/reference/rulebook.md` explains them.
    #[schema(value_type = Object)]
    pub rulebook: Rulebook,
}

/// Changes to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRun {
    /// The changes, in their order.
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<Change>,
}

/// What changes would do to the state as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRunView {
    /// Whether all of them could be made.
    pub holds: bool,
    /// One for each change.
    pub changes: Vec<ReportView>,
}

/// What one change would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportView {
    /// The change in words.
    pub words: String,
    /// Why it could not be made: a code of `docs/reference/errors.md`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// What in particular.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolationView>,
    /// What would be different.
    pub differences: Vec<DifferenceView>,
}

/// One thing that would be different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DifferenceView {
    /// What it is about, such as `organisation harbour`.
    pub subject: String,
    /// Which of its properties.
    pub field: String,
    /// As it is; absent when there is no such thing yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// As it would be.
    pub after: String,
}
