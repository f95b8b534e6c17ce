//! Apply a block's transactions to its parent's state and seal the result: rows, log entries, and what the header says of both.
//!
//! The ledger decides and knows no database; this fetches the rows it asks for, in as few rounds as it can, and writes what it
//! changed. Nothing here depends on anything but the block, its parent's state and the genesis.

use crate::{
    database::{Merkleized, Row, Targets, Unmerkleized},
    value::{Value, height_metadata},
};
use bytes::Bytes;
use commonware_cryptography::sha256::Digest;
use commonware_glue::stateful::db::{Merkleized as _, Unmerkleized as _};
use commonware_runtime::Spawner;
use commonware_storage::{
    Context,
    mmr::{self, Location},
    qmdb::{self, current::batch::Slot, sync::Target},
};
use commonware_utils::non_empty_range;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_ledger::{self as ledger, PolicyCache, ScheduleRow, View};
use tallystick_protocol::{
    BlockHeader, Calendar, Genesis, Hash, LogCommitment, LogEntry, Recovery, StateCommitment, StateKey,
    VerifiedTransaction, merkle::Frontier,
};

/// Which block is applied.
#[derive(Clone, Debug)]
pub struct BlockPlace {
    /// Its height.
    pub height: u64,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// The epoch that begins with it, if one does.
    begins: Option<u64>,
    /// The recovery by which that epoch begins, if it does so by one.
    recovery: Option<Box<Recovery>>,
}

impl BlockPlace {
    /// The block at this height, of this time; after a recovery, if it is the first one after.
    #[must_use]
    pub fn new(calendar: &Calendar, height: u64, time_ms: u64, recovery: Option<Box<Recovery>>) -> Self {
        let begins = calendar.begins_epoch(height).then(|| calendar.epoch_of(height));
        Self { height, time_ms, begins, recovery }
    }
}

/// A block applied: ready to be stored, and what its header must say.
pub struct Executed<E: Context + Spawner> {
    /// Both databases' sealed batches.
    pub merkleized: Merkleized<E>,
    /// What the header says of the state.
    pub state: StateCommitment,
    /// What the header says of the log.
    pub log: LogCommitment,
    /// What the log stores of each transaction, in order.
    pub entries: Vec<LogEntry>,
    /// Of an epoch's first block: its validators, and those after them.
    pub schedule: Option<ScheduleRow>,
}

/// The batch no longer fits the database, which moved to another branch: only a request that was given up sees this.
#[derive(Debug, thiserror::Error)]
#[error("the state moved on while a block was executed on it")]
pub struct Stale;

/// Applies `transactions` as `block` on the state that `batches` stand on. What is compiled of policies is found in `policies`, and
/// left there.
///
/// # Panics
///
/// When the disk fails: a node that cannot read its state must stop.
pub async fn execute<E: Context + Spawner>(
    batches: Unmerkleized<E>,
    genesis: &Genesis,
    policies: &PolicyCache,
    block: BlockPlace,
    transactions: &[VerifiedTransaction],
) -> Result<Executed<E>, Stale> {
    let (state, log) = batches;
    let mut rows = Rows::default();
    let frontier_key = StateKey::log();
    let mut first: BTreeSet<StateKey> = [frontier_key].into();
    first.extend(ledger::wanted_first());
    first.extend(block.begins.map(|_| ledger::validators::epoch_rows()).into_iter().flatten());
    first.extend(block.recovery.iter().flat_map(|recovery| ledger::validators::recovery_rows(recovery)));
    for transaction in transactions {
        first.extend(ledger::wanted(transaction));
    }
    let keys = rows.wants(first);
    let (values, mut staged) = state
        .with_metadata(height_metadata(block.height))
        .stage(&keys.iter().collect::<Vec<_>>())
        .await
        .map_err(stale)?;
    rows.arrived(values);

    let mut frontier = rows.frontier(&frontier_key);
    let mut view = View::with_policies(policies);
    rows.give(&mut view);
    let schedule = begin(&mut view, genesis, &block);
    let context = ledger::BlockContext {
        network: genesis.id(),
        height: block.height,
        time_ms: block.time_ms,
        log_size: frontier.size(),
    };
    let mut progress = Progress::new(transactions);
    while let Err(missing) = progress.advance(&mut view, &context) {
        let keys = rows.wants(progress.wanted(missing, &mut view));
        let (_, values, expanded) = staged.expand(&keys.iter().collect::<Vec<_>>()).await.map_err(stale)?;
        staged = expanded;
        rows.arrived(values);
        rows.give(&mut view);
    }
    let entries = progress.entries;

    let mut log = log.with_metadata(height_metadata(block.height));
    for (entry, transaction) in entries.iter().zip(transactions) {
        frontier.append(entry.leaf_of(transaction.id()).hash());
        log = log.append(Value(Bytes::from(entry.to_bytes())));
    }
    let mut changes = view.changes();
    changes.insert(frontier_key, Some(frontier.to_bytes()));
    let (slots, unstaged) = rows.split(changes);
    let state = staged.merkleize(slots, unstaged).await.map_err(stale)?;
    let log = log.merkleize().await.map_err(stale)?;
    let merkleized = (state, log);
    let (state, log) = commitments::<E>(&merkleized, &frontier);
    Ok(Executed { merkleized, state, log, entries, schedule })
}

/// What a block does before its first transaction. Of an epoch's first block: its validators, and those after them.
fn begin(view: &mut View, genesis: &Genesis, block: &BlockPlace) -> Option<ScheduleRow> {
    if block.height == 1 {
        ledger::genesis(view, genesis);
    }
    block.begins.map(|epoch| match &block.recovery {
        Some(recovery) => ledger::validators::recover(view, epoch, recovery),
        None => ledger::validators::begin_epoch(view, epoch),
    })
}

/// How far a block has been applied.
struct Progress<'t> {
    transactions: &'t [VerifiedTransaction],
    has_begun: bool,
    has_prefetched: bool,
    entries: Vec<LogEntry>,
}

impl<'t> Progress<'t> {
    fn new(transactions: &'t [VerifiedTransaction]) -> Self {
        let entries = Vec::with_capacity(transactions.len());
        Self { transactions, has_begun: false, has_prefetched: false, entries }
    }

    fn left(&self) -> &'t [VerifiedTransaction] {
        self.transactions.get(self.entries.len()..).unwrap_or_default()
    }

    /// Goes on to the block's end, or until rows are missing.
    fn advance(&mut self, view: &mut View, context: &ledger::BlockContext) -> Result<(), ledger::Missing> {
        if !self.has_begun {
            ledger::begin_block(view, context)?;
            self.has_begun = true;
        }
        for transaction in self.left() {
            let leaf = context.log_size + self.entries.len() as u64;
            let outcome = ledger::apply(view, context, transaction, leaf)?;
            let (height, time_ms) = (context.height, context.time_ms);
            self.entries.push(LogEntry { transaction: transaction.bytes().clone(), height, time_ms, outcome });
        }
        Ok(())
    }

    /// The rows to fetch next. The first miss of a transaction tells that the second round begins: every transaction's rows are
    /// asked for at once.
    fn wanted(&mut self, missing: ledger::Missing, view: &mut View) -> BTreeSet<StateKey> {
        let mut wanted: BTreeSet<StateKey> = missing.0.into_iter().collect();
        if self.has_begun && !self.has_prefetched {
            self.has_prefetched = true;
            for later in self.left() {
                wanted.extend(ledger::wanted_next(view, later));
            }
        }
        wanted
    }
}

/// Changes to rows that were not read.
type Unstaged = Vec<(Digest, Option<Row>)>;

/// What was read so far, slot by slot, as the staged batch numbers its reads.
#[derive(Default)]
struct Rows {
    slots: Vec<StateKey>,
    known: BTreeMap<StateKey, usize>,
    fresh: Vec<(StateKey, Option<Bytes>)>,
}

impl<E: Context + Spawner> Executed<E> {
    /// What the header says of its validators and of those of the next epoch, given its parent.
    #[must_use]
    pub fn validators(&self, parent: &BlockHeader) -> (Hash, Hash) {
        let schedule = self.schedule.as_ref();
        schedule.map_or((parent.validators, parent.next_validators), |s| (s.running.hash(), s.next.hash()))
    }

    /// Whether the header says of the state, the log and, at an epoch's beginning, of the validators what came out here.
    #[must_use]
    pub fn is_as_stated(&self, header: &BlockHeader) -> bool {
        let validators = self.schedule.as_ref().map(|s| (s.running.hash(), s.next.hash()));
        self.state == header.state
            && self.log == header.log
            && validators.is_none_or(|named| named == (header.validators, header.next_validators))
    }
}

impl Rows {
    /// Which of `keys` have yet to be read.
    fn wants(&mut self, keys: BTreeSet<StateKey>) -> Vec<Digest> {
        let mut digests = Vec::with_capacity(keys.len());
        for key in keys {
            if let std::collections::btree_map::Entry::Vacant(vacant) = self.known.entry(key) {
                vacant.insert(self.slots.len());
                self.slots.push(key);
                self.fresh.push((key, None));
                digests.push(Digest::from(key.0));
            }
        }
        digests
    }

    fn arrived(&mut self, values: Vec<Option<Row>>) {
        for (fresh, value) in self.fresh.iter_mut().zip(values) {
            fresh.1 = value.map(|row| row.0);
        }
    }

    fn frontier(&self, key: &StateKey) -> Frontier {
        let row = self.fresh.iter().find(|(fresh, _)| fresh == key).and_then(|(_, row)| row.as_ref());
        row.map_or_else(Frontier::default, |row| {
            #[expect(clippy::expect_used, reason = "the node wrote this row itself, and the root vouches for it")]
            Frontier::from_bytes(row).expect("the log frontier row decodes")
        })
    }

    fn give(&mut self, view: &mut View) {
        for (key, row) in self.fresh.drain(..) {
            view.insert(key, row.map(|row| row.to_vec()));
        }
    }

    /// Changes to rows that were read, and to rows that were not.
    fn split(self, mut changes: BTreeMap<StateKey, Option<Vec<u8>>>) -> (Vec<Slot<Row>>, Unstaged) {
        let row = |bytes: Vec<u8>| Value(Bytes::from(bytes));
        let slots = self
            .slots
            .iter()
            .map(|key| match changes.remove(key) {
                None => Slot::Keep,
                Some(Some(bytes)) => Slot::Put(row(bytes)),
                Some(None) => Slot::Delete,
            })
            .collect();
        let unstaged = changes.into_iter().map(|(key, bytes)| (Digest::from(key.0), bytes.map(row))).collect();
        (slots, unstaged)
    }
}

fn stale(error: qmdb::Error<mmr::Family>) -> Stale {
    match error {
        qmdb::Error::StaleRead | qmdb::Error::StaleBatch => Stale,
        #[expect(clippy::panic, reason = "a node that cannot read or write its state must stop")]
        error => panic!(
            "the state database failed: {error}: check the disk under the data directory, then start the node again"
        ),
    }
}

fn commitments<E: Context + Spawner>(
    (state, log): &Merkleized<E>,
    frontier: &Frontier,
) -> (StateCommitment, LogCommitment) {
    let (state_bounds, log_bounds) = (state.bounds(), log.bounds());
    let state = StateCommitment {
        root: Hash(state.root().0),
        operations_root: Hash(state.ops_root().0),
        // Not the inactivity floor: the database keeps whole chunks of its bitmap.
        start: *state.sync_boundary(),
        end: *state_bounds.tip.size,
    };
    let log = LogCommitment {
        size: frontier.size(),
        root: frontier.root(),
        store_root: Hash(log.root().0),
        store_end: *log_bounds.tip.size,
    };
    (state, log)
}

/// What a state sync to this header must arrive at.
#[must_use]
pub fn targets(header: &BlockHeader) -> Targets {
    let target = |root: Hash, start: u64, end: u64| {
        let (start, end) = (Location::new(start), Location::new(end.max(start + 1)));
        Target::new(Digest::from(root.0), non_empty_range!(start, end))
    };
    (
        target(header.state.operations_root, header.state.start, header.state.end),
        target(header.log.store_root, 0, header.log.store_end),
    )
}

/// What the header of an empty ledger says: the genesis block, which holds nothing. Block 1 writes the genesis rows.
#[must_use]
pub fn empty<E: Context + Spawner>() -> (StateCommitment, LogCommitment) {
    use crate::database::Databases;
    use commonware_glue::stateful::db::DatabaseSet;
    let (state, log) = <Databases<E> as DatabaseSet<E>>::initial_sync_targets();
    let commitment = StateCommitment {
        // Not compared with the database: the genesis is trusted, and its state is known to be empty.
        root: Hash(state.root.0),
        operations_root: Hash(state.root.0),
        start: *state.range.start(),
        end: *state.range.end(),
    };
    let log = LogCommitment {
        size: 0,
        root: Frontier::default().root(),
        store_root: Hash(log.root.0),
        store_end: *log.range.end(),
    };
    (commitment, log)
}
