//! Say what is on record in a partition of reads, corrections, and who knows of these: to those who may ask, not on record itself.
//!
//! ```text
//! numbers, the latest first ─▶ about whom it is asked ─▶ of corrections the marks, and what was sealed in the wrong entry alone
//! ```
//!
//! INVARIANT: no value that the correcting entry or the record now has is said to be the wrong entry's: who orders its erasure takes it from all.

use super::{
    Parcels, Room,
    consent::{Consented, Consents},
    error::PrivateError,
    read::{Taken, Told, entries, transaction_of},
    sealed::Value,
};
use crate::engine::Runtime;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_api::is_read_about;
use tallystick_ledger::{protection::sealed_in, schema::Schema};
use tallystick_protocol::{
    Commitment, CorrectionRow, Field, Operation, Place, Query, SignedTransaction, Subject, limits::PRIVATE_SCAN_MAX,
};
use tallystick_storage::partition::NumberedRow;

/// Corrections on a page of which it is said what the wrong entries have sealed, if they are of several transactions: two payloads are opened for
/// each.
const CORRECTED_PER_PAGE: usize = 32;

/// An entry that was wrong.
#[derive(Clone, Debug)]
pub struct Corrected {
    /// Its mark.
    pub mark: CorrectionRow,
    /// The height of the block that brought it.
    pub since: u64,
    /// What is sealed in it, and neither in that which corrects it nor in the record now, unless it is erased: if it was asked for.
    pub values: Vec<(Place, Commitment)>,
    /// Whether that was asked for and cannot be told: it came with others of its record, or cannot be read here any more.
    pub untold: bool,
}

/// A read that is on record in a partition, a correction, or that somebody knows of one.
#[derive(Clone, Debug)]
pub struct ReadAct {
    /// Which private transaction it was, from 0.
    pub number: u64,
    /// Where it is, and what became of it.
    pub row: NumberedRow,
    /// What it asked for.
    pub transaction: SignedTransaction,
    /// The entries that it corrects.
    pub corrections: Vec<Corrected>,
    /// Of each of its reads, what it may have stood on.
    pub consents: Vec<Consented>,
}

/// A page of these, the latest first.
#[derive(Clone, Debug, Default)]
pub struct ReadsPage {
    /// The reads, corrections, and who knows.
    pub acts: Vec<ReadAct>,
    /// Numbers of private transactions that cannot be read here any more.
    pub unread: Vec<u64>,
    /// Where to go on; none when there are none before.
    pub next: Option<u64>,
}

impl<E: Runtime> Room<E> {
    /// The marks of the entries that the transaction of a number corrects, each with the private transaction that brought it and the fields of its
    /// register. One that was refused marked nothing.
    pub(super) async fn corrections(
        &self,
        number: u64,
        transaction: &SignedTransaction,
    ) -> Vec<(CorrectionRow, Option<NumberedRow>, Vec<Field>)> {
        let partition = self.partition.lock().await;
        let mut found = Vec::new();
        for operation in transaction.operations() {
            let Operation::RecordCorrect { register, corrects, .. } = operation else { continue };
            let mark = partition.correction(register, *corrects).await;
            let Some(mark) = mark.filter(|mark| mark.leaf == number) else { continue };
            let since = partition.numbered(mark.since).await;
            let fields = partition.register(register).await.map(|kept| kept.row.fields).unwrap_or_default();
            found.push((mark, since, fields));
        }
        found
    }
}

impl<E: Runtime> Parcels<E> {
    /// Reads that are on record in a partition, corrections, and who knows of these, the latest first: at most `count` of those before
    /// `before`.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn log_of_reads(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        (before, count): (u64, usize),
        (about, with_values): (Option<&Subject>, bool),
    ) -> Result<Told<ReadsPage>, PrivateError> {
        let room = self.asked_by_overseer(partition, query, path).await?;
        let with_values = with_values && self.is_own(query);
        let mut corrected = 0;
        let position = room.partition.lock().await.position();
        let (mut number, mut page, mut known) =
            (before.min(position.executed), ReadsPage::default(), Consents::default());
        let (end, mut last) = (number.saturating_sub(PRIVATE_SCAN_MAX), None);
        while number > end && page.acts.len() < count {
            number -= 1;
            let row = room.partition.lock().await.numbered(number).await;
            let Some(row) = row.filter(|row| row.told.is_some()) else { continue };
            let Ok(transaction) = self.next_transaction(&room, &row, &mut last).await else {
                page.unread.push(number);
                continue;
            };
            if about.is_some_and(|subject| !transaction.operations().iter().any(|one| concerns(one, subject))) {
                continue;
            }
            let corrects = transaction.operations().iter().filter(|one| matches!(one, Operation::RecordCorrect { .. }));
            corrected += corrects.count();
            if with_values && corrected > CORRECTED_PER_PAGE && !page.acts.is_empty() {
                number += 1;
                break;
            }
            let corrections = self.corrected(&room, number, &transaction, with_values).await;
            let consents = room.consented(&transaction, &mut known).await;
            page.acts.push(ReadAct { number, row, transaction, corrections, consents });
        }
        page.next = (number > 0).then_some(number);
        Ok(Told { height: position.height, value: page })
    }

    /// The entries that the transaction of a number corrects.
    async fn corrected(
        &self,
        room: &Room<E>,
        number: u64,
        transaction: &SignedTransaction,
        with_values: bool,
    ) -> Vec<Corrected> {
        let mut found = Vec::new();
        for (mark, since, fields) in room.corrections(number, transaction).await {
            let values = match &since {
                Some(since) if with_values => {
                    self.wrong_values(room, (&mark, transaction), (since, &fields)).await.unwrap_or_default()
                }
                _ => None,
            };
            let untold = with_values && values.is_none();
            let (since, values) = (since.map_or(0, |row| row.height), values.unwrap_or_default());
            found.push(Corrected { mark, since, values, untold });
        }
        found
    }

    /// What is sealed in a wrong entry, and neither in the one that corrects it, nor in the record now, nor erased. None if others of its record
    /// came with it: which it was cannot be told.
    async fn wrong_values(
        &self,
        room: &Room<E>,
        (mark, correcting): (&CorrectionRow, &SignedTransaction),
        (since, fields): (&NumberedRow, &[Field]),
    ) -> Result<Option<Vec<Value>>, PrivateError> {
        let schema = Schema::new(&mark.register, fields);
        let sealed = |transaction: &SignedTransaction| -> (usize, BTreeSet<Value>) {
            let all = transaction.operations().iter().flat_map(|operation| entries(operation, &mark.register));
            let own: Vec<_> = all.filter(|(key, _)| *key == mark.key).collect();
            let values = own.iter().flat_map(|(key, items)| sealed_in(Some(&room.name), &schema, key, items));
            (own.len(), values.collect())
        };
        let (count, mut values) = sealed(&self.kept_transaction(room, since).await?);
        if count != 1 && !values.is_empty() {
            return Ok(None);
        }
        let (_, right) = sealed(correcting);
        values.retain(|value| !right.contains(value));
        let taken = Taken::of(&*room.partition.lock().await, (&mark.register, &mark.key), &mut BTreeMap::new()).await;
        if let Some(appended) = &taken.appended {
            let (_, now) = sealed(&self.kept_transaction(room, appended).await?);
            values.retain(|value| !now.contains(value));
        }
        let erased = room.erased_among(&values, self.time_ms()).await;
        Ok(Some(values.into_iter().filter(|value| !erased.contains_key(value)).collect()))
    }

    /// The private transaction of this row, as it is kept. One that cannot be read here is asked for.
    async fn kept_transaction(&self, room: &Room<E>, row: &NumberedRow) -> Result<SignedTransaction, PrivateError> {
        transaction_of(row, &self.asked_payload(room, &row.parcel.id).await?)
    }
}

/// Whether an operation reads what is about somebody, corrects their own record, or says that somebody knows of that.
fn concerns(operation: &Operation, subject: &Subject) -> bool {
    match operation {
        Operation::RecordCorrect { register, entry, .. } => {
            (subject.register(), subject.key()) == (register, &entry.key)
        }
        Operation::NoticeAcknowledge { register, key, .. } => (subject.register(), subject.key()) == (register, key),
        other => is_read_about(other, subject),
    }
}
