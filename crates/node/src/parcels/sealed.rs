//! What opens the values sealed in private transactions: taken in beside them, handed to the other members' nodes, kept in the vault, and
//! given for reads that are on record.
//!
//! ```text
//! client ─ transaction, openings ─▶ fit? ─▶ vault ─▶ ordered as any: delivered beside the parcel ─▶ fit? ─▶ vault ─▶ acknowledged
//!                                                                     │
//!                              executed ─ accepted: those in their right places stay ─ refused, or never ordered: they go again
//! ```
//!
//! INVARIANTS:
//! - No payload holds an opening, and no opening waits anywhere but in a vault: what is kept for ever must not keep what can be erased.
//! - Who acknowledges keeps an opening of each sealed value that is not erased. It needs no schema for that, for its own state may lag: what is
//!   sealed where it should not be goes when it is executed.
//! - What is erased is not taken in, not given and not asked for. Asked before, and again once something is kept: what is ordered later is
//!   destroyed later.
//! - That a node lacks an opening holds nothing up: no state depends on a value.

use super::{
    Parcels, Room,
    error::PrivateError,
    message::{Delivered, Message},
    read::lost,
};
use crate::{
    engine::Runtime,
    holder::{Holder, Share},
    rejection::Rejection,
    schemas::changes_fields,
};
use bytes::Bytes;
use futures::future::select;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tallystick_ledger::{
    protection::{Spot, commitments, concerned, exposed, sealed},
    schema::Schema,
};
use tallystick_protocol::{
    Beside, Commitment, NodeRow, Opening, OrderedParcel, ParcelId, Payload, Place, SignedTransaction,
    limits::{
        OPENINGS_ASKS_MAX, OPENINGS_BYTES_MAX, OPENINGS_LACKED_MAX, OPENINGS_PER_MESSAGE_MAX, ORDERS_AT_ONCE_MAX,
        PARCELS_WAITING_BYTES_MAX, VAULT_PENDING_MAX,
    },
};
use tallystick_storage::{
    partition::{Opened, PrivateBlock},
    vault::{Drawer, Pending, PendingIn, VaultError},
};

/// Payloads whose openings are asked for at once.
const ASKED_AT_ONCE: usize = 16;
/// What was asked for often is asked for again with every so many-th pass.
const PATIENT_PASSES: u64 = 32;
/// How long a node that is asked for openings waits until it has executed the newest block.
const AHEAD: Duration = Duration::from_millis(500);
/// How long an opening that is not here is waited for by somebody who reads it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A sealed value: where it stands, and its commitment.
pub(super) type Value = (Place, Commitment);

/// What is sealed in a transaction.
#[derive(Clone, Debug, Default)]
pub(super) struct Sealed {
    /// The values.
    pub values: Vec<Value>,
    /// Bytes of what opens them.
    pub bytes: usize,
}

/// The spot of a place.
fn spot(place: &Place) -> Spot {
    (place.register().to_owned(), place.key().to_owned(), place.field().to_owned())
}

fn value(opening: &Opening) -> Value {
    (opening.place().clone(), opening.commitment())
}

/// A commitment in the field that it stands in.
type Written = (Spot, Commitment);

fn written(opening: &Opening) -> Written {
    (spot(opening.place()), opening.commitment())
}

/// Those that are asked for now, and counts that they are: few at a time, for one answer may not hold more, and those first that were asked
/// for least. What was asked for often is left out, unless this is the pass for that.
fn due(lacking: &mut BTreeMap<ParcelId, u32>, is_for_all: bool) -> Vec<ParcelId> {
    let mut all: Vec<(&mut u32, ParcelId)> = lacking.iter_mut().map(|(id, asked)| (asked, *id)).collect();
    all.retain(|(asked, _)| is_for_all || **asked < OPENINGS_ASKS_MAX);
    all.sort_unstable();
    let due = all.into_iter().take(ASKED_AT_ONCE).map(|(asked, id)| {
        *asked = asked.saturating_add(1);
        id
    });
    due.collect()
}

/// Whether a block of this time or later cannot hold it any more, but to refuse it.
const fn is_over(pending: &Pending, time_s: u64) -> bool {
    pending.not_after < time_s
}

/// Whether it is looked at what became of a transaction: of this partition, and over, or `all` are.
fn is_looked_at(pending: &Pending, partition: &str, time_s: u64, all: bool) -> bool {
    let is_here = pending.within.as_ref().is_some_and(|within| within.partition == partition);
    is_here && (all || is_over(pending, time_s))
}

impl From<VaultError> for PrivateError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Busy => Self::Busy,
            VaultError::Full => Self::VaultFull(error.to_string()),
            // Not which file: that is for whoever runs the node, with the remedy.
            VaultError::Damaged(_) => {
                tracing::error!(%error, "what is asked for in a partition is damaged");
                Self::Damaged
            }
            error => Self::Failed(error.to_string()),
        }
    }
}

impl<E: Runtime> Room<E> {
    /// The payloads of which this node lacks openings, or that it cannot read any more, each with how often it has asked.
    pub(super) fn lacking(&self) -> MutexGuard<'_, BTreeMap<ParcelId, u32>> {
        self.lacking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lack(&self, id: ParcelId) {
        let mut lacking = self.lacking();
        if lacking.len() < OPENINGS_LACKED_MAX {
            lacking.entry(id).or_default();
        }
    }

    /// The schemas of the registers that a transaction writes to, as far as they are here.
    async fn schemas(&self, transaction: &SignedTransaction) -> BTreeMap<String, Arc<Schema>> {
        let registers: BTreeSet<&str> = concerned(transaction).collect();
        let mut schemas = BTreeMap::new();
        for register in registers {
            let schema = match self.schemas.get(register) {
                Some(known) => known,
                None => self.schema(register).await,
            };
            schemas.extend(schema.map(|schema| (register.to_owned(), schema)));
        }
        schemas
    }

    /// The schema of a register as the state has it.
    async fn schema(&self, register: &str) -> Option<Arc<Schema>> {
        let changes = self.schemas.changes();
        let kept = self.partition.lock().await.register(register).await?;
        let schema = Arc::new(Schema::new(register, &kept.row.fields));
        self.schemas.add(changes, register, Some(schema.clone()));
        Some(schema)
    }

    /// The values that are sealed in a transaction, by the schemas that are here.
    pub(super) async fn sealed(&self, transaction: &SignedTransaction) -> Vec<Value> {
        if commitments(transaction).is_empty() {
            Vec::new()
        } else {
            sealed(transaction, &self.schemas(transaction).await)
        }
    }

    /// Goes on if nothing is written in the clear that is written only sealed, as far as the schemas are here: a payload is kept for ever.
    ///
    /// # Errors
    /// What would be exposed.
    pub(super) async fn exposes_nothing(&self, transaction: &SignedTransaction) -> Result<(), Rejection> {
        match exposed(transaction, &self.schemas(transaction).await) {
            Some((operation, violations)) => Err(Rejection::exposed(operation, &violations)),
            None => Ok(()),
        }
    }
}

impl<E: Runtime> Parcels<E> {
    pub(super) fn vault(&self) -> &Holder<E> {
        &self.0.holder.vault
    }

    /// How much of one sender may wait in the vault, in a partition with so many members.
    fn share(members: usize) -> Share {
        let members = members.max(1);
        let bytes = u64::try_from(PARCELS_WAITING_BYTES_MAX / members).unwrap_or(u64::MAX);
        Share { transactions: VAULT_PENDING_MAX / 2 / members, bytes }
    }

    /// How many transactions with sealed values are ordered together, so that other members' vaults have room for all that is under way.
    pub(super) fn sealed_at_once(members: usize) -> usize {
        // One order's worth more, for what is final and not yet settled there.
        Self::share(members).transactions / (ORDERS_AT_ONCE_MAX + 1)
    }

    /// Keeps what opens the values sealed in a transaction that is handed in here, until it is known what becomes of that.
    pub(super) async fn take_in(
        &self,
        room: &Room<E>,
        transaction: &SignedTransaction,
        openings: &[Opening],
    ) -> Result<Sealed, PrivateError> {
        room.exposes_nothing(transaction).await?;
        let all = commitments(transaction);
        if all.is_empty() && openings.is_empty() {
            return Ok(Sealed::default());
        }
        let schemas = room.schemas(transaction).await;
        let right: BTreeSet<Value> = sealed(transaction, &schemas).into_iter().collect();
        let mut opened = BTreeMap::new();
        for (index, opening) in openings.iter().enumerate() {
            let (place, commitment) = value(opening);
            // Where it should stand is told by a schema, if its register is made already.
            let is_right = !schemas.contains_key(place.register()) || right.contains(&(place.clone(), commitment));
            let fits = is_right
                && place.partition() == Some(&room.name)
                && all.contains(&(spot(&place), commitment))
                && opened.insert((spot(&place), commitment), place).is_none();
            if !fits {
                return Err(PrivateError::Misfit(index));
            }
        }
        let kept: Vec<Value> =
            right.into_iter().filter(|(place, one)| !opened.contains_key(&(spot(place), *one))).collect();
        let kept = self.vault().openings_at(kept.iter()).await?;
        let here: BTreeSet<Written> = kept.keys().map(|(place, one)| (spot(place), *one)).collect();
        if let Some((spot, _)) = all.iter().find(|at| !opened.contains_key(*at) && !here.contains(*at)) {
            return Err(PrivateError::OpeningMissing(spot.clone()));
        }
        let all = || openings.iter().chain(kept.values());
        let bytes = all().map(|opening| opening.to_bytes().len()).sum();
        let values: Vec<Value> = all().map(value).collect();
        if bytes > OPENINGS_BYTES_MAX || values.len() > OPENINGS_PER_MESSAGE_MAX {
            let why = format!(
                "what opens its sealed values takes {bytes} bytes, and {OPENINGS_BYTES_MAX} may be: append less at once"
            );
            return Err(PrivateError::Unfit(why));
        }
        let all: Vec<Opening> = all().cloned().collect();
        if let Some((place, _)) = room.erased_among(&values, self.time_ms()).await.into_keys().next() {
            return Err(PrivateError::Erased(spot(&place)));
        }
        self.keep_for(room, (transaction, self.0.holder.principal.organisation()), Share::WHOLE, &all).await?;
        Ok(Sealed { values, bytes })
    }

    async fn keep_for(
        &self,
        room: &Room<E>,
        (transaction, sender): (&SignedTransaction, &str),
        share: Share,
        openings: &[Opening],
    ) -> Result<(), VaultError> {
        let values: Vec<Value> = openings.iter().map(value).collect();
        let erased = room.erased_among(&values, self.time_ms()).await;
        let openings = openings.iter().filter(|opening| !erased.contains_key(&value(opening)));
        let openings: Vec<Opening> = openings.cloned().collect();
        let (partition, sender) = (room.name.clone(), sender.to_owned());
        let pending = Pending {
            transaction: transaction.id(),
            not_after: transaction.not_after(),
            within: Some(PendingIn { partition, replay_tag: transaction.replay_tag(), sender, bytes: 0 }),
            openings: Vec::new(),
        };
        self.vault().keep_noted(pending, share, &openings).await?;
        // What was ordered meanwhile goes again, unless a hold keeps it: at once, or where one may still come once the note is settled. What was
        // ordered before is not this one's.
        let kept: Vec<Value> = openings.iter().map(value).collect();
        let erased = room.erased_among(&kept, self.time_ms()).await;
        if room.is_done.load(Ordering::Acquire) {
            for ((place, commitment), _) in erased.into_iter().filter(|(_, is_held)| !is_held) {
                self.vault().remove(&Drawer::of(&place), &[commitment]).await?;
            }
        }
        Ok(())
    }

    /// What opens these values, encrypted to a node, beside these parcels; none when nothing is sealed.
    pub(super) fn beside(
        &self,
        runtime: &mut E,
        room: &Room<E>,
        (parcels, openings): (&[Delivered], &[Opening]),
        to: &NodeRow,
    ) -> Result<Option<Bytes>, PrivateError> {
        if openings.is_empty() {
            return Ok(None);
        }
        let sealed = self.parcels_of(room, parcels).seal(openings, &to.sealing, runtime);
        sealed.map(Some).map_err(|error| PrivateError::Failed(error.to_string()))
    }

    fn parcels_of(&self, room: &Room<E>, parcels: &[Delivered]) -> Beside {
        Beside::of(&self.0.shared.chain.network(), &room.name, parcels.iter().map(|(ordered, _)| &ordered.id))
    }

    /// The openings that came beside parcels; none when they are not for this node, or for others.
    pub(super) fn came_beside(
        &self,
        room: &Room<E>,
        parcels: &[Delivered],
        openings: Option<Bytes>,
    ) -> Option<Vec<Opening>> {
        let Some(openings) = openings else { return Some(Vec::new()) };
        self.parcels_of(room, parcels).open(&openings, &self.0.holder.sealing).ok()
    }

    /// Whether each sealed value of these payloads has an opening among these, and none of them is of anything else.
    pub(super) fn are_of(&self, room: &Room<E>, payloads: &[Arc<Opened>], openings: &[Opening]) -> bool {
        let transactions = payloads.iter().flat_map(|payload| payload.transactions()).flatten();
        let all: BTreeSet<Written> = transactions.flat_map(|one| commitments(one)).collect();
        let is_here = |opening: &Opening| opening.place().partition() == Some(&room.name);
        openings.iter().all(is_here) && openings.iter().map(written).collect::<BTreeSet<_>>() == all
    }

    /// Keeps what opens the values sealed in payloads that wait to be ordered or executed, each for its own transaction; what is of none
    /// of them is not kept.
    pub(super) async fn keep_beside(
        &self,
        room: &Room<E>,
        payloads: &[Arc<Opened>],
        (sender, members): (&str, usize),
        openings: &[Opening],
    ) -> Result<(), VaultError> {
        if openings.is_empty() {
            return Ok(());
        }
        let here = openings.iter().filter(|opening| opening.place().partition() == Some(&room.name));
        let all: BTreeMap<Written, &Opening> = here.map(|opening| (written(opening), opening)).collect();
        for payload in payloads {
            for transaction in payload.transactions().iter().flatten() {
                let own = commitments(transaction).into_iter().filter_map(|at| all.get(&at).copied());
                let own: Vec<Opening> = own.cloned().collect();
                if !own.is_empty() {
                    self.keep_for(room, (transaction, sender), Self::share(members), &own).await?;
                }
            }
        }
        Ok(())
    }

    /// What this node keeps of the values sealed in payloads, one after another as they are asked for, as many as one message holds: an
    /// order holds no more than that, so those of the first always are among them. Nothing of what is erased, a hold or not; and nothing at all
    /// while this node may not have executed yet by what something is: it is asked again.
    pub(super) async fn kept_of(&self, room: &Room<E>, payloads: &[Payload]) -> Result<Vec<Opening>, VaultError> {
        let (mut found, mut bytes, mut is_to_date) = (BTreeMap::new(), 0, false);
        for payload in payloads {
            let mut values: BTreeSet<Value> = BTreeSet::new();
            for transaction in payload.transactions() {
                let Ok(transaction) = SignedTransaction::decode(transaction.clone()) else { continue };
                values.extend(room.sealed(&transaction).await);
                // Of one that is not executed here yet, the register may not be made yet either.
                let pending = self.vault().pending_of(&transaction.id());
                values.extend(pending.into_iter().flat_map(|pending| pending.openings));
            }
            if values.is_empty() {
                continue;
            }
            is_to_date = is_to_date || self.is_erased_to_date(room).await;
            if !is_to_date {
                return Ok(Vec::new());
            }
            let erased = room.erased_among(&values, self.time_ms()).await;
            values.retain(|value| !found.contains_key(value) && !erased.contains_key(value));
            let more = self.vault().openings_at(values.iter()).await?;
            bytes += more.values().map(|opening| opening.to_bytes().len()).sum::<usize>();
            if bytes > OPENINGS_BYTES_MAX || found.len() + more.len() > OPENINGS_PER_MESSAGE_MAX {
                break;
            }
            found.extend(more);
        }
        Ok(found.into_values().collect())
    }

    /// Settles what came with the transactions of a block that was executed, and notes of which payloads openings are lacking.
    pub(super) async fn settle_block(&self, room: &Room<E>, block: &PrivateBlock) {
        let transactions = || block.payloads.iter().flat_map(|placed| placed.opened.transactions()).flatten();
        if transactions().any(|transaction| transaction.operations().iter().any(changes_fields)) {
            room.schemas.clear();
        }
        for placed in &block.payloads {
            self.settle_payload(room, placed.ordered, &placed.opened).await;
        }
    }

    async fn settle_payload(&self, room: &Room<E>, ordered: OrderedParcel, payload: &Opened) {
        let mut is_whole = true;
        for transaction in payload.transactions().iter().flatten().filter(|one| !commitments(one).is_empty()) {
            match self.settle_executed(room, transaction).await {
                Ok(has_all) => is_whole &= has_all,
                Err(error) => {
                    is_whole = false;
                    tracing::error!(partition = room.name, %error, "what came with a private transaction is not settled yet");
                }
            }
        }
        if is_whole {
            room.lacking().remove(&ordered.id);
        } else {
            room.lack(ordered.id);
        }
    }

    /// Settles what came with a transaction that may be executed; says whether this node has an opening of each value that it wrote.
    async fn settle_executed(&self, room: &Room<E>, transaction: &SignedTransaction) -> Result<bool, PrivateError> {
        let pending = self.vault().pending_of(&transaction.id());
        if let Some(pending) = &pending {
            self.settle_one(room, pending, Some(transaction), 0).await?;
        }
        let act = room.partition.lock().await.act(&transaction.replay_tag()).await;
        if act.is_none_or(|act| act.transaction != transaction.id() || act.refused.is_some()) {
            return Ok(true);
        }
        // What was noted may never have come to the disk: a note is there before what it notes.
        let mut values = room.sealed(transaction).await;
        let erased = room.erased_among(&values, self.time_ms()).await;
        values.retain(|value| !erased.contains_key(value));
        let kept = self.vault().openings_at(values.iter()).await?;
        Ok(values.iter().all(|value| kept.contains_key(value)))
    }

    /// Settles what is not settled, given that all that was ordered up to this time is executed: what was never ordered; and where `all` are
    /// looked at, what was executed before a restart, or could not be settled then.
    pub(super) async fn settle_rest(&self, room: &Room<E>, time_ms: u64, all: bool) {
        let time_s = time_ms / 1_000;
        for pending in self.vault().pending_that(|pending| is_looked_at(pending, &room.name, time_s, all)) {
            if let Err(error) = self.settle_one(room, &pending, None, time_s).await {
                tracing::error!(partition = room.name, %error, "what came with a private transaction is not settled yet");
            }
        }
    }

    /// Settles what came with a transaction, if it is known what became of it; everything is executed up to this time.
    async fn settle_one(
        &self,
        room: &Room<E>,
        pending: &Pending,
        transaction: Option<&SignedTransaction>,
        time_s: u64,
    ) -> Result<(), PrivateError> {
        let Some(within) = &pending.within else { return Ok(()) };
        let act = room.partition.lock().await.act(&within.replay_tag).await;
        let mut rightful: BTreeSet<Value> = match act {
            Some(act) if act.transaction == pending.transaction && act.refused.is_none() => {
                let values = match transaction {
                    Some(transaction) => room.sealed(transaction).await,
                    None => {
                        let (_, transaction) = self.numbered(room, act.number).await?.ok_or_else(lost)?;
                        room.sealed(&transaction).await
                    }
                };
                values.into_iter().collect()
            }
            Some(_) => BTreeSet::new(),
            None if is_over(pending, time_s) => BTreeSet::new(),
            None => return Ok(()),
        };
        let erased = room.erased_among(&rightful, self.time_ms()).await;
        // What a hold keeps is not destroyed yet. What one may still keep that is not executed here stays noted: it is looked at again.
        let is_done = room.is_done.load(Ordering::Acquire);
        if !is_done && erased.values().any(|is_held| !is_held) {
            return Ok(());
        }
        rightful.retain(|value| erased.get(value).is_none_or(|is_held| *is_held));
        Ok(self.vault().settle_private(pending, &rightful).await?)
    }

    /// Whether everything is carried out here that is ordered to be erased up to the newest block, waited for a moment.
    pub(super) async fn is_erased_to_date(&self, room: &Room<E>) -> bool {
        let height = self.0.shared.chain.tip().header.height;
        let mut erased = room.settled_to.subscribe();
        let reached = std::pin::pin!(erased.wait_for(|reached| *reached >= height));
        let patience = std::pin::pin!(self.0.runtime.sleep(AHEAD));
        matches!(select(reached, patience).await, futures::future::Either::Left(_))
    }

    /// Asks every other member's node for payloads of which openings are lacking here: each some times, and from then on, as long as nobody
    /// has given it, only each so many-th `pass`.
    pub(super) async fn ask_lacking(&self, room: &Room<E>, pass: u64) {
        let ids = due(&mut room.lacking(), pass.is_multiple_of(PATIENT_PASSES));
        self.fetch_from_all(room, ids).await;
    }

    /// Asks every other member's node for payloads with their openings.
    async fn fetch_from_all(&self, room: &Room<E>, ids: Vec<ParcelId>) {
        if ids.is_empty() {
            return;
        }
        let Ok(Some(membership)) = self.membership(&room.name).await else { return };
        for node in membership.nodes.iter().filter(|node| node.node != self.0.holder.principal) {
            self.send(&node.peer, &Message::Fetch { partition: room.name.clone(), ids: ids.clone() });
        }
    }

    /// What opens these values, which a payload brought: those that are not here are asked for, and waited for a moment. Of what is erased
    /// only what a hold keeps here.
    pub(super) async fn opened_soon(
        &self,
        room: &Room<E>,
        values: &[Value],
        payload: ParcelId,
    ) -> Result<BTreeMap<Value, Opening>, PrivateError> {
        let mut patience = std::pin::pin!(self.0.runtime.sleep(PATIENCE));
        let mut is_asked = false;
        let erased = room.erased_among(values, self.time_ms()).await;
        let readable = || values.iter().filter(|value| erased.get(*value).is_none_or(|is_held| *is_held));
        let wanted = || values.iter().filter(|value| !erased.contains_key(*value));
        loop {
            // Before the look, so that what arrives meanwhile is not missed.
            let arrived = std::pin::pin!(room.arrived.notified());
            let found = self.vault().openings_at(readable()).await?;
            if wanted().all(|value| found.contains_key(value)) {
                return Ok(found);
            }
            if !is_asked {
                is_asked = true;
                room.lack(payload);
                self.fetch_from_all(room, vec![payload]).await;
            }
            if let futures::future::Either::Right(_) = select(arrived, patience.as_mut()).await {
                return Ok(found);
            }
        }
    }

    /// Keeps openings that another member's node gave with payloads that this node asked for; of those that are executed, at once for good.
    pub(super) async fn keep_fetched(
        &self,
        room: &Room<E>,
        (parcels, payloads): (&[Delivered], &[Arc<Opened>]),
        giver: (&str, usize),
        openings: &[Opening],
    ) {
        if let Err(error) = self.keep_beside(room, payloads, giver, openings).await {
            tracing::warn!(partition = room.name, %error, "could not keep openings that were fetched");
            return;
        }
        for ((ordered, _), payload) in parcels.iter().zip(payloads) {
            let is_lacking = room.lacking().contains_key(&ordered.id);
            if is_lacking {
                self.settle_payload(room, *ordered, payload).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;
    use tallystick_protocol::Hash;
    use tallystick_storage::vault::PendingIn;

    #[test]
    fn what_is_not_over_is_looked_at_where_all_are() {
        let within = PendingIn { partition: "health".into(), replay_tag: [1; 16], sender: "council".into(), bytes: 0 };
        let pending = Pending { transaction: Hash([1; 32]), not_after: 9, within: Some(within), openings: Vec::new() };
        let rows = [
            ("health", 9, false, false),
            ("health", 9, true, true),
            ("health", 10, false, true),
            ("tax", 10, false, false),
            ("tax", 10, true, false),
        ];
        for (partition, time_s, all, expected) in rows {
            assert_eq!(is_looked_at(&pending, partition, time_s, all), expected, "{partition} {time_s} {all}");
        }
        let public = Pending { within: None, ..pending };
        assert!(!is_looked_at(&public, "health", 10, true));
    }

    #[test]
    fn what_nobody_gives_is_asked_for_less_often_and_never_forgotten() {
        let id = |number: u8| ParcelId([number; 32]);
        let mut lacking: BTreeMap<ParcelId, u32> = (0..20).map(|number| (id(number), 0)).collect();
        let asked = |due: Vec<ParcelId>| due.len();
        assert_eq!(due(&mut lacking, false), (0..16).map(id).collect::<Vec<_>>());
        assert_eq!(due(&mut lacking, false)[..4], [16, 17, 18, 19].map(id), "those first that were not asked for");
        while asked(due(&mut lacking, false)) > 0 {}
        assert_eq!((lacking.len(), lacking.values().max()), (20, Some(&OPENINGS_ASKS_MAX)));
        assert_eq!((asked(due(&mut lacking, true)), asked(due(&mut lacking, false))), (ASKED_AT_ONCE, 0));
        assert_eq!(due(&mut lacking, true)[..4], [16, 17, 18, 19].map(id));
    }
}
