//! Writing RSF.

use tallystick_protocol::{Hash, operation::EntryKind};

use crate::{entry_leaf::write_v1_hash, moment::write_timestamp};

/// Writes RSF line by line, byte for byte as openregister does. Take what is written as often as you like: an export of a
/// large register need not stand in memory.
///
/// openregister's order, which readers rely on only so far that an item precedes its entries: the empty root, the items of
/// system entries, those of user entries, the system entries, the user entries, the final root.
///
/// ```
/// use tallystick_ledger::rsf::{Rsf, RsfWriter};
/// use tallystick_protocol::{Hash, merkle, operation::EntryKind};
///
/// let item = r#"{"country":"GB","name":"United Kingdom"}"#;
/// let mut writer = RsfWriter::new();
/// writer.assert_root(&merkle::empty_root());
/// writer.add_item(item);
/// writer.append_entry(EntryKind::User, "GB", 1_459_862_585, &[Hash::of(&[item.as_bytes()])]);
/// let text = writer.take();
/// assert_eq!(Rsf::parse(text.as_bytes()).unwrap().entries().len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct RsfWriter {
    out: String,
}

impl RsfWriter {
    /// A writer that has written nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes an assertion of the root over the user entries so far.
    pub fn assert_root(&mut self, root: &Hash) {
        self.out.push_str("assert-root-hash\t");
        write_v1_hash(&mut self.out, root);
        self.out.push('\n');
    }

    /// Writes an item, which must be canonical.
    pub fn add_item(&mut self, text: &str) {
        self.out.push_str("add-item\t");
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Writes an entry: its timestamp in Unix seconds, the hashes of its items.
    pub fn append_entry(&mut self, kind: EntryKind, key: &str, timestamp: u64, items: &[Hash]) {
        self.out.push_str("append-entry\t");
        self.out.push_str(kind.as_str());
        self.out.push('\t');
        self.out.push_str(key);
        self.out.push('\t');
        write_timestamp(&mut self.out, timestamp);
        for (index, item) in items.iter().enumerate() {
            self.out.push(if index == 0 { '\t' } else { ';' });
            write_v1_hash(&mut self.out, item);
        }
        self.out.push('\n');
    }

    /// Bytes written and not yet taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is waiting to be taken.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }
}
