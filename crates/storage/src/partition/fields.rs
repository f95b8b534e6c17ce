//! The fields of records, by which one can be shown without the others.
//!
//! INVARIANT: whenever a record's row is written, so is the row of its fields, of the same entry. Both follow from the chain and the payload
//! alone: every member has the same ones.

use super::{Changed, Placed};
use std::collections::{BTreeMap, btree_map};
use tallystick_ledger::item::Item;
use tallystick_protocol::{
    EntryKind, FieldLeaf, FieldPlace, FieldsRow, Noun, Operation, Payload, RecordRow, ShownField, SignedTransaction,
    StateKey, Tree,
};

/// A register, and what is appended to it: keys and items.
pub type Appended<'a> = (&'a str, Vec<(&'a str, &'a [String])>);

/// The user entries that an operation appends.
pub fn appended(operation: &Operation) -> Option<Appended<'_>> {
    match operation {
        Operation::EntryAppend { register, entries } => {
            let entries = entries.iter().map(|entry| (entry.key.as_str(), entry.items.as_slice()));
            Some((register, entries.collect()))
        }
        Operation::RegisterImport { register, entries, .. } => {
            let user = entries.iter().filter(|entry| entry.kind == EntryKind::User);
            Some((register, user.map(|entry| (entry.key.as_str(), entry.items.as_slice())).collect()))
        }
        Operation::RecordCorrect { register, entry, .. } => {
            Some((register, vec![(entry.key.as_str(), entry.items.as_slice())]))
        }
        _ => None,
    }
}

/// The fields of a record's latest entry.
pub struct Fields {
    leaves: Vec<FieldLeaf>,
    tree: Tree,
}

/// Of each register and key the last entry that a transaction appends: which it is of the transaction's, and its items.
type Last<'a> = BTreeMap<(&'a str, &'a str), (u32, &'a [String])>;

fn last_entries(transaction: &SignedTransaction) -> Last<'_> {
    let all = transaction.operations().iter().filter_map(appended);
    let all = all.flat_map(|(register, entries)| entries.into_iter().map(move |(key, items)| ((register, key), items)));
    // A later one takes the place of an earlier one.
    (0..).zip(all).map(|(entry, (of, items))| (of, (entry, items))).collect()
}

impl Fields {
    /// Of the last entry of a key that this transaction of a payload, at this place of it, appends; none if it appends none.
    pub fn of(
        payload: &Payload,
        (transaction, place): (&SignedTransaction, u32),
        (register, key): (&str, &str),
    ) -> Option<Self> {
        let (entry, items) = *last_entries(transaction).get(&(register, key))?;
        Self::of_entry(payload, (place, register, key, entry), items)
    }

    fn of_entry(
        payload: &Payload,
        (transaction, register, key, entry): (u32, &str, &str, u32),
        items: &[String],
    ) -> Option<Self> {
        let (mut leaves, mut tree) = (Vec::new(), Tree::new());
        for (item, text) in (0..).zip(items) {
            for (field, value) in Item::parse(text).ok()?.members() {
                let salt = payload.field_salt(&FieldPlace { transaction, register, key, entry, item, field });
                let leaf = FieldLeaf { item, field: field.to_owned(), value: value.to_json(), salt };
                tree.push(leaf.hash());
                leaves.push(leaf);
            }
        }
        Some(Self { leaves, tree })
    }

    /// What they are under, as the fields of the entry of this number.
    pub fn row(&self, register: &str, key: &str, entry: u64) -> FieldsRow {
        let (register, key) = (register.to_owned(), key.to_owned());
        FieldsRow { register, key, entry, root: self.tree.root(), count: self.tree.size() }
    }

    /// Those that are asked for, each with its path.
    pub fn shown(&self, is_asked: impl Fn(&str) -> bool) -> Vec<ShownField> {
        let asked = (0..).zip(&self.leaves).filter(|(_, leaf)| is_asked(&leaf.field));
        let shown = asked.filter_map(|(index, leaf)| {
            let path = self.tree.inclusion(index, self.tree.size())?;
            Some(ShownField { leaf: leaf.clone(), index, path })
        });
        shown.collect()
    }
}

/// Notes what the fields are under of records that a block has changed. `first` is the number of its first private transaction.
pub(super) fn note(changed: &mut Changed, payloads: &[Placed], first: u64) {
    let all = payloads.iter().flat_map(|placed| {
        let payload = placed.opened.payload();
        (0..).zip(placed.opened.transactions()).map(move |(place, transaction)| (payload, place, transaction))
    });
    let all: Vec<(&Payload, u32, _)> = all.collect();
    let (mut known, mut noted): (BTreeMap<usize, Last<'_>>, Changed) = (BTreeMap::new(), Changed::new());
    for (key, row) in &*changed {
        let ([noun, high, middle, low, ..], Some(row)) = (key.0, row) else { continue };
        if noun != Noun::Record as u8 {
            continue;
        }
        let Ok(RecordRow { register, key, number, leaf, .. }) = RecordRow::decode(row) else { continue };
        let Some(at) = leaf.checked_sub(first).and_then(|at| usize::try_from(at).ok()) else { continue };
        let Some((payload, place, Ok(transaction))) = all.get(at) else { continue };
        let last = match known.entry(at) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(new) => new.insert(last_entries(transaction)),
        };
        let entry = last.get(&(register.as_str(), key.as_str()));
        let fields = entry.and_then(|(entry, items)| {
            Fields::of_entry(payload, (*place, register.as_str(), key.as_str(), *entry), items)
        });
        let of = StateKey::private_fields(u32::from_be_bytes([0, high, middle, low]), &key);
        noted.insert(of, fields.map(|fields| fields.row(&register, &key, number).to_bytes()));
    }
    changed.extend(noted);
}
