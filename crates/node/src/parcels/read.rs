//! Say what is in a partition, to those of this node's own organisation who may know.
//!
//! ```text
//! registers, who read what    a signed question   ─▶ whose key? of this organisation, or a regulator's? ─▶ answered, not on record
//! a record                    a private transaction of reads ─▶ ordered ─▶ executed, accepted ─▶ the record as it is then, once
//! ```
//!
//! INVARIANTS:
//! - What a record says is given for an accepted read alone, to the request that handed it in, and by the node that the read names.
//! - A question is answered to principals of this node's organisation, while that is a member; one about what goes on in the partition also to
//!   those who oversee it by its agreement; and to nobody else.

use super::{Parcels, READING, Room, error::PrivateError, sealed::Value};
use crate::{application::now_ms, engine::Runtime};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::{Arc, MutexGuard, OnceLock, PoisonError},
};
use tallystick_ledger::{
    item::{Item, item_from, item_hash},
    protection::sealed_in,
    schema::Schema,
};
use tallystick_protocol::{
    Code, EntryKind, Field, Hash, Opening, Operation, OrganisationRow, OrganisationStatus, ParcelId, PartitionRootsRow,
    PartitionRow, Payload, PrincipalId, PrincipalRow, Protection, Query, RecordRow, ShownField, SignedTransaction,
    StateKey, Subject,
    limits::{DISCLOSED_VALUES_MAX, QUERY_SECONDS_MAX},
    parcel::parcel_bytes,
    principal::REGULATOR,
};
use tallystick_storage::{
    cache::Cache,
    history::Entry,
    partition::{Done, Fields, KeptRegister, NumberedRow, Partition, ProvenRecord, appended},
};

/// Why nothing of a partition is certified.
pub(crate) fn different_roots(partition: &str) -> String {
    format!("the members' nodes have different roots: `tally partition show {partition}` names them")
}

/// Why a question of another organisation's is not answered.
const NO_OVERSEER: &str = "its signer is of another organisation: ask a node of the signer's own. A regulator whom the agreement names asks with the \
    role `regulator`, from where the agreement allows it to be held, and only who read what and what is ordered to be erased or held";

/// What was read of a partition, and where the partition stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// The height of the last block of which something was executed.
    pub height: u64,
    /// What was read.
    pub value: T,
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The register.
    pub register: String,
    /// The record, with those fields of its items alone that were asked for.
    pub record: Entry,
    /// What opens the values that are sealed in these fields, as far as it is here and the read says whom they are about.
    pub openings: Vec<Opening>,
    /// Those of the fields with a sealed value that nothing opens here, though it is not erased.
    pub absent: BTreeSet<String>,
    /// Those of the fields with a sealed value that is erased, and that nothing opens here.
    pub erased: BTreeSet<String>,
    /// Whom sealed values in these fields are about, and the read does not name: they are not given.
    pub unnamed: BTreeSet<Subject>,
    /// Why there is this entry, if it corrects another.
    pub corrects: Option<Correcting>,
    /// Of one that is disclosed: what proves it.
    pub proof: Option<Proof>,
}

/// That an entry corrects one that was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correcting {
    /// The number of the wrong entry.
    pub corrects: u64,
    /// Why.
    pub reason: String,
    /// Who demanded it, or found it.
    pub authority: String,
    /// The law that it rests on.
    pub legal_basis: String,
}

impl Correcting {
    fn of(operation: &Operation) -> Option<Self> {
        let Operation::RecordCorrect { corrects, reason, authority, legal_basis, .. } = operation else { return None };
        Some(Self {
            corrects: *corrects,
            reason: reason.clone(),
            authority: authority.clone(),
            legal_basis: legal_basis.clone(),
        })
    }
}

/// What proves a record that is disclosed, as it was under the partition's root when the read was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The partition.
    pub partition: String,
    /// All of the record, if all of its fields are named that are not sealed.
    pub whole: Option<ProvenRecord>,
    /// The fields that are named, without the others; none if the record has none of them.
    pub fields: Option<(ProvenRecord, Vec<ShownField>)>,
}

impl Given {
    /// Goes on if everything is shown that was to be: what is disclosed in part would be on record as if it were whole.
    fn require_all(&self) -> Result<(), PrivateError> {
        if let Some(subject) = self.unnamed.first() {
            let why = format!("it holds what is about `{subject}`, whom it does not name: sign one that does");
            return Err(PrivateError::Failed(why));
        }
        if !self.erased.is_empty() {
            let (register, key) = (self.register.clone(), self.record.key.clone());
            return Err(PrivateError::ReadErased { register, key, fields: self.erased.clone() });
        }
        if let Some(field) = self.absent.first() {
            let why = format!("what opens field `{field}` is not here: ask another node of your organisation");
            return Err(PrivateError::Failed(why));
        }
        if self.openings.len() > DISCLOSED_VALUES_MAX {
            let why = format!("a disclosure shows {DISCLOSED_VALUES_MAX} sealed values at most: name fewer fields");
            return Err(PrivateError::Failed(why));
        }
        Ok(())
    }
}

/// A read that somebody waits for.
pub(super) struct Awaited {
    transaction: SignedTransaction,
    /// Once it is executed and accepted, of each record that it reads.
    records: Vec<Taken>,
}

/// A record as it was after the block in which it was read.
#[derive(Default)]
pub(super) struct Taken {
    /// The fields of its register.
    fields: Arc<[Field]>,
    row: Option<RecordRow>,
    /// The private transaction that appended it.
    pub(super) appended: Option<NumberedRow>,
    /// Of one that is disclosed: it, and what its fields are under.
    proof: Option<(ProvenRecord, Option<ProvenRecord>)>,
}

impl Taken {
    /// As the partition has it now. Fields of registers are looked up once.
    pub(super) async fn of<E: Runtime>(
        partition: &Partition<E>,
        (register, key): (&str, &str),
        known: &mut BTreeMap<String, Arc<[Field]>>,
    ) -> Self {
        let fields = match known.get(register) {
            Some(fields) => fields.clone(),
            None => {
                let kept = partition.register(register).await;
                let fields: Arc<[Field]> = kept.map(|kept| kept.row.fields).unwrap_or_default().into();
                known.entry(register.to_owned()).or_insert(fields).clone()
            }
        };
        let row = partition.record(register, key).await;
        let appended = match &row {
            Some(row) => partition.numbered(row.leaf).await,
            None => None,
        };
        Self { fields, row, appended, proof: None }
    }
}

/// The values that are sealed in these fields of a record.
fn sealed_of(partition: &str, (register, schema): (&str, &[Field]), record: &Entry, fields: &[String]) -> Vec<Value> {
    let schema = Schema::new(register, schema);
    let items: Vec<String> = record.items.iter().map(|(_, item)| item.clone()).collect();
    let mut values = sealed_in(Some(partition), &schema, &record.key, &items);
    values.retain(|(place, _)| fields.iter().any(|field| field == place.field()));
    values
}

/// An executed payload whose transactions are decoded as they are read.
pub(super) struct ReadPayload {
    payload: Payload,
    decoded: Vec<OnceLock<SignedTransaction>>,
}

impl ReadPayload {
    fn new(payload: Payload) -> Self {
        let decoded = payload.transactions().iter().map(|_| OnceLock::new()).collect();
        Self { payload, decoded }
    }

    /// The private transaction of this row.
    fn transaction(&self, row: &NumberedRow) -> Result<SignedTransaction, PrivateError> {
        let place = usize::try_from(row.place).ok().and_then(|place| self.decoded.get(place)).ok_or_else(lost)?;
        if let Some(transaction) = place.get() {
            return Ok(transaction.clone());
        }
        let transaction = transaction_of(row, &self.payload)?;
        Ok(place.get_or_init(|| transaction).clone())
    }
}

/// The one request that waits for a read. Once it is dropped, another may.
pub(super) struct Claim<'a, E: Runtime> {
    room: &'a Room<E>,
    id: Hash,
}

impl<E: Runtime> Drop for Claim<'_, E> {
    fn drop(&mut self) {
        self.room.reading().remove(&self.id);
    }
}

impl<E: Runtime> Room<E> {
    /// Takes the place of the one who waits for a read; none when somebody does.
    pub(super) fn claim(&self, transaction: &SignedTransaction) -> Option<Claim<'_, E>> {
        let id = transaction.id();
        let mut reading = self.reading();
        let btree_map::Entry::Vacant(place) = reading.entry(id) else { return None };
        place.insert(Awaited { transaction: transaction.clone(), records: Vec::new() });
        Some(Claim { room: self, id })
    }

    fn reading(&self) -> MutexGuard<'_, BTreeMap<Hash, Awaited>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the records that were read just now, while the state is still that of their block; of those that are disclosed, the proofs too.
    pub(super) async fn take_records(&self, partition: &Partition<E>, done: &[Done]) {
        let mut known = BTreeMap::new();
        for one in done.iter().filter(|one| one.outcome.is_accepted()) {
            let Some(id) = one.transaction else { continue };
            let Some(transaction) = self.reading().get(&id).map(|read| read.transaction.clone()) else { continue };
            let mut records = Vec::new();
            for operation in transaction.operations() {
                let Operation::RecordRead { register, key, recipient, .. } = operation else { continue };
                let mut record = Taken::of(partition, (register, key), &mut known).await;
                if recipient.is_some() {
                    record.proof = match partition.prove_record(register, key).await {
                        Some(whole) => {
                            let fields = partition.prove_fields(whole.number, key).await;
                            Some((whole, fields))
                        }
                        None => None,
                    };
                }
                records.push(record);
            }
            if let Some(read) = self.reading().get_mut(&id) {
                read.records = records;
            }
        }
    }
}

/// Whether a transaction reads records.
pub(super) fn reads(transaction: &SignedTransaction) -> bool {
    transaction.operations().iter().any(|operation| matches!(operation, Operation::RecordRead { .. }))
}

impl<E: Runtime> Parcels<E> {
    /// Whether a transaction that reads asks this node, for records by their own names, and does nothing else; and, where it discloses,
    /// whether that can be given. Asked before it is ordered: what is on record stays there.
    pub(super) async fn require_reads(
        &self,
        room: &Room<E>,
        transaction: &SignedTransaction,
    ) -> Result<(), PrivateError> {
        let me = &self.0.holder.principal;
        for operation in transaction.operations() {
            let Operation::RecordRead { register, key, fields, subjects, node, .. } = operation else {
                return Err(PrivateError::Unfit("a read stands alone: do the rest in another transaction".to_owned()));
            };
            if node != me {
                return Err(PrivateError::Unfit(format!("it asks node `{node}`, and this is `{me}`: ask that one")));
            }
            if !Subject::new(register, key).is_ok_and(|own| subjects.contains(&own)) {
                let why =
                    "a read in a partition is about the record that it reads: name that among its subjects".to_owned();
                return Err(PrivateError::Unfit(why));
            }
            if operation.recipient().is_some() {
                self.require_disclosable(room, (register, key), (fields, subjects)).await?;
            }
        }
        Ok(())
    }

    /// Whether a disclosure would show what it says that it does, as far as can be known before it is ordered.
    async fn require_disclosable(
        &self,
        room: &Room<E>,
        (register, key): (&str, &str),
        (fields, subjects): (&[String], &[Subject]),
    ) -> Result<(), PrivateError> {
        let roots_key = StateKey::partition_roots(&room.name);
        let roots = self.0.reader.rows(&[roots_key]).await?.rows.into_iter().flatten().next();
        if roots.and_then(|row| PartitionRootsRow::decode(&row).ok()).is_some_and(|roots| roots.alarm.is_some()) {
            return Err(PrivateError::Failed(different_roots(&room.name)));
        }
        let taken = Taken::of(&*room.partition.lock().await, (register, key), &mut BTreeMap::new()).await;
        if taken.row.is_none() {
            return Ok(());
        }
        let is_known = |name: &String| taken.fields.iter().any(|field| field.name == *name);
        if let Some(field) = fields.iter().find(|name| !is_known(name)) {
            let why = format!("register `{register}` has no field `{field}`: name fields that it has");
            return Err(PrivateError::Unfit(why));
        }
        if let Some((field, of)) = tells_of(&taken.fields, register, fields) {
            let why = format!(
                "what opens field `{field}` tells whom it is about, and so what field `{of}` says: name `{of}` too"
            );
            return Err(PrivateError::Unfit(why));
        }
        let (record, _) = self.record(room, &taken, register).await?;
        let mut values = sealed_of(&room.name, (register, &taken.fields), &record, fields);
        values.retain(|(place, _)| subjects.contains(place.subject()));
        let erased = room.erased_among(&values, self.time_ms()).await;
        // What a hold keeps can be disclosed where it is.
        let held: Vec<Value> = erased.iter().filter(|(_, is_held)| **is_held).map(|(value, _)| value.clone()).collect();
        let here = self.vault().openings_at(held.iter()).await?;
        let gone = erased.keys().filter(|value| !here.contains_key(*value));
        let fields: BTreeSet<String> = gone.map(|(place, _)| place.field().to_owned()).collect();
        match fields.is_empty() {
            true => Ok(()),
            false => Err(PrivateError::ReadErased { register: register.to_owned(), key: key.to_owned(), fields }),
        }
    }

    /// The records that an accepted transaction reads, as they were after its block: who read what was wrong is told by when they did.
    pub(super) async fn given(
        &self,
        room: &Room<E>,
        transaction: &SignedTransaction,
    ) -> Result<Vec<Given>, PrivateError> {
        let records = room.reading().get_mut(&transaction.id()).map(|read| std::mem::take(&mut read.records));
        let (mut records, mut given) = (records.into_iter().flatten(), Vec::new());
        for operation in transaction.operations() {
            let Operation::RecordRead { register, fields, subjects, .. } = operation else { continue };
            let taken = records.next().unwrap_or_default();
            given.push(self.given_one(room, (register, fields, subjects), taken).await?);
        }
        Ok(given)
    }

    /// A record that is read: those of its fields that are asked for, and what opens the values that are sealed in them.
    async fn given_one(
        &self,
        room: &Room<E>,
        (register, fields, subjects): (&str, &[String], &[Subject]),
        taken: Taken,
    ) -> Result<Given, PrivateError> {
        let (mut record, corrects) = self.record(room, &taken, register).await?;
        let one = self.open_values(room, (register, &record, &taken), (fields, subjects)).await?;
        let is_asked = |field: &str| fields.iter().any(|asked| asked == field);
        let proof = match &taken.proof {
            Some(_) => {
                one.require_all()?;
                Some(self.prove(room, (register, &record, &taken), is_asked).await?)
            }
            None => None,
        };
        if proof.as_ref().is_none_or(|proof| proof.whole.is_none()) {
            record.items.iter_mut().for_each(|(_, item)| *item = only(item, is_asked));
        }
        Ok(Given { record, corrects, proof, ..one })
    }

    /// What proves those fields of a record that is disclosed, and all of it if they are all that is not sealed.
    async fn prove(
        &self,
        room: &Room<E>,
        (register, record, taken): (&str, &Entry, &Taken),
        is_asked: impl Fn(&str) -> bool,
    ) -> Result<Proof, PrivateError> {
        let (Some((whole, fields)), Some(appended)) = (&taken.proof, &taken.appended) else { return Err(lost()) };
        let is_sealed = |name: &str| taken.fields.iter().any(|field| field.name == name && field.protection.is_some());
        let shows_all = |item: &str| only(item, |field| is_sealed(field) || is_asked(field)) == item;
        let whole = record.items.iter().all(|(_, item)| shows_all(item)).then(|| whole.clone());
        let read = self.payload_of(room, appended).await?;
        let (transaction, place) = (read.transaction(appended)?, appended.place);
        let found = Fields::of(&read.payload, (&transaction, place), (register, &record.key)).ok_or_else(lost)?;
        let (row, shown) = (found.row(register, &record.key, record.number).to_bytes(), found.shown(is_asked));
        if whole.is_none() && shown.is_empty() {
            return Err(PrivateError::Failed("the record has none of these fields: name one that it has".to_owned()));
        }
        let proven = fields.clone().filter(|proven| proven.row.row == row);
        if whole.is_none() && proven.is_none() {
            return Err(lost());
        }
        let fields = proven.filter(|_| !shown.is_empty()).map(|proven| (proven, shown));
        Ok(Proof { partition: room.name.clone(), whole, fields })
    }

    /// What opens the values that are sealed in fields of a record; without the record.
    async fn open_values(
        &self,
        room: &Room<E>,
        (register, record, taken): (&str, &Entry, &Taken),
        (fields, subjects): (&[String], &[Subject]),
    ) -> Result<Given, PrivateError> {
        let parcel = taken.appended.as_ref().ok_or_else(lost)?.parcel.id;
        let mut values = sealed_of(&room.name, (register, &taken.fields), record, fields);
        let unnamed = values.iter().map(|(place, _)| place.subject()).filter(|subject| !subjects.contains(subject));
        let unnamed: BTreeSet<Subject> = unnamed.cloned().collect();
        values.retain(|(place, _)| subjects.contains(place.subject()));
        let found = if values.is_empty() { BTreeMap::new() } else { self.opened_soon(room, &values, parcel).await? };
        let unopened: Vec<Value> = values.iter().filter(|value| !found.contains_key(*value)).cloned().collect();
        let gone = match unopened.is_empty() {
            true => BTreeMap::new(),
            false => room.erased_among(&unopened, self.time_ms()).await,
        };
        let field = |(place, _): &Value| place.field().to_owned();
        let absent = unopened.iter().filter(|value| !gone.contains_key(*value)).map(field).collect();
        let erased = gone.keys().map(field).collect();
        // In the order of the items, each once.
        let mut seen = BTreeSet::new();
        let openings = values.iter().filter(|value| seen.insert((*value).clone())).filter_map(|value| found.get(value));
        let (openings, register) = (openings.cloned().collect(), register.to_owned());
        let record = record.clone();
        Ok(Given { register, record, openings, absent, erased, unnamed, corrects: None, proof: None })
    }

    /// An entry as openregister shows it, its items out of the payload that appended it; and what it corrects.
    async fn record(
        &self,
        room: &Room<E>,
        taken: &Taken,
        register: &str,
    ) -> Result<(Entry, Option<Correcting>), PrivateError> {
        let row = taken.row.as_ref().ok_or(PrivateError::Refused(Code::RecordUnknown))?;
        let transaction = self.transaction(room, taken.appended.as_ref().ok_or_else(lost)?).await?;
        let is_it = |(found, items): &(&str, &[String])| {
            *found == row.key && items.iter().map(|item| item_hash(item)).eq(row.items.iter().copied())
        };
        let (mut texts, mut corrects) = (None, None);
        for operation in transaction.operations() {
            let Some((_, items)) = entries(operation, register).into_iter().find(is_it) else { continue };
            texts.get_or_insert_with(|| row.items.iter().copied().zip(items.iter().cloned()).collect());
            corrects = Correcting::of(operation);
        }
        let entry = Entry {
            number: row.number,
            kind: EntryKind::User,
            key: row.key.clone(),
            timestamp: row.timestamp,
            items: texts.ok_or_else(lost)?,
            leaf: row.leaf,
        };
        Ok((entry, corrects))
    }

    /// The private transaction of a number; none if it has none that counts.
    pub(super) async fn numbered(
        &self,
        room: &Room<E>,
        number: u64,
    ) -> Result<Option<(NumberedRow, SignedTransaction)>, PrivateError> {
        let Some(row) = room.partition.lock().await.numbered(number).await else { return Ok(None) };
        let transaction = self.transaction(room, &row).await?;
        Ok(Some((row, transaction)))
    }

    /// The private transaction of this row.
    async fn transaction(&self, room: &Room<E>, row: &NumberedRow) -> Result<SignedTransaction, PrivateError> {
        self.payload_of(room, row).await?.transaction(row)
    }

    /// The same of one row after another: what came in one payload is read out of it, and what readers use stays in memory.
    pub(super) async fn next_transaction(
        &self,
        room: &Room<E>,
        row: &NumberedRow,
        last: &mut Option<(ParcelId, Payload)>,
    ) -> Result<SignedTransaction, PrivateError> {
        let id = row.parcel.id;
        let payload = match last {
            Some((known, payload)) if *known == id => payload,
            last => &mut last.insert((id, self.asked_payload(room, &id).await?)).1,
        };
        transaction_of(row, payload)
    }

    /// The payload that a private transaction came in, with those that came with it: as it was read last, or as it is kept.
    async fn payload_of(&self, room: &Room<E>, row: &NumberedRow) -> Result<Arc<ReadPayload>, PrivateError> {
        let id = row.parcel.id;
        if let Some(read) = self.read_last().get(&id) {
            return Ok(read);
        }
        // Who asks for the same meanwhile finds it.
        let ParcelId([first, ..]) = id;
        let _one = match self.0.reading.get(usize::from(first) % READING) {
            Some(place) => place.lock().await,
            None => unreachable!("there are {READING} places"),
        };
        if let Some(read) = self.read_last().get(&id) {
            return Ok(read);
        }
        let read = Arc::new(ReadPayload::new(self.asked_payload(room, &id).await?));
        // As it is, and decoded.
        self.read_last().keep(id, read.clone(), 3 * parcel_bytes(row.parcel.class));
        Ok(read)
    }

    fn read_last(&self) -> MutexGuard<'_, Cache<ParcelId, Arc<ReadPayload>>> {
        self.0.read_last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A payload as it is kept on the disk. One that cannot be read here is asked for.
    pub(super) async fn asked_payload(&self, room: &Room<E>, id: &ParcelId) -> Result<Payload, PrivateError> {
        let kept = self.kept_payload(room, id).await;
        if kept.is_err() {
            room.lack(*id);
        }
        kept
    }

    /// A payload as it is kept on the disk.
    pub(super) async fn kept_payload(&self, room: &Room<E>, id: &ParcelId) -> Result<Payload, PrivateError> {
        let kept = room.store.lock().await.get(id).await;
        let kept = kept.map_err(|error| PrivateError::Failed(error.to_string()))?;
        let (ordered, parcel) = kept.ok_or_else(lost)?;
        let network = self.0.shared.chain.network();
        Payload::open(&network, &room.name, &ordered, &parcel, &self.0.holder.sealing).map_err(|_| lost())
    }

    /// Goes on if the question is one of this organisation's, for this path, and in time.
    pub(super) async fn asked_by_own(
        &self,
        partition: &str,
        query: &Query,
        path: &str,
    ) -> Result<Arc<Room<E>>, PrivateError> {
        let room = self.room_soon(partition).await?;
        if !self.is_own(query) {
            let why = "its signer is of another organisation: ask a node of the signer's own";
            return Err(PrivateError::Unasked(why.to_owned()));
        }
        self.require_signed(query, path).await?;
        Ok(room)
    }

    /// The same of a question about what goes on in a partition, not about what is in it: its regulators' too.
    pub(super) async fn asked_by_overseer(
        &self,
        partition: &str,
        query: &Query,
        path: &str,
    ) -> Result<Arc<Room<E>>, PrivateError> {
        if self.is_own(query) {
            return self.asked_by_own(partition, query, path).await;
        }
        let room = self.room_soon(partition).await?;
        self.require_signed(query, path).await?;
        match self.oversees(partition, &query.principal).await? {
            true => Ok(room),
            false => Err(PrivateError::Unasked(NO_OVERSEER.to_owned())),
        }
    }

    pub(super) fn is_own(&self, query: &Query) -> bool {
        query.principal.organisation() == self.0.holder.principal.organisation()
    }

    async fn require_signed(&self, query: &Query, path: &str) -> Result<(), PrivateError> {
        let now_s = now_ms(&self.0.runtime).max(self.0.shared.chain.tip().header.time_ms) / 1_000;
        if !(now_s..=now_s + QUERY_SECONDS_MAX).contains(&query.not_after) {
            let why = "its time has passed, or is too far ahead: sign it again";
            return Err(PrivateError::Unasked(why.to_owned()));
        }
        let network = self.0.shared.chain.network();
        query.verify(&network, path).map_err(|error| PrivateError::Unasked(error.to_string()))?;
        self.0.admission.may_sign_with(&query.principal, &query.key, false).await?;
        Ok(())
    }

    /// Whether somebody has the role for it in an organisation that the agreement names as a regulator, that is active, and that stands where the
    /// agreement allows.
    async fn oversees(&self, partition: &str, principal: &PrincipalId) -> Result<bool, PrivateError> {
        let organisation = principal.organisation();
        let keys =
            [StateKey::partition(partition), StateKey::organisation(organisation), StateKey::principal(principal)];
        let [agreement, own, person] = self.0.reader.rows(&keys).await?.rows.try_into().unwrap_or_default();
        let terms = agreement.and_then(|row| PartitionRow::decode(&row).ok()).map(|row| row.terms);
        let own = own.and_then(|row| OrganisationRow::decode(&row).ok());
        let person = person.and_then(|row| PrincipalRow::decode(&row).ok());
        let (Some(terms), Some(own), Some(person)) = (terms, own, person) else { return Ok(false) };
        let is_named = terms.regulators.iter().any(|regulator| regulator == organisation);
        let place = own.particulars.jurisdiction.as_ref();
        let may_be_told = own.status == OrganisationStatus::Active && place.is_some_and(|place| terms.allows(place));
        Ok(is_named && may_be_told && person.roles.contains(REGULATOR))
    }

    /// The registers of a partition, in the order in which they were made: `count` of them after the first `skip`. With how many there
    /// are.
    ///
    /// # Errors
    /// When this node holds nothing of the partition, or the question is not one that it answers.
    pub async fn registers(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        (skip, count): (usize, usize),
    ) -> Result<Told<(usize, Vec<KeptRegister>)>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let partition = room.partition.lock().await;
        let total = partition.registers().await;
        let mut registers = Vec::new();
        for number in (1..=total).skip(skip).take(count) {
            registers.extend(partition.register_of(number).await);
        }
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        Ok(Told { height: partition.position().height, value: (total, registers) })
    }

    /// A register of a partition; none if there is none of this name.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn register(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        name: &str,
    ) -> Result<Told<Option<KeptRegister>>, PrivateError> {
        let room = self.asked_by_own(partition, query, path).await?;
        let partition = room.partition.lock().await;
        Ok(Told { height: partition.position().height, value: partition.register(name).await })
    }
}

/// The keys and items that an operation appends to a register.
pub(super) fn entries<'a>(operation: &'a Operation, register: &str) -> Vec<(&'a str, &'a [String])> {
    appended(operation).filter(|(named, _)| *named == register).map(|(_, entries)| entries).unwrap_or_default()
}

/// Of these fields one whose value is about somebody whom another field names that is not among them; and that other one.
fn tells_of<'a>(all: &'a [Field], register: &str, named: &[String]) -> Option<(&'a str, &'a str)> {
    let is_named = |name: &str| named.iter().any(|field| field == name);
    all.iter().filter(|field| is_named(&field.name)).find_map(|field| match &field.protection {
        Some(Protection::Personal { subject, .. }) if subject != register && !is_named(subject) => {
            Some((field.name.as_str(), subject.as_str()))
        }
        _ => None,
    })
}

/// Those fields of an item alone: itself, byte for byte, if that is all of it.
fn only(item: &str, asked: impl Fn(&str) -> bool) -> String {
    let Ok(parsed) = Item::parse(item) else { return String::new() };
    if parsed.members().all(|(name, _)| asked(name)) {
        return item.to_owned();
    }
    item_from(parsed.members().filter(|(name, _)| asked(name)).map(|(name, value)| (name, value.clone())))
}

/// The private transaction of a number, out of the payload that it came in.
pub(super) fn transaction_of(row: &NumberedRow, payload: &Payload) -> Result<SignedTransaction, PrivateError> {
    let place = usize::try_from(row.place).map_err(|_| lost())?;
    let transaction = payload.transactions().get(place).cloned().ok_or_else(lost)?;
    SignedTransaction::decode(transaction).map_err(|_| lost())
}

pub(super) fn lost() -> PrivateError {
    PrivateError::Failed(
        "what it was written with cannot be read here any more: ask another node of your organisation".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whom_a_value_is_about_is_not_told_beside_it() {
        let field = |name: &str, protection: Option<&str>| Field {
            protection: protection.map(|protection| protection.parse().unwrap()),
            ..Field::new(name, tallystick_protocol::Datatype::String)
        };
        let all = [
            field("visit", None),
            field("patient", None),
            field("finding", Some("personal:patient")),
            field("room", Some("restricted")),
            field("code", Some("personal:visit")),
        ];
        let named = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let of = |names: &[&str]| tells_of(&all, "visit", &named(names));
        assert_eq!(of(&["finding", "room"]), Some(("finding", "patient")));
        for fine in [&["finding", "patient"] as &[&str], &["room", "code"], &["patient"], &[]] {
            assert_eq!(of(fine), None, "{fine:?}");
        }
    }

    #[test]
    fn who_asks_for_some_fields_is_given_those() {
        let item = r#"{"child":"c-1","note":"A \"note\"","tags":["a","b"]}"#;
        let of = |fields: &[&str]| only(item, |field| fields.contains(&field));
        assert_eq!(of(&["child", "note", "other", "tags"]), item);
        assert_eq!(of(&["note"]), r#"{"note":"A \"note\""}"#);
        assert_eq!(of(&["child", "tags"]), r#"{"child":"c-1","tags":["a","b"]}"#);
        assert_eq!(of(&["other"]), "{}");
    }
}
