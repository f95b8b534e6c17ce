//! The row of a proposal: where it stands, and how its polls stand. The ledger writes it, and a receipt proves it.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    limits::STATE_VALUE_BYTES_MAX,
    operation::PrincipalId,
    outcome::{Code, Violation},
    proposal::{Choice, ProposalStatus},
    rulebook::{Circle, Rule, VoteWeight},
};
use minicbor::{Decode, Encode};

/// A proposal. Its changes and its text have rows of their own.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ProposalRow {
    /// Its id: a slug.
    #[n(0)]
    pub id: String,
    /// What it is about, in a line.
    #[n(1)]
    pub title: String,
    /// Who submitted it.
    #[n(2)]
    pub proposer: PrincipalId,
    /// SHA-256 of the text of the rule that it makes.
    #[n(3)]
    pub text: Hash,
    /// How many changes it makes.
    #[n(4)]
    pub changes: u32,
    /// The log leaf of the transaction that submitted it.
    #[n(5)]
    pub leaf: u64,
    /// The height of that transaction's block.
    #[n(6)]
    pub submitted_height: u64,
    /// The time of that block, in Unix milliseconds.
    #[n(7)]
    pub submitted_ms: u64,
    /// Where it stands.
    #[n(8)]
    pub status: ProposalStatus,
    /// The polls that it must pass, at least one for each kind of change in it, under the rules in force when it was submitted.
    #[n(9)]
    pub polls: Vec<Poll>,
    /// The weights in force when it was submitted, if one of the polls counts by them.
    #[n(10)]
    pub weights: Vec<VoteWeight>,
    /// When ballots are no longer taken, in Unix milliseconds of ledger time.
    #[n(11)]
    pub closes_ms: u64,
    /// Until when an objection holds it up, in Unix milliseconds of ledger time.
    #[n(12)]
    pub paused_until_ms: Option<u64>,
    /// The height that its proposer asked for.
    #[n(13)]
    pub stated_height: Option<u64>,
    /// The height at which it takes or took effect, once it is accepted.
    #[n(14)]
    pub effect_height: Option<u64>,
    /// The height at which it was accepted, rejected, withdrawn or lapsed.
    #[n(15)]
    pub decided_height: Option<u64>,
    /// Why it could not take effect.
    #[n(16)]
    pub failure: Option<Failure>,
}

/// Why an accepted proposal changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Failure {
    /// The change that could not be made, from 0.
    #[n(0)]
    pub change: u32,
    /// Why.
    #[n(1)]
    pub code: Code,
    /// What in particular, within that change: which principal's key, which validator, which policy, which certificate; the
    /// first ones.
    #[n(2)]
    pub violations: Vec<Violation>,
}

/// How the ballots stand on one kind of change, or on what such changes do to one organisation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Poll {
    /// The rule that it goes by.
    #[n(0)]
    pub rule: Rule,
    /// The organisation that it is about, where the rule tells it from the others; none where all members vote.
    #[n(1)]
    pub about: Option<String>,
    /// All votes that could be cast when the proposal was submitted.
    #[n(2)]
    pub votes: u64,
    /// Votes for it.
    #[n(3)]
    pub yes: u64,
    /// Votes against it.
    #[n(4)]
    pub no: u64,
    /// Votes that stood aside.
    #[n(5)]
    pub abstain: u64,
}

/// What a poll has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Enough votes are for it, whatever else is cast.
    Passed,
    /// Not enough could be for it any more.
    Failed,
    /// It depends on ballots not cast yet.
    Undecided,
}

impl Poll {
    /// Whether the organisation has a vote.
    pub fn has_elector(&self, organisation: &str) -> bool {
        let is_concerned = self.about.as_deref() == Some(organisation);
        match self.rule.vote {
            Circle::Members => true,
            Circle::Others => !is_concerned,
            Circle::Concerned => is_concerned,
        }
    }

    /// Counts a ballot.
    pub fn count(&mut self, choice: Choice, votes: u64) {
        match choice {
            Choice::Yes => self.yes += votes,
            Choice::No => self.no += votes,
            Choice::Abstain => self.abstain += votes,
        }
    }

    /// Votes that the threshold is a share of: all but those that stood aside.
    pub const fn base(&self) -> u64 {
        self.votes.saturating_sub(self.abstain)
    }

    /// Votes not cast yet.
    pub const fn outstanding(&self) -> u64 {
        self.votes.saturating_sub(self.yes + self.no + self.abstain)
    }

    /// What it has come to. A vote that is still out can only help what has passed (by being for it, or by leaving the count)
    /// or leave it as it is, so a poll that has passed stays passed.
    pub fn verdict(&self) -> Verdict {
        let threshold = &self.rule.threshold;
        if threshold.is_reached(self.yes, self.base()) {
            Verdict::Passed
        } else if threshold.is_reached(self.yes + self.outstanding(), self.base()) {
            Verdict::Undecided
        } else {
            Verdict::Failed
        }
    }

    /// Further votes that would make it pass, if the others out abstain from nothing.
    pub fn still_needed(&self) -> u64 {
        self.rule.threshold.needed(self.base()).saturating_sub(self.yes)
    }
}

impl ProposalRow {
    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }

    /// The longest time for which one of its rules lets an objection hold it up.
    pub fn pause_ms(&self) -> u64 {
        self.longest(|rule| rule.pause_seconds).saturating_mul(1_000)
    }

    /// The longest notice that one of its rules demands.
    pub fn notice_blocks(&self) -> u64 {
        self.longest(|rule| rule.notice_blocks)
    }

    fn longest(&self, of: impl Fn(&Rule) -> u64) -> u64 {
        self.polls.iter().map(|poll| of(&poll.rule)).max().unwrap_or_default()
    }

    /// Whether it still may be voted on, held up or carried out.
    pub const fn is_pending(&self) -> bool {
        matches!(self.status, ProposalStatus::Open | ProposalStatus::Accepted)
    }
}
