//! A partition on one of its members' nodes: its own state, what was handed over and not executed yet, and the execution.
//!
//! ```text
//! order in the public log ─▶ payload from the store ─▶ View: own rows + evidence ─▶ the ledger's apply ─▶ one commit a block
//! ```
//!
//! The state is a database like that of the public partition, under a prefix of its own. Each block that orders something in the
//! partition is one commit, with the [`Position`] after it as metadata: what was executed is told by the state itself, so a node goes
//! on after a crash where the last commit left it.
//!
//! INVARIANTS:
//! - What is executed, and what comes of it, depends on the public chain and the payloads only: two members that have executed up to the
//!   same height have the same root.
//! - Nobody but a node of its signer's own organisation has a transaction ordered: what another wraps, with evidence that does not
//!   suffice, leaves no trace, and the transaction can be ordered still.
//! - A private transaction is executed once at most: [`ActRow`] remembers its intent for ever.
//! - Evidence is not believed further than its own transaction: nothing of it is written, and the next transaction does not see it.

mod index;
mod parcels;
#[cfg(test)]
mod tests;

pub use index::{Kept as KeptRegister, NumberedRow, ProvenRecord};
pub use parcels::{Kept, ParcelStore, StoreError};

use crate::{
    database::{self, Row, StateDb},
    value::Value,
};
use bytes::Bytes;
use commonware_cryptography::sha256::Digest;
use commonware_runtime::{Spawner, buffer::paged::CacheRef};
use commonware_storage::{
    Context, mmr,
    qmdb::{self, floor::Proportional},
};
use commonware_utils::{NZU16, NZU64, NZUsize};
use minicbor::{Decode, Encode};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};
use tallystick_ledger::{self as ledger, BlockContext, Missing, PolicyCache, View};
use tallystick_protocol::{
    Code, Evidence, Hash, NetworkId, Noun, Operation, OperationName, OrderedParcel, Outcome, PartitionRow, Payload,
    SignedTransaction, StateKey, VerifiedTransaction, cbor,
    limits::{POLICIES_OF_EVIDENCE_MAX, STATE_VALUE_BYTES_MAX},
};

/// Pages of the cache of a partition's state.
const CACHE_PAGES: std::num::NonZeroUsize = NZUsize!(1024);

/// How far a partition was executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The height of the last block of which something was executed.
    pub height: u64,
    /// The place in the public log after the last order of it.
    pub location: u64,
    /// Private transactions executed so far.
    pub executed: u64,
    /// The time of that block, in Unix milliseconds.
    pub time_ms: u64,
}

impl Position {
    fn to_bytes(self) -> Vec<u8> {
        [self.height, self.location, self.executed, self.time_ms].iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |n: usize| Some(u64::from_be_bytes(bytes.get(8 * n..8 * n + 8)?.try_into().ok()?));
        Some(Self { height: word(0)?, location: word(1)?, executed: word(2)?, time_ms: word(3)? })
    }

    /// Leaves of the public log before that place.
    pub const fn leaves(&self) -> u64 {
        // Leaf i of block h lies at i + h.
        self.location.saturating_sub(self.height)
    }
}

/// What became of a private transaction, for ever: its intent does not count again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ActRow {
    /// The transaction's id.
    #[n(0)]
    pub transaction: Hash,
    /// Which it was of all in the partition, from 0.
    #[n(1)]
    pub number: u64,
    /// The height of the block that ordered it.
    #[n(2)]
    pub height: u64,
    /// SHA-256 of its outcome.
    #[n(3)]
    pub outcome: Hash,
    /// Why it was refused, if it was.
    #[n(4)]
    pub refused: Option<Code>,
}

impl ActRow {
    /// The key of the row of a transaction with this replay tag.
    pub fn key(replay_tag: &[u8; 16]) -> StateKey {
        StateKey::private_act(replay_tag)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, tallystick_protocol::CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

/// A payload in its place in the chain.
#[derive(Clone, Debug)]
pub struct Placed {
    /// How the ledger knows it.
    pub ordered: OrderedParcel,
    /// The height of which the order says that the evidence is.
    pub evidence_height: u64,
    /// The organisation whose node ordered it.
    pub orderer: String,
    /// What it is.
    pub payload: Payload,
}

/// All that one block orders in the partition.
#[derive(Clone, Debug)]
pub struct PrivateBlock {
    /// Its height.
    pub height: u64,
    /// Its time, in Unix milliseconds.
    pub time_ms: u64,
    /// The place in the public log after the last of these orders.
    pub location: u64,
    /// The payloads, in order.
    pub payloads: Vec<Placed>,
}

/// A private transaction that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its id; none of a payload that holds no transaction.
    pub transaction: Option<Hash>,
    /// Which it was of all in the partition, from 0.
    pub number: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it was accepted, and discloses a record to somebody outside: then its members certify the root after it.
    pub discloses: bool,
}

/// A partition's state.
pub struct Partition<E: Context + Spawner> {
    network: NetworkId,
    name: String,
    db: Option<StateDb<E>>,
    /// What was compiled of the network's policies, by the hash of all that evidence says of them.
    policies: Mutex<BTreeMap<Hash, PolicyCache>>,
    position: Position,
}

/// Rows that were changed by earlier transactions of the block, and are not in the database yet.
type Changed = BTreeMap<StateKey, Option<Vec<u8>>>;

impl<E: Context + Spawner> Partition<E> {
    /// Opens the state of a partition, or makes it.
    ///
    /// # Panics
    ///
    /// When the disk fails: a node that cannot read its state must stop.
    pub async fn open(runtime: E, prefix: &str, network: NetworkId, name: &str) -> Self {
        // With the engine's check sum of 12 bytes a page of the cache is one of the system's.
        let cache = CacheRef::new(NZU16!(4084), CACHE_PAGES);
        let prefix = format!("{prefix}-partition-{name}");
        let (config, _) = database::config::<E>(&prefix, NZU64!(1 << 14), &cache, &cache);
        let db = whole(StateDb::init(runtime, config, None).await);
        let metadata: Option<Row> = whole(db.get_metadata().await);
        let position = metadata.and_then(|row| Position::from_bytes(&row.0)).unwrap_or_default();
        Self { network, name: name.to_owned(), db: Some(db), policies: Mutex::default(), position }
    }

    /// How far it was executed.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The root of its state.
    pub fn root(&self) -> Hash {
        Hash(self.db().root().0)
    }

    /// A row of its state.
    ///
    /// # Panics
    ///
    /// When the disk fails.
    pub async fn row(&self, key: &StateKey) -> Option<Bytes> {
        let row: Option<Row> = whole(self.db().get(&Digest::from(key.0)).await);
        row.map(|row| row.0)
    }

    /// What became of the transaction of this replay tag, if it was executed.
    pub async fn act(&self, replay_tag: &[u8; 16]) -> Option<ActRow> {
        let row = self.row(&ActRow::key(replay_tag)).await?;
        ActRow::decode(&row).ok()
    }

    /// Executes what a block orders, and commits it durably.
    ///
    /// # Panics
    ///
    /// When the disk fails, or the block is not after the last one.
    pub async fn execute(&mut self, block: &PrivateBlock) -> Vec<Done> {
        assert!(block.height > self.position.height, "block {} was executed before", block.height);
        let mut changed = Changed::new();
        let mut done = Vec::with_capacity(block.payloads.len());
        for (placed, number) in block.payloads.iter().zip(self.position.executed..) {
            done.push(self.execute_one(&mut changed, block, placed, number).await);
        }
        self.position = Position {
            height: block.height,
            location: block.location,
            executed: self.position.executed + done.len() as u64,
            time_ms: block.time_ms,
        };
        self.commit(changed).await;
        done
    }

    async fn commit(&mut self, changed: Changed) {
        let Some(db) = self.db.take() else { unreachable!("a partition whose state was lost is not used") };
        let mut batch = db.new_batch();
        for (key, row) in changed {
            batch = batch.write(Digest::from(key.0), row.map(|row| Value(Bytes::from(row))));
        }
        let metadata = Value(Bytes::from(self.position.to_bytes()));
        let batch = whole(batch.merkleize(&db, Some(metadata), &mut Proportional).await);
        let db = whole(db.apply_batch(batch).await);
        self.db = Some(whole(db.commit().await));
    }

    async fn execute_one(&self, changed: &mut Changed, block: &PrivateBlock, placed: &Placed, number: u64) -> Done {
        let Ok(transaction) = self.judge(placed) else {
            let outcome = Outcome::refused(Code::PayloadInvalid, 0);
            return Done { transaction: None, number, outcome, discloses: false };
        };
        let (id, tag) = (transaction.id(), transaction.replay_tag());
        let act = ActRow::key(&tag);
        let known = match changed.get(&act) {
            Some(row) => row.is_some(),
            None => self.row(&act).await.is_some(),
        };
        if known {
            // The row of the first one stays.
            let outcome = Outcome::refused(Code::IntentRepeated, 0);
            return Done { transaction: Some(id), number, outcome, discloses: false };
        }
        let outcome = match self.admit(block, placed, &transaction) {
            Err(code) => Outcome::refused(code, 0),
            Ok(()) => self.apply(changed, block, placed.payload.evidence(), &transaction, number).await,
        };
        let refused = match &outcome {
            Outcome::Accepted { .. } => None,
            Outcome::Refused(refusal) => Some(refusal.code),
        };
        let row = ActRow { transaction: id, number, height: block.height, outcome: hash_of(&outcome), refused };
        changed.insert(act, Some(cbor::encode(&row)));
        index::number(changed, block, placed, (&transaction, number), &outcome);
        let is_told = |operation: &Operation| matches!(operation, Operation::RecordRead { recipient: Some(_), .. });
        let discloses = outcome.is_accepted() && transaction.operations().iter().any(is_told);
        Done { transaction: Some(id), number, outcome, discloses }
    }

    /// The transaction of a payload, if it is one of this partition, and its signer's own organisation has it ordered.
    fn judge(&self, placed: &Placed) -> Result<VerifiedTransaction, Code> {
        let transaction = transaction_of(&placed.payload, self.network, &self.name)?;
        let is_own = transaction.principal().organisation() == placed.orderer;
        if is_own { Ok(transaction) } else { Err(Code::PayloadInvalid) }
    }

    /// Whether the transaction may be executed at all.
    fn admit(&self, block: &PrivateBlock, placed: &Placed, transaction: &SignedTransaction) -> Result<(), Code> {
        let evidence = placed.payload.evidence();
        if evidence.height != placed.evidence_height {
            return Err(Code::PayloadInvalid);
        }
        if transaction.not_after() < block.time_ms / 1_000 {
            return Err(Code::IntentExpired);
        }
        may_execute(evidence, transaction, &self.name)
    }

    async fn apply(
        &self,
        changed: &mut Changed,
        block: &PrivateBlock,
        evidence: &Evidence,
        transaction: &VerifiedTransaction,
        number: u64,
    ) -> Outcome {
        let mut view = View::with_policies(&self.policies(evidence));
        let mut absent = BTreeSet::new();
        let context =
            BlockContext { network: self.network, height: block.height, time_ms: block.time_ms, log_size: number };
        loop {
            // INVARIANT: what evidence says may contradict itself, where the public state never does; the ledger then stops loudly,
            // always and everywhere at the same place, for it is a function of these rows. Here that is a refusal.
            let applied = catch_unwind(AssertUnwindSafe(|| ledger::apply(&mut view, &context, transaction, number)));
            let missing = match applied {
                Ok(Ok(outcome)) => {
                    let own = |key: &StateKey| !evidence.rows.contains_key(key) && !is_public(key, evidence);
                    let changes: Changed = view.changes().into_iter().filter(|(key, _)| own(key)).collect();
                    self.list(changed, &changes, &absent).await;
                    changed.extend(changes);
                    return outcome;
                }
                Ok(Err(Missing(keys))) => keys,
                Err(_) => return Outcome::refused(Code::EvidenceInvalid, 0),
            };
            for key in missing {
                let row = match (evidence.rows.get(&key), changed.get(&key)) {
                    (Some(row), _) => row.clone(),
                    (None, _) if is_public(&key, evidence) => return Outcome::refused(Code::EvidenceMissing, 0),
                    (None, Some(row)) => row.clone(),
                    (None, None) => self.row(&key).await.map(|row| row.to_vec()),
                };
                if row.is_none() {
                    absent.insert(key);
                }
                view.insert(key, row);
            }
        }
    }

    /// What was compiled of exactly these policies. INVARIANT: never of others that only have the same ids: what a node happens to have
    /// compiled before must not decide what comes of evidence that is false or lacks something.
    fn policies(&self, evidence: &Evidence) -> PolicyCache {
        let nouns = [Noun::Policy as u8, Noun::PolicySet as u8];
        let said = evidence.rows.iter().filter(|(key, _)| matches!(key.0, [noun, ..] if nouns.contains(&noun)));
        let said: Vec<Hash> = said
            .map(|(key, row)| match row {
                Some(row) => Hash::of(&[key.as_bytes(), &[1], row]),
                None => Hash::of(&[key.as_bytes(), &[0]]),
            })
            .collect();
        let hash = Hash::of(&said.iter().map(|Hash(one)| one.as_slice()).collect::<Vec<_>>());
        let mut known = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= POLICIES_OF_EVIDENCE_MAX && !known.contains_key(&hash) {
            known.clear();
        }
        known.entry(hash).or_default().clone()
    }

    fn db(&self) -> &StateDb<E> {
        match &self.db {
            Some(db) => db,
            None => unreachable!("a partition whose state was lost is not used"),
        }
    }

    /// What executing a transaction now would ask of the public state, which `public` knows: its evidence. Nothing comes of it.
    ///
    /// # Errors
    /// What `public` fails with.
    pub async fn evidence<X, Read>(
        &self,
        transaction: &VerifiedTransaction,
        (height, time_ms): (u64, u64),
        public: impl Fn(Vec<StateKey>) -> Read,
    ) -> Result<Evidence, X>
    where
        Read: Future<Output = Result<Vec<Option<Bytes>>, X>>,
    {
        let mut evidence = Evidence { height, rows: BTreeMap::new() };
        let first = vec![StateKey::partition(&self.name), StateKey::policy_set("")];
        let rows = public(first.clone()).await?;
        evidence.rows.extend(first.into_iter().zip(rows.into_iter().map(|row| row.map(|row| row.to_vec()))));
        // Their texts too, whether they are compiled here already or not.
        let texts: Vec<StateKey> = policies_of(&evidence).into_iter().collect();
        let rows = public(texts.clone()).await?;
        evidence.rows.extend(texts.into_iter().zip(rows.into_iter().map(|row| row.map(|row| row.to_vec()))));
        let mut view = View::with_policies(&self.policies(&evidence));
        evidence.rows.iter().for_each(|(key, row)| view.insert(*key, row.clone()));
        let context = BlockContext { network: self.network, height: height + 1, time_ms, log_size: 0 };
        while let Ok(Err(Missing(keys))) =
            catch_unwind(AssertUnwindSafe(|| ledger::apply(&mut view, &context, transaction, 0)))
        {
            let (asked, own): (Vec<StateKey>, Vec<StateKey>) =
                keys.into_iter().partition(|key| is_public(key, &evidence));
            for key in own {
                view.insert(key, self.row(&key).await.map(|row| row.to_vec()));
            }
            let rows = public(asked.clone()).await?;
            for (key, row) in asked.into_iter().zip(rows) {
                let row = row.map(|row| row.to_vec());
                view.insert(key, row.clone());
                evidence.rows.insert(key, row);
            }
        }
        Ok(evidence)
    }
}

/// The transaction of a payload, if it is one of this partition of this network, and its signatures hold.
///
/// # Errors
/// `payload-invalid` when it is anything else.
pub fn transaction_of(payload: &Payload, network: NetworkId, partition: &str) -> Result<VerifiedTransaction, Code> {
    let transaction = SignedTransaction::decode(payload.transaction().clone()).map_err(|_| Code::PayloadInvalid)?;
    if transaction.network() != network || transaction.partition() != Some(partition) {
        return Err(Code::PayloadInvalid);
    }
    transaction.verify().map_err(|_| Code::PayloadInvalid)
}

/// Whether, by its evidence, a transaction is a member's, and asks for what can be done in a partition.
///
/// # Errors
/// Why not.
pub fn may_execute(evidence: &Evidence, transaction: &SignedTransaction, partition: &str) -> Result<(), Code> {
    let is_sound = |(key, row): (&StateKey, &Option<Vec<u8>>)| {
        is_public(key, evidence) && row.as_ref().is_none_or(|row| ledger::state::is_row(key, row))
    };
    if !evidence.rows.iter().all(is_sound) {
        return Err(Code::EvidenceInvalid);
    }
    let row = evidence.rows.get(&StateKey::partition(partition)).ok_or(Code::EvidenceMissing)?;
    let row = row.as_ref().and_then(|row| PartitionRow::decode(row).ok()).ok_or(Code::EvidenceInvalid)?;
    let is_member = |organisation: &str| row.terms.has_member(organisation);
    if !transaction.signers().all(|(principal, _)| is_member(principal.organisation())) {
        return Err(Code::NotMember);
    }
    let can_be = |operation: &Operation| {
        use OperationName::{EntryAppend, RecordRead, RegisterCreate, RegisterImport, RegisterPhase, RegisterPolicy};
        [RegisterCreate, RegisterPhase, EntryAppend, RegisterImport, RegisterPolicy, RecordRead]
            .contains(&operation.name())
    };
    if transaction.operations().iter().all(can_be) { Ok(()) } else { Err(Code::NotPrivate) }
}

/// Whether a row is the public partition's, also for what is executed in another: who is who, who acts for whom, and the policies that
/// the network has made.
fn is_public(key: &StateKey, evidence: &Evidence) -> bool {
    let [noun, ..] = key.0;
    let nouns = [Noun::Organisation, Noun::Principal, Noun::Key, Noun::Mandate, Noun::Partition];
    nouns.iter().any(|public| *public as u8 == noun)
        || *key == StateKey::policy_set("")
        || (noun == Noun::Policy as u8 && policies_of(evidence).contains(key))
}

/// The keys of the policies of the network, as the evidence lists them.
fn policies_of(evidence: &Evidence) -> BTreeSet<StateKey> {
    let set = evidence.rows.get(&StateKey::policy_set("")).and_then(Option::as_ref);
    let set = set.and_then(|row| ledger::PolicySetRow::decode(row).ok()).unwrap_or_default();
    set.policies.iter().map(|policy| StateKey::policy(&policy.id, policy.version)).collect()
}

fn hash_of(outcome: &Outcome) -> Hash {
    Hash::of(&[&cbor::encode(outcome)])
}

fn whole<T>(result: Result<T, qmdb::Error<mmr::Family>>) -> T {
    match result {
        Ok(value) => value,
        #[expect(clippy::panic, reason = "a node that cannot read or write its state must stop")]
        Err(error) => panic!(
            "the state of a partition failed: {error}: check the disk under the data directory, then start the node again"
        ),
    }
}
