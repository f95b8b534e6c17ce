//! Say which orders of erasure and holds there are in a partition, to those of this node's own organisation; and prove where an order stands,
//! to everybody.

use super::{Membership, Parcels, Room, erasing::with_holds, error::PrivateError, read::Told};
use crate::{engine::Runtime, service::erasure::Erasure};
use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
};
use tallystick_protocol::{
    ControllerRow, ErasureRow, Hash, HoldRow, PartitionRow, Query, StateKey,
    limits::{CERTIFICATE_PROOFS_MAX, CERTIFICATES_WAITING_MAX, PRIVATE_SCAN_MAX},
};
use tallystick_storage::partition::{Partition, ProvenRow};

/// Orders that somebody waits to have proven, by the number of who waits, with the latest proofs of each.
pub(super) type Proofs = BTreeMap<u64, (String, Vec<ProvenRow>)>;

/// Somebody who waits until an order is proven. Once it is dropped, nobody does.
pub struct Certifying<E: Runtime> {
    room: Arc<Room<E>>,
    number: u64,
}

impl<E: Runtime> Certifying<E> {
    /// The order's row as it was under this root, with the proof of it.
    pub fn proven(&self, root: &Hash) -> Option<ProvenRow> {
        let proofs = self.room.certifying();
        let (_, taken) = proofs.get(&self.number)?;
        taken.iter().find(|proven| proven.root == *root).cloned()
    }
}

impl<E: Runtime> Drop for Certifying<E> {
    fn drop(&mut self) {
        self.room.certifying().remove(&self.number);
    }
}

impl<E: Runtime> Room<E> {
    fn certifying(&self) -> MutexGuard<'_, Proofs> {
        self.certifying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the proofs of the orders that somebody waits for, while the state is still that of its block: its members may certify this root.
    pub(super) async fn prove_orders(&self, partition: &Partition<E>) {
        let waiting: Vec<(u64, String)> =
            self.certifying().iter().map(|(number, (order, _))| (*number, order.clone())).collect();
        for (number, order) in waiting {
            let proven = partition.prove(&StateKey::erasure(&order)).await;
            if let (Some(proven), Some((_, taken))) = (proven, self.certifying().get_mut(&number)) {
                if taken.len() >= CERTIFICATE_PROOFS_MAX {
                    taken.remove(0);
                }
                taken.push(proven);
            }
        }
    }
}

/// The orders of a partition that are not over: those of its members, and of who were, whose registers are there still.
pub(super) async fn open_orders<E: Runtime>(partition: &Partition<E>, row: &PartitionRow) -> Vec<ErasureRow> {
    let former = row.former.iter().map(|(organisation, _)| organisation);
    let mut found = Vec::new();
    for controller in row.terms.members.iter().chain(former) {
        let ControllerRow { open, .. } = partition.controller(controller).await;
        for open in open {
            found.extend(partition.erasure(&open.order).await);
        }
    }
    found
}

/// An order with what suspends it, and those for whom nobody waits.
async fn told<E: Runtime>(
    partition: &Partition<E>,
    row: ErasureRow,
    (membership, now_ms): (&Membership, u64),
) -> Erasure {
    let left = row.outstanding().filter(|node| membership.has_left(node)).cloned().collect();
    Erasure { left, ..with_holds(partition, row, now_ms).await }
}

/// The numbers of a list that are looked at for a page of those before `before`: so many at most.
fn looked_at(total: u64, before: u64) -> std::ops::Range<u64> {
    let end = total.min(before);
    end.saturating_sub(PRIVATE_SCAN_MAX)..end
}

impl<E: Runtime> Parcels<E> {
    /// Orders of erasure in a partition, the newest first, of a controller or, for the empty name, of all: at most `count` of those before
    /// number `before`, or only those of them that are not over. With where to go on, unless there are none before.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn erasures(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        (controller, is_open): (&str, bool),
        (before, count): (u64, usize),
    ) -> Result<Told<(Vec<Erasure>, Option<u64>)>, PrivateError> {
        let room = self.asked_by_overseer(partition, query, path).await?;
        let membership = self.member_of(partition).await?;
        let at = (&membership, self.time_ms());
        let partition = room.partition.lock().await;
        let numbers = looked_at(partition.controller(controller).await.orders, before);
        let (mut number, mut found) = (numbers.end, Vec::new());
        for id in partition.erasures(controller, numbers).await.iter().rev() {
            if found.len() >= count {
                break;
            }
            number = number.saturating_sub(1);
            let row = partition.erasure(id).await.filter(|row| !is_open || !row.is_over());
            if let Some(row) = row {
                found.push(told(&partition, row, at).await);
            }
        }
        Ok(Told { height: partition.position().height, value: (found, (number > 0).then_some(number)) })
    }

    /// An order of erasure in a partition; none if there is none of this name.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn erasure(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        order: &str,
    ) -> Result<Told<Option<Erasure>>, PrivateError> {
        let room = self.asked_by_overseer(partition, query, path).await?;
        let membership = self.member_of(partition).await?;
        let partition = room.partition.lock().await;
        let value = match partition.erasure(order).await {
            Some(row) => Some(told(&partition, row, (&membership, self.time_ms())).await),
            None => None,
        };
        Ok(Told { height: partition.position().height, value })
    }

    /// Holds in a partition, as [`Parcels::erasures`].
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn holds(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        controller: &str,
        (before, count): (u64, usize),
    ) -> Result<Told<(Vec<HoldRow>, Option<u64>)>, PrivateError> {
        let room = self.asked_by_overseer(partition, query, path).await?;
        let partition = room.partition.lock().await;
        let end = partition.controller(controller).await.holds.min(before);
        let first = end.saturating_sub(count as u64);
        let mut found = Vec::new();
        for id in partition.holds(controller, first..end).await.iter().rev() {
            found.extend(partition.hold(id).await);
        }
        Ok(Told { height: partition.position().height, value: (found, (first > 0).then_some(first)) })
    }

    /// Waits for an order to be proven: from now on each root of the partition's state is kept with the order's row under it.
    ///
    /// # Errors
    /// As [`Parcels::registers`].
    pub async fn certifying(
        &self,
        partition: &str,
        (query, path): (&Query, &str),
        order: &str,
    ) -> Result<Option<Certifying<E>>, PrivateError> {
        let room = self.asked_by_overseer(partition, query, path).await?;
        let held = room.partition.lock().await;
        let Some(proven) = held.prove(&StateKey::erasure(order)).await else { return Ok(None) };
        let number = {
            let mut waiting = room.certifying();
            if waiting.len() >= CERTIFICATES_WAITING_MAX {
                return Err(PrivateError::Busy);
            }
            let number = waiting.last_key_value().map_or(0, |(last, _)| last + 1);
            waiting.insert(number, (order.to_owned(), vec![proven]));
            number
        };
        drop(held);
        Ok(Some(Certifying { room, number }))
    }

    /// The orders of erasure that are not over, of all partitions that this node holds, and that are its organisation's, or wait for one of its
    /// nodes.
    pub async fn own_erasures(&self) -> Vec<Erasure> {
        let own = self.0.holder.principal.organisation();
        let rooms: Vec<Arc<Room<E>>> = self.rooms().values().filter(|room| room.is_open()).cloned().collect();
        let (now_ms, mut found) = (self.time_ms(), Vec::new());
        for room in rooms {
            let Ok(Some(membership)) = self.membership(&room.name).await else { continue };
            let partition = room.partition.lock().await;
            for row in open_orders(&partition, &membership.row).await {
                if row.controller == own || row.outstanding().any(|node| node.organisation() == own) {
                    found.push(with_holds(&partition, row, now_ms).await);
                }
            }
        }
        found
    }

    async fn member_of(&self, partition: &str) -> Result<Membership, PrivateError> {
        self.membership(partition).await?.ok_or_else(|| PrivateError::NotHeld(partition.to_owned()))
    }
}
