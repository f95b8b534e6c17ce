//! The rulebook: for each kind of change who proposes, who votes with what weight, how many must agree, and how long it takes.
//!
//! It stands on the ledger and changes only by the rule that it sets for itself.
//!
//! ```text
//! kind                 propose    vote       weight  threshold  open_seconds  notice_blocks  pause_seconds  direct
//! organisation-expel   members    members    equal   2/3        1209600       10             259200         false
//! policies             members    members    equal   >1/2       604800        10             86400          false
//! ```

use crate::{
    cbor,
    change::ChangeKind,
    limits::{
        NOTICE_BLOCKS_MAX, OPEN_SECONDS_MAX, OPEN_SECONDS_MIN, PAUSE_SECONDS_MAX, RULES_MAX, SHARE_DENOMINATOR_MAX,
        VOTE_WEIGHTS_MAX, VOTES_MAX,
    },
    names::{names, serde_as_text},
    operation::{NameError, validate_name},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

names! {
    /// Who takes part in a step of a change's life.
    pub enum Circle, "circle" {
        /// Every active organisation.
        Members = "members",
        /// Every active organisation but those that the change is about.
        Others = "others",
        /// Only the organisations that the change is about.
        Concerned = "concerned",
    }
}

names! {
    /// How much a ballot counts.
    pub enum Weight, "weight" {
        /// One organisation, one vote.
        Equal = "equal",
        /// As many votes as the rulebook lists for the organisation; one when it lists none.
        Listed = "listed",
    }
}

impl Weight {
    /// An organisation's votes, with these listed.
    pub fn votes(self, listed: &[VoteWeight], organisation: &str) -> u64 {
        match self {
            Self::Equal => 1,
            Self::Listed => listed
                .iter()
                .find(|weight| weight.organisation == organisation)
                .map_or(1, |weight| u64::from(weight.votes)),
        }
    }
}

/// The share of the votes that carries a change: `2/3` is two thirds or more, `>1/2` more than half.
///
/// An abstention takes its votes out of the count; a ballot not cast stays in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many parts.
    pub numerator: u32,
    /// Of how many.
    pub denominator: u32,
    /// Whether there must be more than that; if not, exactly so many suffice.
    pub exceeded: bool,
}

/// The rule for one kind of change. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a rule: `kind`, `propose`, `vote`, `threshold` and what else it needs")]
pub struct Rule {
    /// The kind of change.
    pub kind: ChangeKind,
    /// Who may propose it.
    pub propose: Circle,
    /// Who may vote on it.
    pub vote: Circle,
    /// How much each ballot counts.
    pub weight: Weight,
    /// How many of the votes it needs.
    pub threshold: Share,
    /// How long ballots are taken, in seconds of ledger time.
    pub open_seconds: u64,
    /// Blocks from acceptance to effect, at least.
    pub notice_blocks: u64,
    /// How long an objection holds it up, in seconds of ledger time; 0: none may be lodged.
    pub pause_seconds: u64,
    /// Whether the organisation concerned may do the same without a proposal, by an operation of its own.
    pub direct: bool,
}

/// An organisation's votes under [`Weight::Listed`]. In CBOR: `[organisation, votes]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a weight: `organisation` and `votes`")]
pub struct VoteWeight {
    /// Its id.
    pub organisation: String,
    /// How many it has; none is possible.
    pub votes: u32,
}

/// How the network's order changes. In CBOR: `[[rule…], [weight…], register_policies_max]`.
///
/// INVARIANT (of a valid one): one rule for each [`ChangeKind`], in that order; weights sorted by organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rulebook {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Who has other than one vote, where a rule goes by listed weights.
    #[serde(default)]
    pub weights: Vec<VoteWeight>,
    /// Policies that a custodian may set alone for each of its registers; 0: none.
    pub register_policies_max: u32,
}

/// What is to change in a rulebook; the rest stays. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulebookChange {
    /// Rules that replace those of the same kind.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Weights that replace all of them.
    #[serde(default)]
    pub weights: Option<Vec<VoteWeight>>,
    /// How many policies a custodian may set alone for each of its registers.
    #[serde(default)]
    pub register_policies_max: Option<u32>,
}

/// Why a rulebook cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulebookError {
    /// Not one rule for each kind in their order.
    #[error("the rulebook must have one rule for each kind of change, in the order of the reference")]
    Kinds,
    /// A share of nothing, or of more than there is.
    #[error(
        "the threshold `{threshold}` of {kind} cannot be reached: use a share above 0, up to 1, such as 2/3 or >1/2"
    )]
    Threshold {
        /// The kind of change.
        kind: ChangeKind,
        /// Its threshold.
        threshold: Share,
    },
    /// A duration out of bounds.
    #[error("{what} of {kind} is {value}: use {min} to {max}")]
    Duration {
        /// The kind of change.
        kind: ChangeKind,
        /// Which.
        what: &'static str,
        /// The value.
        value: u64,
        /// Least.
        min: u64,
        /// Most.
        max: u64,
    },
    /// Changes of this kind are about no organisation.
    #[error("{0} concerns no organisation in particular: let members propose it and vote on it")]
    Circle(ChangeKind),
    /// No operation does this without a proposal.
    #[error("{0} is done by proposal only: set `direct` to false")]
    Direct(ChangeKind),
    /// A change with two rules for one kind.
    #[error("there are two rules for {0}: give one")]
    Twice(ChangeKind),
    /// No member has a vote on the rulebook.
    #[error("by its weights no member has a vote on the rulebook, which nobody could change: give one of them votes")]
    Electorate,
    /// Too many weights, or not sorted, or one twice.
    #[error(
        "the weights must be at most {VOTE_WEIGHTS_MAX}, sorted by organisation, each of at most {VOTES_MAX} votes"
    )]
    Weights,
    /// A weight of no organisation.
    #[error("weights: {0}")]
    Name(NameError),
}

impl Share {
    /// Whether `yes` of `count` votes carry it.
    pub fn is_reached(&self, yes: u64, count: u64) -> bool {
        let have = u128::from(yes) * u128::from(self.denominator);
        let need = u128::from(count) * u128::from(self.numerator);
        yes > 0 && if self.exceeded { have > need } else { have >= need }
    }

    /// The fewest votes that carry it out of `count`; more than `count` when none do.
    pub fn needed(&self, count: u64) -> u64 {
        let parts = u128::from(count) * u128::from(self.numerator);
        let denominator = u128::from(self.denominator.max(1));
        let needed = if self.exceeded { parts / denominator + 1 } else { parts.div_ceil(denominator) };
        u64::try_from(needed).unwrap_or(u64::MAX).max(1)
    }

    const fn is_possible(&self) -> bool {
        let in_bounds = self.numerator > 0 && self.denominator <= SHARE_DENOMINATOR_MAX;
        in_bounds && (self.numerator < self.denominator || (self.numerator == self.denominator && !self.exceeded))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", if self.exceeded { ">" } else { "" }, self.numerator, self.denominator)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (exceeded, fraction) = text.strip_prefix('>').map_or((false, text), |rest| (true, rest));
        let number = |digits: &str| -> Option<u32> {
            digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let parts = fraction.split_once('/').and_then(|(n, d)| Some((number(n)?, number(d)?)));
        let (numerator, denominator) =
            parts.ok_or("a threshold is a fraction: write 2/3 for two thirds or more, >1/2 for more than half")?;
        Ok(Self { numerator, denominator, exceeded })
    }
}

serde_as_text!(Share);

impl fmt::Display for Rule {
    /// The rule in a line: `members propose, members vote, 2/3, open 14 d, notice 10 blocks, pause 3 d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} propose, {} vote, {}", self.propose, self.vote, self.threshold)?;
        if self.weight == Weight::Listed {
            f.write_str(" of listed votes")?;
        }
        write!(f, ", open {}, notice {} blocks", Span(self.open_seconds), self.notice_blocks)?;
        match self.pause_seconds {
            0 => f.write_str(", no objections")?,
            pause => write!(f, ", pause {}", Span(pause))?,
        }
        f.write_str(if self.direct { ", or directly" } else { "" })
    }
}

/// Seconds, in the largest unit that divides them.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
        match units.iter().find(|(seconds, _)| self.0.is_multiple_of(*seconds)) {
            Some((seconds, unit)) => write!(f, "{} {unit}", self.0 / seconds),
            None => write!(f, "{} s", self.0),
        }
    }
}

impl Rule {
    fn check(&self) -> Result<(), RulebookError> {
        let kind = self.kind;
        if !self.threshold.is_possible() {
            return Err(RulebookError::Threshold { kind, threshold: self.threshold });
        }
        let durations = [
            ("open_seconds", self.open_seconds, OPEN_SECONDS_MIN, OPEN_SECONDS_MAX),
            ("notice_blocks", self.notice_blocks, 1, NOTICE_BLOCKS_MAX),
            ("pause_seconds", self.pause_seconds, 0, PAUSE_SECONDS_MAX),
        ];
        for (what, value, min, max) in durations {
            if !(min..=max).contains(&value) {
                return Err(RulebookError::Duration { kind, what, value, min, max });
            }
        }
        let by_all = self.propose == Circle::Members && self.vote == Circle::Members;
        if !by_all && !kind.concerns_organisations() {
            return Err(RulebookError::Circle(kind));
        }
        if self.direct && !kind.has_direct_operation() { Err(RulebookError::Direct(kind)) } else { Ok(()) }
    }
}

impl Rulebook {
    /// The rule for a kind of change.
    pub fn rule(&self, kind: ChangeKind) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.kind == kind)
    }

    /// The rulebook with the change made.
    ///
    /// # Errors
    /// When the change says one thing twice, or the rulebook would not be valid.
    pub fn with(&self, change: &RulebookChange) -> Result<Self, RulebookError> {
        for (index, rule) in change.rules.iter().enumerate() {
            if change.rules.iter().take(index).any(|earlier| earlier.kind == rule.kind) {
                return Err(RulebookError::Twice(rule.kind));
            }
        }
        let replaced = |rule: &Rule| *change.rules.iter().find(|new| new.kind == rule.kind).unwrap_or(rule);
        let rulebook = Self {
            rules: self.rules.iter().map(replaced).collect(),
            weights: change.weights.clone().unwrap_or_else(|| self.weights.clone()),
            register_policies_max: change.register_policies_max.unwrap_or(self.register_policies_max),
        };
        rulebook.validate().map(|()| rulebook)
    }

    /// Whether one of these organisations has a vote on the rulebook itself: if none has, it stands for ever.
    pub fn can_change_by<'a>(&self, members: impl IntoIterator<Item = &'a str>) -> bool {
        let rule = self.rule(ChangeKind::Rulebook);
        rule.is_some_and(|rule| members.into_iter().any(|member| rule.weight.votes(&self.weights, member) > 0))
    }

    /// Checks what the ledger relies on.
    ///
    /// # Errors
    /// The first problem, with its remedy.
    pub fn validate(&self) -> Result<(), RulebookError> {
        if !self.rules.iter().map(|rule| rule.kind).eq(ChangeKind::ALL.iter().copied()) {
            return Err(RulebookError::Kinds);
        }
        self.rules.iter().try_for_each(Rule::check)?;
        self.weights.iter().try_for_each(|weight| validate_name(&weight.organisation)).map_err(RulebookError::Name)?;
        let sorted = self.weights.is_sorted_by(|a, b| a.organisation < b.organisation);
        if !sorted
            || self.weights.len() > VOTE_WEIGHTS_MAX
            || self.weights.iter().any(|weight| weight.votes > VOTES_MAX)
        {
            return Err(RulebookError::Weights);
        }
        Ok(())
    }
}

impl Default for Rulebook {
    /// One organisation one vote. Two thirds decide on members, validators, custodians, the protocol and the rulebook; more
    /// than half on the rest, and on a partition each of its members for itself. An organisation creates and ends its own registers, and takes its own authorities off the trust list, without a
    /// vote.
    fn default() -> Self {
        const DAY: u64 = 86_400;
        let rule = |kind| {
            use ChangeKind as Kind;
            let two_thirds = Share { numerator: 2, denominator: 3, exceeded: false };
            let majority = Share { numerator: 1, denominator: 2, exceeded: true };
            let (threshold, open_days, pause_days) = match kind {
                // Urgent, and undone by the next vote.
                Kind::OrganisationSuspend | Kind::OrganisationResume | Kind::RegisterEntrust => (two_thirds, 7, 1),
                Kind::OrganisationAdmit
                | Kind::OrganisationAmend
                | Kind::OrganisationExpel
                | Kind::Validators
                | Kind::ProtocolVersion
                | Kind::Rulebook => (two_thirds, 14, 3),
                // Each member has a poll of its own, and so a veto.
                Kind::PartitionOpen | Kind::PartitionAmend | Kind::PartitionClose => (majority, 14, 1),
                Kind::AuthorityAdmit
                | Kind::AuthorityRetire
                | Kind::Policies
                | Kind::RegisterCreate
                | Kind::RegisterClose
                | Kind::Limit => (majority, 7, 1),
            };
            Rule {
                kind,
                propose: Circle::Members,
                vote: if kind.is_by_consent() { Circle::Concerned } else { Circle::Members },
                weight: Weight::Equal,
                threshold,
                open_seconds: open_days * DAY,
                notice_blocks: 10,
                pause_seconds: pause_days * DAY,
                direct: kind.has_direct_operation() && kind != Kind::AuthorityAdmit,
            }
        };
        let rules = ChangeKind::ALL.iter().map(|kind| rule(*kind)).collect();
        Self { rules, weights: Vec::new(), register_policies_max: 8 }
    }
}

impl<C> Encode<C> for Share {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.u32(self.numerator)?.u32(self.denominator)?.bool(self.exceeded)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Share {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "a threshold")?;
        Ok(Self { numerator: d.u32()?, denominator: d.u32()?, exceeded: d.bool()? })
    }
}

impl<C> Encode<C> for Rule {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(9)?.encode(self.kind)?.encode(self.propose)?.encode(self.vote)?.encode(self.weight)?;
        e.encode(self.threshold)?.u64(self.open_seconds)?.u64(self.notice_blocks)?.u64(self.pause_seconds)?;
        e.bool(self.direct)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Rule {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 9, "a rule")?;
        Ok(Self {
            kind: d.decode()?,
            propose: d.decode()?,
            vote: d.decode()?,
            weight: d.decode()?,
            threshold: d.decode()?,
            open_seconds: d.u64()?,
            notice_blocks: d.u64()?,
            pause_seconds: d.u64()?,
            direct: d.bool()?,
        })
    }
}

impl<C> Encode<C> for VoteWeight {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(2)?.str(&self.organisation)?.u32(self.votes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for VoteWeight {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 2, "a weight")?;
        let at = d.position();
        let organisation = d.str()?;
        validate_name(organisation).map_err(|error| decode::Error::message(error).at(at))?;
        Ok(Self { organisation: organisation.to_owned(), votes: d.u32()? })
    }
}

impl<C> Encode<C> for Rulebook {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?;
        cbor::write_values(e, &self.rules)?;
        cbor::write_values(e, &self.weights)?;
        e.u32(self.register_policies_max)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Rulebook {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "a rulebook")?;
        Ok(Self {
            rules: cbor::values(d, 0..=RULES_MAX, "the rules")?,
            weights: cbor::values(d, 0..=VOTE_WEIGHTS_MAX, "the weights")?,
            register_policies_max: d.u32()?,
        })
    }
}

impl<C> Encode<C> for RulebookChange {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?;
        cbor::write_values(e, &self.rules)?;
        match &self.weights {
            Some(weights) => cbor::write_values(e, weights)?,
            None => e.null()?.ok()?,
        }
        e.encode(self.register_policies_max)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for RulebookChange {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "a change of the rulebook")?;
        Ok(Self {
            rules: cbor::values(d, 0..=RULES_MAX, "the rules")?,
            weights: cbor::optional(d, |d| cbor::values(d, 0..=VOTE_WEIGHTS_MAX, "the weights"))?,
            register_policies_max: cbor::optional(d, |d| d.u32())?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_share_is_reached_at_its_edge() {
        // Share, votes in the count, fewest that carry it.
        for (share, count, needed) in [
            ("2/3", 3, 2),
            ("2/3", 4, 3),
            ("2/3", 6, 4),
            (">2/3", 3, 3),
            (">1/2", 1, 1),
            (">1/2", 2, 2),
            (">1/2", 4, 3),
            (">1/2", 5, 3),
            ("1/2", 4, 2),
            ("1/1", 4, 4),
            ("1/100", 4, 1),
            // Everybody abstained: somebody must want it.
            ("2/3", 0, 1),
        ] {
            let share: Share = share.parse().unwrap();
            assert_eq!(share.needed(count), needed, "{share} of {count}");
            assert!(share.is_reached(needed, count), "{share} of {count}");
            assert!(!share.is_reached(needed - 1, count), "{share} of {count}");
        }
        let large: Share = "99/100".parse().unwrap();
        assert!(large.is_reached(u64::MAX, u64::MAX) && !large.is_reached(u64::MAX / 2, u64::MAX));
    }

    #[test]
    fn a_share_is_written_as_it_is_read() {
        for text in ["2/3", ">1/2", "1/1"] {
            assert_eq!(text.parse::<Share>().unwrap().to_string(), text);
        }
        for text in ["", "2", "2:3", "2/3/4", "-1/2", "+1/2", " 1/2", "1/5000000000", "> 1/2"] {
            assert!(text.parse::<Share>().unwrap_err().contains("2/3"), "{text}");
        }
    }

    /// One row an error, with what it must name.
    #[test]
    fn every_problem_is_named_with_its_remedy() {
        type Spoil = fn(&mut Rulebook);
        let weight = |organisation: &str, votes| VoteWeight { organisation: organisation.into(), votes };
        assert_eq!(Rulebook::default().validate(), Ok(()));
        let rows: &[(Spoil, &str)] = &[
            (|r| r.rules.swap(0, 1), "one rule for each kind"),
            (|r| r.rules.truncate(13), "one rule for each kind"),
            (|r| r.rules[0].threshold.numerator = 0, "`0/3` of organisation-admit"),
            (|r| r.rules[0].threshold.denominator = 1, "`2/1` of organisation-admit"),
            (|r| r.rules[0].threshold = ">1/1".parse().unwrap(), "`>1/1` of"),
            (|r| r.rules[0].threshold = "1/1001".parse().unwrap(), "`1/1001` of"),
            (|r| r.rules[2].open_seconds = 1, "open_seconds of organisation-suspend is 1: use 60 to"),
            (|r| r.rules[2].notice_blocks = 0, "notice_blocks of organisation-suspend is 0"),
            (|r| r.rules[2].pause_seconds = u64::MAX, "pause_seconds"),
            (|r| r.rules[14].vote = Circle::Concerned, "rulebook concerns no organisation"),
            (|r| r.rules[8].propose = Circle::Others, "policies concerns no organisation"),
            (|r| r.rules[14].direct = true, "rulebook is done by proposal only"),
        ];
        for (spoil, expected) in rows {
            let mut rulebook = Rulebook::default();
            spoil(&mut rulebook);
            let problem = rulebook.validate().unwrap_err().to_string();
            assert!(problem.contains(expected), "{expected}: {problem}");
        }
        for weights in [
            vec![weight("b", 1), weight("a", 1)],
            vec![weight("a", 1), weight("a", 1)],
            vec![weight("a", VOTES_MAX + 1)],
            vec![weight("A", 1)],
        ] {
            assert!(Rulebook { weights, ..Rulebook::default() }.validate().is_err());
        }
    }

    #[test]
    fn a_change_replaces_what_it_names() {
        let old = Rulebook::default();
        let rule = Rule { open_seconds: 60, ..*old.rule(ChangeKind::Limit).unwrap() };
        let new = old.with(&RulebookChange { rules: vec![rule], ..RulebookChange::default() }).unwrap();
        assert_eq!(new.rule(ChangeKind::Limit), Some(&rule));
        assert_eq!(new.rule(ChangeKind::Rulebook), old.rule(ChangeKind::Rulebook));
        let weights = vec![VoteWeight { organisation: "a".into(), votes: 3 }];
        let new = old.with(&RulebookChange { weights: Some(weights), ..RulebookChange::default() }).unwrap();
        let votes = |weight: Weight, organisation| weight.votes(&new.weights, organisation);
        assert_eq!((votes(Weight::Listed, "a"), votes(Weight::Listed, "b")), (3, 1));
        assert_eq!(votes(Weight::Equal, "a"), 1);
        // Of two rules for one kind nobody could say which holds.
        let twice =
            RulebookChange { rules: vec![rule, Rule { open_seconds: 61, ..rule }], ..RulebookChange::default() };
        assert_eq!(old.with(&twice), Err(RulebookError::Twice(ChangeKind::Limit)));
        let late = Rule { open_seconds: 1, ..rule };
        let late = RulebookChange { rules: vec![late], ..RulebookChange::default() };
        assert!(matches!(old.with(&late), Err(RulebookError::Duration { .. })));
    }
}
