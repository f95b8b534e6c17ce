//! What has been done here of what is ordered to be erased: in the public partition of the orders of this node's organisation, in another of
//! all.
//!
//! ```text
//! final order ─▶ how many values? ─▶ noted ─▶ destroyed ─▶ receipt, signed by the holder's own principal ─▶ final ─▶ no longer owed
//! ```
//!
//! INVARIANTS:
//! - How many values an order found is on the disk before the first of them is destroyed, and stays there until the receipt is final: a
//!   node that dies in between says the same afterwards.
//! - The vault knows how many orders it has carried out, all up to one. What a vault that was restored from a backup, or a node that was off,
//!   has not carried out is carried out again.
//! - While a hold lasts nothing is destroyed, unless this node had said before that it was. Every hold is seen before it destroys that was final
//!   when this node first saw the order, or when it last came back from where it saw no blocks, but for those of the second before, or of three where the clock of who made the newest block is ahead: it waits for a
//!   block that was made after that, and does not catch up: see [`Following`] and [`Seen`].
//! - What is known here of how far it has come is on the disk first. A file of the vault that fails holds up its own orders, no others, and
//!   no reads: what they are about is not given, whatever is still here of it.

use crate::{engine::Runtime, holder::Holder, service::erasure::Erasure};
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{
    Commitment, ErasureRow, ErasureScope, Opening,
    limits::{CONTROLLER_ERASURES_OPEN_MAX, ERASURES_PER_PAGE},
};
use tallystick_storage::vault::{Drawer, ErasureProgress, VaultError};

/// How old a block may be for the ledger to be level with this node, and how much newer than a start one must be to have been made after it.
const LEVEL_MS: u64 = 3_000;
/// For how long this node must see every block for the least by which the clock was ahead of them to be taken for the clock's error.
const PATIENT_MS: u64 = 60_000;
/// How much more than twice as far as the clock the ledger's time may go, as blocks come unevenly.
const SLACK_MS: u64 = 2_000;
/// How much newer than the sight of an order a block must be to have been made after it.
const SEEN_MS: u64 = 1_000;
/// How old the newest block may be to a node that has been there all the time.
const FRESH_MS: u64 = 1_000;
/// How old it may look at its first look after an idle network's next block should have come, and how far the clock may fall behind.
const NEW_MS: u64 = 300;
/// Without a block for so long an idle network's next should have come: one comes every second and a half.
const QUIET_MS: u64 = 1_800;
/// Without a block for so long, which is twice as long as an idle network takes for one, others may have gone on without this node.
const GAP_MS: u64 = 3_000;
/// For how long orders may wait until this node follows before it says so: longer than a start takes that finds the clock right.
const LATE_MS: u64 = 20_000;

/// Tells whether a node follows the ledger as it grows. One that catches up comes to an order before the hold that was placed after it.
///
/// Its blocks are old, and come faster than the clock goes; and it has caught up with all that was there when it came back only at a block that
/// was made since. How old a block is tells the clock without its error: that is late at least by what a block is ahead of it, and ahead by what
/// all blocks of a minute were behind it, if none of them was held back.
#[derive(Debug, Default)]
pub struct Following {
    /// The clock when this node came back: its start, the last time that it was cut off, that it raced, or that its clock fell behind.
    since_ms: Option<u64>,
    /// The clock and the ledger's time at which the measurement began.
    begun: (u64, u64),
    /// The newest block.
    newest: Newest,
    /// By how much the clock is ahead of the blocks at best; late if it is negative.
    error_ms: i64,
    /// The same when the measurement began.
    begun_error_ms: i64,
    /// The least that it was ahead since the measurement began.
    least_ms: i64,
    /// The clock at the last look at which the newest block was old.
    old_ms: u64,
}

/// The newest block that was looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Newest {
    height: u64,
    time_ms: u64,
    /// The clock at the first look at it, and for how long there was none before it.
    looked_ms: u64,
    silent_ms: u64,
}

/// Since when, by the clock, orders wait until a node follows.
#[derive(Debug, Default)]
pub enum Late {
    /// They do not.
    #[default]
    No,
    /// Since then.
    Since(u64),
    /// For long, and it was said.
    Said,
}

/// What a node that follows knows of the time. The clock's is without its error.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The clock's.
    now_ms: u64,
    /// That of a block that all that is looked at is as new as.
    tip_ms: u64,
    /// When this node came back.
    back_ms: u64,
    /// The same with its error: it never changes until this node comes back once more.
    since_ms: u64,
    /// When somebody of it last looked at a newest block that was old: for one that is there all the time it is not.
    old_ms: u64,
}

impl Times {
    /// The same where what is looked at is as new as another block, of this time.
    pub const fn at(self, tip_ms: u64) -> Self {
        Self { tip_ms, ..self }
    }
}

impl Following {
    /// What it knows of the time if it follows, at this time of the clock and at the newest block, its height and its time. Asked with each block by
    /// somebody who does nothing else, so that the work of others is not taken for silence.
    pub fn look(&mut self, now_ms: u64, (height, tip_ms): (u64, u64)) -> Option<Times> {
        let ahead_ms = now_ms.cast_signed().saturating_sub(tip_ms.cast_signed());
        self.error_ms = self.error_ms.min(ahead_ms);
        let was_cut_off = self.note_block(now_ms, (height, tip_ms));
        let age_ms = self.without_error(now_ms).saturating_sub(tip_ms);
        if age_ms > FRESH_MS || (age_ms > NEW_MS && self.newest.silent_ms > QUIET_MS) {
            self.old_ms = now_ms;
        }
        // A clock that was set back counts from then.
        self.old_ms = self.old_ms.min(now_ms);
        // It was set back, or stood still, as that of a machine that was suspended: it does not tell of the silence.
        let fell = self.begun_error_ms.saturating_sub(self.error_ms) > NEW_MS.cast_signed();
        let (clock, ledger) = (now_ms.saturating_sub(self.begun.0), tip_ms.saturating_sub(self.begun.1));
        let races = ledger > clock.saturating_mul(2).saturating_add(SLACK_MS);
        let since_ms = match self.since_ms {
            Some(since_ms) if !races && !was_cut_off && !fell => since_ms,
            _ => {
                (self.since_ms, self.begun, self.least_ms) = (Some(now_ms), (now_ms, tip_ms), ahead_ms);
                self.begun_error_ms = self.error_ms;
                return None;
            }
        };
        self.least_ms = self.least_ms.min(ahead_ms);
        if clock >= PATIENT_MS {
            let keeps_up = ledger.saturating_mul(2) >= clock;
            self.error_ms = if keeps_up { self.least_ms } else { self.error_ms };
            (self.begun, self.least_ms) = ((now_ms, tip_ms), ahead_ms);
            self.begun_error_ms = self.error_ms;
        }
        let is_level = ahead_ms.saturating_sub(self.error_ms) <= LEVEL_MS.cast_signed();
        let back_ms = self.without_error(since_ms);
        let follows = is_level && tip_ms >= back_ms.saturating_add(LEVEL_MS);
        let [now_ms, old_ms] = [now_ms, self.old_ms].map(|ms| self.without_error(ms));
        follows.then_some(Times { now_ms, tip_ms, back_ms, since_ms, old_ms })
    }

    /// Notes the newest block; whether others had one since the one before: that it is the next one, and as much later, says that they had none.
    fn note_block(&mut self, now_ms: u64, (height, time_ms): (u64, u64)) -> bool {
        let before = self.newest;
        if height <= before.height && self.since_ms.is_some() {
            return false;
        }
        let silent_ms = now_ms.saturating_sub(before.looked_ms);
        self.newest = Newest { height, time_ms, looked_ms: now_ms, silent_ms };
        let is_next = height == before.height.saturating_add(1);
        let was_everybody = is_next && time_ms.saturating_sub(before.time_ms).saturating_add(FRESH_MS) >= silent_ms;
        silent_ms > GAP_MS && !was_everybody
    }

    /// A time of the clock without its error, as far as it is known.
    pub const fn without_error(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.error_ms.saturating_neg())
    }
}

impl Late {
    /// Notes whether orders wait until this node follows, and says so once they have for so long that something may be amiss.
    pub fn note(&mut self, do_wait: bool, now_ms: u64, partition: Option<&str>) {
        if self.is_late(do_wait, now_ms) {
            tracing::warn!(
                partition,
                "what is ordered to be erased waits: this node is not level with the ledger, or lacks what was ordered in the partition. If \
                 that goes on, look at its connections to the others, at its clock, and at those of the validators: one that is ahead is \
                 allowed for after a minute or two"
            );
        }
    }

    const fn is_late(&mut self, do_wait: bool, now_ms: u64) -> bool {
        match self {
            _ if !do_wait => *self = Self::No,
            Self::No => *self = Self::Since(now_ms),
            Self::Since(since_ms) if now_ms.saturating_sub(*since_ms) > LATE_MS => {
                *self = Self::Said;
                return true;
            }
            Self::Since(_) | Self::Said => {}
        }
        false
    }
}

/// What this process has done, beside what the vault notes.
#[derive(Debug)]
pub struct Erasing {
    /// Whose orders these are: of a partition, or of the public one.
    partition: Option<String>,
    /// As it is on the disk.
    progress: ErasureProgress,
    /// Orders that this process looked at: those whose numbers are below.
    looked_at: u64,
    /// Orders carried out, by their numbers, after one that is not.
    carried_out: BTreeSet<u64>,
    /// Orders that wait for a hold, for a file of the vault that can be read, or for room to note what they find.
    waiting: BTreeSet<String>,
    /// Those of them of which it was said that they wait for the vault.
    failed: BTreeSet<String>,
    /// When those that wait for a block which was made since were seen.
    seen: BTreeMap<String, Seen>,
    /// When this node last came back: see [`Times`].
    since_ms: Option<u64>,
    /// How many orders there were when it first carried some out after that.
    begun_with: u64,
    /// Whether none of these waits so any more.
    has_caught_up: bool,
}

impl Erasing {
    /// Has everything that is ordered in a partition carried out once more, for what was executed in it is executed anew, and may bring back
    /// what was destroyed: known on the disk when this returns, and said before the first of it is executed. INVARIANT: it is said to be carried
    /// out again by [`Erasing::carry_out`] alone, which is asked once all that the log orders is executed.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn begin_anew<E: Runtime>(holder: &Holder<E>, partition: &str) -> Result<(), VaultError> {
        let progress = holder.progress(Some(partition)).await?;
        match progress.applied {
            0 => Ok(()),
            _ => holder.set_progress(Some(partition), &ErasureProgress { applied: 0, ..progress }).await,
        }
    }

    /// Goes on where the vault says that it left off.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn resume<E: Runtime>(holder: &Holder<E>, partition: Option<&str>) -> Result<Self, VaultError> {
        let progress = holder.progress(partition).await?;
        Ok(Self {
            partition: partition.map(str::to_owned),
            looked_at: progress.applied,
            progress,
            carried_out: BTreeSet::new(),
            waiting: BTreeSet::new(),
            failed: BTreeSet::new(),
            seen: BTreeMap::new(),
            since_ms: None,
            begun_with: 0,
            has_caught_up: false,
        })
    }

    /// The number of the first order that this process has not looked at.
    pub const fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// Whether an order still counts as new at this time of the clock, without its error, though it was seen long before.
    pub fn is_held_up(&self, now_ms: u64) -> bool {
        self.seen.values().any(|seen| now_ms.saturating_sub(seen.first_ms) > GAP_MS)
    }

    /// Whether nothing is to be destroyed now for any of these orders, which are all that are not carried out: holds keep what they are about, or
    /// their receipts alone are owed.
    pub fn has_none_due(&self, orders: &[(Erasure, Vec<Drawer>)], total: u64) -> bool {
        let is_all = self.looked_at.saturating_add(u64::from(ERASURES_PER_PAGE)) >= total;
        let is_carried_out = |number: u64| self.progress.applied > number || self.carried_out.contains(&number);
        is_all && orders.iter().all(|(one, _)| !one.holds.is_empty() || is_carried_out(one.row.number))
    }

    /// Whether orders are so new that what was final when they came may not be seen here yet, a hold among it.
    pub fn has_new(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Whether all that was ordered before this node came back, or before it could say so, is carried out, but for what waits.
    pub const fn has_caught_up(&self) -> bool {
        self.has_caught_up
    }

    /// Those that must be looked at again, whatever is new.
    pub fn unfinished(&self) -> BTreeSet<String> {
        self.waiting.iter().chain(self.progress.owed.keys()).cloned().collect()
    }

    /// Receipts that are owed: of which orders, and how many values each found.
    pub const fn owed(&self) -> &BTreeMap<String, u32> {
        &self.progress.owed
    }

    /// How many values to say that this order found, if its receipt is owed and may be given: what waits is not done yet.
    pub fn receipt(&self, erasure: &Erasure) -> Option<u32> {
        let order = &erasure.row.order;
        let waits = !erasure.holds.is_empty() || self.waiting.contains(order);
        self.progress.owed.get(order).copied().filter(|_| !waits)
    }

    /// Carries out those of a page of orders, the unfinished ones with it, that are not carried out and do not wait. `drawers` says where the
    /// values lie that an order is about, and `total` how many orders there are. Says whether that was the last page.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn carry_out<E: Runtime>(
        &mut self,
        holder: &Holder<E>,
        orders: &[(Erasure, Vec<Drawer>)],
        total: u64,
        times: Times,
    ) -> Result<bool, VaultError> {
        // A receipt that is final is owed no more, and leaves room for those that follow.
        let owing = orders.iter().filter(|(one, _)| owes(holder, &one.row));
        let owed: BTreeSet<&str> = owing.map(|(one, _)| one.row.order.as_str()).collect();
        let mut progress = self.progress.clone();
        progress.owed.retain(|order, _| owed.contains(order.as_str()));
        self.note(holder, progress).await?;
        for (erasure, drawers) in orders {
            self.carry_out_one(holder, (erasure, drawers), times).await?;
        }
        let applied = self.applied();
        self.note(holder, ErasureProgress { applied, ..self.progress.clone() }).await?;
        self.carried_out.retain(|number| *number >= applied);
        self.looked_at = total.min(self.looked_at.saturating_add(u64::from(ERASURES_PER_PAGE)));
        let is_last = self.looked_at >= total;
        if self.since_ms.replace(times.since_ms) != Some(times.since_ms) {
            (self.begun_with, self.has_caught_up) = (total, false);
        }
        self.has_caught_up |= is_last && self.seen.values().all(|seen| seen.number >= self.begun_with);
        Ok(is_last)
    }

    /// Destroys what an order is about, unless that is done, or waits: for a hold, or because the vault fails, which stops no other.
    async fn carry_out_one<E: Runtime>(
        &mut self,
        holder: &Holder<E>,
        (erasure, drawers): (&Erasure, &[Drawer]),
        times: Times,
    ) -> Result<(), VaultError> {
        let row = &erasure.row;
        if self.progress.applied > row.number || self.carried_out.contains(&row.number) {
            return Ok(());
        }
        let is_held = !erasure.holds.is_empty();
        let seen = self.seen.entry(row.order.clone()).or_insert(Seen::new(row.number, times.now_ms.max(times.tip_ms)));
        if !has_said(holder, row) && (is_held || !seen.is_through(times)) {
            if is_held {
                self.seen.remove(&row.order);
                holder.note_failing(self.partition.as_deref(), &row.order, false);
            }
            self.waiting.insert(row.order.clone());
            return Ok(());
        }
        self.seen.remove(&row.order);
        if owes(holder, row) && !self.progress.owed.contains_key(&row.order) {
            if self.progress.owed.len() >= CONTROLLER_ERASURES_OPEN_MAX {
                // In a partition there may be more of all controllers: those whose receipts come first make room.
                self.waiting.insert(row.order.clone());
                return Ok(());
            }
            let found = match found(holder, row, drawers).await {
                Ok(found) => found,
                Err(error) => {
                    self.put_off(holder, &row.order, &error);
                    return Ok(());
                }
            };
            let mut progress = self.progress.clone();
            progress.owed.insert(row.order.clone(), found);
            self.note(holder, progress).await?;
        }
        for drawer in drawers {
            let destroyed = match &row.scope {
                ErasureScope::All => holder.destroy(drawer).await.map(drop),
                ErasureScope::Values(values) => holder.remove(drawer, values).await.map(drop),
            };
            if let Err(error) = destroyed {
                self.put_off(holder, &row.order, &error);
                return Ok(());
            }
        }
        tracing::info!(order = %row.order, partition = self.partition, "erased");
        self.carried_out.insert(row.number);
        self.waiting.remove(&row.order);
        self.failed.remove(&row.order);
        holder.note_failing(self.partition.as_deref(), &row.order, false);
        Ok(())
    }

    /// Says how far erasure has come: known here once it is on the disk.
    async fn note<E: Runtime>(&mut self, holder: &Holder<E>, progress: ErasureProgress) -> Result<(), VaultError> {
        if progress != self.progress {
            holder.set_progress(self.partition.as_deref(), &progress).await?;
            self.progress = progress;
        }
        Ok(())
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
    fn put_off<E: Runtime>(&mut self, holder: &Holder<E>, order: &str, error: &VaultError) {
        self.waiting.insert(order.to_owned());
        holder.note_failing(self.partition.as_deref(), order, true);
        if self.failed.insert(order.to_owned()) {
            tracing::error!(%order, %error, "this order is not carried out, and tried again with each block");
        }
    }
}

/// When an order was seen, by the clock without its error. It counts anew while blocks are old: what was done while a node was cut off comes one by
/// one once it is back.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The order's number.
    number: u64,
    /// For the first time.
    first_ms: u64,
    /// When it began to count.
    since_ms: u64,
}

impl Seen {
    const fn new(number: u64, now_ms: u64) -> Self {
        Self { number, first_ms: now_ms, since_ms: now_ms }
    }

    /// Whether a block is there that was made since: what was final by then is seen too. Where blocks are old, and this node sees all of them for a
    /// minute, none is newer elsewhere.
    fn is_through(&mut self, times: Times) -> bool {
        let Times { tip_ms, back_ms, .. } = times;
        let now_ms = times.now_ms.max(tip_ms);
        // A clock that was set back counts from then.
        (self.first_ms, self.since_ms) = (self.first_ms.min(now_ms), self.since_ms.min(now_ms));
        // The block may be older than the newest, as where what it orders is executed later.
        let old_ms = if now_ms - tip_ms > FRESH_MS { now_ms } else { times.old_ms.min(now_ms) };
        if old_ms.saturating_sub(self.first_ms.max(back_ms)) < PATIENT_MS {
            self.since_ms = self.since_ms.max(old_ms);
        }
        tip_ms >= self.since_ms.saturating_add(SEEN_MS)
    }
}

/// How many values that an order means are here. Of a file that is damaged none can be counted, and all of it can be destroyed.
async fn found<E: Runtime>(holder: &Holder<E>, row: &ErasureRow, drawers: &[Drawer]) -> Result<u32, VaultError> {
    let mut found = 0;
    for drawer in drawers {
        let held = match (holder.openings(drawer).await, &row.scope) {
            (Err(VaultError::Damaged(file)), ErasureScope::All) => {
                tracing::warn!(order = %row.order, %file, "a damaged file is destroyed, and nothing in it counted");
                Vec::new()
            }
            (held, _) => held?,
        };
        found += held.iter().filter(|opening| is_meant(&row.scope, opening)).count();
    }
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

#[cfg(test)]
mod tests;
