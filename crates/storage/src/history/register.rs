//! One register's entries: where each lies in the log, which is a record's newest, the tree over them.
//!
//! Keys and items are not kept, only 64 bits of a keyed hash of each: two of a million keys are taken for the same with a
//! probability of 1 in 37 million, and nobody can aim at it. Whoever needs certainty reads the entry and compares.

use super::{Error, Position, table};
use std::hash::{BuildHasher, RandomState};
use tallystick_protocol::{EntryKind, Hash, Tree};

/// Bits of an item's place that say which item of its entry it is.
const WHICH_BITS: u32 = 4;
/// The bit that says that its entry is a system entry.
const SYSTEM: u32 = 1 << WHICH_BITS;
/// The bits left for its hash.
const ITEM_HASH: u32 = u32::MAX << (WHICH_BITS + 1);
/// No older entry.
const NONE: u32 = u32::MAX;

/// Where an item first occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemPosition {
    /// The kind of its entry.
    pub kind: EntryKind,
    /// The number of its entry, from 1.
    pub number: u64,
    /// Where that entry lies.
    pub position: Position,
    /// Which of the entry's items it is, from 0.
    pub item: usize,
}

/// The index over one register.
#[derive(Debug)]
pub struct RegisterHistory {
    hasher: RandomState,
    tree: Tree,
    user: Entries,
    system: Entries,
    items: Vec<Item>,
    item_places: table::Table,
}

/// Entries of one kind, in the order of their numbers.
#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Slot>,
    /// One bit an entry: whether a newer one has its key.
    superseded: Vec<u64>,
    records: usize,
    newest: table::Table,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    position: Packed,
    /// The place of the next older entry with this key.
    older: u32,
    /// The lower half of the key's hash.
    key: u32,
}

/// 40 bits of leaf, 8 of operation, 16 of slot.
#[derive(Debug, Clone, Copy)]
struct Packed(u64);

#[derive(Debug, Clone, Copy)]
struct Item {
    /// The place of its entry.
    entry: u32,
    /// Bits of its hash, the kind, and which of the entry's items it is.
    rest: u32,
}

impl RegisterHistory {
    pub(super) fn new(hasher: RandomState) -> Self {
        Self {
            hasher,
            tree: Tree::new(),
            user: Entries::default(),
            system: Entries::default(),
            items: Vec::new(),
            item_places: table::Table::default(),
        }
    }

    /// The RFC 6962 tree over the user entries.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Entries of this kind.
    pub fn count(&self, kind: EntryKind) -> u64 {
        self.entries(kind).slots.len() as u64
    }

    /// Records of this kind: keys that have an entry.
    pub fn records(&self, kind: EntryKind) -> u64 {
        self.entries(kind).records as u64
    }

    /// Where entry `number` (from 1) lies.
    pub fn position(&self, kind: EntryKind, number: u64) -> Option<Position> {
        Some(self.entries(kind).slot(number)?.position.position())
    }

    /// The number of the newest entry for the key.
    pub fn record(&self, kind: EntryKind, key: &str) -> Option<u64> {
        self.entries(kind).find(self.hasher.hash_one(key)).map(number_of)
    }

    /// The numbers of all entries for the key, newest first.
    pub fn newest_of(&self, kind: EntryKind, key: &str) -> impl Iterator<Item = u64> {
        let entries = self.entries(kind);
        let newest = entries.find(self.hasher.hash_one(key));
        let older = |place: &u32| {
            let slot = entries.slots.get(*place as usize)?;
            Some(slot.older).filter(|older| *older != NONE)
        };
        std::iter::successors(newest, older).map(number_of)
    }

    /// How many entries the key has, and the numbers of at most `limit` of them, ascending, without the first `skip`. It may have
    /// millions: no more than the page is held.
    pub fn page_of(&self, kind: EntryKind, key: &str, skip: usize, limit: usize) -> (usize, Vec<u64>) {
        let total = self.newest_of(kind, key).count();
        let end = total.saturating_sub(skip);
        let newer = end.saturating_sub(limit);
        let mut numbers: Vec<u64> = self.newest_of(kind, key).skip(newer).take(end - newer).collect();
        numbers.reverse();
        (total, numbers)
    }

    /// The numbers of the entries that are their record's newest, newest first.
    pub fn current(&self, kind: EntryKind) -> impl DoubleEndedIterator<Item = u64> {
        let entries = self.entries(kind);
        (1..=entries.slots.len() as u64).rev().filter(|number| !entries.is_superseded(*number))
    }

    /// Where an item first occurs; within one transaction, in the order of its outcome's ranges.
    pub fn item(&self, hash: &Hash) -> Option<ItemPosition> {
        let item = self.items.get(self.item_place(self.hasher.hash_one(hash))? as usize)?;
        let kind = if item.rest & SYSTEM == 0 { EntryKind::User } else { EntryKind::System };
        let number = number_of(item.entry);
        let position = self.position(kind, number)?;
        Some(ItemPosition { kind, number, position, item: (item.rest & (SYSTEM - 1)) as usize })
    }

    /// Distinct items.
    pub fn items(&self) -> u64 {
        self.items.len() as u64
    }

    /// Bytes in memory, about.
    pub fn memory_bytes(&self) -> usize {
        let entries = |entries: &Entries| {
            entries.slots.capacity() * size_of::<Slot>()
                + entries.superseded.capacity() * size_of::<u64>()
                + entries.newest.memory_bytes()
        };
        entries(&self.user)
            + entries(&self.system)
            + self.items.capacity() * size_of::<Item>()
            + self.item_places.memory_bytes()
            + super::tree_bytes(&self.tree)
    }

    /// Adds the next entry of a kind; `leaf` is its leaf in the register's tree, when it is a user entry.
    pub(super) fn push(
        &mut self,
        kind: EntryKind,
        position: Position,
        key: &str,
        items: &[Hash],
        leaf: Option<Hash>,
    ) -> Result<(), Error> {
        let hash = self.hasher.hash_one(key);
        let entries = if kind == EntryKind::User { &mut self.user } else { &mut self.system };
        let place = entries.push(hash, position)?;
        if let Some(leaf) = leaf {
            self.tree.push(leaf);
        }
        let kind = if kind == EntryKind::User { 0 } else { SYSTEM };
        for (which, item) in (0..SYSTEM).zip(items) {
            let hash = self.hasher.hash_one(item);
            if self.item_place(hash).is_some() {
                continue;
            }
            let next = u32::try_from(self.items.len()).ok().filter(|next| *next <= table::LAST_PLACE);
            let next = next.ok_or(Error::Full("items of one register"))?;
            self.items.push(Item { entry: place, rest: hash as u32 & ITEM_HASH | kind | which });
            self.item_places.insert(hash, next);
        }
        Ok(())
    }

    fn entries(&self, kind: EntryKind) -> &Entries {
        match kind {
            EntryKind::User => &self.user,
            EntryKind::System => &self.system,
        }
    }

    fn item_place(&self, hash: u64) -> Option<u32> {
        self.item_places.find(hash, |place| {
            let item = self.items.get(place as usize);
            item.is_some_and(|item| (item.rest ^ hash as u32) & ITEM_HASH == 0)
        })
    }
}

impl Entries {
    fn push(&mut self, hash: u64, position: Position) -> Result<u32, Error> {
        let position = Packed::new(position)?;
        let place = u32::try_from(self.slots.len()).ok().filter(|place| *place <= table::LAST_PLACE);
        let place = place.ok_or(Error::Full("entries of one register"))?;
        let older = self.find(hash);
        match older {
            Some(older) => {
                self.newest.replace(hash, older, place);
                if let Some(word) = self.superseded.get_mut(older as usize / 64) {
                    *word |= 1 << (older % 64);
                }
            }
            None => {
                self.newest.insert(hash, place);
                self.records += 1;
            }
        }
        self.slots.push(Slot { position, older: older.unwrap_or(NONE), key: hash as u32 });
        if self.slots.len() > self.superseded.len() * 64 {
            self.superseded.push(0);
        }
        Ok(place)
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.newest.find(hash, |place| self.slots.get(place as usize).is_some_and(|slot| slot.key == hash as u32))
    }

    fn slot(&self, number: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Of an entry that exists.
    fn is_superseded(&self, number: u64) -> bool {
        let place = number - 1;
        let word = usize::try_from(place / 64).ok().and_then(|word| self.superseded.get(word));
        word.is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}

impl Packed {
    fn new(position: Position) -> Result<Self, Error> {
        let Position { leaf, operation, slot } = position;
        if leaf >= 1 << 40 || operation >= 1 << 8 {
            return Err(Error::Full("the log"));
        }
        Ok(Self(leaf << 24 | u64::from(operation) << 16 | u64::from(slot)))
    }

    fn position(self) -> Position {
        let Self(bits) = self;
        Position { leaf: bits >> 24, operation: (bits >> 16 & 0xff) as u16, slot: (bits & 0xffff) as u16 }
    }
}

fn number_of(place: u32) -> u64 {
    u64::from(place) + 1
}
