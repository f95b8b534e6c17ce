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
        follows.then_some(Times { now_ms, tip_ms, back_ms, old_ms })
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
    /// How many orders there were when this process first carried some out.
    begun_with: Option<u64>,
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
            begun_with: None,
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

    /// Whether orders are so new that what was final when they came may not be seen here yet, a hold among it.
    pub fn has_new(&self) -> bool {
        !self.seen.is_empty()
    }

    /// Whether all that was ordered before this process began, or before it could say so, is carried out, but for what waits.
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
        let begun_with = *self.begun_with.get_or_insert(total);
        self.has_caught_up |= is_last && self.seen.values().all(|seen| seen.number >= begun_with);
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
mod tests {
    #![allow(clippy::indexing_slicing, clippy::unwrap_used)]
    use super::*;
    use commonware_runtime::{
        Blob as _, ReadOptions, Runner as _, Storage as _, Supervisor as _, WriteOptions, deterministic,
    };
    use rand::{SeedableRng as _, rngs::StdRng};
    use tallystick_protocol::{Hash, Opening, Place, Secret, Subject};

    /// At these heights, one look each: whether it follows at this time of the clock and of the newest block.
    fn looks(following: &mut Following, rows: &[(u64, u64, u64, bool)]) {
        for (height, now_ms, tip_ms, follows) in rows {
            assert_eq!(following.look(*now_ms, (*height, *tip_ms)).is_some(), *follows, "at {now_ms}");
        }
    }

    #[test]
    fn who_catches_up_does_not_follow_yet() {
        let rows = [
            // A start, ten seconds behind: the first block that was missed comes only after a while.
            (1, 1_000_000, 990_000, false),
            (1, 1_001_500, 990_000, false),
            (2, 1_002_500, 991_000, false),
            (8, 1_002_600, 999_000, false),
            // Level, at a block that may have been there before that.
            (10, 1_002_700, 1_002_600, false),
            (12, 1_005_500, 1_005_400, false),
            (13, 1_005_800, 1_005_700, true),
            (14, 1_009_000, 1_008_000, true),
            // Held up: another may have been made since.
            (15, 1_015_000, 1_009_000, false),
            (19, 1_015_100, 1_015_000, false),
            (20, 1_016_600, 1_016_500, false),
            (21, 1_018_200, 1_018_100, true),
            // Nobody made a block for twenty seconds.
            (22, 1_038_100, 1_038_000, true),
            (22, 1_042_000, 1_038_000, false),
            (23, 1_042_300, 1_042_200, true),
            // Some did.
            (25, 1_046_300, 1_046_200, false),
            (27, 1_049_300, 1_049_300, true),
            // Cut off for a minute, and what the others did meanwhile.
            (28, 1_109_000, 1_050_000, false),
            (29, 1_109_100, 1_051_000, false),
            (68, 1_109_300, 1_109_000, false),
            (69, 1_109_400, 1_109_100, false),
            (71, 1_112_400, 1_112_300, true),
        ];
        looks(&mut Following::default(), &rows);
    }

    #[test]
    fn who_was_off_for_a_second_does_not_follow_at_once() {
        // An order and a hold of the second before the start, which come one after the other.
        let rows = [
            (1, 1_001_000, 999_000, false),
            (2, 1_001_900, 999_200, false),
            (3, 1_002_000, 1_000_400, false),
            (4, 1_003_000, 1_002_900, false),
            (5, 1_004_100, 1_004_000, true),
        ];
        looks(&mut Following::default(), &rows);
    }

    #[test]
    fn what_is_ordered_waits_for_a_block_that_was_made_since() {
        /// The clock's time without its error, the newest block's, and whether it is through.
        type Look = (u64, u64, bool);
        let rows: [(&str, &[Look]); 7] = [
            ("there all the time", &[(10_000, 9_900, false), (10_900, 10_800, false), (11_100, 11_000, true)]),
            // The order is of a moment ago, and the hold follows it.
            ("back after some seconds", &[(10_000, 8_000, false), (10_010, 9_500, false), (11_050, 11_010, true)]),
            // It had seen the order before: blocks of a second and more after that come in a row, and then the hold's.
            (
                "away meanwhile",
                &[(10_000, 9_900, false), (13_500, 10_300, false), (13_510, 11_200, false), (13_520, 12_400, false)],
            ),
            (
                "away, and nobody held it",
                &[
                    (10_000, 9_900, false),
                    (13_500, 10_300, false),
                    (13_520, 13_400, false),
                    (15_100, 15_000, false),
                    (16_700, 16_600, true),
                ],
            ),
            // What came of old does not count, however often it is away.
            (
                "away again and again",
                &[(10_000, 9_900, false), (40_000, 37_000, false), (69_500, 66_500, false), (140_000, 137_600, false)],
            ),
            // An idle network's block of 0.9 s ago comes first, and then the hold's.
            ("away for two seconds", &[(10_000, 9_900, false), (12_200, 11_300, false), (12_210, 12_100, false)]),
            ("an idle network's beats", &[(10_000, 9_900, false), (11_500, 11_400, true)]),
        ];
        for (clock, looks) in rows {
            // One that has followed for a while.
            let (mut seen, mut height, begun_ms) = (Seen::new(0, looks[0].0), 4, looks[0].0.saturating_sub(8_000));
            let mut following = Following::default();
            for beat in 0..4 {
                following.look(begun_ms + beat * 2_000, (beat, begun_ms + beat * 2_000 - 100));
            }
            for (now_ms, tip_ms, expected) in looks {
                height += 2;
                let times = following.look(*now_ms, (height, *tip_ms));
                let is_through = times.is_some_and(|times| seen.is_through(times));
                assert_eq!(is_through, *expected, "{clock}, at {now_ms}");
            }
        }
    }

    /// An order was seen, and the machine suspended for half a minute, its clock with it: what comes in a row then is new by that clock.
    #[test]
    fn a_clock_that_stood_still_tells_of_no_silence() {
        for beat_ms in [100, 1_500] {
            let (mut following, mut height, mut clock) = (Following::default(), 0, 1_000_000);
            for _ in 0..10_000 / beat_ms {
                (height, clock) = (height + 1, clock + beat_ms);
                following.look(clock, (height, clock - 50));
            }
            let mut seen = Seen::new(0, clock);
            let mut tip_ms = clock - 50;
            for _ in 0..30_000 / beat_ms {
                (height, clock, tip_ms) = (height + 1, clock + 20, tip_ms + beat_ms);
                let times = following.look(clock, (height, tip_ms));
                assert!(!times.is_some_and(|times| seen.is_through(times)), "the hold of {tip_ms} may follow");
            }
            let mut beats = 0;
            loop {
                (height, clock, tip_ms, beats) = (height + 1, clock + beat_ms, tip_ms + beat_ms, beats + 1);
                if following.look(clock, (height, tip_ms)).is_some_and(|times| seen.is_through(times)) {
                    break;
                }
            }
            assert!((3_000..6_000).contains(&(beats * beat_ms)), "{beats} blocks");
        }
    }

    /// Seen by a clock that was an hour ahead, and was set right.
    #[test]
    fn a_clock_that_is_set_back_counts_from_then() {
        let mut seen = Seen::new(0, 3_630_000);
        let mut look = |now_ms, tip_ms| seen.is_through(Times { now_ms, tip_ms, back_ms: 0, old_ms: 32_000 });
        assert!(!look(32_000, 31_900) && !look(32_500, 32_400) && look(33_100, 33_000));
    }

    /// An order of the first second; cut off, and back at the second: the block of 1.2 is old, and the hold's follows at once. A room that
    /// comes to execute the former only then waits all the same.
    #[test]
    fn what_the_watcher_saw_counts_for_who_comes_later() {
        let at = |ms: u64| 1_000_000 + ms;
        let mut following = Following::default();
        for beat in 0..8 {
            following.look(at(beat * 1_500) - 12_000, (beat, at(beat * 1_500) - 12_100));
        }
        let mut seen = Seen::new(0, at(100));
        assert!(!seen.is_through(following.look(at(100), (8, at(0))).unwrap()));
        following.look(at(2_000), (9, at(1_200)));
        let times = following.look(at(2_020), (10, at(1_700))).unwrap();
        assert!(!seen.is_through(times.at(at(1_200))), "the hold is final");
        let later = following.look(at(3_200), (11, at(3_100))).unwrap();
        assert!(seen.is_through(later), "nothing was held");
    }

    /// For a minute in which it saw all of them; then none is newer elsewhere.
    #[test]
    fn blocks_that_are_always_old_are_believed_in_the_end() {
        for back in [0, 30] {
            let mut seen = Seen::new(0, 0);
            let mut look = |second: u64| {
                let tip_ms = (second * 1_000).saturating_sub(2_000);
                seen.is_through(Times { now_ms: second * 1_000, tip_ms, back_ms: back * 1_000, old_ms: 0 })
            };
            assert!((1 + back..62 + back).all(|second| !look(second)) && look(62 + back), "back at {back}");
        }
    }

    #[test]
    fn a_clock_that_is_wrong_follows_too() {
        // Late by five seconds: seen at once, and what was there when it started comes first all the same.
        let mut following = Following::default();
        let mut look = |now_ms, height, tip_ms| {
            let follows = following.look(now_ms, (height, tip_ms)).is_some();
            (follows, following.without_error(now_ms))
        };
        assert_eq!(look(1_000_000, 1, 1_005_000), (false, 1_005_000));
        assert_eq!(look(1_001_000, 2, 1_006_000), (false, 1_006_000));
        assert_eq!(look(1_003_000, 3, 1_008_000), (true, 1_008_000));
        // Cut off for four seconds, it knows how old the blocks are that come then.
        assert_eq!(look(1_007_000, 4, 1_008_100), (false, 1_012_000));
        // Ahead by as much: seen in a minute.
        let mut following = Following::default();
        let mut look = |second: u64, behind_ms: u64| {
            let tip_ms = 1_000_000 + second * 1_000 - behind_ms;
            following.look(1_005_000 + second * 1_000, (second - behind_ms / 1_000, tip_ms)).is_some()
        };
        assert!((0..60).all(|second| !look(second, 0)), "not at once");
        assert!((60..200).all(|second| look(second, 0)));
        assert!(!look(230, 29_000) && !look(231, 20_000), "cut off for half a minute");
        assert_eq!(following.without_error(1_235_000), 1_230_000);
    }

    #[test]
    fn what_waits_long_is_said_once_each_time() {
        let mut late = Late::default();
        let mut said = |waits: bool, seconds: &[u64]| -> Vec<bool> {
            seconds.iter().map(|second| late.is_late(waits, second * 1_000)).collect()
        };
        assert_eq!(said(true, &[100, 110, 120, 121, 150]), [false, false, false, true, false]);
        assert_eq!(said(false, &[151]), [false]);
        assert_eq!(said(true, &[152, 170, 173, 174]), [false, false, true, false]);
    }

    /// Ahead by four seconds, it makes no block that the others take: each fourth comes after a gap, and is as new as the others.
    #[test]
    fn a_clock_is_learnt_beside_gaps_that_are_everybodys() {
        let mut following = Following::default();
        let (mut clock, mut follows) = (1_004_000, false);
        for beat in 0..60 {
            clock += if beat % 4 == 3 { 4_587 } else { 1_540 };
            follows = following.look(clock, (beat, clock - 4_000)).is_some();
        }
        assert!(follows && following.without_error(clock) == clock - 4_000);
    }

    /// Looks come late by themselves, as where somebody works between them: who watches sees each block meanwhile.
    #[test]
    fn who_looks_late_follows_if_another_watched() {
        let (mut following, mut follows) = (Following::default(), false);
        for block in 1_u64..400 {
            let now_ms = 1_000_000 + block * 250;
            let times = following.look(now_ms, (block, now_ms - 100));
            if block % 16 == 0 {
                follows = following.look(now_ms + 20, (block, now_ms - 100)).is_some();
                assert!(follows || block < 32, "block {block}: {times:?}");
            }
        }
        assert!(follows);
    }

    /// Cut off most of the time, a node does not take the age of what comes to it for an error of its clock: neither where that comes in a row, nor
    /// where one block alone comes each time, as old as the one before.
    #[test]
    fn what_is_learnt_of_the_clock_is_learnt_without_a_gap() {
        for (every, ages) in [(5, &[4_900, 2_500][..]), (5, &[2_500]), (8, &[5_000])] {
            let mut following = Following::default();
            for second in (0..400).step_by(every) {
                for (place, age_ms) in ages.iter().enumerate() {
                    let now_ms = 1_000_000 + second as u64 * 1_000 + place as u64 * 100;
                    let newest = ((now_ms - age_ms) / 1_000, now_ms - age_ms);
                    assert!(following.look(now_ms, newest).is_none(), "{every} {ages:?} at {now_ms}");
                }
            }
            assert_eq!(following.without_error(1_400_000), 1_400_000, "{every} {ages:?}");
        }
        // Held back for less than a gap each time, it takes the least of what they were behind.
        let mut following = Following::default();
        for second in (0..400).step_by(2) {
            for (place, age_ms) in [2_500, 900].into_iter().enumerate() {
                let now_ms = 1_000_000 + second * 1_000 + place as u64 * 100;
                following.look(now_ms, ((now_ms - age_ms) / 1_000, now_ms - age_ms));
            }
        }
        assert_eq!(following.without_error(1_400_000), 1_399_100);
    }

    /// A file of the vault cannot be read: the order of a value in it is told to wait, until the file is restored.
    #[test]
    fn what_the_vault_holds_up_is_told_until_it_is_carried_out() {
        deterministic::Runner::default().start(|context| async move {
            let holder = Holder::open(context.child("holder"), "node", crate::holder::tests::keys()).await.unwrap();
            let subject = Subject::new("child", "c-1").unwrap();
            let place = Place::new("child", "c-1", "name", subject.clone()).unwrap();
            let mut rng = StdRng::seed_from_u64(7);
            let opening = Opening::seal(place, Secret::new("Jane Doe"), &mut rng).unwrap();
            holder.keep_for(Hash([5; 32]), 9, std::slice::from_ref(&opening)).await.unwrap();
            let row = ErasureRow {
                order: "order-1".into(),
                controller: "council".into(),
                number: 0,
                subject,
                scope: ErasureScope::Values(vec![opening.commitment()]),
                authority: "The person".into(),
                legal_basis: "UK GDPR, article 17".into(),
                reason: "Not needed any more".into(),
                principal: "council/admin".parse().unwrap(),
                leaf: 0,
                height: 1,
                ordered_ms: 1,
                deadline_ms: 2,
                holders: vec![tallystick_protocol::erasure::Holder {
                    node: holder.keys().principal.clone(),
                    receipt: None,
                }],
                completed: None,
                unasked: Vec::new(),
            };
            let drawer = Drawer::of(opening.place());
            let due = [(Erasure { row, holds: Vec::new(), left: Vec::new() }, vec![drawer.clone()])];
            drop(holder);
            let mut files = Vec::new();
            for folder in (0..4_096).map(|number| format!("node-vault-{number:03x}")) {
                let names = context.scan(&folder).await.unwrap_or_default();
                files.extend(names.into_iter().map(|name| (folder.clone(), name)));
            }
            let [(folder, name)] = files.try_into().unwrap();
            let turn = async || {
                let (blob, length) = context.open(&folder, &name).await.unwrap();
                let byte = blob.read_at(length / 2, 1, ReadOptions::default()).await.unwrap().coalesce();
                blob.write_at(length / 2, vec![byte.as_ref()[0] ^ 1], WriteOptions::SYNC).await.unwrap();
            };
            for is_damaged in [true, false] {
                turn().await;
                // Anew: what it read last it has in memory.
                let holder = Holder::open(context.child("again"), "node", crate::holder::tests::keys()).await.unwrap();
                let mut erasing = Erasing::resume(&holder, None).await.unwrap();
                for now_ms in [10_000, 20_000] {
                    let times = Times { now_ms, tip_ms: now_ms, back_ms: 0, old_ms: 0 };
                    erasing.carry_out(&holder, &due, 1, times).await.unwrap();
                }
                assert_eq!(holder.fails_orders(), is_damaged);
                let left = holder.openings(&drawer).await.map(|left| left.len());
                assert_eq!(left.ok(), (!is_damaged).then_some(0));
            }
        });
    }
}
