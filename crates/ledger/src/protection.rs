//! Protection: fields that only some may read, and what must hold of them.
//!
//! INVARIANTS:
//! - A value of a protected field is on the ledger only sealed: appended or imported, whoever signs.
//! - What names records is never protected: not the key, and not a field that says whom another is about.
//! - A field that is protected stays so: no later definition takes that away, or says it otherwise.
//!
//! A transaction that is refused is in the log for ever, with all that it holds. So a node looks at what is handed in before it is
//! ordered, with [`exposed`]: what a register with protected fields would refuse is not admitted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tallystick_protocol::{
    Code, Commitment, Place, SignedTransaction, Violation, ViolationRule,
    operation::{Cardinality, Datatype, EntryKind, Field, ImportedEntry, NewEntry, Operation, Protection},
};

use crate::{
    apply::{Stop, refuse_if_any},
    definition::Definition,
    item::Item,
    schema::{Schema, Violations},
};

/// Goes on if a register's fields may be protected as they are.
pub(crate) fn require_possible(register: &str, fields: &[Field]) -> Result<(), Stop> {
    let mut violations = Violations::default();
    for (field, at) in fields.iter().zip(0..) {
        match &field.protection {
            None => {}
            Some(_) if field.name == register => violations.add(at, &field.name, ViolationRule::Protection),
            Some(Protection::Personal { subject, .. }) if !names_records(register, fields, subject) => {
                violations.add(at, &field.name, ViolationRule::Subject);
            }
            Some(_) => {}
        }
    }
    refuse_if_any(Code::ProtectionInvalid, violations)
}

/// Whether the field of this name says, to everybody, one record that others are about.
fn names_records(register: &str, fields: &[Field], name: &str) -> bool {
    fields.iter().find(|field| field.name == name).is_some_and(|field| {
        let links = field.name == register || field.register.is_some() || field.datatype == Datatype::Curie;
        links && field.cardinality == Cardinality::One && field.protection.is_none()
    })
}

/// Goes on if every field that was protected is protected in the same way.
pub(crate) fn require_kept(before: &[Field], after: &[Field]) -> Result<(), Stop> {
    let mut violations = Violations::default();
    for (field, at) in before.iter().zip(0..).filter(|(field, _)| field.protection.is_some()) {
        let kept = after.iter().any(|new| new.name == field.name && new.protection == field.protection);
        if !kept {
            violations.add(at, &field.name, ViolationRule::Protection);
        }
    }
    refuse_if_any(Code::ProtectionInvalid, violations)
}

/// Goes on if no item, each of the entry at its place, has a protected value in the clear.
pub(crate) fn require_sealed<'i, 't: 'i>(
    schema: &Schema,
    items: impl Iterator<Item = (u32, &'i Item<'t>)>,
) -> Result<(), Stop> {
    let mut violations = Violations::default();
    if schema.is_protected() {
        for (entry, item) in items {
            note_unsealed(schema, entry, item, &mut violations);
        }
    }
    refuse_if_any(Code::ValueUnsealed, violations)
}

fn note_unsealed(schema: &Schema, entry: u32, item: &Item<'_>, violations: &mut Violations) {
    for field in schema.unsealed(item) {
        violations.add(entry, field, ViolationRule::Unsealed);
    }
}

/// The registers whose protected fields decide whether the transaction may be handed on: those that it writes entries to.
pub fn concerned(tx: &SignedTransaction) -> impl Iterator<Item = &str> {
    tx.operations().iter().filter_map(|operation| match operation {
        Operation::EntryAppend { register, .. }
        | Operation::RegisterImport { register, .. }
        | Operation::RecordCorrect { register, .. } => Some(register.as_str()),
        _ => None,
    })
}

/// The first operation that would write values in the clear which are written only sealed, or be refused by the schema of a register
/// that has such values, or that is in a partition; and what in particular. `schemas` are those of [`concerned`] registers as far as they are known.
pub fn exposed(tx: &SignedTransaction, schemas: &BTreeMap<String, Arc<Schema>>) -> Option<(u32, Vec<Violation>)> {
    let mut made: BTreeMap<&str, Vec<Field>> = BTreeMap::new();
    for (operation, at) in tx.operations().iter().zip(0..) {
        let mut violations = Violations::default();
        match operation {
            // One that is there already is not made again: its fields stay what they are.
            Operation::RegisterCreate { register, fields, .. } if !schemas.contains_key(register) => {
                made.entry(register).or_insert_with(|| fields.clone());
            }
            Operation::EntryAppend { register, .. } | Operation::RecordCorrect { register, .. } => {
                let own = made.get(register.as_str()).map(|fields| Schema::new(register, fields));
                let schema = own.as_ref().or_else(|| schemas.get(register).map(AsRef::as_ref));
                // Whoever acknowledges what is private vouches that its schema takes it.
                let is_looked_at = |schema: &&Schema| schema.is_protected() || tx.partition().is_some();
                let Some(schema) = schema.filter(is_looked_at) else { continue };
                for (entry, index) in new_entries(operation).iter().zip(0..) {
                    for text in &entry.items {
                        judge(schema, index, &entry.key, text, &mut violations);
                    }
                }
            }
            Operation::RegisterImport { register, entries, .. } => {
                let known = made.get(register.as_str()).cloned();
                let known = known.or_else(|| schemas.get(register).map(|schema| schema.fields().to_vec()));
                let fields = judge_import(register, known.unwrap_or_default(), entries, &mut violations);
                made.insert(register, fields);
            }
            _ => {}
        }
        if !violations.is_empty() {
            return Some((at, violations.into_vec()));
        }
    }
    None
}

/// Where each sealed value of the transaction stands, with its commitment, in the order of the items. `schemas` as of [`exposed`], which
/// should have found nothing.
pub fn sealed(tx: &SignedTransaction, schemas: &BTreeMap<String, Arc<Schema>>) -> Vec<(Place, Commitment)> {
    let mut made: BTreeMap<&str, Schema> = BTreeMap::new();
    let (mut found, partition) = (Vec::new(), tx.partition());
    for operation in tx.operations() {
        match operation {
            Operation::RegisterCreate { register, fields, .. } if !schemas.contains_key(register) => {
                made.entry(register).or_insert_with(|| Schema::new(register, fields));
            }
            Operation::EntryAppend { register, .. } | Operation::RecordCorrect { register, .. } => {
                let schema = made.get(register.as_str()).or_else(|| schemas.get(register).map(AsRef::as_ref));
                let Some(schema) = schema else { continue };
                let entries = new_entries(operation).iter();
                entries.for_each(|entry| note_sealed((partition, schema), &entry.key, &entry.items, &mut found));
            }
            Operation::RegisterImport { register, entries, .. } => {
                let known = made.get(register.as_str()).or_else(|| schemas.get(register).map(AsRef::as_ref));
                let known = known.map(|schema| schema.fields().to_vec()).unwrap_or_default();
                let fields = judge_import(register, known, entries, &mut Violations::default());
                let schema = Schema::new(register, &fields);
                let user = entries.iter().filter(|entry| entry.kind == EntryKind::User);
                user.for_each(|entry| note_sealed((partition, &schema), &entry.key, &entry.items, &mut found));
                made.insert(register, schema);
            }
            _ => {}
        }
    }
    found
}

/// Where each sealed value of a record stands, in a partition or the public one, with its commitment.
pub fn sealed_in(partition: Option<&str>, schema: &Schema, key: &str, items: &[String]) -> Vec<(Place, Commitment)> {
    let mut found = Vec::new();
    note_sealed((partition, schema), key, items, &mut found);
    found
}

/// A field of a record, by register, key and name, without whom its value is about: only a schema tells that.
pub type Spot = (String, String, String);

/// Every commitment that the transaction writes, whatever its registers' schemas are, with the field that it stands in.
pub fn commitments(tx: &SignedTransaction) -> BTreeSet<(Spot, Commitment)> {
    let mut found = BTreeSet::new();
    for operation in tx.operations() {
        let register = match operation {
            Operation::EntryAppend { register, .. }
            | Operation::RecordCorrect { register, .. }
            | Operation::RegisterImport { register, .. } => register,
            _ => continue,
        };
        let imported: &[ImportedEntry] = match operation {
            Operation::RegisterImport { entries, .. } => entries,
            _ => &[],
        };
        let imported = imported.iter().filter(|entry| entry.kind == EntryKind::User);
        let imported = imported.map(|entry| (&entry.key, &entry.items));
        let new = new_entries(operation).iter().map(|entry| (&entry.key, &entry.items));
        for (key, items) in new.chain(imported) {
            // Most items hold none, and need not be read.
            for item in items.iter().filter(|item| item.contains("sealed:")).filter_map(|item| Item::parse(item).ok()) {
                for (field, value) in item.members() {
                    let spot = || (register.clone(), key.clone(), field.to_owned());
                    found.extend(value.strings().filter_map(|text| Some((spot(), text.parse().ok()?))));
                }
            }
        }
    }
    found
}

fn note_sealed(
    (partition, schema): (Option<&str>, &Schema),
    key: &str,
    items: &[String],
    found: &mut Vec<(Place, Commitment)>,
) {
    if !schema.is_protected() {
        return;
    }
    for item in items.iter().filter_map(|text| Item::parse(text).ok()) {
        for (field, value) in item.members() {
            let place = schema.place(key, &item, field).and_then(|place| place.within(partition).ok());
            let Some(place) = place else { continue };
            found.extend(value.strings().filter_map(|text| Some((place.clone(), text.parse().ok()?))));
        }
    }
}

/// The entries that an operation appends.
fn new_entries(operation: &Operation) -> &[NewEntry] {
    match operation {
        Operation::EntryAppend { entries, .. } => entries,
        Operation::RecordCorrect { entry, .. } => std::slice::from_ref(entry),
        _ => &[],
    }
}

/// All that the schema says of an item by itself. One that cannot be read cannot be judged, and would be refused.
fn judge(schema: &Schema, entry: u32, key: &str, text: &str, violations: &mut Violations) {
    match Item::parse(text) {
        Ok(item) => {
            note_unsealed(schema, entry, &item, violations);
            schema.check(entry, key, &item, violations, &mut Vec::new());
        }
        Err(_) => violations.add(entry, "", ViolationRule::NotCanonical),
    }
}

/// Notes what the entries would expose; the register's fields after them. A protection that a definition leaves out holds all the
/// same: the import will be refused, and with it what it holds would be in the log.
fn judge_import(
    register: &str,
    known: Vec<Field>,
    entries: &[ImportedEntry],
    violations: &mut Violations,
) -> Vec<Field> {
    let protected: Vec<Field> = known.iter().filter(|field| field.protection.is_some()).cloned().collect();
    let mut definition = Definition { fields: known, ..Definition::default() };
    for entry in entries.iter().filter(|entry| entry.kind == EntryKind::System) {
        for item in entry.items.iter().filter_map(|text| Item::parse(text).ok()) {
            definition.read(&entry.key, &item);
        }
    }
    for field in protected {
        let fields = &mut definition.fields;
        if fields.iter().all(|new| new.name != field.name || new.protection != field.protection) {
            fields.retain(|new| new.name != field.name);
            fields.push(field);
        }
    }
    let schema = Schema::new(register, &definition.fields);
    if schema.is_protected() {
        for (entry, at) in entries.iter().zip(0..).filter(|(entry, _)| entry.kind == EntryKind::User) {
            for text in &entry.items {
                match Item::parse(text) {
                    Ok(item) => note_unsealed(&schema, at, &item, violations),
                    Err(_) => violations.add(at, "", ViolationRule::NotCanonical),
                }
            }
        }
    }
    definition.fields
}
