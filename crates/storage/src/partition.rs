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
//! - What proves a row says nothing of another: each is stored with a blind that members alone can derive.
//! - What is executed, and what comes of it, depends on the public chain and the payloads only: two members that have executed up to the
//!   same height have the same root.
//! - Nobody but a node of its signer's own organisation has a transaction ordered: what another wraps, with evidence that does not
//!   suffice, leaves no trace, and the transaction can be ordered still.
//! - A private transaction is executed once at most: [`ActRow`] remembers its intent for ever.
//! - Evidence is not believed further than its own payload: nothing of it is written, and the next payload does not see it. Nor does one
//!   transaction of a payload see what another did to a row of it.

mod damage;
mod erasures;
mod fields;
mod index;
mod opened;
mod parcels;
#[cfg(test)]
mod tests;

pub use fields::{Fields, appended};
pub use index::{Kept as KeptRegister, NumberedRow, ProvenRecord, ProvenRow, Told, record_tag};
pub use opened::{Opened, Standing};
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
    sync::{Arc, Mutex, PoisonError},
};
use tallystick_ledger::{self as ledger, BlockContext, Missing, PolicyCache, View};
use tallystick_protocol::{
    BlindRow, Code, ErasureRow, Evidence, Hash, NetworkId, Noun, Operation, OrderedParcel, Outcome, RowsSecret,
    SignedTransaction, StateKey, VerifiedTransaction, cbor,
    limits::{
        EVIDENCE_BYTES_MAX, EVIDENCE_ROWS_MAX, PARCEL_CLASS_MAX, PAYLOAD_TRANSACTIONS_MAX, POLICIES_OF_EVIDENCE_MAX,
        STATE_VALUE_BYTES_MAX,
    },
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

/// The form of a partition's state. One of another is made anew.
const FORM: u64 = 3;

impl Position {
    fn to_bytes(self) -> Vec<u8> {
        let words = [self.height, self.location, self.executed, self.time_ms, FORM];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// Of the commit's metadata: these words, and a blind.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks() else { return None };
        let words: Vec<u64> = words.iter().map(|word| u64::from_be_bytes(*word)).collect();
        match *words {
            [height, location, executed, time_ms, FORM, _, _, _, _] => {
                Some(Self { height, location, executed, time_ms })
            }
            _ => None,
        }
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
    pub opened: Arc<Opened>,
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
    /// Whether it was accepted, and discloses a record to somebody outside or ends an order of erasure: then its members certify the
    /// root after it.
    pub discloses: bool,
}

/// A partition's state.
pub struct Partition<E: Context + Spawner> {
    runtime: E,
    /// What the names of its folders begin with.
    prefix: String,
    network: NetworkId,
    name: String,
    db: Option<StateDb<E>>,
    /// What was compiled of the network's policies, by the hash of all that evidence says of them.
    policies: Mutex<BTreeMap<Hash, PolicyCache>>,
    position: Position,
    /// Why it is made anew.
    anew: Option<Anew>,
    /// The height after which its roots are posted.
    posts_after: u64,
}

/// The state under this prefix, and how far it was executed; none if it is of another form.
async fn open<E: Context + Spawner>(
    runtime: E,
    prefix: &str,
) -> Result<Option<(StateDb<E>, Position)>, qmdb::Error<mmr::Family>> {
    // With the engine's check sum of 12 bytes a page of the cache is one of the system's.
    let cache = CacheRef::new(NZU16!(4084), CACHE_PAGES);
    let (config, _) = database::config::<E>(prefix, NZU64!(1 << 14), &cache, &cache);
    let db = StateDb::init(runtime, config, None).await?;
    let metadata: Option<Row> = db.get_metadata().await?;
    let position = match metadata {
        None => Some(Position::default()),
        Some(row) => Position::from_bytes(&row.0),
    };
    Ok(position.map(|position| (db, position)))
}

/// Why a partition's state is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Anew {
    /// The disk has damaged it, as this says.
    Damaged(String),
    /// Another version of the program wrote it, in another form: its roots are others.
    Form,
}

/// Rows that were changed by earlier transactions of the block, and are not in the database yet.
type Changed = BTreeMap<StateKey, Option<Vec<u8>>>;

/// The rows that transactions of one payload share.
#[derive(Default)]
struct Sitting {
    view: Option<View>,
    /// Those that were not there before.
    absent: BTreeSet<StateKey>,
}

/// A transaction in its place.
struct Act<'a> {
    transaction: &'a VerifiedTransaction,
    /// Which it is of all in the partition, from 0.
    number: u64,
    /// Which it is of its payload, from 0.
    place: u32,
}

impl<E: Context + Spawner> Partition<E> {
    /// Opens the state of a partition, or makes it; one that is damaged, or of another form, is made anew: [`Partition::anew`] says so, and
    /// nothing is executed in it yet. `tip` is the height of the newest block, up to which roots of another form may have been posted.
    ///
    /// # Panics
    ///
    /// When the disk fails: a node that cannot read its state must stop.
    pub async fn open(runtime: E, prefix: &str, network: NetworkId, name: &str, tip: u64) -> Self {
        let prefix = format!("{prefix}-partition-{name}");
        let (mut opened, mut anew) = (None, None);
        let notes = damage::Notes::read(&runtime, &prefix).await;
        let damage::Notes { is_damaged, mut posts_after } = notes.unwrap_or_else(|error| damage::stop(name, &error));
        if is_damaged {
            anew = Some(Anew::Damaged("a read of it failed before".to_owned()));
        } else {
            match open(runtime.child("state"), &prefix).await {
                Err(error) if damage::is_damage(&error) => anew = Some(Anew::Damaged(error.to_string())),
                Ok(None) => anew = Some(Anew::Form),
                result => opened = Some(result),
            }
        }
        let opened = match opened {
            Some(opened) => opened,
            None => {
                // A damaged state may have been of another form, too.
                posts_after = posts_after.max(tip);
                let noted = damage::note_posts_after(&runtime, &prefix, posts_after).await;
                noted.unwrap_or_else(|error| damage::stop(name, &error));
                damage::remove(&runtime, &prefix).await.unwrap_or_else(|error| damage::stop(name, &error));
                open(runtime.child("anew"), &prefix).await
            }
        };
        let opened = opened.unwrap_or_else(|error| damage::stop(name, &error));
        let (db, position) = match opened {
            Some(opened) => opened,
            None => unreachable!("what is made anew is of this form"),
        };
        Self {
            runtime,
            prefix,
            network,
            name: name.to_owned(),
            db: Some(db),
            policies: Mutex::default(),
            position,
            anew,
            posts_after,
        }
    }

    /// Why its state, when it was opened, was found to be one that is made anew of its payloads; none if it was not.
    pub const fn anew(&self) -> Option<&Anew> {
        self.anew.as_ref()
    }

    /// The height after which its roots are posted: up to it this node, or another, may have posted those of another form. Known after every
    /// start, also where the one that made it anew did not come to execute anything.
    pub const fn posts_after(&self) -> u64 {
        self.posts_after
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
        self.stored(key).await.map(|stored| stored.row)
    }

    /// The same with its blind.
    async fn stored(&self, key: &StateKey) -> Option<BlindRow> {
        let stored: Option<Row> = self.whole(self.db().get(&Digest::from(key.0)).await).await;
        let row = BlindRow::of(&stored?.0).ok_or(qmdb::Error::DataCorrupted("a row without its blind"));
        Some(self.whole(row).await)
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
        let (mut changed, done) = self.run(block).await;
        // No transaction sees these.
        fields::note(&mut changed, &block.payloads, self.position.executed);
        let secret = RowsSecret::of(block.height, block.payloads.iter().map(|placed| placed.opened.payload()));
        self.position = Position {
            height: block.height,
            location: block.location,
            executed: self.position.executed + done.len() as u64,
            time_ms: block.time_ms,
        };
        self.commit(changed, &secret).await;
        done
    }

    /// What would become of what a block orders if it were executed now, one transaction after another. Nothing comes of it.
    ///
    /// # Panics
    ///
    /// When the disk fails.
    pub async fn rehearse(&self, block: &PrivateBlock) -> Vec<Outcome> {
        self.run(block).await.1.into_iter().map(|done| done.outcome).collect()
    }

    /// The rows that a block changes, and what becomes of what it orders.
    async fn run(&self, block: &PrivateBlock) -> (Changed, Vec<Done>) {
        let mut changed = Changed::new();
        let mut done = Vec::with_capacity(block.payloads.len());
        for placed in &block.payloads {
            let mut sitting = Sitting::default();
            for (transaction, place) in placed.opened.transactions().iter().zip(0..) {
                let number = self.position.executed + done.len() as u64;
                done.push(match self.judge(placed, transaction) {
                    Ok(transaction) => {
                        let act = Act { transaction, number, place };
                        self.execute_one((&mut changed, &mut sitting), block, placed, &act).await
                    }
                    Err(code) => {
                        let outcome = Outcome::refused(code, 0);
                        Done { transaction: None, number, outcome, discloses: false }
                    }
                });
            }
            self.rise(&mut changed, sitting, placed).await;
        }
        (changed, done)
    }

    async fn commit(&mut self, changed: Changed, secret: &RowsSecret) {
        let Some(db) = self.db.take() else { unreachable!("a partition whose state was lost is not used") };
        let mut batch = db.new_batch();
        for (key, row) in changed {
            batch = batch.write(Digest::from(key.0), row.map(|row| Value(secret.hide(&key, row).stored())));
        }
        let metadata = [self.position.to_bytes(), secret.blind_of_commit().0.to_vec()].concat();
        let metadata = Value(Bytes::from(metadata));
        let batch = self.whole(batch.merkleize(&db, Some(metadata), &mut Proportional).await).await;
        let db = self.whole(db.apply_batch(batch).await).await;
        self.db = Some(self.whole(db.commit().await).await);
    }

    async fn execute_one(
        &self,
        (changed, sitting): (&mut Changed, &mut Sitting),
        block: &PrivateBlock,
        placed: &Placed,
        act: &Act<'_>,
    ) -> Done {
        let Act { transaction, number, .. } = *act;
        let (id, key) = (transaction.id(), ActRow::key(&transaction.replay_tag()));
        let known = match changed.get(&key) {
            Some(row) => row.is_some(),
            None => self.row(&key).await.is_some(),
        };
        if known {
            // The row of the first one stays.
            let outcome = Outcome::refused(Code::IntentRepeated, 0);
            return Done { transaction: Some(id), number, outcome, discloses: false };
        }
        let outcome = match Self::admit(block, placed, transaction) {
            Err(code) => Outcome::refused(code, 0),
            Ok(()) => self.apply((changed, sitting), block, placed, act).await,
        };
        let refused = match &outcome {
            Outcome::Accepted { .. } => None,
            Outcome::Refused(refusal) => Some(refusal.code),
        };
        let row = ActRow { transaction: id, number, height: block.height, outcome: hash_of(&outcome), refused };
        changed.insert(key, Some(cbor::encode(&row)));
        index::number(changed, block, placed, act, &outcome);
        let shows = transaction.operations().iter().any(|operation| operation.recipient().is_some());
        let discloses = outcome.is_accepted() && (shows || completes(changed, sitting, transaction));
        Done { transaction: Some(id), number, outcome, discloses }
    }

    /// The transaction, if it is one of this partition, and its signer's own organisation has it ordered.
    fn judge<'a>(
        &self,
        placed: &Placed,
        transaction: &'a Result<VerifiedTransaction, Code>,
    ) -> Result<&'a VerifiedTransaction, Code> {
        let transaction = transaction.as_ref().map_err(|code| *code)?;
        let is_here = transaction.network() == self.network && transaction.partition() == Some(&self.name);
        let is_own = transaction.principal().organisation() == placed.orderer;
        if is_here && is_own { Ok(transaction) } else { Err(Code::PayloadInvalid) }
    }

    /// Whether the transaction may be executed at all.
    fn admit(block: &PrivateBlock, placed: &Placed, transaction: &SignedTransaction) -> Result<(), Code> {
        if placed.opened.payload().evidence().height != placed.evidence_height {
            return Err(Code::PayloadInvalid);
        }
        if transaction.not_after() < block.time_ms / 1_000 {
            return Err(Code::IntentExpired);
        }
        placed.opened.may_execute(transaction)?;
        placed.opened.may_give(transaction)
    }

    async fn apply(
        &self,
        (changed, sitting): (&mut Changed, &mut Sitting),
        block: &PrivateBlock,
        placed: &Placed,
        act: &Act<'_>,
    ) -> Outcome {
        let (evidence, standing) = (placed.opened.payload().evidence(), &placed.opened.standing);
        let Act { transaction, number, .. } = *act;
        let context =
            BlockContext { network: self.network, height: block.height, time_ms: block.time_ms, log_size: number };
        loop {
            let view = sitting.view.get_or_insert_with(|| View::with_policies(&self.policies(evidence)));
            // INVARIANT: what evidence says may contradict itself, where the public state never does; the ledger then stops loudly,
            // always and everywhere at the same place, for it is a function of these rows. Here that is a refusal.
            let applied = catch_unwind(AssertUnwindSafe(|| ledger::apply(view, &context, transaction, number)));
            let missing = match applied {
                Ok(Ok(outcome)) => {
                    // Nobody after it sees a row of the evidence otherwise than the evidence says.
                    if view.changed().any(|key| standing.is_public(key) || evidence.rows.contains_key(key)) {
                        self.rise(changed, std::mem::take(sitting), placed).await;
                    }
                    return outcome;
                }
                Ok(Err(Missing(keys))) => keys,
                Err(_) => {
                    self.rise(changed, std::mem::take(sitting), placed).await;
                    return Outcome::refused(Code::EvidenceInvalid, 0);
                }
            };
            for key in missing {
                let row = match (evidence.rows.get(&key), changed.get(&key)) {
                    (Some(row), _) => row.clone(),
                    (None, _) if standing.is_public(&key) => return Outcome::refused(Code::EvidenceMissing, 0),
                    (None, Some(row)) => row.clone(),
                    (None, None) => self.row(&key).await.map(|row| row.to_vec()),
                };
                if row.is_none() {
                    sitting.absent.insert(key);
                }
                if let Some(view) = &mut sitting.view {
                    view.insert(key, row);
                }
            }
        }
    }

    /// Ends a sitting: the partition's own rows that it changed are changed for those that follow.
    async fn rise(&self, changed: &mut Changed, sitting: Sitting, placed: &Placed) {
        let Sitting { view: Some(view), absent } = sitting else { return };
        let (evidence, standing) = (placed.opened.payload().evidence(), &placed.opened.standing);
        let own = |key: &StateKey| !evidence.rows.contains_key(key) && !standing.is_public(key);
        let changes: Changed = view.changes().into_iter().filter(|(key, _)| own(key)).collect();
        self.list(changed, &changes, &absent).await;
        changed.extend(changes);
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

    /// What executing these transactions now, one after another, would ask of the public state, which `public` knows: the evidence of as
    /// many of them, from the first on, as fit into one payload. With what would become of each of these, as far as it can be told. Nothing
    /// comes of it.
    ///
    /// # Errors
    /// What `public` fails with.
    pub async fn evidence<X, Read>(
        &self,
        transactions: &[&VerifiedTransaction],
        (height, time_ms): (u64, u64),
        public: impl Fn(Vec<StateKey>) -> Read,
    ) -> Result<(Evidence, Vec<Option<Outcome>>), X>
    where
        Read: Future<Output = Result<Vec<Option<Bytes>>, X>>,
    {
        let mut evidence = Evidence { height, rows: BTreeMap::new() };
        fetch(&mut evidence, vec![StateKey::partition(&self.name), StateKey::policy_set("")], &public).await?;
        // Their texts too, whether they are compiled here already or not.
        let texts = policies_of(&evidence).into_iter().collect();
        fetch(&mut evidence, texts, &public).await?;
        let standing = Standing::of(&evidence, &self.name);
        let mut view = View::with_policies(&self.policies(&evidence));
        evidence.rows.iter().for_each(|(key, row)| view.insert(*key, row.clone()));
        let mut known = self.beforehand(transactions, (&evidence, &standing), &public).await?;
        let (mut bytes, mut outcomes) = (0, Vec::new());
        for transaction in transactions.iter().take(PAYLOAD_TRANSACTIONS_MAX) {
            let (mut new, log_size) = (Vec::new(), outcomes.len() as u64);
            let context = BlockContext { network: self.network, height: height + 1, time_ms, log_size };
            let outcome = loop {
                // What cannot be executed must not change what those after it rely on.
                if standing.may_execute(transaction).is_err() {
                    break None;
                }
                let applied = AssertUnwindSafe(|| ledger::apply(&mut view, &context, transaction, log_size));
                let keys = match catch_unwind(applied) {
                    Ok(Ok(outcome)) => break Some(outcome),
                    Ok(Err(Missing(keys))) => keys,
                    Err(_) => break None,
                };
                let (asked, own): (Vec<StateKey>, Vec<StateKey>) =
                    keys.into_iter().partition(|key| standing.is_public(key));
                for key in own {
                    view.insert(key, self.row(&key).await.map(|row| row.to_vec()));
                }
                let (here, absent): (Vec<StateKey>, Vec<StateKey>) =
                    asked.iter().copied().partition(|key| known.contains_key(key));
                evidence.rows.extend(here.iter().filter_map(|key| known.remove_entry(key)));
                fetch(&mut evidence, absent, &public).await?;
                asked.iter().for_each(|key| view.insert(*key, evidence.rows.get(key).cloned().flatten()));
                new.extend(asked);
            };
            bytes += transaction.bytes().len() + BYTES_BESIDE_TRANSACTION;
            // The first one alone is told when it does not fit.
            if !outcomes.is_empty() && !fits(bytes, &evidence) {
                new.iter().for_each(|key| drop(evidence.rows.remove(key)));
                break;
            }
            outcomes.push(outcome);
        }
        Ok((evidence, outcomes))
    }

    /// What these transactions surely ask of the public state, as many as may fit into one payload: read at once, which spares a read for
    /// each.
    async fn beforehand<X, Read>(
        &self,
        transactions: &[&VerifiedTransaction],
        (evidence, standing): (&Evidence, &Standing),
        public: &impl Fn(Vec<StateKey>) -> Read,
    ) -> Result<BTreeMap<StateKey, Option<Vec<u8>>>, X>
    where
        Read: Future<Output = Result<Vec<Option<Bytes>>, X>>,
    {
        let mut bytes = 0;
        let fit = transactions.iter().take_while(|transaction| {
            bytes += transaction.bytes().len();
            bytes <= 1 << PARCEL_CLASS_MAX
        });
        let keys = fit.flat_map(|transaction| ledger::wanted(transaction));
        let keys = keys.filter(|key| standing.is_public(key) && !evidence.rows.contains_key(key));
        let keys: BTreeSet<StateKey> = keys.take(2 * EVIDENCE_ROWS_MAX).collect();
        let mut known = Evidence { height: evidence.height, rows: BTreeMap::new() };
        fetch(&mut known, keys.into_iter().collect(), public).await?;
        Ok(known.rows)
    }
}

/// Bytes in a payload beside a transaction, at most: its length.
const BYTES_BESIDE_TRANSACTION: usize = 5;
/// Bytes in a payload beside a row of the evidence, at most: its key, and the lengths of both.
const BYTES_BESIDE_ROW: usize = 48;
/// Bytes in a payload beside these.
const BYTES_BESIDE: usize = 256;

/// Whether transactions of so many bytes fit into a payload with their evidence.
fn fits(bytes: usize, evidence: &Evidence) -> bool {
    let rows: usize = evidence.rows.values().flatten().map(Vec::len).sum();
    let whole = BYTES_BESIDE + bytes + rows + evidence.rows.len() * BYTES_BESIDE_ROW;
    evidence.rows.len() <= EVIDENCE_ROWS_MAX && rows <= EVIDENCE_BYTES_MAX && whole <= 1 << PARCEL_CLASS_MAX
}

/// Adds rows to evidence.
async fn fetch<X, Read>(
    evidence: &mut Evidence,
    keys: Vec<StateKey>,
    public: &impl Fn(Vec<StateKey>) -> Read,
) -> Result<(), X>
where
    Read: Future<Output = Result<Vec<Option<Bytes>>, X>>,
{
    if !keys.is_empty() {
        let rows = public(keys.clone()).await?;
        evidence.rows.extend(keys.into_iter().zip(rows.into_iter().map(|row| row.map(|row| row.to_vec()))));
    }
    Ok(())
}

/// The keys of the policies of the network, as the evidence lists them.
fn policies_of(evidence: &Evidence) -> BTreeSet<StateKey> {
    let set = evidence.rows.get(&StateKey::policy_set("")).and_then(Option::as_ref);
    let set = set.and_then(|row| ledger::PolicySetRow::decode(row).ok()).unwrap_or_default();
    set.policies.iter().map(|policy| StateKey::policy(&policy.id, policy.version)).collect()
}

/// Whether a transaction that was accepted gives the last receipt that an order of erasure waits for.
fn completes(changed: &Changed, sitting: &Sitting, transaction: &SignedTransaction) -> bool {
    transaction.operations().iter().any(|operation| {
        let Operation::ErasureReceipt { order, .. } = operation else { return false };
        let key = StateKey::erasure(order);
        let row =
            sitting.view.as_ref().and_then(|view| view.change(&key)).or_else(|| changed.get(&key).cloned().flatten());
        row.and_then(|row| ErasureRow::decode(&row).ok()).is_some_and(|row| row.is_over())
    })
}

fn hash_of(outcome: &Outcome) -> Hash {
    Hash::of(&[&cbor::encode(outcome)])
}
