//! What is found in a partition beside what the ledger's own rows say: which payload has a number, and which registers and mandates there
//! are.
//!
//! These rows are part of the state, so that they are as durable as what they lead to, and under the same root. They follow from what was
//! executed alone: every member has the same ones.

use super::{Act, Changed, Partition, Placed, PrivateBlock};
use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_cryptography::sha256::Digest;
use commonware_runtime::Spawner;
use commonware_storage::Context;
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_ledger::{MandateRow, PageRow, PolicyRow, PolicySetRow, TreeRow};
use tallystick_protocol::{
    BlindRow, CborError, ConsentRow, CorrectionRow, CountersRow, Decision, EntryKind, Hash, MandateId, Noun, Operation,
    OperationName, OrderedParcel, Outcome, PolicyId, RecordRow, RegisterRow, StateKey, Subject, SubjectConsentsRow,
    cbor,
    limits::{CONSENTS_PER_PAGE, STATE_VALUE_BYTES_MAX},
};

/// The private transaction that has a number, for ever.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct NumberedRow {
    /// Where it is: its payload, as it was ordered.
    #[n(0)]
    pub parcel: OrderedParcel,
    /// Its id.
    #[n(1)]
    pub transaction: Hash,
    /// The height of the block that ordered it.
    #[n(2)]
    pub height: u64,
    /// That block's time, in Unix milliseconds.
    #[n(3)]
    pub time_ms: u64,
    /// What is asked of it later, if it reads or corrects records, or says that somebody knows of a correction.
    #[n(4)]
    pub told: Option<Told>,
    /// Which it is of that payload, from 0.
    #[n(5)]
    pub place: u32,
}

/// What is asked later of a private transaction that reads or corrects records, or says that somebody knows of a correction.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Told {
    /// What became of it; where that is too long for a row, no more than whether it was accepted, or the code.
    #[n(0)]
    pub outcome: Outcome,
    /// [`record_tag`] of each record that it reads: who read one is found without opening every payload.
    #[n(1)]
    pub reads: Vec<u32>,
    /// Whether it corrects records, or says that somebody knows of a correction.
    #[n(2)]
    pub corrects: bool,
}

/// What a record is known by in [`Told::reads`]. Others may be known by the same.
pub fn record_tag(register: &str, key: &str) -> u32 {
    let Hash([first, second, third, fourth, ..]) = Hash::of(&[register.as_bytes(), &[0], key.as_bytes()]);
    u32::from_be_bytes([first, second, third, fourth])
}

impl NumberedRow {
    /// Decodes a row.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }

    /// Whether it may have appended something: it is no read, and what it says of its outcome is none that appended nothing.
    pub fn may_append(&self) -> bool {
        let appends = |outcome: &Outcome| matches!(outcome, Outcome::Accepted { appended, .. } if !appended.is_empty());
        self.told.as_ref().is_none_or(|told| told.corrects || appends(&told.outcome))
    }
}

/// A register's place in the list of a partition's.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct ListedRow {
    #[n(0)]
    name: String,
    /// Keys that have a record.
    #[n(1)]
    records: u64,
}

/// A register as a partition keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its definition.
    pub row: RegisterRow,
    /// How far it has come.
    pub tree: TreeRow,
    /// Keys that have a record.
    pub records: u64,
}

/// A record, or what its fields are under, with the proof of it under a root of the partition's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRecord {
    /// The register's number.
    pub number: u32,
    /// The row.
    pub row: BlindRow,
    /// The engine's proof, encoded.
    pub proof: Bytes,
    /// The root that it leads to.
    pub root: Hash,
    /// The height of the last block executed before it is so.
    pub height: u64,
}

/// A row of the ledger's, with the proof of it under a root of the partition's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenRow {
    /// The row.
    pub row: BlindRow,
    /// The engine's proof, encoded.
    pub proof: Bytes,
    /// The root that it leads to.
    pub root: Hash,
}

/// Notes which payload has a number.
pub(super) fn number(
    changed: &mut Changed,
    block: &PrivateBlock,
    placed: &Placed,
    Act { transaction, number, place, .. }: &Act<'_>,
    outcome: &Outcome,
) {
    let row = NumberedRow {
        parcel: placed.ordered,
        transaction: transaction.id(),
        height: block.height,
        time_ms: block.time_ms,
        told: told(transaction.operations(), outcome),
        place: *place,
    };
    changed.insert(StateKey::private_number(*number), Some(encoded(row)));
}

/// A row that fits.
fn encoded(mut row: NumberedRow) -> Vec<u8> {
    let bytes = cbor::encode(&row);
    match &mut row.told {
        Some(told) if bytes.len() > STATE_VALUE_BYTES_MAX => {
            told.outcome = shortened(&told.outcome);
            cbor::encode(&row)
        }
        _ => bytes,
    }
}

/// What is asked of a transaction later, if anything is.
fn told(operations: &[Operation], outcome: &Outcome) -> Option<Told> {
    let read = |operation: &Operation| match operation {
        Operation::RecordRead { register, key, .. } => Some(record_tag(register, key)),
        _ => None,
    };
    let corrects = [OperationName::RecordCorrect, OperationName::NoticeAcknowledge];
    let corrects = operations.iter().any(|operation| corrects.contains(&operation.name()));
    let reads: Vec<u32> = operations.iter().filter_map(read).collect();
    (corrects || !reads.is_empty()).then(|| Told { outcome: outcome.clone(), reads, corrects })
}

fn shortened(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Accepted { .. } => Outcome::Accepted { appended: Vec::new(), decision: Decision::default() },
        Outcome::Refused(refusal) => Outcome::refused(refusal.code, refusal.operation),
    }
}

impl<E: Context + Spawner> Partition<E> {
    /// Notes registers, records and mandates that are new; `absent` are rows that were not there before these changes.
    pub(super) async fn list(&self, changed: &mut Changed, changes: &Changed, absent: &BTreeSet<StateKey>) {
        let mut new: BTreeMap<u32, u64> = BTreeMap::new();
        let mut granted: BTreeSet<(u64, MandateId)> = BTreeSet::new();
        for (key, row) in changes.iter().filter(|(key, _)| absent.contains(key)) {
            let Some(row) = row else { continue };
            let [noun, high, middle, low, ..] = key.0;
            if noun == Noun::Register as u8
                && let Ok(RegisterRow { register: name, number, .. }) = RegisterRow::decode(row)
            {
                let listed = cbor::encode(&ListedRow { name, records: 0 });
                changed.insert(StateKey::private_register(number), Some(listed));
            } else if noun == Noun::Record as u8 {
                *new.entry(u32::from_be_bytes([0, high, middle, low])).or_default() += 1;
            } else if noun == Noun::PrivateMandate as u8
                && let Ok(MandateRow { id, granted: number, .. }) = MandateRow::decode(row)
            {
                granted.insert((number, id));
            }
        }
        self.list_granted(changed, granted).await;
        for (register, more) in new {
            let key = StateKey::private_register(register);
            let row = match changed.get(&key) {
                Some(row) => row.clone(),
                None => self.row(&key).await.map(|row| row.to_vec()),
            };
            if let Some(mut listed) = row.and_then(|row| listed(&row)) {
                listed.records += more;
                changed.insert(key, Some(cbor::encode(&listed)));
            }
        }
    }

    /// Numbers mandates that are new, in the order in which they were granted.
    async fn list_granted(&self, changed: &mut Changed, granted: BTreeSet<(u64, MandateId)>) {
        if granted.is_empty() {
            return;
        }
        let key = StateKey::private_grants();
        let mut count = match changed.get(&key) {
            Some(row) => row.as_deref().map_or(0, counted),
            None => self.grants().await,
        };
        for (_, id) in granted {
            changed.insert(StateKey::private_grant(count), Some(cbor::encode(&id)));
            count += 1;
        }
        changed.insert(key, Some(cbor::encode(&count)));
    }

    /// How many mandates were granted.
    pub async fn grants(&self) -> u64 {
        self.row(&StateKey::private_grants()).await.map_or(0, |row| counted(&row))
    }

    /// The mandate that was granted as the one of this number, from 0, as it stands.
    pub async fn granted(&self, number: u64) -> Option<MandateRow> {
        let row = self.row(&StateKey::private_grant(number)).await?;
        self.mandate(&cbor::decode(&row, STATE_VALUE_BYTES_MAX).ok()?).await
    }

    /// A mandate of the partition's own.
    pub async fn mandate(&self, id: &MandateId) -> Option<MandateRow> {
        let row = self.row(&StateKey::mandate(id)).await?;
        MandateRow::decode(&row).ok()
    }

    /// The private transaction of this number, from 0; none if it was none of its orderer's, or none was executed yet.
    pub async fn numbered(&self, number: u64) -> Option<NumberedRow> {
        let row = self.row(&StateKey::private_number(number)).await?;
        NumberedRow::decode(&row).ok()
    }

    /// The mark of an entry of a register that was wrong.
    pub async fn correction(&self, register: &str, corrects: u64) -> Option<CorrectionRow> {
        let row = self.row(&StateKey::register(register)).await?;
        let number = RegisterRow::decode(&row).ok()?.number;
        let row = self.row(&StateKey::correction(number, corrects)).await?;
        CorrectionRow::decode(&row).ok()
    }

    /// What somebody has consented to, to this controller, the newest first, ended ones too: at most `count` of those before number
    /// `before`. With the number before which to go on, 0 when there are no more.
    pub async fn consents(
        &self,
        controller: &str,
        subject: &Subject,
        (before, count): (u64, usize),
    ) -> (u64, Vec<ConsentRow>) {
        let row = self.row(&StateKey::subject_consents(controller, subject)).await;
        let given = row.and_then(|row| SubjectConsentsRow::decode(&row).ok()).unwrap_or_default().given;
        let end = before.min(given);
        let first = end.saturating_sub(count as u64);
        let (mut found, mut ids) = (Vec::new(), (u64::MAX, PageRow::default()));
        for number in (first..end).rev() {
            let page = number / u64::from(CONSENTS_PER_PAGE);
            if page != ids.0 {
                let key = StateKey::consents(controller, subject, u32::try_from(page).unwrap_or(u32::MAX));
                let row = self.row(&key).await;
                ids = (page, row.and_then(|row| PageRow::decode(&row).ok()).unwrap_or_default());
            }
            let at = usize::try_from(number % u64::from(CONSENTS_PER_PAGE)).unwrap_or(usize::MAX);
            let Some(id) = ids.1.ids.get(at) else { continue };
            let row = self.row(&StateKey::consent(id)).await;
            found.extend(row.and_then(|row| ConsentRow::decode(&row).ok()));
        }
        (first, found)
    }

    /// How many registers there are.
    pub async fn registers(&self) -> u32 {
        self.counters().await.registers
    }

    /// The register of this number, from 1.
    pub async fn register_of(&self, number: u32) -> Option<Kept> {
        let row = self.row(&StateKey::private_register(number)).await?;
        let ListedRow { name, records } = listed(&row)?;
        let (row, tree) = self.definition(&name).await?;
        Some(Kept { row, tree, records })
    }

    /// The register of this name.
    pub async fn register(&self, name: &str) -> Option<Kept> {
        let (row, tree) = self.definition(name).await?;
        let listed_row = self.row(&StateKey::private_register(row.number)).await;
        let records = listed_row.and_then(|row| listed(&row)).map_or(0, |listed| listed.records);
        Some(Kept { row, tree, records })
    }

    async fn definition(&self, name: &str) -> Option<(RegisterRow, TreeRow)> {
        let row = self.row(&StateKey::register(name)).await?;
        let row = RegisterRow::decode(&row).ok()?;
        let tree = self.row(&StateKey::tree(row.number)).await?;
        Some((row, TreeRow::decode(&tree).ok()?))
    }

    /// The policies in force that its custodian has made for a register here.
    pub async fn register_policies(&self, register: &str) -> Vec<PolicyRow> {
        let mut found = Vec::new();
        for policy in self.policy_set(register).await.policies {
            found.extend(self.policy_row(&policy.id, policy.version).await);
        }
        found
    }

    /// A policy of a register as it stood after `as_of` changes of policies here, and whether that text is in force. None when it had not been
    /// put then, nor in so many changes before as are looked at.
    pub async fn policy(&self, id: &PolicyId, as_of: u64) -> Option<(PolicyRow, bool)> {
        let set = self.policy_set(id.register()?).await;
        for change in set.changes_until(id, as_of, self.counters().await.policies) {
            if let Some(row) = self.policy_row(id, change).await {
                return Some((row, set.in_force(id) == Some(change)));
            }
        }
        None
    }

    async fn policy_set(&self, register: &str) -> PolicySetRow {
        let row = self.row(&StateKey::policy_set(register)).await;
        row.and_then(|row| PolicySetRow::decode(&row).ok()).unwrap_or_default()
    }

    async fn policy_row(&self, id: &PolicyId, version: u64) -> Option<PolicyRow> {
        PolicyRow::decode(&self.row(&StateKey::policy(id, version)).await?).ok()
    }

    async fn counters(&self) -> CountersRow {
        let row = self.row(&StateKey::counters()).await;
        row.and_then(|row| CountersRow::decode(&row).ok()).unwrap_or_default()
    }

    /// The record of a key with the proof that it is under the root of the state, and its register's number.
    ///
    /// # Panics
    ///
    /// When the disk fails.
    pub async fn prove_record(&self, register: &str, key: &str) -> Option<ProvenRecord> {
        let row = self.row(&StateKey::register(register)).await?;
        let number = RegisterRow::decode(&row).ok()?.number;
        let place = StateKey::record(number, EntryKind::User, key);
        let ProvenRow { row, proof, root } = self.prove(&place).await?;
        Some(ProvenRecord { number, row, proof, root, height: self.position().height })
    }

    /// The same of what the record's fields are under.
    ///
    /// # Panics
    ///
    /// When the disk fails.
    pub async fn prove_fields(&self, number: u32, key: &str) -> Option<ProvenRecord> {
        let ProvenRow { row, proof, root } = self.prove(&StateKey::private_fields(number, key)).await?;
        Some(ProvenRecord { number, row, proof, root, height: self.position().height })
    }

    /// A row with the proof that it is under the root of the state.
    ///
    /// # Panics
    ///
    /// When the disk fails.
    pub async fn prove(&self, key: &StateKey) -> Option<ProvenRow> {
        let row = self.stored(key).await?;
        let proof = self.whole(self.db().key_value_proof(Digest::from(key.0)).await).await;
        Some(ProvenRow { row, proof: proof.encode(), root: self.root() })
    }

    /// The record of a key, as the ledger has it: its items by their hashes.
    pub async fn record(&self, register: &str, key: &str) -> Option<RecordRow> {
        let row = self.row(&StateKey::register(register)).await?;
        let number = RegisterRow::decode(&row).ok()?.number;
        let row = self.row(&StateKey::record(number, EntryKind::User, key)).await?;
        RecordRow::decode(&row).ok()
    }
}

fn counted(row: &[u8]) -> u64 {
    cbor::decode(row, STATE_VALUE_BYTES_MAX).unwrap_or_default()
}

fn listed(row: &[u8]) -> Option<ListedRow> {
    cbor::decode(row, STATE_VALUE_BYTES_MAX).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tallystick_protocol::{Appended, ParcelId};

    #[test]
    fn of_what_does_not_fit_into_a_row_it_is_kept_that_it_was_accepted() {
        let row = |appended: usize, reads: usize| NumberedRow {
            parcel: OrderedParcel { id: ParcelId([1; 32]), class: 12 },
            transaction: Hash::default(),
            height: 7,
            time_ms: 8,
            told: Some(Told {
                outcome: Outcome::Accepted {
                    appended: (0..appended as u64)
                        .map(|first| Appended {
                            operation: 1,
                            kind: EntryKind::User,
                            register: "child".into(),
                            first,
                            count: 1,
                        })
                        .collect(),
                    decision: Decision::default(),
                },
                reads: vec![u32::MAX; reads],
                corrects: true,
            }),
            place: 0,
        };
        let short = row(3, 3);
        assert_eq!(NumberedRow::decode(&encoded(short.clone())).unwrap(), short);
        let long = row(2_000, tallystick_protocol::limits::OPERATIONS_MAX);
        let kept = NumberedRow::decode(&encoded(long.clone())).unwrap();
        let (told, was) = (kept.told.clone().unwrap(), long.told.unwrap());
        assert_eq!((&told.reads, told.corrects), (&was.reads, true));
        assert!(matches!(&told.outcome, Outcome::Accepted { appended, .. } if appended.is_empty()));
        assert!(kept.may_append());
    }
}
