//! Have private transactions ordered: gather some, make their evidence and commitments, deliver them, collect acknowledgements, and put
//! one order of them all into the pool.

use super::{
    Ack, Answer, Given, Membership, Parcels, Room, Waiting,
    erasing::ERASED,
    error::PrivateError,
    message::{Delivered, Message, Reason},
    permit::require_permitted,
    read::reads,
    sealed::{Sealed, Value},
};
use crate::{admission::Origin, application::now_ms, engine::Runtime, rejection::Rejection, validity::in_time};
use bytes::Bytes;
use futures::future::{Either, join_all, select};
use rand::{SeedableRng as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tallystick_ledger::{OrganisationRow, PrincipalRow};
use tallystick_protocol::{
    Code, Cosigner, Evidence, Hash, Intent, NodeRow, Opening, Operation, OrganisationStatus, Outcome, PaddedPayload,
    ParcelError, PartlySignedTransaction, Payload, PrincipalId, PrincipalStatus, SealingKey, SignedTransaction,
    StateKey, TransferPath, VerifiedTransaction,
    limits::{
        OPENINGS_BYTES_MAX, OPENINGS_PER_MESSAGE_MAX, ORDERS_AT_ONCE_MAX, PARCELS_BYTES_MAX, PARCELS_PER_ORDER_MAX,
    },
    parcel::parcel_bytes,
    transaction::verify_batch,
};
use tallystick_storage::partition::{ActRow, Kept, Opened, Standing, StoreError};
use tokio::sync::{Semaphore, mpsc};

/// How long private transactions gather before they are ordered together; and again so long while more come.
const GATHER: Duration = Duration::from_millis(3);
/// Times that they gather at most.
const GATHERINGS: usize = 5;
/// How long acknowledgements are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Wait before an order is made anew of which another node says that policies do not permit it: one of the two is behind.
const AGAIN: Duration = Duration::from_millis(50);
/// Times that an order is made anew, when evidence has changed meanwhile or somebody was silent.
const ATTEMPTS: usize = 4;
/// For how long an order is good, in seconds.
const ORDER_SECONDS: u64 = 60;

/// A private transaction that was executed on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its id.
    pub transaction: Hash,
    /// The height of the block that ordered it.
    pub height: u64,
    /// Which it was of all in the partition, from 0.
    pub number: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// The records that it reads, if it was accepted: given once, to who handed it in.
    pub given: Vec<Given>,
    /// How many notices of corrections wait for its signer in the partition.
    pub waiting: Option<Waiting>,
}

/// A private transaction, and whom to tell what became of it.
pub(super) struct Submission {
    pub(super) transaction: VerifiedTransaction,
    sealed: Sealed,
    pub(super) answer: Answer,
    /// That policies did not permit it, if they did not so far.
    pub(super) looks: Option<Looks>,
}

/// How often policies did not permit something.
pub(super) struct Looks {
    /// So often.
    pub(super) count: u32,
    /// The height of the newest block when they first did not.
    pub(super) first_height: u64,
}

/// What comes of one that is to be ordered.
enum Verdict {
    /// It is ordered.
    Fit,
    /// Policies do not permit it, as this says: it is looked at again.
    NotPermitted(PrivateError),
    /// It may rely on one of the same signer's that is looked at again, and waits behind it.
    Behind,
    /// It is answered.
    Unfit(PrivateError),
}

/// Why an order has not come about.
enum Lack {
    /// The payloads are not right, or not any more: they must be made anew.
    Payloads(PrivateError),
    /// All else.
    Else(PrivateError),
}

impl<X: Into<PrivateError>> From<X> for Lack {
    fn from(error: X) -> Self {
        Self::Else(error.into())
    }
}

/// Goes on if nothing of this idempotency key was executed. Told to the signer alone: of the acts of nodes anybody could guess the keys.
async fn require_new<E: Runtime>(room: &Room<E>, transaction: &VerifiedTransaction) -> Result<(), PrivateError> {
    let Some(act) = room.partition.lock().await.act(&transaction.replay_tag()).await else { return Ok(()) };
    let ActRow { transaction: first, number, height, refused, .. } = act;
    Err(if first == transaction.id() && reads(transaction) {
        PrivateError::ReadRepeated { number, height, refused }
    } else if first == transaction.id() {
        PrivateError::Repeated { number, height, refused }
    } else {
        Rejection::idempotency_conflict(&format!("private transaction {first}")).into()
    })
}

/// Whether it is a read that names fields: what is sealed in them is opened.
fn names_fields(operation: &Operation) -> bool {
    matches!(operation, Operation::RecordRead { fields, .. } if !fields.is_empty())
}

/// What is ready to be delivered.
struct Ready {
    height: u64,
    payloads: Vec<PaddedPayload>,
    /// This node's own copies.
    parcels: Vec<Delivered>,
    /// What is sealed in them.
    sealed: Vec<Value>,
}

impl<E: Runtime> Parcels<E> {
    /// Puts one behind those that wait.
    pub(super) fn gather_again(&self, room: &Room<E>, one: Submission) {
        if let Err(full) = room.intake.try_send(one) {
            let _ = full.into_inner().answer.send(Err(PrivateError::Busy));
        }
    }

    /// Has a private transaction ordered and executed, and says what became of it; waits at most `patience`. What opens the values that are
    /// sealed in it comes beside it, and is kept before anything is passed on.
    ///
    /// # Errors
    /// When it was not executed, or not yet.
    pub async fn submit(
        &self,
        bytes: Bytes,
        openings: &[Opening],
        patience: Duration,
    ) -> Result<Executed, PrivateError> {
        let (room, transaction) = self.screen(bytes).await?;
        let transaction = transaction.verify().map_err(|error| PrivateError::Unfit(error.to_string()))?;
        require_new(&room, &transaction).await?;
        let sealed = self.take_in(&room, &transaction, openings).await?;
        let signer = transaction.principal().clone();
        let executed = match reads(&transaction) {
            true => self.read(&room, (transaction, sealed), patience).await?,
            false => self.await_executed(&room, (transaction, sealed), patience).await?,
        };
        Ok(Executed { waiting: room.waiting_for(&signer), ..executed })
    }

    /// Has a read executed, and gives what it reads.
    async fn read(
        &self,
        room: &Room<E>,
        (transaction, sealed): (VerifiedTransaction, Sealed),
        patience: Duration,
    ) -> Result<Executed, PrivateError> {
        self.require_reads(room, &transaction).await?;
        let (is_still, height) = {
            let standing = room.standing();
            (standing.is_still, standing.height)
        };
        if is_still {
            return Err(PrivateError::Still { partition: room.name.clone(), height });
        }
        let begun = self.0.runtime.current();
        // Before it is on record, and after: what was ordered to be erased before the read is gone first.
        let opens = transaction.operations().iter().any(names_fields);
        if opens {
            self.erased_to(room, 1, patience / 2).await?;
        }
        let _claim = room.claim(&transaction).ok_or(PrivateError::Read)?;
        let left = patience.saturating_sub(self.0.runtime.current().duration_since(begun).unwrap_or_default());
        let mut executed = self.await_executed(room, (transaction.clone(), sealed), left).await?;
        if executed.outcome.is_accepted() {
            if opens {
                self.erased_to(room, executed.height, ERASED).await.map_err(PrivateError::recorded)?;
            }
            executed.given = self.given(room, &transaction).await.map_err(PrivateError::recorded)?;
        }
        Ok(executed)
    }

    /// The same of several that do not read, with one answer for each: their signatures are checked together.
    pub async fn submit_all(
        &self,
        transactions: Vec<Bytes>,
        patience: Duration,
    ) -> Vec<Result<Executed, PrivateError>> {
        let mut screened = Vec::with_capacity(transactions.len());
        for bytes in transactions {
            screened.push(match self.screen(bytes).await {
                Ok((_, transaction)) if reads(&transaction) => {
                    let why = "a read is handed in by itself: its answer holds the record";
                    Err(PrivateError::Unfit(why.to_owned()))
                }
                other => other,
            });
        }
        let batch = screened.iter().flatten().map(|(_, transaction)| transaction.clone()).collect();
        let verify = self.0.runtime.child("verify").shared(true);
        let verify =
            verify.spawn(move |mut runtime| async move { verify_batch(batch, &mut StdRng::from_rng(&mut runtime)) });
        let Ok(verdicts) = verify.await else {
            let stopping = PrivateError::Failed("the node is stopping".to_owned());
            return screened.into_iter().map(|_| Err(stopping.clone())).collect();
        };
        let mut verdicts = verdicts.into_iter();
        let all = screened.into_iter().map(|one| {
            let verified = one.and_then(|(room, transaction)| {
                // One verdict for each that was fit so far.
                let verdict = verdicts.next().unwrap_or_else(|| transaction.verify());
                Ok((room, verdict.map_err(|error| PrivateError::Unfit(error.to_string()))?))
            });
            async move {
                let (room, transaction) = verified?;
                require_new(&room, &transaction).await?;
                let sealed = self.take_in(&room, &transaction, &[]).await?;
                let signer = transaction.principal().clone();
                let executed = self.await_executed(&room, (transaction, sealed), patience).await?;
                Ok(Executed { waiting: room.waiting_for(&signer), ..executed })
            }
        });
        join_all(all.collect::<Vec<_>>()).await
    }

    /// All that can be told of a private transaction before its signatures are checked, to anybody; and the room of its partition.
    async fn screen(&self, bytes: Bytes) -> Result<(Arc<Room<E>>, SignedTransaction), PrivateError> {
        let unfit = |why: String| PrivateError::Unfit(why);
        let transaction = SignedTransaction::decode(bytes).map_err(|error| unfit(error.to_string()))?;
        let chain = &self.0.shared.chain;
        if transaction.network() != chain.network() {
            return Err(unfit("it is for another network".to_owned()));
        }
        let partition = transaction.partition().ok_or_else(|| unfit("it names no partition".to_owned()))?.to_owned();
        let room = self.room_soon(&partition).await?;
        if transaction.principal().organisation() != self.0.holder.principal.organisation() {
            return Err(unfit(
                "its signer is of another organisation: send it to a node of the signer's own".to_owned(),
            ));
        }
        let now = now_ms(&self.0.runtime).max(chain.tip().header.time_ms);
        if !in_time(&transaction, now) {
            return Err(unfit("its not-after time has passed, or is too far ahead: sign it again".to_owned()));
        }
        self.may_sign(&transaction).await?;
        Ok((room, transaction))
    }

    async fn await_executed(
        &self,
        room: &Room<E>,
        (transaction, sealed): (VerifiedTransaction, Sealed),
        patience: Duration,
    ) -> Result<Executed, PrivateError> {
        let mut wait = room.under_way.wait(transaction.id(), |answer| {
            let one = Submission { transaction, sealed, answer, looks: None };
            room.intake.try_send(one).map_err(|_| PrivateError::Busy)
        })?;
        let sleep = std::pin::pin!(self.0.runtime.sleep(patience));
        match select(std::pin::pin!(wait.told()), sleep).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(PrivateError::TimedOut),
        }
    }

    /// Whether every key is its principal's: else anybody could have this node order forgeries, which stay in the log for ever.
    async fn may_sign(&self, transaction: &SignedTransaction) -> Result<(), PrivateError> {
        Ok(self.0.admission.may_sign(transaction).await?)
    }

    /// Gathers private transactions and has them ordered together, for as long as the node runs.
    pub(super) async fn gather(self, runtime: E, room: Arc<Room<E>>, mut intake: mpsc::Receiver<Submission>) {
        let places = Arc::new(Semaphore::new(ORDERS_AT_ONCE_MAX));
        // What found no room goes before all that came later.
        let mut over = None;
        loop {
            let first = match over.take() {
                Some(first) => first,
                None => match intake.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            // Before the look for more: what comes while all places are taken is ordered together.
            let Ok(place) = places.clone().acquire_owned().await else { return };
            for _ in 0..GATHERINGS {
                let waiting = intake.len();
                runtime.sleep(GATHER).await;
                if intake.len() == waiting {
                    break;
                }
            }
            let mut bytes = first.transaction.bytes().len();
            let mut sealed = (first.sealed.values.len(), first.sealed.bytes);
            let most = self.members(&room.name).await.map_or(1, Self::sealed_at_once);
            let mut with_sealed = usize::from(sealed.0 > 0);
            let mut batch = vec![first];
            // A first guess: it may be twice as long with the evidence, and padded to twice that.
            while bytes < PARCELS_BYTES_MAX / 4 {
                let Ok(next) = intake.try_recv() else { break };
                sealed = (sealed.0 + next.sealed.values.len(), sealed.1 + next.sealed.bytes);
                with_sealed += usize::from(!next.sealed.values.is_empty());
                if with_sealed > most || sealed.0 > OPENINGS_PER_MESSAGE_MAX || sealed.1 > OPENINGS_BYTES_MAX {
                    over = Some(next);
                    break;
                }
                bytes += next.transaction.bytes().len();
                batch.push(next);
            }
            let (parcels, room) = (self.clone(), room.clone());
            runtime.child("order").spawn(move |runtime| async move {
                let order = parcels.order(runtime, &room, &mut batch).await;
                // The next one need not wait until this one is final.
                drop(place);
                if let Some(order) = order {
                    parcels.put_in(&room, order, batch).await;
                }
            });
        }
    }

    /// An order of these, acknowledged; none if there is nothing to order, and whoever waits was answered.
    async fn order(
        &self,
        mut runtime: E,
        room: &Arc<Room<E>>,
        batch: &mut Vec<Submission>,
    ) -> Option<SignedTransaction> {
        let (mut silent, mut last, mut ready) = (BTreeSet::new(), PrivateError::TimedOut, None);
        for _ in 0..ATTEMPTS {
            // Who was only silent is handed the same again, or another is: that takes no more room anywhere.
            let made = match ready.take() {
                Some(ready) => Ok(Some(ready)),
                None => self.prepare(&mut runtime, room, batch).await,
            };
            let made = match made {
                Ok(Some(made)) => made,
                // Each was answered.
                Ok(None) => return None,
                Err(error) => {
                    last = error;
                    // What fills the store is not gone in an instant.
                    if last == PrivateError::Busy {
                        break;
                    }
                    continue;
                }
            };
            match self.acknowledged(&mut runtime, room, &made, &mut silent).await {
                Ok(order) => return Some(order),
                Err(Lack::Payloads(error)) => {
                    last = error;
                    if matches!(last, PrivateError::Disagreed(_)) {
                        runtime.sleep(AGAIN).await;
                    }
                }
                Err(Lack::Else(error)) => {
                    last = error;
                    ready = Some(made);
                }
            }
        }
        batch.drain(..).for_each(|one| drop(one.answer.send(Err(last.clone()))));
        None
    }

    /// Evidence, commitments, and this node's own copies, which are durable when this returns. What cannot be executed is answered, and
    /// taken out of the batch; what does not fit into one message with the others is gathered again.
    async fn prepare(
        &self,
        runtime: &mut E,
        room: &Arc<Room<E>>,
        batch: &mut Vec<Submission>,
    ) -> Result<Option<Ready>, PrivateError> {
        let tip = self.0.shared.chain.tip();
        let mut groups = self.evidence(room, (tip.header.height, tip.header.time_ms), batch).await?;
        if batch.is_empty() {
            return Ok(None);
        }
        let height = self.at_one_height(&mut groups).await?;
        let own = self.0.holder.sealing.public().map_err(|error| PrivateError::Failed(error.to_string()))?;
        let (mut payloads, mut parcels, mut opened) = (Vec::new(), Vec::new(), Vec::new());
        let mut waiting = std::mem::take(batch).into_iter();
        let (mut bytes, mut is_full) = (0, false);
        for (evidence, count) in groups {
            let group: Vec<Submission> = waiting.by_ref().take(count).collect();
            is_full |= parcels.len() == PARCELS_PER_ORDER_MAX;
            match self.payload(runtime, room, (&group, evidence), &own) {
                Ok((_, _, (ordered, _))) if is_full || bytes + parcel_bytes(ordered.class) > PARCELS_BYTES_MAX => {
                    is_full = true;
                    group.into_iter().for_each(|one| self.gather_again(room, one));
                }
                Ok((payload, padded, parcel)) => {
                    bytes += parcel_bytes(parcel.0.class);
                    opened.push(Arc::new(payload));
                    payloads.push(padded);
                    parcels.push(parcel);
                    batch.extend(group);
                }
                Err(error) => {
                    group.into_iter().for_each(|one| drop(one.answer.send(Err(PrivateError::Unfit(error.to_string())))))
                }
            }
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let members = self.members(&room.name).await?;
        let (since_ms, sender) = (tip.header.time_ms, self.0.holder.principal.organisation());
        match room.store.lock().await.put(&parcels, Kept::Waiting { since_ms, sender, members }).await {
            Ok(()) => {
                for ((ordered, _), payload) in parcels.iter().zip(opened) {
                    room.keep_open(ordered.id, payload);
                }
                let sealed = batch.iter().flat_map(|one| one.sealed.values.iter().cloned()).collect();
                Ok(Some(Ready { height, payloads, parcels, sealed }))
            }
            Err(StoreError::Full) => Err(PrivateError::Busy),
            Err(error) => Err(PrivateError::Failed(error.to_string())),
        }
    }

    /// How many organisations share in a partition.
    async fn members(&self, partition: &str) -> Result<usize, PrivateError> {
        let found = self.membership(partition).await?;
        let found = found.ok_or_else(|| PrivateError::NotHeld(partition.to_owned()))?;
        Ok(found.row.terms.members.len())
    }

    /// What executing the batch relies on: the evidence of so many of it after so many. What cannot be executed is answered, and taken
    /// out.
    async fn evidence(
        &self,
        room: &Arc<Room<E>>,
        at: (u64, u64),
        batch: &mut Vec<Submission>,
    ) -> Result<Vec<(Evidence, usize)>, PrivateError> {
        let mut may_sign = Vec::with_capacity(batch.len());
        for one in std::mem::take(batch) {
            // Again: it may have waited, and a key may have been retired meanwhile.
            match self.may_sign(&one.transaction).await {
                Ok(()) => may_sign.push(one),
                Err(error) => drop(one.answer.send(Err(error))),
            }
        }
        *batch = may_sign;
        let all: Vec<&VerifiedTransaction> = batch.iter().map(|one| &one.transaction).collect();
        let (mut groups, mut verdicts, mut waiting) = (Vec::new(), Vec::with_capacity(all.len()), BTreeSet::new());
        while let Some(rest) = all.get(verdicts.len()..).filter(|rest| !rest.is_empty()) {
            let partition = room.partition.lock().await;
            let public = |keys: Vec<StateKey>| {
                let reader = self.0.reader.clone();
                async move { reader.rows(&keys).await.map(|read| read.rows) }
            };
            let (evidence, outcomes) = partition.evidence(rest, at, public).await?;
            let height = partition.position().height;
            drop(partition);
            let standing = Standing::of(&evidence, &room.name);
            let judge = |(one, outcome): (&&VerifiedTransaction, Option<Outcome>)| {
                if let Err(code) = standing.may_execute(one) {
                    return Verdict::Unfit(PrivateError::Refused(code));
                }
                if waiting.contains(one.principal()) {
                    return Verdict::Behind;
                }
                match require_permitted(one, outcome.as_ref(), height) {
                    Ok(()) => Verdict::Fit,
                    Err(error) => {
                        waiting.insert(one.principal().clone());
                        Verdict::NotPermitted(error)
                    }
                }
            };
            let said: Vec<Verdict> = rest.iter().zip(outcomes).map(judge).collect();
            groups.push((evidence, said.iter().filter(|verdict| matches!(verdict, Verdict::Fit)).count()));
            verdicts.extend(said);
        }
        groups.retain(|(_, count)| *count > 0);
        let (mut fit, mut put_aside) = (Vec::with_capacity(batch.len()), Vec::new());
        for (one, verdict) in std::mem::take(batch).into_iter().zip(verdicts) {
            match verdict {
                Verdict::Fit => fit.push(one),
                Verdict::NotPermitted(error) => put_aside.push((one, Some(error))),
                Verdict::Behind => put_aside.push((one, None)),
                Verdict::Unfit(error) => drop(one.answer.send(Err(error))),
            }
        }
        self.look_again(room, put_aside);
        *batch = fit;
        Ok(groups)
    }

    /// Transactions with their evidence, and the copy of them for this node.
    fn payload(
        &self,
        runtime: &mut E,
        room: &Room<E>,
        (group, evidence): (&[Submission], Evidence),
        own: &SealingKey,
    ) -> Result<(Opened, PaddedPayload, Delivered), ParcelError> {
        let network = self.0.shared.chain.network();
        let transactions: Vec<VerifiedTransaction> = group.iter().map(|one| one.transaction.clone()).collect();
        let bytes = transactions.iter().map(|one| one.bytes().clone()).collect();
        let payload = Payload::new(bytes, evidence, runtime)?;
        let ordered = payload.ordered(&network, &room.name)?;
        let padded = payload.padded(&network, &room.name, ordered)?;
        let sealed = padded.seal(own, runtime)?;
        Ok((Opened::own(payload, &room.name, transactions), padded, (ordered, sealed)))
    }

    /// Reads all rows of these anew, so that they stand at one height; says which.
    async fn at_one_height(&self, all: &mut [(Evidence, usize)]) -> Result<u64, PrivateError> {
        let keys: Vec<StateKey> =
            all.iter().flat_map(|(one, _)| one.rows.keys().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let read = self.0.reader.rows(&keys).await?;
        let rows: BTreeMap<StateKey, Option<Bytes>> = keys.into_iter().zip(read.rows).collect();
        for (one, _) in all {
            one.height = read.height;
            for (key, row) in &mut one.rows {
                *row = rows.get(key).and_then(Option::as_ref).map(|row| row.to_vec());
            }
        }
        Ok(read.height)
    }

    /// Delivers to every member's node, and collects as many acknowledgements as the agreement asks for.
    async fn acknowledged(
        &self,
        runtime: &mut E,
        room: &Room<E>,
        ready: &Ready,
        silent: &mut BTreeSet<PrincipalId>,
    ) -> Result<SignedTransaction, Lack> {
        let membership = self.membership(&room.name).await?;
        let membership = membership.ok_or_else(|| PrivateError::NotHeld(room.name.clone()))?;
        let tip = self.0.shared.chain.tip();
        if !membership.row.is_open(tip.header.time_ms) {
            return Err(PrivateError::Refused(Code::PartitionClosed).into());
        }
        self.refuse(runtime, &room.name, TransferPath::Delivery, membership.refused.iter()).await;
        let cosigners = self.choose(&membership, silent).await?;
        let begun = self.begin(runtime, room, ready, &cosigners)?;
        let hash = Hash::of(&[begun.bytes()]);
        let (sender, mut acks) = mpsc::unbounded_channel();
        self.acks().insert(hash, sender);
        let delivered = self.deliver(runtime, room, ready, (&membership, &cosigners), begun.bytes()).await;
        let signed = match delivered {
            Ok(()) => self.collect(runtime, begun, &cosigners, &mut acks, silent).await,
            Err(error) => Err(error.into()),
        };
        self.acks().remove(&hash);
        signed
    }

    /// Whom to ask: a node of as many other members as the agreement asks for, of those first that answered before.
    async fn choose(
        &self,
        membership: &Membership,
        silent: &BTreeSet<PrincipalId>,
    ) -> Result<Vec<(NodeRow, Cosigner)>, PrivateError> {
        let own = self.0.holder.principal.organisation();
        let need = usize::try_from(membership.row.terms.acknowledgements).unwrap_or(usize::MAX).saturating_sub(1);
        let others = || membership.nodes.iter().filter(|node| node.node.organisation() != own);
        let of = |node: &NodeRow| [StateKey::principal(&node.node), StateKey::organisation(node.node.organisation())];
        let rows = self.0.reader.rows(&others().flat_map(of).collect::<Vec<_>>()).await?.rows;
        let time_ms = self.0.shared.chain.tip().header.time_ms;
        let able = others().zip(rows.chunks(2)).filter_map(|(node, rows)| {
            let [Some(row), Some(organisation)] = rows else { return None };
            let (row, organisation) = (PrincipalRow::decode(row).ok()?, OrganisationRow::decode(organisation).ok()?);
            // What somebody signs who is suspended counts for nothing.
            if row.status != PrincipalStatus::Active || organisation.status != OrganisationStatus::Active {
                return None;
            }
            let held = row.keys.iter().rev().find(|held| !held.has_ended(time_ms) && !held.is_expired(time_ms))?;
            Some((node.clone(), Cosigner { principal: node.node.clone(), key: held.key }))
        });
        let mut able: Vec<(NodeRow, Cosigner)> = able.collect();
        able.sort_by_key(|(node, _)| silent.contains(&node.node));
        let mut chosen: Vec<(NodeRow, Cosigner)> = Vec::with_capacity(need);
        for (node, cosigner) in able {
            let is_new = chosen.iter().all(|(other, _)| other.node.organisation() != node.node.organisation());
            if chosen.len() < need && is_new {
                chosen.push((node, cosigner));
            }
        }
        if chosen.len() == need {
            Ok(chosen)
        } else {
            Err(PrivateError::Acknowledgements { have: 1 + chosen.len(), need: need + 1 })
        }
    }

    fn begin(
        &self,
        runtime: &mut E,
        room: &Room<E>,
        ready: &Ready,
        cosigners: &[(NodeRow, Cosigner)],
    ) -> Result<PartlySignedTransaction, PrivateError> {
        let (holder, chain) = (&self.0.holder, &self.0.shared.chain);
        let mut key = vec![0; 16];
        runtime.fill_bytes(&mut key);
        let parcels = ready.parcels.iter().map(|(ordered, _)| *ordered).collect();
        let operation = Operation::PrivateOrder { partition: room.name.clone(), height: ready.height, parcels };
        let now_s = now_ms(runtime).max(chain.tip().header.time_ms) / 1_000;
        let intent = Intent {
            not_after: now_s + ORDER_SECONDS,
            idempotency_key: key,
            cosigners: cosigners.iter().map(|(_, cosigner)| cosigner.clone()).collect(),
            ..Intent::new(
                chain.network(),
                holder.principal.clone(),
                format!("order in partition {}", room.name),
                vec![operation],
            )
        };
        intent.begin(&holder.key).map_err(|error| PrivateError::Failed(error.to_string()))
    }

    async fn deliver(
        &self,
        runtime: &mut E,
        room: &Room<E>,
        ready: &Ready,
        (membership, cosigners): (&Membership, &[(NodeRow, Cosigner)]),
        order: &Bytes,
    ) -> Result<(), PrivateError> {
        // Out of the vault at this moment: nothing waits elsewhere.
        let openings = self.vault().openings_at(ready.sealed.iter()).await?;
        if let Some((place, _)) = ready.sealed.iter().find(|value| !openings.contains_key(*value)) {
            let spot = (place.register().to_owned(), place.key().to_owned(), place.field().to_owned());
            return Err(PrivateError::OpeningMissing(spot));
        }
        let openings: Vec<Opening> = openings.into_values().collect();
        // These stand where the agreement allows: nothing leaves for any other.
        for node in membership.nodes.iter().filter(|node| node.node != self.0.holder.principal) {
            let mut parcels = Vec::with_capacity(ready.payloads.len());
            for payload in &ready.payloads {
                let sealed = payload.seal(&node.sealing, runtime);
                parcels.push((payload.ordered(), sealed.map_err(|error| PrivateError::Failed(error.to_string()))?));
            }
            let is_asked = cosigners.iter().any(|(asked, _)| asked.node == node.node);
            let order = is_asked.then(|| order.clone());
            let openings = self.beside(runtime, room, (&parcels, &openings), node)?;
            self.send(&node.peer, &Message::Deliver { partition: room.name.clone(), order, parcels, openings });
        }
        Ok(())
    }

    async fn collect(
        &self,
        runtime: &E,
        mut order: PartlySignedTransaction,
        cosigners: &[(NodeRow, Cosigner)],
        acks: &mut mpsc::UnboundedReceiver<Ack>,
        silent: &mut BTreeSet<PrincipalId>,
    ) -> Result<SignedTransaction, Lack> {
        let (mut have, mut lack) = (BTreeSet::new(), Lack::Else as fn(PrivateError) -> Lack);
        let mut by_policy = None;
        let mut patience = std::pin::pin!(runtime.sleep(PATIENCE));
        while have.len() < cosigners.len() {
            let heard = std::pin::pin!(acks.recv());
            let (peer, ack) = match select(heard, patience.as_mut()).await {
                Either::Left((Some(ack), _)) => ack,
                Either::Left((None, _)) | Either::Right(_) => break,
            };
            let Some((node, cosigner)) = cosigners.iter().find(|(node, _)| node.peer == peer) else { continue };
            match ack {
                Ok(signature) => {
                    let signed = order.with_cosignature(&cosigner.key, &signature);
                    let Some(signed) = signed.ok().filter(|signed| signed.verify().is_ok()) else { continue };
                    order = signed;
                    have.insert(node.node.clone());
                }
                Err(reason) => {
                    tracing::info!(node = %node.node, ?reason, "a node does not acknowledge");
                    if matches!(reason, Reason::Evidence | Reason::Invalid | Reason::Policy) {
                        lack = Lack::Payloads;
                    }
                    if reason != Reason::Evidence {
                        silent.insert(node.node.clone());
                    }
                    by_policy = (reason == Reason::Policy).then(|| PrivateError::Disagreed(node.node.clone()));
                    break;
                }
            }
        }
        if have.len() == cosigners.len() {
            return order.complete().map_err(|error| PrivateError::Failed(error.to_string()).into());
        }
        silent.extend(cosigners.iter().map(|(node, _)| &node.node).filter(|node| !have.contains(*node)).cloned());
        let missing = PrivateError::Acknowledgements { have: 1 + have.len(), need: 1 + cosigners.len() };
        Err(lack(by_policy.unwrap_or(missing)))
    }

    /// Puts an order into the pool. Who waits is told when it is executed, or when it was not taken.
    async fn put_in(&self, room: &Room<E>, order: SignedTransaction, batch: Vec<Submission>) {
        let ids: Vec<Hash> = batch.iter().map(|one| one.transaction.id()).collect();
        {
            let mut waiting = room.waiting();
            waiting.retain(|_, answer| !answer.is_closed());
            waiting.extend(batch.into_iter().map(|one| (one.transaction.id(), one.answer)));
        }
        let ordered = self.0.shared.chain.wait(order.id());
        let taken = self.0.admission.submit(vec![order.bytes().clone()], Origin::Client).await.pop();
        let lost = match taken {
            Some(Ok(_)) => match ordered.await {
                Ok(Some(finalised)) => match finalised.outcome {
                    // From here on it is the executor that answers.
                    Outcome::Accepted { .. } => return,
                    Outcome::Refused(refusal) => format!("{}: {}", refusal.code, refusal.code.advice()),
                },
                _ => "its time passed before a block took it".to_owned(),
            },
            Some(Err(rejection)) => Rejection::to_string(&rejection),
            None => "the node is stopping".to_owned(),
        };
        let mut waiting = room.waiting();
        for id in ids {
            if let Some(answer) = waiting.remove(&id) {
                let _ = answer.send(Err(PrivateError::Order(lost.clone())));
            }
        }
    }
}
