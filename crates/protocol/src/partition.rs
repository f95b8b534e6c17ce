//! Partitions: need-to-know parts of the ledger, as everybody sees them. What is in one exists on its members' nodes only.
//!
//! A partition is opened by an information-sharing agreement: who shares what with whom, why, by which power, for how long, and
//! where it may be held. The agreement is public; it begins, changes and ends by proposal, and only with the yes of every member: but for who
//! else is a member, where it names managers who say so.

use crate::{
    cbor,
    hash::Hash,
    identifier::{NameError, PrincipalId, validate_name},
    limits::{
        ACKNOWLEDGEMENTS_MIN, COSIGNERS_MAX, PARTITION_CATEGORIES_MAX, PARTITION_FORMER_MAX,
        PARTITION_JURISDICTIONS_MAX, PARTITION_MEMBERS_MAX, PARTITION_MEMBERS_MIN, PARTITION_REGULATORS_MAX,
        PARTITION_ROOTS_KEPT, REASON_BYTES_MAX, RETENTION_DAYS_MAX, STATE_VALUE_BYTES_MAX, TEXT_BYTES_MAX,
    },
    organisation::Jurisdiction,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// An information-sharing agreement. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementTerms {
    /// The name of the partition: a slug, unlike that of any partition before.
    pub partition: String,
    /// The organisations that share, sorted, each once: two or more.
    pub members: Vec<String>,
    /// What it is shared for.
    pub purpose: String,
    /// The power relied on.
    pub legal_basis: String,
    /// What sorts of data it is about: slugs, sorted, each once.
    pub categories: Vec<String>,
    /// From when on it is shared: Unix milliseconds of ledger time.
    pub from_ms: u64,
    /// Until when. It may be left open where a date of review is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// When the members look again whether it is still needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_ms: Option<u64>,
    /// Where it may be held, sorted, each once. A country stands for all of its parts.
    pub jurisdictions: Vec<Jurisdiction>,
    /// For how many days what is shared is kept.
    pub retention_days: u32,
    /// How many of the members must have stored a payload, and found it lawful, before it is ordered; who orders it included.
    pub acknowledgements: u32,
    /// The members that add and remove members, sorted, each once: with their yes, all together, and that of who joins. None: all members do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managers: Vec<String>,
    /// Organisations whose principals with the role `regulator` may ask who read what in it, what is ordered to be erased and what is held, sorted,
    /// each once. They see no record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regulators: Vec<String>,
}

/// Why these are no terms of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// A name breaks its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A list of no or too many things, unsorted, or with one of them twice.
    #[error("the {what} of an agreement must be {min} to {max}, sorted, each once")]
    List {
        /// Of what.
        what: &'static str,
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
    },
    /// Neither an end nor a review, or one that is not later than the beginning.
    #[error(
        "an agreement ends, or is looked at again, after it begins: give `until_ms` or `review_ms`, later than `from_ms`"
    )]
    Time,
    /// No, or too long, a retention.
    #[error("what is shared is kept for 1 to {RETENTION_DAYS_MAX} days")]
    Retention,
    /// Fewer than two acknowledgements, or more than there are members or co-signers.
    #[error(
        "at least {ACKNOWLEDGEMENTS_MIN} members acknowledge, so that nobody vouches alone for what it orders; and no more than there are, or than can sign together, {}",
        1 + COSIGNERS_MAX
    )]
    Acknowledgements,
    /// A manager that is no member.
    #[error("who adds and removes members is a member: leave `{0}` out of the managers, or name it among the members")]
    Manager(String),
}

impl AgreementTerms {
    /// Checks what its parts do not check themselves.
    ///
    /// # Errors
    /// The first problem, with its remedy.
    pub fn validate(&self) -> Result<(), AgreementError> {
        validate_name(&self.partition)?;
        sorted(&self.members, "members", PARTITION_MEMBERS_MIN, PARTITION_MEMBERS_MAX)?;
        sorted(&self.categories, "categories", 1, PARTITION_CATEGORIES_MAX)?;
        sorted(&self.jurisdictions, "jurisdictions", 1, PARTITION_JURISDICTIONS_MAX)?;
        sorted(&self.managers, "managers", 0, PARTITION_MEMBERS_MAX)?;
        sorted(&self.regulators, "regulators", 0, PARTITION_REGULATORS_MAX)?;
        let names = self.members.iter().chain(&self.categories).chain(&self.regulators);
        names.into_iter().try_for_each(|name| validate_name(name))?;
        if let Some(stranger) = self.managers.iter().find(|manager| !self.has_member(manager)) {
            return Err(AgreementError::Manager(stranger.clone()));
        }
        let ends = self.until_ms.into_iter().chain(self.review_ms);
        if ends.clone().count() == 0 || ends.clone().any(|end| end <= self.from_ms) {
            return Err(AgreementError::Time);
        }
        if !(1..=RETENTION_DAYS_MAX).contains(&self.retention_days) {
            return Err(AgreementError::Retention);
        }
        let most = self.members.len().min(1 + COSIGNERS_MAX);
        let wanted = usize::try_from(self.acknowledgements).unwrap_or(usize::MAX);
        if (ACKNOWLEDGEMENTS_MIN..=most).contains(&wanted) { Ok(()) } else { Err(AgreementError::Acknowledgements) }
    }

    /// Whether the organisation is a member.
    pub fn has_member(&self, organisation: &str) -> bool {
        self.members.iter().any(|member| member == organisation)
    }

    /// Whether these terms differ in who is a member, and in nothing else.
    pub fn differs_in_members_alone(&self, other: &Self) -> bool {
        self.members != other.members && Self { members: self.members.clone(), ..other.clone() } == *self
    }

    /// Whether it may be held there.
    pub fn allows(&self, jurisdiction: &Jurisdiction) -> bool {
        self.jurisdictions.iter().any(|allowed| allowed.covers(jurisdiction))
    }

    /// Members whose equal roots make one certified: more than half of them.
    pub fn root_quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }
}

fn sorted<T: Ord>(list: &[T], what: &'static str, min: usize, max: usize) -> Result<(), AgreementError> {
    let is_sorted = list.is_sorted_by(|a, b| a < b);
    if is_sorted && (min..=max).contains(&list.len()) { Ok(()) } else { Err(AgreementError::List { what, min, max }) }
}

impl<C> Encode<C> for AgreementTerms {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(13)?.str(&self.partition)?;
        cbor::write_values(e, &self.members)?;
        e.str(&self.purpose)?.str(&self.legal_basis)?;
        cbor::write_values(e, &self.categories)?;
        e.u64(self.from_ms)?.encode(self.until_ms)?.encode(self.review_ms)?;
        cbor::write_values(e, &self.jurisdictions)?;
        e.u32(self.retention_days)?.u32(self.acknowledgements)?;
        cbor::write_values(e, &self.managers)?;
        cbor::write_values(e, &self.regulators)
    }
}

impl<'b, C> Decode<'b, C> for AgreementTerms {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        cbor::array(d, 13, "an agreement")?;
        let terms = Self {
            partition: named(d)?,
            members: names(d, 1..=PARTITION_MEMBERS_MAX, "the members of an agreement")?,
            purpose: cbor::words(d, 1..=TEXT_BYTES_MAX, "the purpose of an agreement")?.to_owned(),
            legal_basis: cbor::words(d, 1..=TEXT_BYTES_MAX, "the legal basis of an agreement")?.to_owned(),
            categories: names(d, 1..=PARTITION_CATEGORIES_MAX, "the categories of an agreement")?,
            from_ms: d.u64()?,
            until_ms: cbor::optional(d, |d| d.u64())?,
            review_ms: cbor::optional(d, |d| d.u64())?,
            jurisdictions: cbor::values(d, 1..=PARTITION_JURISDICTIONS_MAX, "the jurisdictions of an agreement")?,
            retention_days: d.u32()?,
            acknowledgements: d.u32()?,
            managers: names(d, 0..=PARTITION_MEMBERS_MAX, "the managers of an agreement")?,
            regulators: names(d, 0..=PARTITION_REGULATORS_MAX, "the regulators of an agreement")?,
        };
        terms.validate().map_err(|error| decode::Error::message(error).at(at))?;
        Ok(terms)
    }
}

fn named(d: &mut Decoder<'_>) -> Result<String, decode::Error> {
    let at = d.position();
    let name = d.str()?;
    validate_name(name).map_err(|error| decode::Error::message(error).at(at))?;
    Ok(name.to_owned())
}

fn names(d: &mut Decoder<'_>, len: RangeInclusive<usize>, what: &str) -> Result<Vec<String>, decode::Error> {
    let n = cbor::list(d, len, what)?;
    (0..n).map(|_| named(d)).collect()
}

/// A partition, for ever: its name is not used again. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRow {
    /// The agreement in force.
    pub terms: AgreementTerms,
    /// The log leaf of the transaction that proposed that it be opened: nothing is ordered in it before. No amendment changes it.
    pub proposed: u64,
    /// The height at which it was opened.
    pub opened_height: u64,
    /// The height at which its agreement last changed; that of its opening when it did not.
    pub amended_height: u64,
    /// Why and at which height it was closed.
    pub closed: Option<(u64, String)>,
    /// Who were members and are none any more, by id, each with the height at which it left, the latest one.
    pub former: Vec<(String, u64)>,
}

impl PartitionRow {
    /// Whether something may be ordered in it at this time.
    pub fn is_open(&self, time_ms: u64) -> bool {
        self.closed.is_none() && self.terms.from_ms <= time_ms && self.terms.until_ms.is_none_or(|end| time_ms < end)
    }

    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, cbor::CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

impl<C> Encode<C> for PartitionRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(6)?.encode(&self.terms)?.u64(self.proposed)?.u64(self.opened_height)?.u64(self.amended_height)?;
        match &self.closed {
            Some((height, reason)) => e.array(2)?.u64(*height)?.str(reason)?,
            None => e.null()?,
        };
        cbor::write_values(e, &self.former)
    }
}

impl<'b, C> Decode<'b, C> for PartitionRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 6, "a partition")?;
        Ok(Self {
            terms: d.decode()?,
            proposed: d.u64()?,
            opened_height: d.u64()?,
            amended_height: d.u64()?,
            closed: cbor::optional(d, |d| {
                cbor::array(d, 2, "the end of a partition")?;
                Ok((d.u64()?, cbor::text(d, 1..=REASON_BYTES_MAX, "a reason")?.to_owned()))
            })?,
            former: cbor::values(d, 0..=PARTITION_FORMER_MAX, "the former members of a partition")?,
        })
    }
}

/// What was ordered in a partition, and which roots of its state its members' nodes have posted. In CBOR: an array of its fields in
/// this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PartitionRootsRow {
    /// Payloads ordered so far.
    #[n(0)]
    pub ordered: u64,
    /// The height of the last block that ordered one.
    #[n(1)]
    pub ordered_height: u64,
    /// The latest root that a quorum of members' nodes agree on.
    #[n(2)]
    pub certified: Option<CertifiedRoot>,
    /// What was posted, by height, the latest ones.
    #[n(3)]
    pub posted: Vec<RootsAt>,
    /// The first height of which two nodes posted different roots. Until the members amend the agreement no root is certified.
    #[n(4)]
    pub alarm: Option<RootsAt>,
}

/// A root on which a quorum of members agree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CertifiedRoot {
    /// The height of the block after which it is the root.
    #[n(0)]
    pub height: u64,
    /// The root.
    #[n(1)]
    pub root: Hash,
    /// The height at which the quorum was reached.
    #[n(2)]
    pub since: u64,
}

/// The roots of one height.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RootsAt {
    /// The height.
    #[n(0)]
    pub height: u64,
    /// Which node posted which.
    #[n(1)]
    pub roots: Vec<PostedRoot>,
}

/// A root that a node posted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PostedRoot {
    /// The node.
    #[n(0)]
    pub node: PrincipalId,
    /// The root.
    #[n(1)]
    pub root: Hash,
}

impl RootsAt {
    /// Whether two nodes posted different ones.
    pub fn differ(&self) -> bool {
        let mut roots = self.roots.iter().map(|posted| &posted.root);
        let first = roots.next();
        roots.any(|root| Some(root) != first)
    }
}

impl PartitionRootsRow {
    /// Notes a root that a node posted, in place of its earlier one of that height; says all of that height.
    pub fn note(&mut self, height: u64, posted: PostedRoot) -> RootsAt {
        let mut at = match self.posted.iter().position(|at| at.height == height) {
            Some(place) => self.posted.remove(place),
            None => RootsAt { height, roots: Vec::new() },
        };
        at.roots.retain(|known| known.node != posted.node);
        at.roots.push(posted);
        let place = self.posted.partition_point(|other| other.height < height);
        self.posted.insert(place, at.clone());
        at
    }

    /// Forgets what says nothing any more: what is older than the root certified last, and more than are kept.
    pub fn forget(&mut self) {
        let certified = self.certified.as_ref().map_or(0, |certified| certified.height);
        self.posted.retain(|at| at.height >= certified);
        let over = self.posted.len().saturating_sub(PARTITION_ROOTS_KEPT);
        self.posted.drain(..over);
    }

    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, cbor::CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn terms() -> AgreementTerms {
        AgreementTerms {
            partition: "school-health".into(),
            members: vec!["council".into(), "health".into()],
            purpose: "Find children who need support".into(),
            legal_basis: "Children Act 2004, section 11".into(),
            categories: vec!["attendance".into(), "health".into()],
            from_ms: 1_000,
            until_ms: Some(2_000),
            review_ms: None,
            jurisdictions: vec!["GB".parse().unwrap()],
            retention_days: 365,
            acknowledgements: 2,
            managers: vec!["council".into()],
            regulators: vec!["commissioner".into()],
        }
    }

    /// One row a mistake, with what the error must say.
    #[test]
    fn what_is_no_agreement_is_said() {
        type Spoil = fn(&mut AgreementTerms);
        assert_eq!(terms().validate(), Ok(()));
        let rows: &[(Spoil, &str)] = &[
            (|t| t.partition = "A".into(), "is not a name"),
            (|t| t.members.truncate(1), "the members of an agreement must be 2 to"),
            (|t| t.members.reverse(), "the members"),
            (|t| t.members = vec!["a".into(), "a".into()], "the members"),
            (|t| t.categories.clear(), "the categories"),
            (|t| t.jurisdictions.clear(), "the jurisdictions"),
            (|t| t.until_ms = None, "give `until_ms` or `review_ms`"),
            (|t| t.until_ms = Some(1_000), "later than `from_ms`"),
            (|t| t.review_ms = Some(999), "later than `from_ms`"),
            (|t| t.retention_days = 0, "is kept for 1 to"),
            (|t| t.acknowledgements = 1, "nobody vouches alone"),
            (|t| t.acknowledgements = 3, "no more than there are"),
            (|t| t.managers = vec!["health".into(), "council".into()], "the managers"),
            (|t| t.managers = vec!["commissioner".into()], "leave `commissioner` out of the managers"),
            (|t| t.regulators = vec!["commissioner".into(); 2], "the regulators"),
            (|t| t.regulators = vec!["A".into()], "is not a name"),
        ];
        for (spoil, expected) in rows {
            let mut spoilt = terms();
            spoil(&mut spoilt);
            let error = spoilt.validate().unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
            let bytes = cbor::encode(&spoilt);
            assert!(cbor::decode::<AgreementTerms>(&bytes, bytes.len()).is_err(), "{expected}");
        }
    }

    #[test]
    fn a_partition_is_read_back_and_is_open_in_its_time() {
        let former = vec![("c".to_owned(), 9)];
        let (terms, closed) = (terms(), None);
        let mut row = PartitionRow { terms, proposed: 7, opened_height: 8, amended_height: 9, closed, former };
        assert_eq!(PartitionRow::decode(&row.to_bytes()).unwrap(), row);
        assert_eq!([999, 1_000, 1_999, 2_000].map(|time| row.is_open(time)), [false, true, true, false]);
        row.closed = Some((10, "It was wound up.".into()));
        assert_eq!(PartitionRow::decode(&row.to_bytes()).unwrap(), row);
        assert!(!row.is_open(1_000));
    }

    #[test]
    fn a_country_stands_for_its_parts() {
        let terms = terms();
        for (place, allowed) in [("GB", true), ("GB-SCT", true), ("FR", false), ("GG", false)] {
            assert_eq!(terms.allows(&place.parse().unwrap()), allowed, "{place}");
        }
        let part = AgreementTerms { jurisdictions: vec!["GB-SCT".parse().unwrap()], ..terms };
        assert!(part.allows(&"GB-SCT".parse().unwrap()) && !part.allows(&"GB".parse().unwrap()));
    }
}
