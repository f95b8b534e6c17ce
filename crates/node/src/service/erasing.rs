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

use super::{Runtime, Service, erasure::Erasure};
use crate::{application::now_ms, holder::Holder};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    Commitment, ErasureRow, ErasureScope, Hash, Intent, Opening, Operation, StateKey, SubjectRow,
    limits::ERASURES_PER_PAGE,
};
use tallystick_storage::{
    read::ReadError,
    vault::{ErasureProgress, VaultError},
};

/// Seconds after which a receipt that is not final is given again.
const RECEIPT_SECONDS: u64 = 30;

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
    progress: ErasureProgress,
    /// Orders that this process looked at: those whose numbers are below.
    looked_at: u64,
    /// Orders carried out, by their numbers, after one that is not.
    carried_out: BTreeSet<u64>,
    /// Orders that wait for a hold.
    waiting: BTreeSet<String>,
    /// Until when no other receipt for the order is given, in Unix seconds.
    given: BTreeMap<String, u64>,
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

    /// Resolves once every order up to this height is carried out here. What is served after that was not erased by then.
    pub async fn erased_to(&self, height: u64) {
        if let Some(holder) = &self.0.holder {
            holder.erased_to(height).await;
        }
    }

    /// Carries out what is ordered and not suspended; the height up to which all that is true of.
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
            let waiting: Vec<String> = done.waiting.iter().cloned().collect();
            let (height, total, orders) = self.due_erasures(own, done.looked_at, &waiting).await?;
            for erasure in &orders {
                self.carry_out(holder, erasure, done).await?;
            }
            done.looked_at = total.min(done.looked_at.saturating_add(u64::from(ERASURES_PER_PAGE)));
            // A receipt that is final is owed no more.
            let owed: BTreeSet<&str> =
                orders.iter().filter(|one| owes(holder, &one.row)).map(|one| one.row.order.as_str()).collect();
            let mut progress = done.progress.clone();
            progress.owed.retain(|order, _| owed.contains(order.as_str()));
            while done.carried_out.remove(&progress.applied) {
                progress.applied += 1;
            }
            if progress != done.progress {
                holder.set_progress(&progress).await?;
                done.progress = progress;
            }
            for erasure in orders.iter().filter(|erasure| erasure.holds.is_empty()) {
                self.give_receipt(holder, &erasure.row, done).await;
            }
            if done.looked_at >= total {
                return Ok(height);
            }
        }
    }

    /// Destroys what an order is about, unless that waits for a hold or is done.
    async fn carry_out(&self, holder: &Holder<E>, erasure: &Erasure, done: &mut Done) -> Result<(), ErasingError> {
        let row = &erasure.row;
        if done.progress.applied > row.number || done.carried_out.contains(&row.number) {
            return Ok(());
        }
        if !erasure.holds.is_empty() && !has_said(holder, row) {
            done.waiting.insert(row.order.clone());
            return Ok(());
        }
        if owes(holder, row) && !done.progress.owed.contains_key(&row.order) {
            let held = holder.openings(&row.subject).await?;
            let found = held.iter().filter(|opening| is_meant(&row.scope, opening)).count();
            done.progress.owed.insert(row.order.clone(), u32::try_from(found).unwrap_or(u32::MAX));
            holder.set_progress(&done.progress).await?;
        }
        match &row.scope {
            ErasureScope::All => drop(holder.destroy(&row.subject).await?),
            ErasureScope::Values(values) => drop(holder.remove(&row.subject, values).await?),
        }
        tracing::info!(order = %row.order, "erased");
        done.carried_out.insert(row.number);
        done.waiting.remove(&row.order);
        Ok(())
    }

    /// Gives the receipt for an order, unless one is on its way.
    async fn give_receipt(&self, holder: &Holder<E>, row: &ErasureRow, done: &mut Done) {
        let order = row.order.as_str();
        let Some(destroyed) = done.progress.owed.get(order).copied() else { return };
        let now_s = self.tip().header.time_ms.max(now_ms(&self.0.runtime)) / 1_000;
        if done.given.get(order).is_some_and(|until| now_s <= *until) {
            return;
        }
        let keys = holder.keys();
        let not_after = now_s + RECEIPT_SECONDS;
        let Hash(key) = Hash::of(&[order.as_bytes(), &[0], &not_after.to_be_bytes()]);
        let operations = vec![Operation::ErasureReceipt { order: order.to_owned(), destroyed }];
        let intent = Intent {
            not_after,
            idempotency_key: key.into_iter().take(16).collect(),
            ..Intent::new(self.network(), keys.principal.clone(), format!("erasure {order}"), operations)
        };
        done.given.retain(|_, until| now_s <= *until);
        match intent.sign(&keys.key) {
            Ok(transaction) => match self.submit(vec![transaction.bytes().clone()]).await.pop() {
                Some(Ok(_)) => drop(done.given.insert(order.to_owned(), not_after)),
                Some(Err(rejection)) => tracing::warn!(%order, %rejection, "the receipt was turned away"),
                None => {}
            },
            Err(error) => tracing::error!(%order, %error, "the receipt cannot be signed"),
        }
    }

    /// Those of these openings that the ledger says are erased under this organisation, or about to be, each with whether that waits for
    /// a hold.
    pub(super) async fn erased_among<'o>(
        &self,
        controller: &str,
        openings: &'o [Opening],
    ) -> Result<Vec<(&'o Opening, bool)>, ReadError> {
        let now_ms = self.tip().header.time_ms;
        let keys = |opening: &Opening| {
            let subject = StateKey::subject(controller, opening.place().subject());
            [subject, StateKey::erased_value(controller, &opening.commitment())]
        };
        let all: Vec<StateKey> = openings.iter().flat_map(keys).collect();
        let (_, erased) = self
            .read(all, |sheet| {
                let is_erased = |opening: &Opening| {
                    let [subject, value] = keys(opening);
                    let row = sheet.row(subject, SubjectRow::decode)?;
                    let value = sheet.row(value, |bytes| Ok::<_, std::convert::Infallible>(bytes.len()))?;
                    let is_erased = value.is_some() || row.as_ref().is_some_and(|row| row.erased.is_some());
                    Ok(is_erased.then(|| row.is_some_and(|row| row.is_held(now_ms))))
                };
                openings.iter().map(is_erased).collect::<Result<Vec<Option<bool>>, _>>()
            })
            .await?;
        Ok(openings.iter().zip(erased).filter_map(|(opening, is_held)| Some((opening, is_held?))).collect())
    }
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
