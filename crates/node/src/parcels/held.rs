//! Find what was written about somebody in a partition: where it stands, not what it says.
//!
//! Nothing is kept for this: a partition's own rows know records by hashes alone. What was executed is read again, payload by payload,
//! so much of it for a page.

use super::{Parcels, Room, error::PrivateError, read::Told};
use crate::engine::Runtime;
use std::collections::BTreeMap;
use tallystick_ledger::{
    item::{Item, item_hash},
    schema::Schema,
};
use tallystick_protocol::{Query, SignedTransaction, Subject, limits::PRIVATE_SCAN_MAX};
use tallystick_storage::partition::{NumberedRow, appended};

/// An entry about somebody.
#[derive(Clone, Debug)]
pub struct HeldEntry {
    /// The register.
    pub register: String,
    /// The record's key.
    pub key: String,
    /// The fields in which it names them; none of their own record.
    pub named_in: Vec<String>,
    /// Whether it is what the record holds now.
    pub current: bool,
    /// Which private transaction wrote it, from 0.
    pub number: u64,
    /// Where that is.
    pub row: NumberedRow,
    /// The transaction.
    pub transaction: SignedTransaction,
}

/// A page of such entries, the latest first.
#[derive(Clone, Debug, Default)]
pub struct HeldPage {
    /// The entries.
    pub entries: Vec<HeldEntry>,
    /// Numbers of private transactions that cannot be read here any more.
    pub unread: Vec<u64>,
    /// Where to go on; none when there are none before.
    pub next: Option<u64>,
}

/// Registers' schemas, as far as they were looked up.
type Schemas = BTreeMap<String, Option<Schema>>;

impl<E: Runtime> Parcels<E> {
    /// A page of what was written about somebody in a partition, of the private transactions before number `before`.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn held(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        subject: &Subject,
        before: u64,
    ) -> Result<Told<HeldPage>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let position = room.partition.lock().await.position();
        let (mut page, mut schemas) = (HeldPage::default(), Schemas::new());
        let end = before.min(position.executed);
        let begin = end.saturating_sub(PRIVATE_SCAN_MAX);
        let mut last = None;
        for number in (begin..end).rev() {
            let Some(row) = room.partition.lock().await.numbered(number).await else { continue };
            if !row.may_append() {
                continue;
            }
            match self.next_transaction(&room, &row, &mut last).await {
                Ok(transaction) => {
                    page.entries.extend(room.about(subject, (number, &row, &transaction), &mut schemas).await);
                }
                Err(_) => page.unread.push(number),
            }
        }
        page.next = (begin > 0).then_some(begin);
        Ok(Told { height: position.height, value: page })
    }
}

impl<E: Runtime> Room<E> {
    /// The entries about somebody that a transaction appended, the last first; none if it was refused.
    async fn about(
        &self,
        subject: &Subject,
        (number, row, transaction): (u64, &NumberedRow, &SignedTransaction),
        schemas: &mut Schemas,
    ) -> Vec<HeldEntry> {
        let partition = self.partition.lock().await;
        let act = partition.act(&transaction.replay_tag()).await;
        if act.is_none_or(|act| act.number != number || act.refused.is_some()) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (register, entries) in transaction.operations().iter().filter_map(appended) {
            if !schemas.contains_key(register) {
                let kept = partition.register(register).await;
                let schema = kept.map(|kept| Schema::new(register, &kept.row.fields));
                schemas.insert(register.to_owned(), schema);
            }
            let schema = schemas.get(register).and_then(Option::as_ref);
            for (key, items) in entries {
                let named_in = schema.map(|schema| naming(schema, items, subject)).unwrap_or_default();
                if named_in.is_empty() && (register, key) != (subject.register(), subject.key()) {
                    continue;
                }
                let now = partition.record(register, key).await;
                let hashes = items.iter().map(|item| item_hash(item));
                found.push(HeldEntry {
                    register: register.to_owned(),
                    key: key.to_owned(),
                    named_in,
                    current: now.is_some_and(|now| now.leaf == number && hashes.eq(now.items.iter().copied())),
                    number,
                    row: row.clone(),
                    transaction: transaction.clone(),
                });
            }
        }
        found.reverse();
        found
    }
}

/// The fields in which any of these items names somebody.
fn naming(schema: &Schema, items: &[String], subject: &Subject) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for item in items.iter().filter_map(|text| Item::parse(text).ok()) {
        for field in schema.naming(&item, subject) {
            if named.iter().all(|known| known != field) {
                named.push(field.to_owned());
            }
        }
    }
    named
}
