//! The index over the log: which leaf a transaction is, which intents were ordered already, where each register's entries
//! lie, who did what, and the trees over all of them.
//!
//! Pure and in memory. It is rebuilt from the log's entries alone, in their order, and fed with each finalised block; about
//! 200 bytes for each transaction that appends one entry, of which the index of acts takes some fifteen. The contents stay in the log: a [`Position`] says where to read,
//! and [`entry_at`] picks an entry out of what was read.
//!
//! INVARIANT: two histories that were given the same entries give the same answers.

mod acts;
mod register;
mod replays;
mod table;
#[cfg(test)]
mod tests;

pub use acts::{ActQuery, Outcomes};
pub use register::{ItemPosition, RegisterHistory};

use acts::Acts;
use replays::Replays;
use std::{collections::BTreeMap, hash::BuildHasher as _, hash::RandomState, ops::Range};
use table::Table;
use tallystick_ledger::{entry_leaf::entry_leaf_hash, item::item_hash};
use tallystick_protocol::{
    Appended, Change, EntryKind, Hash, LogEntry, Operation, Outcome, Resource, SignedTransaction, Tree,
    transaction::DecodeError,
};

/// Milliseconds in the seconds that entries are timed by.
const SECOND_MS: u64 = 1000;
/// Bytes of a transaction's id that are kept: nobody can find two transactions that share them.
const ID_BYTES: usize = 16;

/// Why a log entry is not what the index expects. The log or this program is broken: the history must not be used further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The transaction does not decode.
    #[error("its transaction does not decode: {0}")]
    Transaction(#[from] DecodeError),
    /// The transaction is in the log already.
    #[error("transaction {id} is log entry {leaf} already")]
    Duplicate {
        /// The transaction.
        id: Hash,
        /// Where it is.
        leaf: u64,
    },
    /// A height that is below the one before.
    #[error("its height {height} follows height {before}")]
    Height {
        /// The entry's.
        height: u64,
        /// That of the entry before.
        before: u64,
    },
    /// The outcome names a register that no transaction before it created.
    #[error("its outcome names register `{0}`, which was never created")]
    Register(String),
    /// The outcome names another range of numbers than comes next.
    #[error("its outcome numbers {kind} entries of register `{register}` from {first}, where {next} comes next")]
    Number {
        /// The register.
        register: String,
        /// The kind.
        kind: EntryKind,
        /// What the outcome says.
        first: u64,
        /// What it must be.
        next: u64,
    },
    /// The outcome names entries that the transaction does not hold.
    #[error("its outcome counts {count} {kind} entries in operation {operation}, which does not hold as many")]
    Absent {
        /// The operation.
        operation: u32,
        /// The kind.
        kind: EntryKind,
        /// How many.
        count: u64,
    },
    /// More than the index can count.
    #[error("{0} are more than this index can count")]
    Full(&'static str),
}

/// Where an entry lies in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The leaf of its transaction.
    pub leaf: u64,
    /// The operation within the transaction, from 0.
    pub operation: u16,
    /// The entry within the operation, from 0.
    pub slot: u16,
}

/// One entry of a register, as openregister shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number among the entries of its kind, from 1.
    pub number: u64,
    /// Its kind.
    pub kind: EntryKind,
    /// What it is about.
    pub key: String,
    /// When it was appended, in Unix seconds.
    pub timestamp: u64,
    /// Its items with their hashes.
    pub items: Vec<(Hash, String)>,
    /// The leaf of its transaction.
    pub leaf: u64,
}

/// The index over a whole log.
#[derive(Debug)]
pub struct History {
    hasher: RandomState,
    tree: Tree,
    ids: Vec<[u8; ID_BYTES]>,
    id_places: Table,
    /// The blocks that hold any leaf.
    blocks: Vec<BlockPlace>,
    replays: Replays,
    acts: Acts,
    registers: BTreeMap<String, RegisterHistory>,
}

/// Where a block's leaves begin.
#[derive(Debug, Clone, Copy)]
struct BlockPlace {
    first: u64,
    height: u64,
    time_ms: u64,
}

/// The registers that an accepted operation creates, or may in time.
fn created(operation: &Operation) -> Vec<&str> {
    match operation {
        Operation::RegisterCreate { register, .. } => vec![register],
        Operation::ProposalSubmit { changes, .. } => {
            let creations = changes.iter().filter_map(|change| match change {
                Change::RegisterCreate { register, .. } => Some(register.as_str()),
                _ => None,
            });
            creations.collect()
        }
        _ => Vec::new(),
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new()
    }
}

impl History {
    /// The index over an empty log.
    pub fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            tree: Tree::new(),
            ids: Vec::new(),
            id_places: Table::default(),
            blocks: Vec::new(),
            replays: Replays::default(),
            acts: Acts::default(),
            registers: BTreeMap::new(),
        }
    }

    /// Leaves indexed.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Adds the next leaf.
    ///
    /// # Errors
    /// When the entry cannot follow what is indexed: then neither the entry nor the history can be relied on.
    pub fn push(&mut self, entry: &LogEntry) -> Result<(), Error> {
        self.push_decoded(entry, &SignedTransaction::decode(entry.transaction.clone())?)
    }

    /// As [`History::push`], for one who has the entry's transaction decoded.
    ///
    /// # Errors
    /// As there.
    pub fn push_decoded(&mut self, entry: &LogEntry, transaction: &SignedTransaction) -> Result<(), Error> {
        let leaf = self.size();
        let place = self.push_id(leaf, transaction.id())?;
        self.push_block(leaf, entry)?;
        if !self.acts.push(&self.hasher, place, entry, transaction) {
            return Err(Error::Full("what acts are found by"));
        }
        self.replays.forget_before(&self.hasher, entry.time_ms);
        self.replays.push(&self.hasher, leaf, transaction.replay_tag(), transaction.not_after());
        if let Outcome::Accepted { appended, .. } = &entry.outcome {
            for operation in transaction.operations() {
                for register in created(operation) {
                    let hasher = &self.hasher;
                    let new = || RegisterHistory::new(hasher.clone());
                    self.registers.entry(register.to_owned()).or_insert_with(new);
                }
            }
            for range in appended {
                self.push_range(leaf, entry.time_ms, transaction, range)?;
            }
        }
        self.tree.push(entry.leaf_of(transaction.id()).hash());
        Ok(())
    }

    /// The leaf of a transaction.
    pub fn index_of(&self, id: &Hash) -> Option<u64> {
        let id = id_prefix(id);
        let place = self.id_places.find(self.hasher.hash_one(id), |place| self.ids.get(place as usize) == Some(&id));
        place.map(u64::from)
    }

    /// The height of the block that holds a leaf.
    pub fn height(&self, index: u64) -> Option<u64> {
        if index >= self.size() {
            return None;
        }
        let after = self.blocks.partition_point(|block| block.first <= index);
        self.blocks.get(after.checked_sub(1)?).map(|block| block.height)
    }

    /// The place of a leaf in the log database: every block before it and its own left one commit there.
    pub fn location(&self, index: u64) -> Option<u64> {
        Some(index + self.height(index)?)
    }

    /// Leaves that may be acts asked for, newest first: at most `limit` of those below `before`. Every act that is asked for
    /// is among them, in its place; [`ActQuery::matches`] tells which of them are.
    pub fn acts(&self, query: &ActQuery, before: u64, limit: usize) -> Vec<u64> {
        let range = self.leaves_between(query.from_ms, query.to_ms);
        let range = range.start..range.end.min(before);
        let terms = query.terms(&self.hasher);
        match query.record().and_then(|record| Some((record, record.record()?))) {
            Some((record, entries_of)) => self.acts_on_record(record, entries_of, terms, range, limit),
            None => self.acts.newest(&terms, range, limit),
        }
    }

    /// The RFC 9162 tree over all leaves.
    pub fn log(&self) -> &Tree {
        &self.tree
    }

    /// The leaf whose intent this tag marks, unless it is void at the time of the newest block.
    pub fn replayed(&self, tag: &[u8; 16]) -> Option<u64> {
        self.replayed_at(tag, 0)
    }

    /// The leaf whose intent this tag marks, unless it is void at `time_ms` (Unix milliseconds): at the time of the block
    /// that is being judged, so that every node judges alike, whichever block is its newest.
    pub fn replayed_at(&self, tag: &[u8; 16], time_ms: u64) -> Option<u64> {
        self.replays.find(&self.hasher, tag, time_ms)
    }

    /// Forgets the replay tags that are void at `time_ms`, the time of the newest block.
    pub fn forget_before(&mut self, time_ms: u64) {
        self.replays.forget_before(&self.hasher, time_ms);
    }

    /// One register.
    pub fn register(&self, name: &str) -> Option<&RegisterHistory> {
        self.registers.get(name)
    }

    /// All registers, sorted by name. Some may not exist: those that a proposal would create which has not taken effect. Only
    /// the state tells, for when it does no transaction says so.
    pub fn registers(&self) -> impl Iterator<Item = (&str, &RegisterHistory)> {
        self.registers.iter().map(|(name, register)| (name.as_str(), register))
    }

    /// Bytes in memory, about: what grows with the log.
    pub fn memory_bytes(&self) -> usize {
        self.ids.capacity() * ID_BYTES
            + self.id_places.memory_bytes()
            + self.blocks.capacity() * size_of::<BlockPlace>()
            + self.replays.memory_bytes()
            + self.acts_memory_bytes()
            + tree_bytes(&self.tree)
            + self.registers.values().map(RegisterHistory::memory_bytes).sum::<usize>()
    }

    /// Of these, the bytes of the index of acts.
    pub fn acts_memory_bytes(&self) -> usize {
        self.acts.memory_bytes()
    }

    /// The leaves of blocks whose time is in the range.
    fn leaves_between(&self, from_ms: Option<u64>, to_ms: Option<u64>) -> Range<u64> {
        let from = |time_ms: u64| {
            let at = self.blocks.partition_point(|block| block.time_ms < time_ms);
            self.blocks.get(at).map_or(self.size(), |block| block.first)
        };
        from_ms.map_or(0, from)..to_ms.map_or(self.size(), from)
    }

    /// The newest leaves of acts on a record that bear all these terms, at most `limit`, newest first: accepted ones from the
    /// register's index, refused ones and reads from that of acts. Blocks wait meanwhile: of a record that was written a million times,
    /// no more is looked at than lies before the page's end.
    fn acts_on_record(
        &self,
        record: &Resource,
        (register, key): (&str, &str),
        terms: Vec<u64>,
        range: Range<u64>,
        limit: usize,
    ) -> Vec<u64> {
        let accepted = self.registers.get(register).into_iter().flat_map(|register| {
            let numbers = register.newest_of(EntryKind::User, key);
            numbers.filter_map(|number| Some(register.position(EntryKind::User, number)?.leaf))
        });
        let in_range = accepted.skip_while(|leaf| *leaf >= range.end).take_while(|leaf| *leaf >= range.start);
        let mut last = None;
        let once = in_range.filter(|leaf| last.replace(*leaf) != Some(*leaf));
        let mut leaves: Vec<u64> = once.filter(|leaf| self.acts.bears(&terms, *leaf)).take(limit).collect();
        leaves.extend(self.acts.beside(&self.hasher, record, terms, range, limit));
        leaves.sort_unstable_by(|one, other| other.cmp(one));
        leaves.dedup();
        leaves.truncate(limit);
        leaves
    }

    fn push_id(&mut self, leaf: u64, id: Hash) -> Result<u32, Error> {
        if let Some(leaf) = self.index_of(&id) {
            return Err(Error::Duplicate { id, leaf });
        }
        let place = u32::try_from(leaf).ok().filter(|place| *place <= table::LAST_PLACE);
        let place = place.ok_or(Error::Full("the log's entries"))?;
        let id = id_prefix(&id);
        self.id_places.insert(self.hasher.hash_one(id), place);
        self.ids.push(id);
        Ok(place)
    }

    fn push_block(&mut self, leaf: u64, entry: &LogEntry) -> Result<(), Error> {
        let LogEntry { height, time_ms, .. } = *entry;
        match self.blocks.last() {
            Some(last) if last.height > height => return Err(Error::Height { height, before: last.height }),
            Some(last) if last.height == height => {}
            _ => self.blocks.push(BlockPlace { first: leaf, height, time_ms }),
        }
        Ok(())
    }

    fn push_range(
        &mut self,
        leaf: u64,
        time_ms: u64,
        transaction: &SignedTransaction,
        range: &Appended,
    ) -> Result<(), Error> {
        let Appended { operation, register, kind, first, count } = range;
        let absent = || Error::Absent { operation: *operation, kind: *kind, count: *count };
        let index = u16::try_from(*operation).map_err(|_| absent())?;
        let entries = operation_entries(transaction, index, time_ms).ok_or_else(absent)?;
        let history = self.registers.get_mut(register).ok_or_else(|| Error::Register(register.clone()))?;
        let next = history.count(*kind) + 1;
        if *first != next {
            return Err(Error::Number { register: register.clone(), kind: *kind, first: *first, next });
        }
        let mut number = next;
        for (slot, entry) in (0..).zip(entries).filter(|(_, entry)| entry.kind == *kind) {
            let items: Vec<Hash> = entry.items.iter().map(|item| item_hash(item)).collect();
            let leaf_hash =
                (*kind == EntryKind::User).then(|| entry_leaf_hash(number, entry.timestamp, entry.key, &items));
            history.push(*kind, Position { leaf, operation: index, slot }, entry.key, &items, leaf_hash)?;
            number += 1;
        }
        if number - next == *count { Ok(()) } else { Err(absent()) }
    }
}

/// Picks an entry out of the log entry that [`Position::leaf`] names.
///
/// # Errors
/// When there is no entry at the position.
pub fn entry_at(log: &LogEntry, position: &Position, number: u64) -> Result<Entry, Error> {
    let transaction = SignedTransaction::decode(log.transaction.clone())?;
    let mut entries = operation_entries(&transaction, position.operation, log.time_ms);
    let entry = entries.as_mut().and_then(|entries| entries.nth(usize::from(position.slot)));
    let Some(entry) = entry else {
        return Err(Error::Absent { operation: position.operation.into(), kind: EntryKind::User, count: 1 });
    };
    Ok(Entry {
        number,
        kind: entry.kind,
        key: entry.key.to_owned(),
        timestamp: entry.timestamp,
        items: entry.items.iter().map(|item| (item_hash(item), item.clone())).collect(),
        leaf: position.leaf,
    })
}

/// An entry as its operation holds it.
struct Held<'a> {
    kind: EntryKind,
    key: &'a str,
    timestamp: u64,
    items: &'a [String],
}

/// The entries of an operation, with the time they have in a block of `time_ms`.
fn operation_entries(
    transaction: &SignedTransaction,
    operation: u16,
    time_ms: u64,
) -> Option<impl Iterator<Item = Held<'_>>> {
    let (new, imported) = match transaction.operations().get(usize::from(operation))? {
        Operation::EntryAppend { entries, .. } => (entries.as_slice(), [].as_slice()),
        Operation::RegisterImport { entries, .. } => ([].as_slice(), entries.as_slice()),
        Operation::RecordCorrect { entry, .. } => (std::slice::from_ref(entry), [].as_slice()),
        _ => return None,
    };
    let new = new.iter().map(move |entry| Held {
        kind: EntryKind::User,
        key: &entry.key,
        timestamp: time_ms / SECOND_MS,
        items: &entry.items,
    });
    let imported = imported.iter().map(|entry| Held {
        kind: entry.kind,
        key: &entry.key,
        timestamp: entry.timestamp,
        items: &entry.items,
    });
    Some(new.chain(imported))
}

fn id_prefix(id: &Hash) -> [u8; ID_BYTES] {
    id.0.first_chunk().copied().unwrap_or_default()
}

/// Bytes of a tree: two nodes a leaf.
fn tree_bytes(tree: &Tree) -> usize {
    usize::try_from(tree.size()).unwrap_or(usize::MAX).saturating_mul(2 * size_of::<Hash>())
}
