//! Carry out what is ordered in the public partition: destroy, and say so; as blocks go by, for ever. How is said in `erasing.rs` beside
//! this folder.
//!
//! INVARIANT: a vault that was restored from a backup, or a node that was off, carries out what followed before [`Service::erased_to`] lets
//! anybody read.

use super::{Runtime, Service, posting::Posted};
use crate::{
    application::now_ms,
    erasing::{Erasing, Late, Times},
    holder::Holder,
    service::erasure::{Erasure, in_drawer},
};
use futures::future::join;
use std::collections::BTreeMap;
use tallystick_protocol::{Commitment, Operation, Place, StateKey, SubjectRow};
use tallystick_storage::{
    read::ReadError,
    vault::{Drawer, VaultError},
};

/// Why orders were not carried out; they are tried again with the next block.
#[derive(Debug, thiserror::Error)]
pub enum ErasingError {
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The state.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// What this process has done: how far it has come, and the receipts that are on their way, by their orders.
struct Done {
    erasing: Erasing,
    given: BTreeMap<String, Posted>,
}

impl<E: Runtime> Service<E> {
    /// Carries out what is ordered, and watches the ledger meanwhile, for ever.
    pub async fn erase(&self) {
        let Some(holder) = &self.0.holder else { return };
        self.0.shared.chain.ready().await;
        join(self.follow(holder), self.carry_out(holder)).await;
    }

    /// Looks at each block, and does nothing else: see [`Following::look`].
    async fn follow(&self, holder: &Holder<E>) {
        let mut tip = self.0.shared.chain.watch_tip();
        loop {
            // The tip first: a pause in between must not make it newer than the clock.
            let newest = self.tip();
            holder.look(now_ms(&self.0.runtime), &newest.header);
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    async fn carry_out(&self, holder: &Holder<E>) {
        let mut tip = self.0.shared.chain.watch_tip();
        let (mut done, mut late) = (None, Late::default());
        loop {
            // Before anything is read: that is as new as the newest block, or newer.
            let newest = self.tip();
            let now_ms = now_ms(&self.0.runtime);
            let times = holder.look(now_ms, &newest.header);
            let erased = self.erase_due(holder, &mut done, times).await;
            let is_held_up = done.as_ref().is_some_and(|done| done.erasing.is_held_up(holder.without_error(now_ms)));
            late.note(is_held_up || (times.is_none() && matches!(erased, Ok(None))), now_ms, None);
            match erased {
                Ok(Some((height, has_new))) => holder.set_erased_to(height, has_new),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "what is ordered to be erased is not erased yet"),
            }
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    /// Resolves once every order up to this height is carried out here, but for those that wait, or are so new that a hold may follow. What they
    /// are about the state says is erased.
    pub async fn erased_to(&self, height: u64) {
        if let Some(holder) = &self.0.holder {
            holder.erased_to(height).await;
        }
    }

    /// Carries out what is ordered and does not wait; the height up to which all that is true of, and whether some is so new that a hold may
    /// follow. None where something is due, and this node does not follow or has not caught up: what it missed may hold it.
    async fn erase_due(
        &self,
        holder: &Holder<E>,
        done: &mut Option<Done>,
        times: Option<Times>,
    ) -> Result<Option<(u64, bool)>, ErasingError> {
        let done = match done {
            Some(done) => done,
            None => done.insert(Done { erasing: Erasing::resume(holder, None).await?, given: BTreeMap::new() }),
        };
        let own = holder.keys().principal.organisation();
        loop {
            let (from, unfinished) = (done.erasing.looked_at(), done.erasing.unfinished());
            let (height, total, orders) = self.due_erasures(own, from, unfinished).await?;
            let orders: Vec<(Erasure, Vec<Drawer>)> = orders.into_iter().map(in_drawer).collect();
            let Some(times) = times else {
                return Ok(done.erasing.has_none_due(&orders, total).then_some((height, false)));
            };
            let is_last = done.erasing.carry_out(holder, &orders, total, times).await?;
            self.give_receipts(holder, &orders, done).await;
            if is_last {
                return Ok(done.erasing.has_caught_up().then(|| (height, done.erasing.has_new())));
            }
        }
    }

    /// Gives the receipts that are owed and do not wait.
    async fn give_receipts(&self, holder: &Holder<E>, orders: &[(Erasure, Vec<Drawer>)], done: &mut Done) {
        let Done { erasing, given } = done;
        given.retain(|order, _| erasing.owed().contains_key(order));
        for (erasure, _) in orders {
            let order = &erasure.row.order;
            let Some(destroyed) = erasing.receipt(erasure) else {
                given.remove(order);
                continue;
            };
            let operation = Operation::ErasureReceipt { order: order.clone(), destroyed };
            let posted = given.entry(order.clone()).or_default();
            self.post(holder, format!("erasure {order}"), operation, posted).await;
        }
    }

    /// Those of these values that the ledger says are erased under this organisation, or about to be, each with whether that waits for
    /// a hold.
    pub(super) async fn erased_among<'v>(
        &self,
        controller: &str,
        values: &'v [(Place, Commitment)],
    ) -> Result<Vec<(&'v (Place, Commitment), bool)>, ReadError> {
        let now_ms = self.tip().header.time_ms;
        let keys = |(place, commitment): &(Place, Commitment)| {
            let subject = place.subject();
            [StateKey::subject(controller, subject), StateKey::erased_value(controller, subject, commitment)]
        };
        let all: Vec<StateKey> = values.iter().flat_map(keys).collect();
        let (_, erased) = self
            .read(all, |sheet| {
                let is_erased = |value: &(Place, Commitment)| {
                    let [subject, value] = keys(value);
                    let row = sheet.row(subject, SubjectRow::decode)?;
                    let value = sheet.row(value, |bytes| Ok::<_, std::convert::Infallible>(bytes.len()))?;
                    let is_erased = value.is_some() || row.as_ref().is_some_and(|row| row.erased.is_some());
                    Ok(is_erased.then(|| row.is_some_and(|row| row.is_held(now_ms))))
                };
                values.iter().map(is_erased).collect::<Result<Vec<Option<bool>>, _>>()
            })
            .await?;
        Ok(values.iter().zip(erased).filter_map(|(value, is_held)| Some((value, is_held?))).collect())
    }
}
