//! Splitting a history into operations that transactions can hold.

use tallystick_protocol::{
    Frontier,
    limits::{ENTRIES_MAX, IMPORT_ENVELOPE_BYTES_MAX, TRANSACTION_BYTES_MAX},
    operation::{EntryKind, ImportedEntry, Operation},
};

use super::{Rsf, RsfEntry, RsfError, RsfErrorKind};
use crate::entry_leaf::entry_leaf_hash;

/// Bytes of an entry's framing: array heads, kind, timestamp, length of the key.
const ENTRY_FRAMING_BYTES: usize = 32;
/// Bytes of the length before an item.
const ITEM_FRAMING_BYTES: usize = 5;

/// How much one operation may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Bytes of its entries, encoded.
    pub bytes_max: usize,
    /// Its entries.
    pub entries_max: usize,
}

impl Default for ImportLimits {
    /// As much as one transaction with this single operation can hold.
    fn default() -> Self {
        Self { bytes_max: TRANSACTION_BYTES_MAX - IMPORT_ENVELOPE_BYTES_MAX, entries_max: ENTRIES_MAX }
    }
}

/// The operations of [`Rsf::imports`], made one at a time.
#[derive(Clone, Debug)]
pub struct Imports<'r, 'a> {
    rsf: &'r Rsf<'a>,
    register: String,
    limits: ImportLimits,
    next: usize,
    user: Frontier,
    system: u64,
}

impl<'a> Rsf<'a> {
    /// The history as a sequence of [`Operation::RegisterImport`], each with the root after it. To be submitted in this
    /// order, each in a transaction of its own.
    ///
    /// # Errors
    /// The iterator yields an error, and then ends, at an entry that is larger than the limit.
    pub fn imports(&self, register: &str, limits: ImportLimits) -> Imports<'_, 'a> {
        Imports {
            rsf: self,
            register: register.to_owned(),
            limits,
            next: 0,
            user: self.start.user.clone(),
            system: self.start.system,
        }
    }

    /// All operations of [`Rsf::imports`].
    ///
    /// # Errors
    /// At an entry that is larger than the limit.
    pub fn into_imports(self, register: &str, limits: ImportLimits) -> Result<Vec<Operation>, RsfError> {
        self.imports(register, limits).collect()
    }

    fn entry_bytes(&self, entry: &RsfEntry<'_>) -> usize {
        let items = self.items_of(entry).map(|item| item.text.len() + ITEM_FRAMING_BYTES);
        ENTRY_FRAMING_BYTES + entry.key.len() + items.sum::<usize>()
    }
}

impl Iterator for Imports<'_, '_> {
    type Item = Result<Operation, RsfError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (user_first, system_first) = (self.user.size() + 1, self.system + 1);
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = self.rsf.entries.get(self.next) {
            let entry_bytes = self.rsf.entry_bytes(entry);
            if entry_bytes > self.limits.bytes_max {
                self.next = self.rsf.entries.len();
                let kind = RsfErrorKind::TooLarge { bytes: entry_bytes, bytes_max: self.limits.bytes_max };
                return Some(Err(RsfError { line: entry.line, column: 1, kind }));
            }
            if bytes + entry_bytes > self.limits.bytes_max || entries.len() >= self.limits.entries_max {
                break;
            }
            bytes += entry_bytes;
            self.next += 1;
            entries.push(self.take(entry));
        }
        (!entries.is_empty()).then(|| {
            let (register, root) = (self.register.clone(), self.user.root());
            Ok(Operation::RegisterImport { register, user_first, system_first, entries, root })
        })
    }
}

impl Imports<'_, '_> {
    fn take(&mut self, entry: &RsfEntry<'_>) -> ImportedEntry {
        match entry.kind {
            EntryKind::System => self.system += 1,
            EntryKind::User => {
                let hashes: Vec<_> = self.rsf.items_of(entry).map(|item| item.hash).collect();
                self.user.append(entry_leaf_hash(entry.number, entry.timestamp, entry.key, &hashes));
            }
        }
        ImportedEntry {
            kind: entry.kind,
            key: entry.key.to_owned(),
            timestamp: entry.timestamp,
            items: self.rsf.items_of(entry).map(|item| item.text.to_owned()).collect(),
        }
    }
}
