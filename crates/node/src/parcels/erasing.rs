//! Carry out what is ordered to be erased in a partition: destroy, and say so by a private transaction. How is said in `erasing.rs` beside
//! this folder.
//!
//! ```text
//! executed ─▶ orders and holds, as the partition's state has them ─▶ drawers of the controller's registers ─▶ destroyed ─▶ receipt
//! ```
//!
//! INVARIANTS:
//! - What is ordered to be erased is destroyed once no hold can be missed any more that was final when this node saw the order, and before anything
//!   is given to other nodes; what came with it stays noted until then.
//! - A node that was off, or cut off, opens nothing that is sealed to a reader before it has carried out what was ordered meanwhile.
//! - An order does not wait for those to whom nothing goes any more: once all the others have given their receipts, the first of these says so once
//!   more, each of them a minute after the one before, and the order is over without what they hold.
//! - What the state says is erased is not taken in, not given and not asked for, whether it is destroyed here yet or not.

use super::{Membership, Parcels, Room, erasures::open_orders, error::PrivateError, sealed::Value};
use crate::{
    application::now_ms,
    engine::Runtime,
    erasing::{Erasing, Late, Times},
    retention::TURN_MS,
    service::{
        erasure::Erasure,
        posting::{AGAIN_SECONDS, Posted},
    },
};
use futures::future::{Either, select};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::Duration,
};
use tallystick_protocol::{ErasureRow, Operation, PrincipalId, StateKey, SubjectRow, limits::ERASURES_PER_PAGE};
use tallystick_storage::{
    partition::Partition,
    vault::{Drawer, VaultError},
};

/// How much older than the newest block one may be for which what it orders is destroyed at once. What an older one orders waits until nothing
/// is left to execute.
const ABREAST_MS: u64 = 3_000;
/// How long a read that is on record waits for what is ordered to be erased before it: with all else shorter than a request may take.
pub(super) const ERASED: Duration = Duration::from_secs(8);

/// The receipts of a partition that are on their way, by their orders.
type Receipts = Mutex<BTreeMap<String, Posted>>;

/// What this process has done of what is ordered in a partition.
#[derive(Default)]
pub(super) struct Eraser {
    erasing: Option<Erasing>,
    late: Late,
    receipts: Arc<Receipts>,
    /// Those that are given once more, to end what waits only for those who have left.
    endings: Arc<Receipts>,
    /// Since when such an order is known, in milliseconds of ledger time.
    ending_ms: BTreeMap<String, u64>,
}

fn lock(receipts: &Receipts) -> MutexGuard<'_, BTreeMap<String, Posted>> {
    receipts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An order with the holds that suspend it at this time. Of what is complete nobody asks.
pub(super) async fn with_holds<E: Runtime>(partition: &Partition<E>, row: ErasureRow, now_ms: u64) -> Erasure {
    let subject = match row.is_complete() {
        true => None,
        false => partition.subject(&row.controller, &row.subject).await,
    };
    let holds = subject.into_iter().flat_map(|subject| subject.holds).filter(|hold| hold.is_in_force(now_ms));
    Erasure { holds: holds.map(|hold| hold.hold).collect(), left: Vec::new(), row }
}

impl<E: Runtime> Room<E> {
    /// What must be looked at: the orders from this number on, as many as there are on a page of the list, and these, each with where the
    /// values lie that it is about. And how many orders there are.
    async fn due(&self, from: u64, these: BTreeSet<String>, now_ms: u64) -> (u64, Vec<(Erasure, Vec<Drawer>)>) {
        let partition = self.partition.lock().await;
        let total = partition.controller("").await.orders;
        let end = total.min(from.saturating_add(u64::from(ERASURES_PER_PAGE)));
        let listed = partition.erasures("", from.min(end)..end).await;
        let ids: BTreeSet<String> = listed.into_iter().chain(these).collect();
        let (mut due, mut registers) = (Vec::with_capacity(ids.len()), BTreeMap::new());
        for id in ids {
            let Some(row) = partition.erasure(&id).await else { continue };
            if !registers.contains_key(&row.controller) {
                registers.insert(row.controller.clone(), partition.registers_of(&row.controller).await);
            }
            let drawer = |register: &String| Drawer::private(&self.name, register, row.subject.clone());
            let drawers = registers.get(&row.controller).into_iter().flatten().map(drawer).collect();
            due.push((with_holds(&partition, row, now_ms).await, drawers));
        }
        due.sort_by_key(|(one, _): &(Erasure, _)| one.row.number);
        (total, due)
    }

    /// The orders that wait only for those who have left, and that this node can end: each with how many values it said it held, and with how
    /// many are before it of those who have said that they destroyed and are there still.
    async fn ending(&self, membership: &Membership, own: &PrincipalId, now_ms: u64) -> BTreeMap<String, (u32, u64)> {
        let partition = self.partition.lock().await;
        let mut ending = BTreeMap::new();
        for row in open_orders(&partition, &membership.row).await {
            let remaining = row.holders.iter().filter(|holder| !membership.has_left(&holder.node));
            let said: Option<Vec<_>> = remaining.map(|holder| Some((&holder.node, holder.receipt?.values))).collect();
            let own = said.and_then(|said| (0..).zip(said).find(|(_, (node, _))| *node == own));
            let Some((place, (_, destroyed))) = own else { continue };
            let erasure = with_holds(&partition, row, now_ms).await;
            if erasure.holds.is_empty() {
                ending.insert(erasure.row.order, (destroyed, place));
            }
        }
        ending
    }

    /// Those of these values that the state says are erased, each with whether a hold keeps what is left of it.
    pub(super) async fn erased_among(
        &self,
        values: impl IntoIterator<Item = &Value>,
        now_ms: u64,
    ) -> BTreeMap<Value, bool> {
        let partition = self.partition.lock().await;
        let mut custodians: BTreeMap<&str, Option<String>> = BTreeMap::new();
        let mut subjects: BTreeMap<StateKey, Option<SubjectRow>> = BTreeMap::new();
        let mut erased = BTreeMap::new();
        for value in values {
            let (place, commitment) = value;
            if !custodians.contains_key(place.register()) {
                custodians.insert(place.register(), partition.custodian(place.register()).await);
            }
            let Some(Some(custodian)) = custodians.get(place.register()) else { continue };
            let key = StateKey::subject(custodian, place.subject());
            let row = match subjects.entry(key) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place_for) => place_for.insert(partition.subject(custodian, place.subject()).await),
            };
            // Of whom nothing is said nothing is erased.
            let Some(row) = row else { continue };
            if row.erased.is_some() || partition.is_value_erased(custodian, place.subject(), commitment).await {
                erased.insert(value.clone(), row.is_held(now_ms));
            }
        }
        erased
    }
}

impl<E: Runtime> Parcels<E> {
    /// The time by which holds end: the newest block's.
    pub(super) fn time_ms(&self) -> u64 {
        self.0.shared.chain.tip().header.time_ms
    }

    /// The orders of a partition from this number on, as many as there are on a page, and these, each with where the values lie that it is about.
    /// And how many there are; none of a partition that is not held.
    pub(crate) async fn ordered(
        &self,
        partition: &str,
        from: u64,
        these: BTreeSet<String>,
    ) -> (u64, Vec<(Erasure, Vec<Drawer>)>) {
        match self.room(partition) {
            Some(room) => room.due(from, these, self.time_ms()).await,
            None => (0, Vec::new()),
        }
    }

    /// Carries out what is ordered in a partition as far as it is executed, and does not wait: unless something that is ordered may not be
    /// executed here yet, and be a hold. All is executed up to this height, and up to this time. Tells those who wait for it.
    pub(super) async fn erase(
        &self,
        runtime: &E,
        (room, eraser): (&Arc<Room<E>>, &mut Eraser),
        (height, executed_ms): (u64, u64),
    ) {
        let newest = self.0.shared.chain.tip();
        let is_abreast = newest.header.time_ms.saturating_sub(executed_ms) <= ABREAST_MS;
        let now_ms = now_ms(runtime);
        let times = self.vault().look(now_ms, &newest.header).filter(|_| is_abreast);
        let times = times.map(|times| times.at(executed_ms));
        let done = self.erase_due(runtime, (room, eraser), times).await;
        let is_done = matches!(done, Ok(Some(false)));
        if matches!(done, Ok(Some(_))) {
            room.erased_to.send_replace(height);
        }
        if times.is_some() && is_done {
            room.settled_to.send_replace(height);
        }
        let clock_ms = self.vault().without_error(now_ms);
        let is_held_up = eraser.erasing.as_ref().is_some_and(|erasing| erasing.is_held_up(clock_ms));
        let do_wait = is_held_up || (times.is_none() && matches!(done, Ok(None)));
        eraser.late.note(do_wait, now_ms, Some(&room.name));
        room.is_done.store(is_done, Ordering::Release);
        if let Err(error) = done {
            tracing::error!(partition = room.name, %error, "what is ordered to be erased is not erased yet");
        }
    }

    /// Waits until what is ordered to be erased up to this height is carried out, but for what waits, or is so new that a hold may follow.
    ///
    /// # Errors
    /// When that takes too long.
    pub(super) async fn erased_to(&self, room: &Room<E>, height: u64, patience: Duration) -> Result<(), PrivateError> {
        let mut erased = room.erased_to.subscribe();
        let reached = std::pin::pin!(erased.wait_for(|reached| *reached >= height));
        match select(reached, std::pin::pin!(self.0.runtime.sleep(patience))).await {
            Either::Left(_) => Ok(()),
            Either::Right(_) => Err(PrivateError::Erasing(room.name.clone())),
        }
    }

    /// Ends the orders that wait only for those who have left.
    pub(super) async fn end_erasures(&self, runtime: &E, room: &Arc<Room<E>>, eraser: &mut Eraser) {
        let Ok(Some(membership)) = self.membership(&room.name).await else { return };
        let now_ms = self.time_ms();
        let ending = room.ending(&membership, &self.0.holder.principal, now_ms).await;
        lock(&eraser.endings).retain(|order, _| ending.contains_key(order));
        eraser.ending_ms.retain(|order, _| ending.contains_key(order));
        for (order, (destroyed, place)) in ending {
            let since_ms = *eraser.ending_ms.entry(order.clone()).or_insert(now_ms);
            if now_ms.saturating_sub(since_ms) >= TURN_MS.saturating_mul(place) {
                self.give_receipt(runtime, room, (&order, destroyed), &eraser.endings);
            }
        }
    }

    /// Carries out what is due and does not wait; whether some is so new that a hold may follow. None where something is due, and this node does not
    /// follow, for which there are no times, or has not caught up.
    async fn erase_due(
        &self,
        runtime: &E,
        (room, eraser): (&Arc<Room<E>>, &mut Eraser),
        times: Option<Times>,
    ) -> Result<Option<bool>, VaultError> {
        let Eraser { erasing, receipts, .. } = eraser;
        let erasing = match erasing {
            Some(erasing) => erasing,
            None => erasing.insert(Erasing::resume(self.vault(), Some(&room.name)).await?),
        };
        loop {
            let (total, orders) = room.due(erasing.looked_at(), erasing.unfinished(), self.time_ms()).await;
            let Some(times) = times else { return Ok(erasing.has_none_due(&orders, total).then_some(false)) };
            let is_last = erasing.carry_out(self.vault(), &orders, total, times).await?;
            lock(receipts).retain(|order, _| erasing.owed().contains_key(order));
            for (erasure, _) in &orders {
                let order = &erasure.row.order;
                match erasing.receipt(erasure) {
                    Some(destroyed) => self.give_receipt(runtime, room, (order, destroyed), receipts),
                    None => drop(lock(receipts).remove(order)),
                }
            }
            if is_last {
                return Ok(erasing.has_caught_up().then(|| erasing.has_new()));
            }
        }
    }

    /// Gives a receipt, unless it is on its way or waits: in a task of its own, for it is executed by whoever calls this.
    fn give_receipt(
        &self,
        runtime: &E,
        room: &Arc<Room<E>>,
        (order, destroyed): (&str, u32),
        receipts: &Arc<Receipts>,
    ) {
        let now_s = now_ms(runtime).max(self.time_ms()) / 1_000;
        let not_after = now_s + AGAIN_SECONDS;
        if !lock(receipts).entry(order.to_owned()).or_default().begin(now_s, not_after) {
            return;
        }
        let (parcels, receipts, order, room) = (self.clone(), receipts.clone(), order.to_owned(), room.name.clone());
        runtime.child("receipt").spawn(move |_| async move {
            let operation = Operation::ErasureReceipt { order: order.clone(), destroyed };
            let said = parcels.post_within(&room, format!("erasure {order}"), operation, not_after).await;
            if let (Err(not_taken), Some(posted)) = (said, lock(&receipts).get_mut(&order)) {
                not_taken.note(posted, &format!("erasure {order} in partition {room}"), (now_s, not_after));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::holder::{Holder, tests::keys};
    use commonware_runtime::{Runner as _, Supervisor as _, deterministic};
    use tallystick_storage::vault::ErasureProgress;

    /// What is executed anew is destroyed anew, also where this node ended in the middle of it, and by then had executed some of it.
    #[test]
    fn what_is_ordered_is_carried_out_anew_whenever_a_state_that_is_made_anew_ends() {
        deterministic::Runner::default().start(|context| async move {
            let open = |label: &'static str| Holder::open(context.child(label), "node", keys());
            let progress = |applied| ErasureProgress { applied, owed: [("order-2".to_owned(), 4)].into() };
            let holder = open("before").await.unwrap();
            for partition in [None, Some("health"), Some("tax")] {
                holder.set_progress(partition, &progress(3)).await.unwrap();
            }
            Erasing::begin_anew(&holder, "health").await.unwrap();
            drop(holder);
            for label in ["ended", "ended_again"] {
                let holder = open(label).await.unwrap();
                for (partition, looked_at) in [(None, 3), (Some("health"), 0), (Some("tax"), 3)] {
                    let erasing = Erasing::resume(&holder, partition).await.unwrap();
                    assert_eq!(erasing.looked_at(), looked_at, "{partition:?}");
                    assert_eq!(*erasing.owed(), progress(0).owed, "a receipt that is owed says what was found");
                }
            }
        });
    }
}
