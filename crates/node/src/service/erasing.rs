//! Carry out what is ordered: destroy, and say so; as blocks go by, for ever.
//!
//! ```text
//! final order ─▶ how many values? ─▶ noted ─▶ destroyed ─▶ receipt, signed by the holder's own principal ─▶ final ─▶ no longer owed
//! ```
//!
//! INVARIANTS:
//! - How many values an order found is on the disk before the first of them is destroyed, and stays there until the receipt is final: a
//!   node that dies in between says the same afterwards.
//! - The vault knows how many orders it has carried out, all up to one. A vault that was restored from a backup, or a node that was off,
//!   carries out what followed before [`Service::erased_to`] lets anybody read.
//! - While a hold lasts nothing is destroyed, unless this node had said before that it was.
//! - What is known here of how far it has come is on the disk first. A file of the vault that fails holds up its own orders, no others, and
//!   no reads: what they are about is not given, whatever is still here of it.

use super::{Runtime, Service, erasure::Erasure, posting::Posted};
use crate::holder::Holder;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    Commitment, ErasureRow, ErasureScope, Opening, Operation, Place, StateKey, SubjectRow, limits::ERASURES_PER_PAGE,
};
use tallystick_storage::{
    read::ReadError,
    vault::{Drawer, ErasureProgress, VaultError},
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

/// What this process has done, beside what the vault notes.
#[derive(Debug, Default)]
struct Done {
    /// As it is on the disk.
    progress: ErasureProgress,
    /// Orders that this process looked at: those whose numbers are below.
    looked_at: u64,
    /// Orders carried out, by their numbers, after one that is not.
    carried_out: BTreeSet<u64>,
    /// Orders that wait for a hold, or for a file of the vault that can be read.
    waiting: BTreeSet<String>,
    /// Those of them of which it was said that they wait for the vault.
    failed: BTreeSet<String>,
    /// The receipts that are on their way, by their orders.
    given: BTreeMap<String, Posted>,
}

impl Done {
    /// Says how far erasure has come: known here once it is on the disk.
    async fn note<E: Runtime>(&mut self, holder: &Holder<E>, progress: ErasureProgress) -> Result<(), VaultError> {
        if progress != self.progress {
            holder.set_progress(&progress).await?;
            self.progress = progress;
        }
        Ok(())
    }

    /// What must be looked at again, whatever is new.
    fn unfinished(&self) -> BTreeSet<String> {
        self.waiting.iter().chain(self.progress.owed.keys()).cloned().collect()
    }

    /// Orders carried out without a gap: those whose numbers are below.
    fn applied(&self) -> u64 {
        let mut applied = self.progress.applied;
        while self.carried_out.contains(&applied) {
            applied += 1;
        }
        applied
    }

    /// Lets an order wait that the vault could not carry out: the others go on.
    fn put_off(&mut self, order: &str, error: &VaultError) {
        self.waiting.insert(order.to_owned());
        if self.failed.insert(order.to_owned()) {
            tracing::error!(%order, %error, "this order is not carried out, and tried again with each block");
        }
    }
}

impl<E: Runtime> Service<E> {
    /// Carries out what is ordered, for ever.
    pub async fn erase(&self) {
        let Some(holder) = &self.0.holder else { return };
        let mut tip = self.0.shared.chain.watch_tip();
        self.0.shared.chain.ready().await;
        let mut done = None;
        loop {
            match self.erase_due(holder, &mut done).await {
                Ok(height) => holder.set_erased_to(height),
                Err(error) => tracing::error!(%error, "what is ordered to be erased is not erased yet"),
            }
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    /// Resolves once every order up to this height is carried out here, but for those that wait. What is served after that was not
    /// erased by then.
    pub async fn erased_to(&self, height: u64) {
        if let Some(holder) = &self.0.holder {
            holder.erased_to(height).await;
        }
    }

    /// Carries out what is ordered and does not wait; the height up to which all that is true of.
    async fn erase_due(&self, holder: &Holder<E>, done: &mut Option<Done>) -> Result<u64, ErasingError> {
        let done = match done {
            Some(done) => done,
            None => {
                let progress = holder.progress().await?;
                done.insert(Done { looked_at: progress.applied, progress, ..Done::default() })
            }
        };
        let own = holder.keys().principal.organisation();
        loop {
            let (height, total, orders) = self.due_erasures(own, done.looked_at, done.unfinished()).await?;
            // A receipt that is final is owed no more, and leaves room for those that follow.
            let owed: BTreeSet<&str> =
                orders.iter().filter(|one| owes(holder, &one.row)).map(|one| one.row.order.as_str()).collect();
            let mut progress = done.progress.clone();
            progress.owed.retain(|order, _| owed.contains(order.as_str()));
            done.note(holder, progress).await?;
            for erasure in &orders {
                self.carry_out(holder, erasure, done).await?;
            }
            let applied = done.applied();
            done.note(holder, ErasureProgress { applied, ..done.progress.clone() }).await?;
            done.carried_out.retain(|number| *number >= applied);
            done.looked_at = total.min(done.looked_at.saturating_add(u64::from(ERASURES_PER_PAGE)));
            self.give_receipts(holder, &orders, done).await;
            if done.looked_at >= total {
                return Ok(height);
            }
        }
    }

    /// Destroys what an order is about, unless that is done, or waits: for a hold, or because the vault fails, which stops no other.
    async fn carry_out(&self, holder: &Holder<E>, erasure: &Erasure, done: &mut Done) -> Result<(), VaultError> {
        let row = &erasure.row;
        if done.progress.applied > row.number || done.carried_out.contains(&row.number) {
            return Ok(());
        }
        if !erasure.holds.is_empty() && !has_said(holder, row) {
            done.waiting.insert(row.order.clone());
            return Ok(());
        }
        if owes(holder, row) && !done.progress.owed.contains_key(&row.order) {
            let found = match found(holder, row).await {
                Ok(found) => found,
                Err(error) => {
                    done.put_off(&row.order, &error);
                    return Ok(());
                }
            };
            let mut progress = done.progress.clone();
            progress.owed.insert(row.order.clone(), found);
            done.note(holder, progress).await?;
        }
        let destroyed = match &row.scope {
            ErasureScope::All => holder.destroy(&Drawer::public(row.subject.clone())).await.map(drop),
            ErasureScope::Values(values) => holder.remove(&Drawer::public(row.subject.clone()), values).await.map(drop),
        };
        if let Err(error) = destroyed {
            done.put_off(&row.order, &error);
            return Ok(());
        }
        tracing::info!(order = %row.order, "erased");
        done.carried_out.insert(row.number);
        done.waiting.remove(&row.order);
        done.failed.remove(&row.order);
        Ok(())
    }

    /// Gives the receipts that are owed and do not wait.
    async fn give_receipts(&self, holder: &Holder<E>, orders: &[Erasure], done: &mut Done) {
        done.given.retain(|order, _| done.progress.owed.contains_key(order));
        for Erasure { row, holds } in orders {
            let Some(destroyed) = done.progress.owed.get(&row.order).copied() else { continue };
            // It was noted before it was done, and may not be done yet.
            if !holds.is_empty() || done.waiting.contains(&row.order) {
                done.given.remove(&row.order);
                continue;
            }
            let operation = Operation::ErasureReceipt { order: row.order.clone(), destroyed };
            let given = done.given.entry(row.order.clone()).or_default();
            self.post(holder, format!("erasure {}", row.order), operation, given).await;
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

/// How many values that an order means are here. Of a file that is damaged none can be counted, and all of it can be destroyed.
async fn found<E: Runtime>(holder: &Holder<E>, row: &ErasureRow) -> Result<u32, VaultError> {
    let held = match (holder.openings(&Drawer::public(row.subject.clone())).await, &row.scope) {
        (Err(VaultError::Damaged(file)), ErasureScope::All) => {
            tracing::warn!(order = %row.order, %file, "a damaged file is destroyed, and nothing in it counted");
            Vec::new()
        }
        (held, _) => held?,
    };
    let found = held.iter().filter(|opening| is_meant(&row.scope, opening)).count();
    Ok(u32::try_from(found).unwrap_or(u32::MAX))
}

/// Whether this holder must still say that it destroyed.
fn owes<E: Runtime>(holder: &Holder<E>, row: &ErasureRow) -> bool {
    row.outstanding().any(|node| *node == holder.keys().principal)
}

/// Whether this holder has said that it destroyed.
fn has_said<E: Runtime>(holder: &Holder<E>, row: &ErasureRow) -> bool {
    let mut said = row.holders.iter().filter(|holder| holder.receipt.is_some());
    said.any(|one| one.node == holder.keys().principal)
}

fn is_meant(scope: &ErasureScope, opening: &Opening) -> bool {
    scope.values().is_none_or(|values: &[Commitment]| values.contains(&opening.commitment()))
}
