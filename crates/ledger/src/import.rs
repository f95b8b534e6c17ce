//! Imports: a history made elsewhere, with its own numbers and timestamps.
//!
//! History is taken as it is: no schema, no judgement of repeated entries. But no history brings personal data in the clear. What must hold is that it continues the
//! register's own numbers, that no key's entries go back in time, that every item is canonical, and that the register's
//! root afterwards is the one the importer computed. System entries that describe the register change its definition.

use tallystick_protocol::{
    Appended, Code, Hash, RecordRow, RegisterRow, ViolationRule,
    operation::{EntryKind, ImportedEntry},
};

use crate::{
    apply::{Act, Stop, refuse_if_any},
    definition::Definition,
    entry::read_items,
    entry_leaf::entry_leaf_hash,
    erasure::require_writable,
    item::{Item, item_hash},
    protection,
    register::{is_writable, write_definition},
    schema::{Schema, Violations},
    state::{Draft, Register, Row, TreeRow},
};

/// What the importer says of the operation as a whole.
pub(crate) struct Claim<'a> {
    /// The number that the first user entry gets.
    pub user_first: u64,
    /// The number that the first system entry gets.
    pub system_first: u64,
    /// The register's root afterwards.
    pub root: &'a Hash,
}

pub(crate) fn import(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    name: &str,
    claim: &Claim<'_>,
    entries: &[ImportedEntry],
    appended: &mut Vec<Appended>,
) -> Result<(), Stop> {
    let register = act.permitted_register(draft, name)?;
    if !is_writable(register.row.phase) {
        return Err(Code::RegisterPhase.into());
    }
    let mut tree = draft.tree(&register.tree_key)?.cloned().unwrap_or_default();
    let (user_first, system_first) = (tree.user.size() + 1, tree.system + 1);
    if (claim.user_first, claim.system_first) != (user_first, system_first) {
        return Err(Code::ImportNumber.into());
    }
    take_entries(draft, act, &register, &mut tree, entries)?;
    let items = read_items(entries.iter().map(|entry| entry.items.as_slice()))?;
    let redefined = redefine(&register, entries, &items)?;
    let own = entries.iter().zip(&items).zip(0..).filter(|((entry, _), _)| entry.kind == EntryKind::User);
    let schema = redefined.as_ref().map(|row| Schema::new(name, &row.fields));
    let own = own.flat_map(|((_, items), at)| items.iter().map(move |item| (at, item)));
    let schema = schema.as_ref().unwrap_or(&register.schema);
    protection::require_sealed(schema, own)?;
    // A system entry's key is no record's: it is not looked at.
    let keyed = entries.iter().zip(&items).map(|(entry, items)| match entry.kind {
        EntryKind::User => (entry.key.as_str(), items.as_slice()),
        EntryKind::System => (entry.key.as_str(), [].as_slice()),
    });
    require_writable(draft, &register.row.custodian, schema, keyed)?;
    if tree.user.root() != *claim.root {
        return Err(Code::RootMismatch.into());
    }
    if let Some(row) = redefined {
        write_definition(draft, row)?;
    }
    for (kind, first, next) in
        [(EntryKind::System, system_first, tree.system + 1), (EntryKind::User, user_first, tree.user.size() + 1)]
    {
        if next > first {
            let (operation, count) = (act.operation, next - first);
            appended.push(Appended { operation, register: name.to_owned(), kind, first, count });
        }
    }
    draft.write(register.tree_key, Row::Tree(tree));
    Ok(())
}

/// Appends the entries to the tree and the records, if each key's timestamps do not decrease and none is from the future.
fn take_entries(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    register: &Register,
    tree: &mut TreeRow,
    entries: &[ImportedEntry],
) -> Result<(), Stop> {
    let mut violations = Violations::default();
    for (entry, index) in entries.iter().zip(0..) {
        let record_key = register.record_key(entry.kind, &entry.key);
        // A missing row is noted, and the next entries are looked at all the same, to name all missing rows at once.
        if let Ok(Some(record)) = draft.record(&record_key)
            && record.timestamp > entry.timestamp
        {
            violations.add(index, "", ViolationRule::Older);
        }
        if entry.timestamp > act.block.time_seconds() {
            violations.add(index, "", ViolationRule::Future);
        }
        let hashes: Vec<Hash> = entry.items.iter().map(|item| item_hash(item)).collect();
        let record = RecordRow {
            register: register.row.register.clone(),
            key: entry.key.clone(),
            kind: entry.kind,
            number: number_entry(tree, entry, &hashes),
            timestamp: entry.timestamp,
            items: hashes,
            leaf: act.leaf,
            height: act.block.height,
        };
        draft.write(record_key, Row::Record(record));
    }
    draft.complete()?;
    refuse_if_any(Code::EntryOrder, violations)
}

/// Counts the entry, and appends it to the tree if it is content; its number.
fn number_entry(tree: &mut TreeRow, entry: &ImportedEntry, hashes: &[Hash]) -> u64 {
    match entry.kind {
        EntryKind::System => {
            tree.system += 1;
            tree.system_timestamp = tree.system_timestamp.max(entry.timestamp);
            tree.system
        }
        EntryKind::User => {
            let number = tree.user.size() + 1;
            tree.user.append(entry_leaf_hash(number, entry.timestamp, &entry.key, hashes));
            tree.user_timestamp = tree.user_timestamp.max(entry.timestamp);
            number
        }
    }
}

/// The register as the system entries among these describe it anew; none when it stays as it is.
fn redefine(
    register: &Register,
    entries: &[ImportedEntry],
    items: &[Vec<Item<'_>>],
) -> Result<Option<RegisterRow>, Stop> {
    let row = &register.row;
    let mut definition = Definition { text: row.text.clone(), fields: row.fields.clone(), ..Definition::default() };
    for (entry, items) in entries.iter().zip(items).filter(|(entry, _)| entry.kind == EntryKind::System) {
        for item in items {
            definition.read(&entry.key, item);
        }
    }
    let Definition { text, fields, .. } = definition;
    if text == row.text && fields == row.fields {
        return Ok(None);
    }
    protection::require_kept(&row.fields, &fields)?;
    protection::require_possible(&row.register, &fields)?;
    Ok(Some(RegisterRow { text, fields, ..row.clone() }))
}
