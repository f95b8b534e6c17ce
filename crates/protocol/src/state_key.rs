//! Where a row of the state lies: ordered by noun, then register, then hashed name, so that one register is one range.
//!
//! ```text
//! byte  0      1..4               4..32
//!       noun   register number    first 28 bytes of SHA-256(name)
//!              (big-endian)
//! ```

use crate::{
    hash::Hash,
    identifier::MandateId,
    key::PublicKey,
    limits::REGISTER_NUMBER_MAX,
    operation::{EntryKind, PrincipalId},
    policy::PolicyId,
    seal::{Commitment, Subject},
};
use std::{cmp::Ordering, fmt};

/// SHA-256 of no bytes: the name of what there is one of. Every transaction asks for some of those.
const HASH_OF_NOTHING: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// What a row is about: the first byte of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Noun {
    /// Counters of the whole ledger.
    Counters = 1,
    /// The frontier of the log's tree.
    Log = 2,
    /// An organisation.
    Organisation = 3,
    /// A principal and its keys.
    Principal = 4,
    /// A register's definition.
    Register = 5,
    /// A register's entry counts and tree frontier.
    Tree = 6,
    /// The latest system entry for a key.
    SystemRecord = 7,
    /// The latest user entry for a key.
    Record = 8,
    /// Whose a public key is.
    Key = 9,
    /// A certificate authority.
    Authority = 10,
    /// How far a certificate issuer's revocations have come.
    Revocation = 11,
    /// A revoked certificate.
    Revoked = 12,
    /// A mandate.
    Mandate = 13,
    /// The rulebook.
    Rulebook = 20,
    /// What is due when, and the version of the protocol.
    Agenda = 21,
    /// A proposal.
    Proposal = 22,
    /// The text of a proposal.
    RuleText = 23,
    /// One change of a proposal.
    Change = 24,
    /// An organisation's ballot on a proposal.
    Ballot = 25,
    /// An organisation's objection to a proposal.
    Objection = 26,
    /// A page of the list of organisations, of an organisation's principals, or of proposals.
    Page = 27,
    /// The limits that the network has set.
    Limits = 28,
    /// A page of what became of proposals at the beginning of blocks.
    Turns = 29,
    /// Which validators certify which epochs.
    Schedule = 30,
    /// A validator: whose it is and where it is dialled.
    Validator = 31,
    /// A recovery of the network.
    Recovery = 32,
    /// A partition and its agreement.
    Partition = 34,
    /// How much was ordered in a partition, and the roots of its state that were posted.
    PartitionRoots = 35,
    /// What became of a private transaction: in a partition's own state only.
    PrivateAct = 40,
    /// Which payload has this number in a partition: in its own state only.
    PrivateNumber = 41,
    /// What the register of this number in a partition is called, and how many records it has: in its own state only.
    PrivateRegister = 42,
    /// A mandate of a partition: in its own state only.
    PrivateMandate = 43,
    /// Which mandate was granted in a partition as the one of this number, and how many were: in its own state only.
    PrivateGrant = 44,
    /// The nodes of an organisation that hold what only some may see.
    Nodes = 16,
    /// Which policies are in force, of the partition or for a register.
    PolicySet = 14,
    /// A policy as it was put at one time.
    Policy = 15,
    /// An order of erasure.
    Erasure = 17,
    /// What holds of a subject under a controller.
    Subject = 18,
    /// A legal hold.
    Hold = 19,
    /// The mark of an entry that was wrong.
    Correction = 33,
    /// What a controller has of orders and holds.
    Controller = 36,
    /// A value that is erased, or about to be, by its commitment.
    ErasedValue = 37,
    /// A consent.
    Consent = 38,
    /// What a subject has consented to under a controller.
    SubjectConsents = 39,
}

/// The key of a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateKey(pub [u8; 32]);

/// By bytes, sixteen at once: rows are found by comparing keys, and no call is made for that.
impl Ord for StateKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.halves().cmp(&other.halves())
    }
}

impl PartialOrd for StateKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl StateKey {
    fn halves(&self) -> (u128, u128) {
        let [half, rest] = [self.0.first_chunk(), self.0.last_chunk()];
        let number = |half: Option<&[u8; 16]>| u128::from_be_bytes(half.copied().unwrap_or_default());
        (number(half), number(rest))
    }

    /// The key of `name` among the rows of `noun` that belong to the register of this number (0: to none).
    ///
    /// Only the low three bytes of the number count: INVARIANT: numbers stay within [`REGISTER_NUMBER_MAX`].
    pub fn new(noun: Noun, register: u32, name: &[u8]) -> Self {
        debug_assert!(register <= REGISTER_NUMBER_MAX, "register number out of range");
        let [_, high, middle, low] = register.to_be_bytes();
        let Hash(hash) = if name.is_empty() { HASH_OF_NOTHING } else { Hash::of(&[name]) };
        let mut key = [0; 32];
        for (to, from) in key.iter_mut().zip([noun as u8, high, middle, low].iter().chain(&hash)) {
            *to = *from;
        }
        Self(key)
    }

    /// The row of the ledger's counters.
    pub fn counters() -> Self {
        Self::new(Noun::Counters, 0, b"")
    }

    /// The row of the log's frontier.
    pub fn log() -> Self {
        Self::new(Noun::Log, 0, b"")
    }

    /// An organisation's row.
    pub fn organisation(id: &str) -> Self {
        Self::new(Noun::Organisation, 0, id.as_bytes())
    }

    /// A principal's row.
    pub fn principal(id: &PrincipalId) -> Self {
        Self::new(Noun::Principal, 0, id.as_str().as_bytes())
    }

    /// The row of a public key.
    pub fn key(key: &PublicKey) -> Self {
        Self::new(Noun::Key, 0, key.as_bytes())
    }

    /// The row of an organisation's certificate authority, by the SHA-256 of its certificate. Organisations may share one,
    /// and none can keep another from admitting its own.
    pub fn authority(organisation: &str, id: &Hash) -> Self {
        Self::new(Noun::Authority, 0, &[id.0.as_slice(), organisation.as_bytes()].concat())
    }

    /// The row of an issuer's latest revocation list; an issuer is told by the SHA-256 of its name and key.
    pub fn revocation(issuer: &Hash) -> Self {
        Self::new(Noun::Revocation, 0, &issuer.0)
    }

    /// The row of a revoked certificate, by its issuer and serial number.
    pub fn revoked(issuer: &Hash, serial: &[u8]) -> Self {
        Self::new(Noun::Revoked, 0, &[issuer.0.as_slice(), serial].concat())
    }

    /// The row of the rulebook.
    pub fn rulebook() -> Self {
        Self::new(Noun::Rulebook, 0, b"")
    }

    /// The row of the agenda.
    pub fn agenda() -> Self {
        Self::new(Noun::Agenda, 0, b"")
    }

    /// The row of the limits that the network has set.
    pub fn limits() -> Self {
        Self::new(Noun::Limits, 0, b"")
    }

    /// The row of an organisation's nodes.
    pub fn nodes(organisation: &str) -> Self {
        Self::new(Noun::Nodes, 0, organisation.as_bytes())
    }

    /// A proposal's row.
    pub fn proposal(id: &str) -> Self {
        Self::new(Noun::Proposal, 0, id.as_bytes())
    }

    /// The row of a proposal's text.
    pub fn rule_text(proposal: &str) -> Self {
        Self::new(Noun::RuleText, 0, proposal.as_bytes())
    }

    /// The row of one of a proposal's changes, by its number from 0.
    pub fn change(proposal: &str, index: u32) -> Self {
        Self::new(Noun::Change, 0, &[proposal.as_bytes(), b"/", &index.to_be_bytes()].concat())
    }

    /// The row of an organisation's ballot.
    pub fn ballot(proposal: &str, organisation: &str) -> Self {
        Self::new(Noun::Ballot, 0, &[proposal.as_bytes(), b"/", organisation.as_bytes()].concat())
    }

    /// The row of an organisation's objection.
    pub fn objection(proposal: &str, organisation: &str) -> Self {
        Self::new(Noun::Objection, 0, &[proposal.as_bytes(), b"/", organisation.as_bytes()].concat())
    }

    /// A page of the list of organisations, from 0.
    pub fn organisations(page: u32) -> Self {
        Self::new(Noun::Page, 0, &[b"organisations/".as_slice(), &page.to_be_bytes()].concat())
    }

    /// A page of the list of an organisation's principals, from 0.
    pub fn principals(organisation: &str, page: u32) -> Self {
        let name = [b"principals/".as_slice(), organisation.as_bytes(), b"/", &page.to_be_bytes()].concat();
        Self::new(Noun::Page, 0, &name)
    }

    /// A page of the list of proposals, from 0.
    pub fn proposals(page: u32) -> Self {
        Self::new(Noun::Page, 0, &[b"proposals/".as_slice(), &page.to_be_bytes()].concat())
    }

    /// A page of what became of proposals at the beginning of blocks, from 0.
    pub fn turns(page: u32) -> Self {
        Self::new(Noun::Turns, 0, &page.to_be_bytes())
    }

    /// The row that says which validators certify which epochs.
    pub fn schedule() -> Self {
        Self::new(Noun::Schedule, 0, b"")
    }

    /// A validator's row, by its Ed25519 key.
    pub fn validator(key: &[u8; 32]) -> Self {
        Self::new(Noun::Validator, 0, key)
    }

    /// The row of the recovery that went on from the block at this height.
    pub fn recovery(head: u64) -> Self {
        Self::new(Noun::Recovery, 0, &head.to_be_bytes())
    }

    /// A partition's row.
    pub fn partition(name: &str) -> Self {
        Self::new(Noun::Partition, 0, name.as_bytes())
    }

    /// The row of what was ordered in a partition, and of its roots.
    pub fn partition_roots(name: &str) -> Self {
        Self::new(Noun::PartitionRoots, 0, name.as_bytes())
    }

    /// A page of the list of partitions, from 0.
    pub fn partitions(page: u32) -> Self {
        Self::new(Noun::Page, 0, &[b"partitions/".as_slice(), &page.to_be_bytes()].concat())
    }

    /// What became of a private transaction, by its replay tag: in the partition's own state.
    pub fn private_act(replay_tag: &[u8; 16]) -> Self {
        Self::new(Noun::PrivateAct, 0, replay_tag)
    }

    /// Which payload was the one of this number in a partition, from 0 and below 2^56: in its own state. They lie in the order of their numbers, in
    /// the engine's index too, which knows eight bytes of a key: a new one changes no other row but the one before it.
    pub fn private_number(number: u64) -> Self {
        debug_assert!(number < 1 << 56, "a number in a partition out of range");
        let mut key = [0; 32];
        let [_, number @ ..] = number.to_be_bytes();
        for (to, from) in key.iter_mut().zip([Noun::PrivateNumber as u8].iter().chain(&number)) {
            *to = *from;
        }
        Self(key)
    }

    /// What a partition's register of this number is called, and how many records it has: in its own state.
    pub fn private_register(register: u32) -> Self {
        Self::new(Noun::PrivateRegister, register, b"")
    }

    /// A mandate's row. INVARIANT: one of a partition is of another noun than one that everybody sees: what is said of the public state
    /// never speaks of it.
    pub fn mandate(id: &MandateId) -> Self {
        let noun = if id.partition().is_some() { Noun::PrivateMandate } else { Noun::Mandate };
        Self::new(noun, 0, id.as_str().as_bytes())
    }

    /// Which mandate was granted in a partition as the one of this number, from 0: in the partition's own state.
    pub fn private_grant(number: u64) -> Self {
        Self::new(Noun::PrivateGrant, 0, &number.to_be_bytes())
    }

    /// How many mandates were granted in a partition: in its own state.
    pub fn private_grants() -> Self {
        Self::new(Noun::PrivateGrant, 0, b"")
    }

    /// What the fields of a partition's record are under: in the partition's own state. It stands beside the record's own row, in the engine's
    /// index too, which knows eight bytes of a key: to write both costs little more than to write one.
    pub fn private_fields(register: u32, key: &str) -> Self {
        let mut place = Self::record(register, EntryKind::User, key);
        let [_, _, _, _, _, _, _, beside, ..] = &mut place.0;
        *beside ^= 1;
        place
    }

    /// The row of the policies in force for a register, or, for the empty name, of the partition.
    pub fn policy_set(register: &str) -> Self {
        Self::new(Noun::PolicySet, 0, register.as_bytes())
    }

    /// The row of a policy as the change of this number put it.
    pub fn policy(id: &PolicyId, version: u64) -> Self {
        Self::new(Noun::Policy, 0, &[version.to_be_bytes().as_slice(), id.as_str().as_bytes()].concat())
    }

    /// An order of erasure.
    pub fn erasure(order: &str) -> Self {
        Self::new(Noun::Erasure, 0, order.as_bytes())
    }

    /// What holds of a subject under a controller.
    pub fn subject(controller: &str, subject: &Subject) -> Self {
        let name = [controller, subject.register(), subject.key()].join("/");
        Self::new(Noun::Subject, 0, name.as_bytes())
    }

    /// A value of a subject that is erased under a controller, or about to be. An order that names the wrong subject says nothing of
    /// the value: its holders would not find it either.
    pub fn erased_value(controller: &str, subject: &Subject, value: &Commitment) -> Self {
        let name = [controller, subject.register(), subject.key()].join("/");
        Self::new(Noun::ErasedValue, 0, &[value.as_bytes().as_slice(), name.as_bytes()].concat())
    }

    /// A legal hold.
    pub fn hold(hold: &str) -> Self {
        Self::new(Noun::Hold, 0, hold.as_bytes())
    }

    /// A consent.
    pub fn consent(consent: &str) -> Self {
        Self::new(Noun::Consent, 0, consent.as_bytes())
    }

    /// What a subject has consented to under a controller.
    pub fn subject_consents(controller: &str, subject: &Subject) -> Self {
        let name = [controller, subject.register(), subject.key()].join("/");
        Self::new(Noun::SubjectConsents, 0, name.as_bytes())
    }

    /// A page of the list of a subject's consents under a controller, from 0.
    pub fn consents(controller: &str, subject: &Subject, page: u32) -> Self {
        let name = [controller, subject.register(), subject.key()].join("/");
        Self::new(Noun::Page, 0, &[b"consents/".as_slice(), name.as_bytes(), b"/", &page.to_be_bytes()].concat())
    }

    /// What a controller has of orders and holds; for the empty name, all of them together.
    pub fn controller(organisation: &str) -> Self {
        Self::new(Noun::Controller, 0, organisation.as_bytes())
    }

    /// A page of the list of a controller's orders, from 0; for the empty name, of all orders.
    pub fn erasures(controller: &str, page: u32) -> Self {
        let name = [b"erasures/".as_slice(), controller.as_bytes(), b"/", &page.to_be_bytes()].concat();
        Self::new(Noun::Page, 0, &name)
    }

    /// A page of the list of a controller's holds, from 0; for the empty name, of all holds.
    pub fn holds(controller: &str, page: u32) -> Self {
        let name = [b"holds/".as_slice(), controller.as_bytes(), b"/", &page.to_be_bytes()].concat();
        Self::new(Noun::Page, 0, &name)
    }

    /// The mark of a register's entry that was wrong, by the entry's number.
    pub fn correction(register: u32, entry: u64) -> Self {
        Self::new(Noun::Correction, register, &entry.to_be_bytes())
    }

    /// The row of a register's definition.
    pub fn register(name: &str) -> Self {
        Self::new(Noun::Register, 0, name.as_bytes())
    }

    /// The row of a register's tree.
    pub fn tree(register: u32) -> Self {
        Self::new(Noun::Tree, register, b"")
    }

    /// The row of a record.
    pub fn record(register: u32, kind: EntryKind, key: &str) -> Self {
        let noun = match kind {
            EntryKind::System => Noun::SystemRecord,
            EntryKind::User => Noun::Record,
        };
        Self::new(noun, register, key.as_bytes())
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateKey({self})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn what_there_is_one_of_has_no_name() {
        assert_eq!(HASH_OF_NOTHING, Hash::of(&[b""]));
        assert_eq!(StateKey::counters().0[4..], Hash::of(&[]).0[..28]);
    }

    #[test]
    fn keys_are_in_the_order_of_their_bytes() {
        let mut keys: Vec<StateKey> = (0..=255).map(|n| StateKey::validator(&[n; 32])).collect();
        // Keys that differ in one byte only, wherever it is.
        let differing = |at: usize| {
            [0, 1, 127, 128, 255].map(|byte| {
                let mut key = [9; 32];
                key[at] = byte;
                StateKey(key)
            })
        };
        keys.extend((0..32).flat_map(differing));
        for a in &keys {
            for b in &keys {
                assert_eq!(a.cmp(b), a.0.cmp(&b.0), "{a} {b}");
            }
        }
    }

    #[test]
    fn numbers_of_a_partition_follow_one_another() {
        let keys: Vec<StateKey> = [0, 1, 2, 255, 256, 65_536, (1 << 56) - 1].map(StateKey::private_number).to_vec();
        assert!(keys.is_sorted() && keys.iter().all(|key| key.0[0] == 41 && key.0[8..] == [0; 24]));
        let eight = |key: &StateKey| u64::from_be_bytes(key.0[..8].try_into().unwrap());
        assert_eq!(eight(&keys[1]), eight(&keys[0]) + 1);
    }

    #[test]
    fn the_fields_of_a_record_are_beside_it() {
        for key in ["GB", "FR", "TT", "x", ""] {
            let (record, fields) = (StateKey::record(7, EntryKind::User, key), StateKey::private_fields(7, key));
            let eight = |key: &StateKey| u64::from_be_bytes(key.0[..8].try_into().unwrap());
            assert_eq!(eight(&record).abs_diff(eight(&fields)), 1, "{key}");
            assert_eq!(record.0[8..], fields.0[8..]);
        }
    }

    #[test]
    fn a_register_is_one_range() {
        let key = StateKey::record(0x01_02_03, EntryKind::User, "GB");
        assert_eq!(key.0[..4], [8, 1, 2, 3]);
        assert_eq!(key.0[4..], Hash::of(&[b"GB"]).0[..28]);
        let records = |register| ["GB", "FR", "TT"].map(|key| StateKey::record(register, EntryKind::User, key));
        let (low, high) = (StateKey::record(7, EntryKind::User, "x").0, records(8));
        assert!(high.iter().all(|key| key.0 > low));
        assert_ne!(StateKey::record(7, EntryKind::System, "x").0, low);
    }
}
