//! The index of acts: at which leaves somebody did something, to what, and with which outcome.
//!
//! A **term** is one thing that can be asked for: a principal, an organisation, an action, a resource, a policy, a mandate, an
//! outcome. Each has a list of the leaves that bear it, in chunks of 65,536 leaves:
//!
//! ```text
//! at most 4,096 leaves of a chunk    their lower halves, sorted      2 bytes a leaf
//! more                               a bit for each leaf             8 KiB a chunk: at most 2 bytes a leaf
//! ```
//!
//! Terms are not kept, only 64 bits of a keyed hash of each, and a question of several terms is answered for the whole
//! transaction. So what is found here are candidates: [`ActQuery::matches`] judges the entry itself.
//!
//! INVARIANT: every act that matches a question is among its candidates. The records of accepted entries are found in their
//! register's own index, so that an entry is not indexed twice; those of reads are here.

use super::table::{self, Table};
use std::{hash::BuildHasher, ops::Range};
use tallystick_protocol::{
    Code, LogEntry, MandateId, Operation, Outcome, PolicyId, PrincipalId, Resource, ResourceKind, SignedTransaction,
    operation::OperationName,
};

/// Bits of a leaf that say where in its chunk it is.
const CHUNK_BITS: u32 = 16;
/// Words of a chunk with a bit for each leaf.
const WORDS: usize = 1 << (CHUNK_BITS - 6);
/// Leaves of a chunk from which on bits take less than numbers.
const FEW: usize = WORDS * 4;

/// Which outcomes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcomes {
    /// Acts that took effect.
    Accepted,
    /// Acts that did not, whatever the reason.
    Refused,
    /// Acts that were refused for this reason.
    RefusedFor(Code),
}

/// What is asked of the acts; what is not said is not asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActQuery {
    /// Who signed, co-signed, or let another act in its name.
    pub principal: Option<PrincipalId>,
    /// The organisation of one of these.
    pub organisation: Option<String>,
    /// What was done; together with resources, to these.
    pub action: Option<OperationName>,
    /// What it was done to: all of these.
    pub resources: Vec<Resource>,
    /// A policy that determined what became of it.
    pub policy: Option<PolicyId>,
    /// A mandate under which it was done.
    pub mandate: Option<MandateId>,
    /// What became of it.
    pub outcome: Option<Outcomes>,
    /// Unix milliseconds: in blocks of this time or later.
    pub from_ms: Option<u64>,
    /// Unix milliseconds: in blocks before this time.
    pub to_ms: Option<u64>,
}

impl ActQuery {
    /// Whether a log entry is an act that is asked for. `transaction` is the entry's, decoded.
    pub fn matches(&self, entry: &LogEntry, transaction: &SignedTransaction) -> bool {
        let decision = entry.outcome.decision();
        let (actor, parties) = (transaction.actor(decision), transaction.parties(decision));
        let does = |operation: &Operation| {
            self.action.is_none_or(|action| operation.name() == action) && {
                let about = if self.resources.is_empty() { Vec::new() } else { operation.resources(&actor) };
                self.resources.iter().all(|resource| about.contains(resource))
            }
        };
        let is_of = |organisation: &String| parties.iter().any(|party| party.organisation() == organisation);
        self.principal.as_ref().is_none_or(|principal| parties.contains(principal))
            && self.organisation.as_ref().is_none_or(is_of)
            && self.policy.as_ref().is_none_or(|policy| decision.determining.contains(policy))
            && self.mandate.as_ref().is_none_or(|mandate| transaction.chain(decision).contains(mandate))
            && self.outcome.is_none_or(|outcomes| outcomes.hold(&entry.outcome))
            && self.from_ms.is_none_or(|from| entry.time_ms >= from)
            && self.to_ms.is_none_or(|to| entry.time_ms < to)
            && transaction.operations().iter().any(does)
    }

    /// The terms that every act asked for bears, but for a record.
    pub(super) fn terms(&self, hasher: &impl BuildHasher) -> Vec<u64> {
        let terms = [
            self.principal.as_ref().map(|principal| Term::Principal(principal.as_str())),
            self.organisation.as_deref().map(Term::Organisation),
            self.action.map(Term::Action),
            self.policy.as_ref().map(|policy| Term::Policy(policy.as_str())),
            self.mandate.as_ref().map(|mandate| Term::Mandate(mandate.as_str())),
            self.outcome.map(Outcomes::term),
        ];
        let resources = self.resources.iter().filter(|resource| resource.kind() != ResourceKind::Record);
        let terms = terms.into_iter().flatten().chain(resources.map(Term::Resource));
        terms.map(|term| hasher.hash_one(term)).collect()
    }

    /// Whether only things and times are asked for, so that what happened without a transaction may be asked for too.
    pub const fn asks_for_turns(&self) -> bool {
        self.principal.is_none()
            && self.organisation.is_none()
            && self.action.is_none()
            && self.policy.is_none()
            && self.mandate.is_none()
            && self.outcome.is_none()
    }

    /// A record that is asked for, if one is.
    pub(super) fn record(&self) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.kind() == ResourceKind::Record)
    }
}

impl Outcomes {
    fn hold(self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Accepted, Outcome::Accepted { .. }) | (Self::Refused, Outcome::Refused(_)) => true,
            (Self::RefusedFor(code), Outcome::Refused(refusal)) => refusal.code == code,
            _ => false,
        }
    }

    const fn term(self) -> Term<'static> {
        match self {
            Self::Accepted => Term::Accepted,
            Self::Refused => Term::Refused,
            Self::RefusedFor(code) => Term::RefusedFor(code),
        }
    }
}

/// What a leaf can be found by.
#[derive(Hash)]
enum Term<'a> {
    Principal(&'a str),
    Organisation(&'a str),
    Action(OperationName),
    Resource(&'a Resource),
    Policy(&'a str),
    Mandate(&'a str),
    Accepted,
    Refused,
    RefusedFor(Code),
}

/// The leaves of each term.
#[derive(Debug, Default)]
pub(super) struct Acts {
    places: Table,
    lists: Vec<List>,
}

/// The leaves of one term, ascending.
#[derive(Debug)]
struct List {
    /// The lower half of the term's hash.
    hash: u32,
    chunks: Vec<Chunk>,
}

#[derive(Debug)]
struct Chunk {
    /// The upper half of its leaves.
    number: u32,
    leaves: Leaves,
}

/// The lower halves of a chunk's leaves.
#[derive(Debug)]
enum Leaves {
    Few(Vec<u16>),
    Many(Box<[u64; WORDS]>),
}

impl Acts {
    /// Adds the next leaf. False when there are more terms than can be counted.
    pub(super) fn push(
        &mut self,
        hasher: &impl BuildHasher,
        leaf: u32,
        entry: &LogEntry,
        transaction: &SignedTransaction,
    ) -> bool {
        let decision = entry.outcome.decision();
        let actor = transaction.actor(decision);
        let mut added = true;
        let mut add = |term: Term<'_>| added &= self.add(hasher.hash_one(term), leaf);
        for party in transaction.parties(decision) {
            add(Term::Principal(party.as_str()));
            add(Term::Organisation(party.organisation()));
        }
        decision.determining.iter().for_each(|policy| add(Term::Policy(policy.as_str())));
        transaction.chain(decision).iter().for_each(|mandate| add(Term::Mandate(mandate.as_str())));
        let is_accepted = match &entry.outcome {
            Outcome::Accepted { .. } => {
                add(Term::Accepted);
                true
            }
            Outcome::Refused(refusal) => {
                add(Term::Refused);
                add(Term::RefusedFor(refusal.code));
                false
            }
        };
        for operation in transaction.operations() {
            add(Term::Action(operation.name()));
            let is_entered = is_accepted && operation.entry_count() > 0;
            for resource in operation.resources(&actor) {
                if !is_entered || resource.kind() != ResourceKind::Record {
                    add(Term::Resource(&resource));
                }
            }
        }
        added
    }

    /// The newest leaves of `range` that bear all these terms, at most `limit`, newest first.
    pub(super) fn newest(&self, terms: &[u64], range: Range<u64>, limit: usize) -> Vec<u64> {
        if terms.is_empty() {
            return range.rev().take(limit).collect();
        }
        let Some(mut lists) = terms.iter().map(|term| self.list(*term)).collect::<Option<Vec<&List>>>() else {
            return Vec::new();
        };
        lists.sort_by_key(|list| list.chunks.len());
        let Some((first, others)) = lists.split_first() else { return Vec::new() };
        let mut found = Vec::new();
        for chunk in first.chunks.iter().rev() {
            let start = u64::from(chunk.number) << CHUNK_BITS;
            if start >= range.end {
                continue;
            }
            if start + (1 << CHUNK_BITS) <= range.start || found.len() >= limit {
                break;
            }
            let Some(others) = others.iter().map(|list| list.leaves(chunk.number)).collect::<Option<Vec<_>>>() else {
                continue;
            };
            let common = common(&chunk.leaves, &others).into_iter().map(|lower| start | u64::from(lower));
            found.extend(common.rev().filter(|leaf| range.contains(leaf)).take(limit - found.len()));
        }
        found
    }

    /// The newest leaves that bear all these terms and act on a record, of those that the register's own index does not know: of
    /// refused acts, and of reads. At most `limit`, newest first.
    pub(super) fn beside(
        &self,
        hasher: &impl BuildHasher,
        record: &Resource,
        mut terms: Vec<u64>,
        range: Range<u64>,
        limit: usize,
    ) -> Vec<u64> {
        terms.push(hasher.hash_one(Term::Resource(record)));
        self.newest(&terms, range, limit)
    }

    /// Whether a leaf bears all these terms.
    pub(super) fn bears(&self, terms: &[u64], leaf: u64) -> bool {
        let (number, lower) = split(leaf);
        let bears = |term: &u64| self.list(*term)?.leaves(number).map(|leaves| leaves.contains(lower));
        terms.iter().all(|term| bears(term) == Some(true))
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.places.memory_bytes()
            + self.lists.capacity() * size_of::<List>()
            + self.lists.iter().map(List::memory_bytes).sum::<usize>()
    }

    fn list(&self, term: u64) -> Option<&List> {
        self.lists.get(self.place(term)? as usize)
    }

    fn place(&self, term: u64) -> Option<u32> {
        self.places.find(term, |place| self.lists.get(place as usize).is_some_and(|list| list.hash == term as u32))
    }

    fn add(&mut self, term: u64, leaf: u32) -> bool {
        let place = match self.place(term) {
            Some(place) => place,
            None => {
                let place = u32::try_from(self.lists.len()).ok().filter(|place| *place <= table::LAST_PLACE);
                let Some(place) = place else { return false };
                self.places.insert(term, place);
                self.lists.push(List { hash: term as u32, chunks: Vec::new() });
                place
            }
        };
        if let Some(list) = self.lists.get_mut(place as usize) {
            list.push(leaf);
        }
        true
    }
}

impl List {
    /// The leaf is the greatest one yet, or the same again.
    fn push(&mut self, leaf: u32) {
        let (number, lower) = (leaf >> CHUNK_BITS, leaf as u16);
        match self.chunks.last_mut() {
            Some(chunk) if chunk.number == number => chunk.leaves.push(lower),
            last => {
                if let Some(Chunk { leaves: Leaves::Few(leaves), .. }) = last {
                    // It is complete.
                    leaves.shrink_to_fit();
                }
                // Most terms are rare and have one chunk.
                self.chunks.reserve_exact(1 + self.chunks.len() / 4);
                self.chunks.push(Chunk { number, leaves: Leaves::Few(vec![lower]) });
            }
        }
    }

    fn leaves(&self, number: u32) -> Option<&Leaves> {
        let at = self.chunks.binary_search_by_key(&number, |chunk| chunk.number).ok()?;
        self.chunks.get(at).map(|chunk| &chunk.leaves)
    }

    fn memory_bytes(&self) -> usize {
        let leaves = |chunk: &Chunk| match &chunk.leaves {
            Leaves::Few(leaves) => leaves.capacity() * size_of::<u16>(),
            Leaves::Many(words) => size_of_val(words.as_ref()),
        };
        self.chunks.capacity() * size_of::<Chunk>() + self.chunks.iter().map(leaves).sum::<usize>()
    }
}

impl Leaves {
    fn push(&mut self, lower: u16) {
        match self {
            Self::Few(leaves) if leaves.last() == Some(&lower) => {}
            Self::Few(leaves) if leaves.len() < FEW => leaves.push(lower),
            Self::Few(leaves) => {
                let mut words = Box::new([0; WORDS]);
                leaves.iter().chain([&lower]).for_each(|lower| set(&mut words, *lower));
                *self = Self::Many(words);
            }
            Self::Many(words) => set(words, lower),
        }
    }

    fn contains(&self, lower: u16) -> bool {
        match self {
            Self::Few(leaves) => leaves.binary_search(&lower).is_ok(),
            Self::Many(words) => word(words, lower) >> (lower % 64) & 1 == 1,
        }
    }
}

fn set(words: &mut [u64; WORDS], lower: u16) {
    if let Some(word) = words.get_mut(usize::from(lower / 64)) {
        *word |= 1 << (lower % 64);
    }
}

fn word(words: &[u64; WORDS], lower: u16) -> u64 {
    words.get(usize::from(lower / 64)).copied().unwrap_or_default()
}

/// What all of them hold, ascending: where all have bits, word by word; else the leaves of the shortest, one by one.
fn common(first: &Leaves, others: &[&Leaves]) -> Vec<u16> {
    let all = || [first].into_iter().chain(others.iter().copied());
    let few = all().filter_map(|leaves| if let Leaves::Few(few) = leaves { Some(few) } else { None });
    if let Some(shortest) = few.min_by_key(|few| few.len()) {
        let mut common = shortest.clone();
        for other in all() {
            match other {
                Leaves::Many(_) => common.retain(|lower| other.contains(*lower)),
                Leaves::Few(other) => {
                    let mut rest = other.iter().copied().peekable();
                    common.retain(|lower| {
                        while rest.next_if(|next| next < lower).is_some() {}
                        rest.peek() == Some(lower)
                    });
                }
            }
        }
        return common;
    }
    let mut words = [u64::MAX; WORDS];
    for other in all() {
        if let Leaves::Many(other) = other {
            words.iter_mut().zip(other.iter()).for_each(|(word, other)| *word &= other);
        }
    }
    let bits =
        |(index, word): (u16, u64)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| index * 64 + bit);
    (0..).zip(words).flat_map(bits).collect()
}

/// A leaf's chunk, and where in it the leaf is.
fn split(leaf: u64) -> (u32, u16) {
    (u32::try_from(leaf >> CHUNK_BITS).unwrap_or(u32::MAX), leaf as u16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::collections::BTreeSet;

    /// A generator with nothing in common with the index (xorshift).
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    /// Terms from rare to nearly everywhere, over more than three chunks, one of which some terms skip.
    #[test]
    fn terms_meet_in_every_form_of_chunk() {
        const ONE_IN: [u64; 7] = [1, 2, 15, 17, 300, 70_000, 1_000_000];
        const LEAVES: u32 = 3 * (1 << CHUNK_BITS) + 77;
        let (mut acts, mut state) = (Acts::default(), 42);
        let mut model = vec![BTreeSet::new(); ONE_IN.len()];
        for leaf in 0..LEAVES {
            for (term, of) in ONE_IN.iter().enumerate() {
                let skipped = of % 2 == 1 && leaf >> CHUNK_BITS == 1;
                if random(&mut state).is_multiple_of(*of) && !skipped {
                    // The same leaf twice is the leaf once.
                    assert!(acts.add(term as u64, leaf) && acts.add(term as u64, leaf));
                    model[term].insert(u64::from(leaf));
                }
            }
        }
        let whole = 0..u64::from(LEAVES);
        for question in 0..120u64 {
            let terms: Vec<u64> = (0..7).filter(|term| question >> term & 1 == 1).collect();
            let start = if question % 3 == 0 { 0 } else { random(&mut state) % whole.end };
            let end = if question % 2 == 0 { whole.end } else { random(&mut state) % whole.end };
            let in_all = |leaf: &u64| terms.iter().all(|term| model[*term as usize].contains(leaf));
            let expected: Vec<u64> = (start..end).rev().filter(in_all).take(500).collect();
            assert_eq!(acts.newest(&terms, start..end, 500), expected, "{terms:?} {start}..{end}");
            for leaf in expected.iter().take(20).copied().chain([start, end]) {
                assert_eq!(acts.bears(&terms, leaf), in_all(&leaf), "{terms:?} {leaf}");
            }
        }
        assert_eq!(acts.newest(&[99], whole, 10), Vec::<u64>::new());
    }
}
