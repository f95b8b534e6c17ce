//! Rows of the state, and the view through which a block reads and changes them.
//!
//! A [`View`] holds the rows that were fetched for a block, each read once, and the changes so far. Rows are decoded when
//! first needed and encoded once, in [`View::changes`]: two thousand appends to one register decode its definition and its
//! tree once. A transaction works on a [`Draft`] over the view and leaves it untouched unless it is accepted.
//!
//! INVARIANT: reading a row that was not fetched is never answered as if the row did not exist; it ends the transaction
//! with [`Missing`], so that what was fetched beforehand cannot change an outcome.

use std::{collections::BTreeMap, sync::Arc};

use minicbor::{Decode, Encode};
use tallystick_protocol::{
    AuthorityTerms, CborError, Change, ConsentRow, ControllerRow, CorrectionRow, ErasureRow, Frontier, Hash, HoldRow,
    MandateId, MandateTerms, NodesRow, Noun, PartitionRootsRow, PartitionRow, ProposalRow, RecordRow, RegisterRow,
    Rulebook, StateKey, SubjectConsentsRow, SubjectRow, ValidatorSet, cbor, limits::STATE_VALUE_BYTES_MAX,
    operation::EntryKind,
};
pub use tallystick_protocol::{CountersRow, HeldKey, OrganisationRow, PrincipalRow};

use crate::{
    agenda::AgendaRow,
    limit::LimitsRow,
    policy::{Judgement, Judgements, PolicyCache, PolicyRow, PolicySet, PolicySetRow},
    proposal::row::{BallotRow, ObjectionRow, PageRow, TurnsRow},
    schema::Schema,
};

/// A certificate authority of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AuthorityRow {
    /// Whose it is.
    #[n(0)]
    pub organisation: String,
    /// Its certificate in DER.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub certificate: Vec<u8>,
    /// Since when keys are certified under it, in Unix milliseconds of ledger time.
    #[n(2)]
    pub from_ms: u64,
    /// Since when none are, in Unix milliseconds of ledger time.
    #[n(3)]
    pub retired_ms: Option<u64>,
    /// What it may say here.
    #[n(4)]
    pub terms: AuthorityTerms,
}

/// Whose a key is, for ever: a key belongs to one holder on the whole network.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct KeyRow {
    /// A principal's id, or the id of the organisation whose validator it is.
    #[n(0)]
    pub holder: String,
    /// The proposals that keep it for this holder while one of them is pending; none once the holder has it.
    #[n(1)]
    pub proposals: Vec<String>,
}

/// Which validators certify which epochs. A change is written to the later ones, so that the next set is known, and its nodes
/// are spoken with, for a whole epoch before it certifies.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ScheduleRow {
    /// The epoch of the latest block.
    #[n(0)]
    pub epoch: u64,
    /// Who certifies it.
    #[n(1)]
    pub running: ValidatorSet,
    /// Who certifies the one after.
    #[n(2)]
    pub next: ValidatorSet,
    /// Who certifies all that follow, as far as was decided.
    #[n(3)]
    pub later: ValidatorSet,
    /// Those who left, the latest last: their nodes follow.
    #[cbor(n(4), with = "keys")]
    pub former: Vec<[u8; 32]>,
}

/// A validator, in a set or before or after.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ValidatorRow {
    /// The organisation that runs it.
    #[n(0)]
    pub organisation: String,
    /// Where others dial it; empty when their configuration says so.
    #[n(1)]
    pub address: String,
}

/// That the network lost its quorum for good and went on by the word of its organisations.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RecoveryRow {
    /// The last block before.
    #[n(0)]
    pub head: u64,
    /// The first epoch after.
    #[n(1)]
    pub epoch: u64,
    /// SHA-256 of what the organisations signed.
    #[n(2)]
    pub terms: Hash,
    /// Why.
    #[n(3)]
    pub reason: String,
}

/// A list of keys as byte strings.
mod keys {
    use minicbor::{Decoder, Encoder};
    use tallystick_protocol::{cbor, limits::FORMER_VALIDATORS_MAX};

    pub fn encode<C, W: minicbor::encode::Write>(
        keys: &[[u8; 32]],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(keys.len() as u64)?;
        for key in keys {
            e.bytes(key)?;
        }
        Ok(())
    }

    pub fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<Vec<[u8; 32]>, minicbor::decode::Error> {
        let n = cbor::list(d, 0..=FORMER_VALIDATORS_MAX, "former validators")?;
        (0..n).map(|_| cbor::fixed(d, "a validator's key")).collect()
    }
}

/// How far a register has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TreeRow {
    /// The RFC 6962 tree over the user entries; its size is their count.
    #[n(0)]
    pub user: Frontier,
    /// System entries so far.
    #[n(1)]
    pub system: u64,
    /// The latest timestamp of a user entry, in Unix seconds.
    #[n(2)]
    pub user_timestamp: u64,
    /// The latest timestamp of a system entry, in Unix seconds.
    #[n(3)]
    pub system_timestamp: u64,
}

/// How far an issuer's revocations have come.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RevocationRow {
    /// The number of the latest list, big-endian without leading zeros.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub number: Vec<u8>,
    /// By when a later one is due, in Unix seconds.
    #[n(1)]
    pub next_update: Option<u64>,
}

/// A revoked certificate: revoked for ever.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RevokedRow {
    /// Since when, in Unix milliseconds of ledger time.
    #[n(0)]
    pub from_ms: u64,
}

/// A mandate, for ever: its name is not used again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct MandateRow {
    /// Its id, which names its grantor.
    #[n(0)]
    pub id: MandateId,
    /// Its words.
    #[n(1)]
    pub terms: MandateTerms,
    /// The log leaf of the transaction that granted it; of a partition's, that one's number in it.
    #[n(2)]
    pub granted: u64,
    /// Since when it no longer holds, in Unix milliseconds of ledger time.
    #[n(3)]
    pub revoked_ms: Option<u64>,
}

/// Gives a row its bytes, and reads them within the limit of a row.
macro_rules! row_bytes {
    ($($type:ty),+) => {$(
        impl $type {
            /// The row's bytes.
            pub fn to_bytes(&self) -> Vec<u8> {
                tallystick_protocol::cbor::encode(self)
            }

            /// Decodes a row.
            ///
            /// # Errors
            /// When it is too long, malformed or not deterministic.
            pub fn decode(bytes: &[u8]) -> Result<Self, tallystick_protocol::CborError> {
                tallystick_protocol::cbor::decode(bytes, tallystick_protocol::limits::STATE_VALUE_BYTES_MAX)
            }
        }
    )+};
}
pub(crate) use row_bytes;

row_bytes!(
    KeyRow,
    TreeRow,
    AuthorityRow,
    RevocationRow,
    RevokedRow,
    ScheduleRow,
    ValidatorRow,
    RecoveryRow,
    MandateRow
);

/// A register's row with what is derived from it.
#[derive(Debug)]
pub(crate) struct Register {
    pub row: RegisterRow,
    pub schema: Schema,
    pub tree_key: StateKey,
    /// Where the policies lie that are for it.
    pub policies_key: StateKey,
}

impl Register {
    pub fn new(row: RegisterRow) -> Self {
        let schema = Schema::new(&row.register, &row.fields);
        let (tree_key, policies_key) = (StateKey::tree(row.number), StateKey::policy_set(&row.register));
        Self { row, schema, tree_key, policies_key }
    }

    pub fn record_key(&self, kind: EntryKind, key: &str) -> StateKey {
        StateKey::record(self.row.number, kind, key)
    }
}

/// A decoded row. Those that are read often and changed seldom are shared.
#[derive(Clone, Debug)]
pub(crate) enum Row {
    Counters(CountersRow),
    Organisation(OrganisationRow),
    Principal(Arc<PrincipalRow>),
    Key(KeyRow),
    Register(Arc<Register>),
    Tree(TreeRow),
    Record(RecordRow),
    Authority(AuthorityRow),
    Revocation(RevocationRow),
    Revoked(RevokedRow),
    Rulebook(Arc<Rulebook>),
    Agenda(AgendaRow),
    Limits(LimitsRow),
    Proposal(Arc<ProposalRow>),
    RuleText(String),
    Change(Box<Change>),
    Ballot(BallotRow),
    Objection(ObjectionRow),
    Page(PageRow),
    Turns(TurnsRow),
    Schedule(ScheduleRow),
    Validator(ValidatorRow),
    Recovery(RecoveryRow),
    Mandate(MandateRow),
    Nodes(NodesRow),
    PolicySet(Arc<PolicySet>),
    Policy(PolicyRow),
    Partition(Arc<PartitionRow>),
    Erasure(Box<ErasureRow>),
    Subject(SubjectRow),
    Hold(Box<HoldRow>),
    Correction(Box<CorrectionRow>),
    Controller(ControllerRow),
    /// The order by which a value is erased.
    ErasedValue(String),
    Consent(Box<ConsentRow>),
    SubjectConsents(SubjectConsentsRow),
    PartitionRoots(PartitionRootsRow),
}

impl Row {
    /// The row that these bytes are, by the noun of its key; none for a noun that is not the ledger's.
    fn decode(key: &StateKey, bytes: &[u8]) -> Result<Option<Self>, CborError> {
        let noun = key.0.first().copied().unwrap_or_default();
        Ok(Some(match noun {
            n if n == Noun::Counters as u8 => Self::Counters(CountersRow::decode(bytes)?),
            n if n == Noun::Organisation as u8 => Self::Organisation(OrganisationRow::decode(bytes)?),
            n if n == Noun::Principal as u8 => Self::Principal(Arc::new(PrincipalRow::decode(bytes)?)),
            n if n == Noun::Key as u8 => Self::Key(KeyRow::decode(bytes)?),
            n if n == Noun::Register as u8 => Self::Register(Arc::new(Register::new(RegisterRow::decode(bytes)?))),
            n if n == Noun::Tree as u8 => Self::Tree(TreeRow::decode(bytes)?),
            n if n == Noun::Record as u8 || n == Noun::SystemRecord as u8 => Self::Record(RecordRow::decode(bytes)?),
            n if n == Noun::Authority as u8 => Self::Authority(AuthorityRow::decode(bytes)?),
            n if n == Noun::Revocation as u8 => Self::Revocation(RevocationRow::decode(bytes)?),
            n if n == Noun::Revoked as u8 => Self::Revoked(RevokedRow::decode(bytes)?),
            n if n == Noun::Rulebook as u8 => Self::Rulebook(Arc::new(cbor::decode(bytes, STATE_VALUE_BYTES_MAX)?)),
            n if n == Noun::Agenda as u8 => Self::Agenda(AgendaRow::decode(bytes)?),
            n if n == Noun::Limits as u8 => Self::Limits(LimitsRow::decode(bytes)?),
            n if n == Noun::Proposal as u8 => Self::Proposal(Arc::new(ProposalRow::decode(bytes)?)),
            n if n == Noun::RuleText as u8 => Self::RuleText(cbor::decode(bytes, STATE_VALUE_BYTES_MAX)?),
            n if n == Noun::Change as u8 => Self::Change(Box::new(cbor::decode(bytes, STATE_VALUE_BYTES_MAX)?)),
            n if n == Noun::Ballot as u8 => Self::Ballot(BallotRow::decode(bytes)?),
            n if n == Noun::Objection as u8 => Self::Objection(ObjectionRow::decode(bytes)?),
            n if n == Noun::Page as u8 => Self::Page(PageRow::decode(bytes)?),
            n if n == Noun::Turns as u8 => Self::Turns(TurnsRow::decode(bytes)?),
            n if n == Noun::Schedule as u8 => Self::Schedule(ScheduleRow::decode(bytes)?),
            n if n == Noun::Validator as u8 => Self::Validator(ValidatorRow::decode(bytes)?),
            n if n == Noun::Recovery as u8 => Self::Recovery(RecoveryRow::decode(bytes)?),
            n if n == Noun::Mandate as u8 || n == Noun::PrivateMandate as u8 => {
                Self::Mandate(MandateRow::decode(bytes)?)
            }
            n if n == Noun::Nodes as u8 => Self::Nodes(NodesRow::decode(bytes)?),
            n if n == Noun::PolicySet as u8 => Self::PolicySet(Arc::new(PolicySet::new(PolicySetRow::decode(bytes)?))),
            n if n == Noun::Policy as u8 => Self::Policy(PolicyRow::decode(bytes)?),
            n if n == Noun::PartitionRoots as u8 => Self::PartitionRoots(PartitionRootsRow::decode(bytes)?),
            n if n == Noun::Partition as u8 => Self::Partition(Arc::new(PartitionRow::decode(bytes)?)),
            n if n == Noun::Erasure as u8 => Self::Erasure(Box::new(ErasureRow::decode(bytes)?)),
            n if n == Noun::Subject as u8 => Self::Subject(SubjectRow::decode(bytes)?),
            n if n == Noun::Hold as u8 => Self::Hold(Box::new(HoldRow::decode(bytes)?)),
            n if n == Noun::Correction as u8 => Self::Correction(Box::new(CorrectionRow::decode(bytes)?)),
            n if n == Noun::Controller as u8 => Self::Controller(ControllerRow::decode(bytes)?),
            n if n == Noun::ErasedValue as u8 => Self::ErasedValue(cbor::decode(bytes, STATE_VALUE_BYTES_MAX)?),
            n if n == Noun::Consent as u8 => Self::Consent(Box::new(ConsentRow::decode(bytes)?)),
            n if n == Noun::SubjectConsents as u8 => Self::SubjectConsents(SubjectConsentsRow::decode(bytes)?),
            _ => return Ok(None),
        }))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Counters(row) => row.to_bytes(),
            Self::Organisation(row) => row.to_bytes(),
            Self::Principal(row) => row.to_bytes(),
            Self::Key(row) => row.to_bytes(),
            Self::Register(register) => register.row.to_bytes(),
            Self::Tree(row) => row.to_bytes(),
            Self::Record(row) => row.to_bytes(),
            Self::Authority(row) => row.to_bytes(),
            Self::Revocation(row) => row.to_bytes(),
            Self::Revoked(row) => row.to_bytes(),
            Self::Rulebook(rulebook) => cbor::encode(rulebook.as_ref()),
            Self::Agenda(row) => row.to_bytes(),
            Self::Limits(row) => row.to_bytes(),
            Self::Proposal(row) => row.to_bytes(),
            Self::RuleText(text) => cbor::encode(text.as_str()),
            Self::Change(change) => cbor::encode(change.as_ref()),
            Self::Ballot(row) => row.to_bytes(),
            Self::Objection(row) => row.to_bytes(),
            Self::Page(row) => row.to_bytes(),
            Self::Turns(row) => row.to_bytes(),
            Self::Schedule(row) => row.to_bytes(),
            Self::Validator(row) => row.to_bytes(),
            Self::Recovery(row) => row.to_bytes(),
            Self::Mandate(row) => row.to_bytes(),
            Self::Nodes(row) => row.to_bytes(),
            Self::PolicySet(set) => set.row.to_bytes(),
            Self::Policy(row) => row.to_bytes(),
            Self::Partition(row) => row.to_bytes(),
            Self::Erasure(row) => row.to_bytes(),
            Self::Subject(row) => row.to_bytes(),
            Self::Hold(row) => row.to_bytes(),
            Self::Correction(row) => row.to_bytes(),
            Self::Controller(row) => row.to_bytes(),
            Self::Consent(row) => row.to_bytes(),
            Self::SubjectConsents(row) => row.to_bytes(),
            Self::ErasedValue(order) => cbor::encode(order.as_str()),
            Self::PartitionRoots(row) => row.to_bytes(),
        }
    }
}

/// Whether these bytes are a row of the noun that the key names: so that a stranger's are not taken for the state's.
pub fn is_row(key: &StateKey, bytes: &[u8]) -> bool {
    Row::decode(key, bytes).is_ok_and(|row| row.is_some())
}

/// The rows of a block: those fetched, and the changes to them.
#[derive(Debug, Default)]
pub struct View {
    rows: BTreeMap<StateKey, Slot>,
    policies: PolicyCache,
}

#[derive(Debug)]
struct Slot {
    held: Held,
    changed: bool,
}

#[derive(Debug)]
enum Held {
    /// As fetched, not needed yet.
    Stored(Vec<u8>),
    /// Decoded, or known to be absent.
    Read(Option<Row>),
}

/// Rows that were needed and not fetched. Nothing was changed: [`View::insert`] them and apply the transaction again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Vec<StateKey>);

impl View {
    /// A view without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// A view without rows that finds policies compiled here, and leaves here what it compiles.
    pub fn with_policies(policies: &PolicyCache) -> Self {
        Self { policies: policies.clone(), ..Self::default() }
    }

    /// Adds a row as the state before the block has it; none when the state has no such row. A row that is there already
    /// is kept: it may have changed.
    pub fn insert(&mut self, key: StateKey, row: Option<Vec<u8>>) {
        let held = row.map_or(Held::Read(None), Held::Stored);
        self.rows.entry(key).or_insert(Slot { held, changed: false });
    }

    /// Whether the row was fetched or written.
    pub fn contains(&self, key: &StateKey) -> bool {
        self.rows.contains_key(key)
    }

    /// The keys of the rows that were written.
    pub fn changed(&self) -> impl Iterator<Item = &StateKey> {
        self.rows.iter().filter(|(_, slot)| slot.changed).map(|(key, _)| key)
    }

    /// The rows that differ from the state before the block, encoded, in the order of their keys.
    pub fn changes(&self) -> BTreeMap<StateKey, Option<Vec<u8>>> {
        let changed = self.rows.iter().filter(|(_, slot)| slot.changed);
        changed
            .map(|(key, slot)| match &slot.held {
                Held::Read(row) => (*key, row.as_ref().map(Row::to_bytes)),
                Held::Stored(bytes) => (*key, Some(bytes.clone())),
            })
            .collect()
    }

    /// A row that was written, encoded; none of one that was not, or is there no more.
    pub fn change(&self, key: &StateKey) -> Option<Vec<u8>> {
        match &self.rows.get(key).filter(|slot| slot.changed)?.held {
            Held::Read(row) => row.as_ref().map(Row::to_bytes),
            Held::Stored(bytes) => Some(bytes.clone()),
        }
    }

    /// The row, or none when it was not fetched.
    ///
    /// # Panics
    /// When the state holds bytes under this key that are no such row: the ledger wrote none like it, so the store is
    /// broken, and going on would split the network.
    pub(crate) fn read(&mut self, key: &StateKey) -> Option<Option<&Row>> {
        let slot = self.rows.get_mut(key)?;
        if let Held::Stored(bytes) = &slot.held {
            match Row::decode(key, bytes) {
                Ok(row) => slot.held = Held::Read(row),
                Err(error) => unreachable!("row {key} of the state is broken: {error}"),
            }
        }
        match &slot.held {
            Held::Read(row) => Some(row.as_ref()),
            Held::Stored(_) => None,
        }
    }

    pub(crate) fn write(&mut self, key: StateKey, row: Row) {
        self.rows.insert(key, Slot { held: Held::Read(Some(row)), changed: true });
    }
}

/// A row was needed that is not in the view; the draft has noted which.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread;

/// One transaction's work on a view.
#[derive(Debug)]
pub(crate) struct Draft<'v> {
    view: &'v mut View,
    written: BTreeMap<StateKey, Row>,
    missing: Vec<StateKey>,
    judgements: Judgements,
    /// The chain of mandates under which the transaction acts.
    pub mandates: Vec<MandateId>,
}

/// Reads of one kind of row by its key.
macro_rules! read {
    ($(#[$meta:meta])* $name:ident, $variant:ident, $type:ty) => {
        $(#[$meta])*
        pub fn $name(&mut self, key: &StateKey) -> Result<Option<&$type>, Unread> {
            match self.row(key)? {
                Some(Row::$variant(row)) => Ok(Some(row)),
                None => Ok(None),
                // What is broken must not read as what is not there.
                Some(_) => unreachable!("row {key} is no {}", stringify!($name)),
            }
        }
    };
}

impl<'v> Draft<'v> {
    pub fn new(view: &'v mut View) -> Self {
        Self {
            view,
            written: BTreeMap::new(),
            missing: Vec::new(),
            judgements: Judgements::default(),
            mandates: Vec::new(),
        }
    }

    /// Keeps the changes.
    pub fn commit(self) {
        for (key, row) in self.written {
            self.view.write(key, row);
        }
    }

    /// The rows noted as missing, in the order of their keys.
    pub fn into_missing(mut self) -> Missing {
        self.missing.sort_unstable();
        self.missing.dedup();
        Missing(self.missing)
    }

    /// An error if a row was missing since the draft began.
    pub fn complete(&self) -> Result<(), Unread> {
        if self.missing.is_empty() { Ok(()) } else { Err(Unread) }
    }

    /// The changes so far, to come back to.
    pub fn save(&self) -> BTreeMap<StateKey, Row> {
        self.written.clone()
    }

    /// Forgets the changes made since.
    pub fn restore(&mut self, saved: BTreeMap<StateKey, Row>) {
        self.written = saved;
    }

    /// A row as it was before the draft, if it was fetched.
    pub fn stored(&mut self, key: &StateKey) -> Option<Row> {
        self.view.read(key).flatten().cloned()
    }

    /// Notes the row as missing if it is.
    pub fn touch(&mut self, key: StateKey) {
        if !self.written.contains_key(&key) && !self.view.contains(&key) {
            self.missing.push(key);
        }
    }

    pub fn write(&mut self, key: StateKey, row: Row) {
        self.written.insert(key, row);
    }

    fn row(&mut self, key: &StateKey) -> Result<Option<&Row>, Unread> {
        if let Some(row) = self.written.get(key) {
            return Ok(Some(row));
        }
        match self.view.read(key) {
            Some(row) => Ok(row),
            None => {
                self.missing.push(*key);
                Err(Unread)
            }
        }
    }

    read!(counters, Counters, CountersRow);
    read!(organisation, Organisation, OrganisationRow);
    read!(principal, Principal, Arc<PrincipalRow>);
    read!(key, Key, KeyRow);
    read!(tree, Tree, TreeRow);
    read!(record, Record, RecordRow);
    read!(authority, Authority, AuthorityRow);
    read!(revocation, Revocation, RevocationRow);
    read!(revoked, Revoked, RevokedRow);
    read!(rulebook, Rulebook, Arc<Rulebook>);
    read!(agenda, Agenda, AgendaRow);
    read!(limits, Limits, LimitsRow);
    read!(proposal, Proposal, Arc<ProposalRow>);
    read!(change, Change, Change);
    read!(ballot, Ballot, BallotRow);
    read!(objection, Objection, ObjectionRow);
    read!(page, Page, PageRow);
    read!(turns, Turns, TurnsRow);
    read!(schedule, Schedule, ScheduleRow);
    read!(validator, Validator, ValidatorRow);
    read!(mandate, Mandate, MandateRow);
    read!(nodes, Nodes, NodesRow);
    read!(policy_set, PolicySet, Arc<PolicySet>);
    read!(policy, Policy, PolicyRow);
    read!(partition, Partition, Arc<PartitionRow>);
    read!(erasure, Erasure, ErasureRow);
    read!(subject, Subject, SubjectRow);
    read!(hold, Hold, HoldRow);
    read!(consent, Consent, ConsentRow);
    read!(subject_consents, SubjectConsents, SubjectConsentsRow);
    read!(correction, Correction, CorrectionRow);
    read!(controller, Controller, ControllerRow);
    read!(partition_roots, PartitionRoots, PartitionRootsRow);

    /// Policies compiled.
    pub fn policies(&self) -> &PolicyCache {
        &self.view.policies
    }

    /// Notes what policies said, for the outcome.
    pub fn note_judgement(&mut self, judgement: Arc<Judgement>) -> Result<(), Unread> {
        let version = self.counters(&StateKey::counters())?.map_or(0, |counters| counters.policies);
        self.judgements.note(version, judgement);
        Ok(())
    }

    /// What policies said since this was last asked.
    pub fn take_judgements(&mut self) -> Judgements {
        std::mem::take(&mut self.judgements)
    }

    /// A register by its name.
    pub fn register(&mut self, name: &str) -> Result<Option<Arc<Register>>, Unread> {
        match self.row(&StateKey::register(name))? {
            Some(Row::Register(register)) => Ok(Some(Arc::clone(register))),
            _ => Ok(None),
        }
    }
}
