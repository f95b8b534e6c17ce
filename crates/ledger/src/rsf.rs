//! RSF, the register serialisation format of openregister: a register's whole history as text.
//!
//! One command a line, fields separated by tabs, lines ended by a line feed:
//!
//! ```text
//! assert-root-hash⇥sha-256:<hex>
//! add-item⇥<canonical JSON>
//! append-entry⇥user|system⇥<key>⇥<2017-07-17T10:59:46Z>⇥sha-256:<hex>[;sha-256:<hex>]
//! ```
//!
//! INVARIANT: an [`Rsf`] exists only for a text that holds together: every item canonical and used by an entry, every
//! entry's items given before it, no entry older than the one before it under the same key, every asserted root equal to
//! the root of the user entries up to that line. Errors name line and column.

mod error;
mod import;
mod parse;
mod write;

pub use error::{RsfError, RsfErrorKind};
pub use import::{ImportLimits, Imports};
pub use write::RsfWriter;

use tallystick_protocol::{Frontier, Hash, operation::EntryKind};

use crate::{definition::Definition, item::Item};

/// A register's history, read from RSF and found to hold together. Texts are borrowed from the file.
#[derive(Clone, Debug)]
pub struct Rsf<'a> {
    start: RsfStart,
    items: Vec<RsfItem<'a>>,
    entries: Vec<RsfEntry<'a>>,
    asserted: Vec<RsfAssertion>,
    frontier: Frontier,
}

/// What a register holds before the file's first line: nothing, unless the file continues one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RsfStart {
    /// The tree over the user entries so far.
    pub user: Frontier,
    /// System entries so far.
    pub system: u64,
}

/// One `add-item`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsfItem<'a> {
    /// Its line in the file, from 1.
    pub line: u64,
    /// The canonical JSON.
    pub text: &'a str,
    /// SHA-256 of the text.
    pub hash: Hash,
}

/// One `append-entry`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RsfEntry<'a> {
    /// Its line in the file, from 1.
    pub line: u64,
    /// Whether it describes the register or is content.
    pub kind: EntryKind,
    /// Its number among the entries of its kind, from 1.
    pub number: u64,
    /// The key.
    pub key: &'a str,
    /// The timestamp, in Unix seconds.
    pub timestamp: u64,
    /// Indexes into the file's items.
    items: Vec<u32>,
}

/// One `assert-root-hash`, found true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsfAssertion {
    /// Its line in the file, from 1.
    pub line: u64,
    /// User entries of the register at that line.
    pub user_entries: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl<'a> Rsf<'a> {
    /// Reads a register's history from its beginning.
    ///
    /// # Errors
    /// Names the first line and column that do not hold, and what would.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RsfError> {
        Self::parse_onto(bytes, RsfStart::default())
    }

    /// Reads the continuation of a history that has reached `start`. The items of its entries must be in the file.
    ///
    /// # Errors
    /// As [`Rsf::parse`].
    pub fn parse_onto(bytes: &'a [u8], start: RsfStart) -> Result<Self, RsfError> {
        parse::parse(bytes, start)
    }

    /// The items in the order of the file, each text once.
    pub fn items(&self) -> &[RsfItem<'a>] {
        &self.items
    }

    /// The entries of both kinds in the order of the file.
    pub fn entries(&self) -> &[RsfEntry<'a>] {
        &self.entries
    }

    /// The items of one of these entries.
    pub fn items_of(&self, entry: &RsfEntry<'_>) -> impl Iterator<Item = &RsfItem<'a>> {
        entry.items.iter().filter_map(|index| self.items.get(usize::try_from(*index).ok()?))
    }

    /// The roots asserted, all of them true.
    pub fn asserted(&self) -> &[RsfAssertion] {
        &self.asserted
    }

    /// The root of the tree over all user entries, those before the file included.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The entries of a kind in the file.
    pub fn count(&self, kind: EntryKind) -> u64 {
        self.entries.iter().filter(|entry| entry.kind == kind).count() as u64
    }

    /// What the system entries say of the register.
    pub fn definition(&self) -> Definition {
        let mut definition = Definition::default();
        for entry in self.entries.iter().filter(|entry| entry.kind == EntryKind::System) {
            for item in self.items_of(entry).filter_map(|item| Item::parse(item.text).ok()) {
                definition.read(entry.key, &item);
            }
        }
        definition
    }
}
