//! Entries: appending new ones, each checked against the register's schema and timed by the block.
//!
//! An entry whose items are exactly those of the current record is refused, as openregister-java refuses it ("cannot
//! contain identical items to previous entry"): it would say nothing. Histories made elsewhere do contain such entries, so
//! importing does not judge this.

use std::collections::BTreeMap;

use tallystick_protocol::{
    Appended, Code, Hash, RecordRow, ViolationRule,
    operation::{EntryKind, NewEntry},
};

use crate::{
    apply::{Act, Stop, refuse_if_any},
    entry_leaf::entry_leaf_hash,
    erasure::require_writable,
    item::{Item, ItemError, ItemErrorKind},
    protection::require_sealed,
    register::is_writable,
    schema::{Link, Violations},
    state::{Draft, Register, Row, Unread},
};

pub(crate) fn append(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    name: &str,
    entries: &[NewEntry],
    appended: &mut Vec<Appended>,
) -> Result<(), Stop> {
    let register = act.permitted_register(draft, name)?;
    if !is_writable(register.row.phase) {
        return Err(Code::RegisterPhase.into());
    }
    append_to(draft, act, &register, entries, appended)
}

/// Appends to a register to which the signer may.
pub(crate) fn append_to(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    register: &Register,
    entries: &[NewEntry],
    appended: &mut Vec<Appended>,
) -> Result<(), Stop> {
    let items = read_items(entries.iter().map(|entry| entry.items.as_slice()))?;
    let hashes = hash_items(&items)?;
    let sealed = items.iter().zip(0..).flat_map(|(items, entry)| items.iter().map(move |item| (entry, item)));
    require_sealed(&register.schema, sealed)?;
    let keyed = entries.iter().zip(&items).map(|(entry, items)| (entry.key.as_str(), items.as_slice()));
    require_writable(draft, &register.row.custodian, &register.schema, keyed)?;
    check_schema(draft, register, entries, &items)?;
    let mut tree = draft.tree(&register.tree_key)?.cloned().unwrap_or_default();
    let timestamp = act.block.time_seconds().max(tree.user_timestamp);
    let first = tree.user.size() + 1;
    let mut violations = Violations::default();
    for ((entry, hashes), index) in entries.iter().zip(hashes).zip(0..) {
        let number = tree.user.size() + 1;
        let record_key = register.record_key(EntryKind::User, &entry.key);
        // A missing row is noted, and the next entries are looked at all the same, to name all missing rows at once.
        if let Ok(Some(record)) = draft.record(&record_key)
            && record.items == hashes
        {
            violations.add(index, "", ViolationRule::Unchanged);
        }
        tree.user.append(entry_leaf_hash(number, timestamp, &entry.key, &hashes));
        let record = RecordRow {
            register: register.row.register.clone(),
            key: entry.key.clone(),
            kind: EntryKind::User,
            number,
            timestamp,
            items: hashes,
            leaf: act.leaf,
            height: act.block.height,
        };
        draft.write(record_key, Row::Record(record));
    }
    draft.complete()?;
    refuse_if_any(Code::EntryUnchanged, violations)?;
    tree.user_timestamp = timestamp;
    draft.write(register.tree_key, Row::Tree(tree));
    let (operation, count) = (act.operation, entries.len() as u64);
    appended.push(Appended { operation, register: register.row.register.clone(), kind: EntryKind::User, first, count });
    Ok(())
}

/// The items of each entry, if all are canonical.
pub(crate) fn read_items<'e>(entries: impl Iterator<Item = &'e [String]>) -> Result<Vec<Vec<Item<'e>>>, Stop> {
    let mut violations = Violations::default();
    let mut all = Vec::with_capacity(entries.size_hint().0);
    for (texts, index) in entries.zip(0..) {
        let mut items = Vec::with_capacity(texts.len());
        for text in texts {
            match Item::parse(text) {
                Ok(item) => items.push(item),
                Err(error) => violations.add(index, "", rule_of(&error)),
            }
        }
        all.push(items);
    }
    refuse_if_any(Code::ItemNotCanonical, violations)?;
    Ok(all)
}

fn rule_of(error: &ItemError) -> ViolationRule {
    match error.kind {
        ItemErrorKind::NotText => ViolationRule::NotText,
        _ => ViolationRule::NotCanonical,
    }
}

/// The hashes of each entry's items, if no entry has an item twice.
fn hash_items(items: &[Vec<Item<'_>>]) -> Result<Vec<Vec<Hash>>, Stop> {
    let mut violations = Violations::default();
    let mut all = Vec::with_capacity(items.len());
    for (items, index) in items.iter().zip(0..) {
        let hashes: Vec<Hash> = items.iter().map(Item::hash).collect();
        if hashes.iter().enumerate().any(|(at, hash)| hashes.iter().take(at).any(|earlier| earlier == hash)) {
            violations.add(index, "", ViolationRule::ItemTwice);
        }
        all.push(hashes);
    }
    refuse_if_any(Code::ItemDuplicate, violations)?;
    Ok(all)
}

fn check_schema(
    draft: &mut Draft<'_>,
    register: &Register,
    entries: &[NewEntry],
    items: &[Vec<Item<'_>>],
) -> Result<(), Stop> {
    let (mut violations, mut links) = (Violations::default(), Vec::new());
    for ((entry, items), index) in entries.iter().zip(items).zip(0..) {
        for item in items {
            register.schema.check(index, &entry.key, item, &mut violations, &mut links);
        }
    }
    if !links.is_empty() {
        resolve(draft, register, entries, &links, &mut violations)?;
    }
    refuse_if_any(Code::Schema, violations)
}

/// Looks up the records that items link to. A register that is not on the ledger is believed; a record of one that is must
/// exist, or be made by this entry or one before it in the same operation.
fn resolve(
    draft: &mut Draft<'_>,
    register: &Register,
    entries: &[NewEntry],
    links: &[Link<'_>],
    violations: &mut Violations,
) -> Result<(), Stop> {
    let mut made: BTreeMap<&str, u32> = BTreeMap::new();
    if links.iter().any(|link| link.register == register.row.register) {
        for (entry, index) in entries.iter().zip(0..) {
            made.entry(&entry.key).or_insert(index);
        }
    }
    for link in links {
        let own = link.register == register.row.register;
        if own && made.get(link.key).is_some_and(|index| *index <= link.entry) {
            continue;
        }
        if exists(draft, link).is_ok_and(|exists| !exists) {
            violations.add(link.entry, link.field, ViolationRule::Unresolved);
        }
    }
    Ok(draft.complete()?)
}

fn exists(draft: &mut Draft<'_>, link: &Link<'_>) -> Result<bool, Unread> {
    match draft.register(link.register)? {
        Some(linked) => Ok(draft.record(&linked.record_key(EntryKind::User, link.key))?.is_some()),
        None => Ok(true),
    }
}
