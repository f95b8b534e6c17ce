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
//!   when this node first saw the order, or when it last came back from where it saw no blocks, but for those of the second before: it waits for a
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
/// For how long blocks must come without a gap for the least by which the clock was ahead of them to be taken for the clock's error.
const PATIENT_MS: u64 = 60_000;
/// How much more than twice as far as the clock the ledger's time may go, as blocks come unevenly.
const SLACK_MS: u64 = 2_000;
/// How much newer than the sight of an order a block must be to have been made after it.
const SEEN_MS: u64 = 1_000;
/// How old the newest block may be to a node that has been there all the time.
const FRESH_MS: u64 = 1_000;
/// How old it may look at its first look after an idle network's next block should have come.
const NEW_MS: u64 = 300;
/// Without a block for so long an idle network's next should have come: one comes every second and a half.
const QUIET_MS: u64 = 1_800;
/// Without a block for so long, which is twice as long as an idle network takes for one, something is amiss.
const GAP_MS: u64 = 3_000;
/// Without a block for so long, others may have gone on without this node.
const SILENCE_MS: u64 = 10_000;

/// Tells whether a node follows the ledger as it grows. One that catches up comes to an order before the hold that was placed after it.
///
/// Its blocks are old, and come faster than the clock goes; and it has caught up with all that was there when it came back only at a block that
/// was made since. How old a block is tells the clock without its error: that is late at least by what a block is ahead of it, and ahead by what
/// all blocks of a minute were behind it.
#[derive(Debug, Default)]
pub struct Following {
    /// The clock when this node came back: its start, its last silence, or the last time that it raced.
    since_ms: Option<u64>,
    /// The clock and the ledger's time at which the measurement began.
    begun: (u64, u64),
    /// The clock at the last look, and by how much it was ahead of the newest block then.
    looked_ms: u64,
    ahead_ms: i64,
    /// By how much the clock is ahead of the blocks at best; late if it is negative.
    error_ms: i64,
    /// The least that it was ahead since the measurement began.
    least_ms: i64,
    /// Whether this node was cut off meanwhile: after a silence it was further behind than before.
    has_gap: bool,
}

impl Following {
    /// Whether it follows, at this time of the clock and of the newest block: asked with each block.
    pub fn look(&mut self, now_ms: u64, tip_ms: u64) -> bool {
        let ahead_ms = now_ms.cast_signed().saturating_sub(tip_ms.cast_signed());
        self.error_ms = self.error_ms.min(ahead_ms);
        let silent_ms = now_ms.saturating_sub(self.looked_ms);
        let was_cut_off = silent_ms > GAP_MS && ahead_ms.saturating_sub(self.ahead_ms) > FRESH_MS.cast_signed();
        (self.looked_ms, self.ahead_ms) = (now_ms, ahead_ms);
        let (clock, ledger) = (now_ms.saturating_sub(self.begun.0), tip_ms.saturating_sub(self.begun.1));
        let races = ledger > clock.saturating_mul(2).saturating_add(SLACK_MS);
        let is_level = |error_ms: i64| ahead_ms.saturating_sub(error_ms) <= LEVEL_MS.cast_signed();
        let since_ms = match self.since_ms {
            // Nothing was missed in a silence that a block ends which was just made: those that were missed would come first.
            Some(since_ms) if !races && (silent_ms <= SILENCE_MS || is_level(self.error_ms)) => since_ms,
            _ => {
                (self.since_ms, self.begun) = (Some(now_ms), (now_ms, tip_ms));
                (self.least_ms, self.has_gap) = (ahead_ms, false);
                return false;
            }
        };
        self.least_ms = self.least_ms.min(ahead_ms);
        self.has_gap |= was_cut_off;
        if clock >= PATIENT_MS {
            let keeps_up = ledger.saturating_mul(2) >= clock && !self.has_gap;
            self.error_ms = if keeps_up { self.least_ms } else { self.error_ms };
            (self.begun, self.least_ms, self.has_gap) = ((now_ms, tip_ms), ahead_ms, false);
        }
        is_level(self.error_ms) && tip_ms >= self.without_error(since_ms).saturating_add(LEVEL_MS)
    }

    /// A time of the clock without its error, as far as it is known.
    pub const fn without_error(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.error_ms.saturating_neg())
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
    /// values lie that an order is about, `total` how many orders there are, and `times` the clock's, without its error, and that of a block that
    /// all of them are as new as. Says whether that was the last page.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn carry_out<E: Runtime>(
        &mut self,
        holder: &Holder<E>,
        orders: &[(Erasure, Vec<Drawer>)],
        total: u64,
        times: (u64, u64),
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
        times: (u64, u64),
    ) -> Result<(), VaultError> {
        let row = &erasure.row;
        if self.progress.applied > row.number || self.carried_out.contains(&row.number) {
            return Ok(());
        }
        let is_held = !erasure.holds.is_empty();
        let seen = self.seen.entry(row.order.clone()).or_insert(Seen::new(row.number, times.0.max(times.1)));
        if !has_said(holder, row) && (is_held || !seen.is_through(times)) {
            if is_held {
                self.seen.remove(&row.order);
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
                    self.put_off(&row.order, &error);
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
                self.put_off(&row.order, &error);
                return Ok(());
            }
        }
        tracing::info!(order = %row.order, partition = self.partition, "erased");
        self.carried_out.insert(row.number);
        self.waiting.remove(&row.order);
        self.failed.remove(&row.order);
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
    fn put_off(&mut self, order: &str, error: &VaultError) {
        self.waiting.insert(order.to_owned());
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
    /// For the first time, or after the last gap.
    first_ms: u64,
    /// When it began to count.
    since_ms: u64,
    /// The last look, and how old the newest block was then.
    looked_ms: u64,
    age_ms: u64,
}

impl Seen {
    const fn new(number: u64, now_ms: u64) -> Self {
        Self { number, first_ms: now_ms, since_ms: now_ms, looked_ms: now_ms, age_ms: 0 }
    }

    /// Whether a block is there that was made since, at these times of the clock and of the newest block: what was final by then is seen too. Where
    /// blocks are old and come without a gap for a minute, none is newer elsewhere.
    fn is_through(&mut self, (now_ms, tip_ms): (u64, u64)) -> bool {
        let now_ms = now_ms.max(tip_ms);
        // A clock that was set back counts from then.
        (self.first_ms, self.since_ms) = (self.first_ms.min(now_ms), self.since_ms.min(now_ms));
        let (age_ms, silent_ms) = (now_ms - tip_ms, now_ms.saturating_sub(self.looked_ms));
        if age_ms > FRESH_MS || (age_ms > NEW_MS && silent_ms > QUIET_MS) {
            if silent_ms > GAP_MS && age_ms.saturating_sub(self.age_ms) > FRESH_MS {
                self.first_ms = now_ms;
            }
            if now_ms - self.first_ms < PATIENT_MS {
                self.since_ms = now_ms;
            }
        }
        (self.looked_ms, self.age_ms) = (now_ms, age_ms);
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
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn who_catches_up_does_not_follow_yet() {
        let mut following = Following::default();
        let rows = [
            // A start, ten seconds behind: the first block that was missed comes only after a while.
            (1_000_000, 990_000, false),
            (1_001_500, 990_000, false),
            (1_002_500, 991_000, false),
            (1_002_600, 999_000, false),
            // Level, at a block that may have been there before that.
            (1_002_700, 1_002_600, false),
            (1_005_500, 1_005_400, false),
            (1_005_800, 1_005_700, true),
            (1_009_000, 1_008_000, true),
            // Held up.
            (1_015_000, 1_009_000, false),
            (1_015_100, 1_015_000, true),
            // Nobody made a block for twenty seconds.
            (1_035_100, 1_035_000, true),
            // Cut off for a minute, and what the others did meanwhile.
            (1_095_000, 1_036_000, false),
            (1_095_100, 1_037_000, false),
            (1_095_300, 1_095_000, false),
            (1_095_400, 1_095_100, false),
            (1_098_400, 1_098_300, true),
        ];
        for (now_ms, tip_ms, follows) in rows {
            assert_eq!(following.look(now_ms, tip_ms), follows, "at {now_ms}");
        }
    }

    #[test]
    fn who_was_off_for_a_second_does_not_follow_at_once() {
        // An order and a hold of the second before the start, which come one after the other.
        let mut following = Following::default();
        let mut look = |now_ms: u64, tip_ms: u64| following.look(now_ms, tip_ms);
        assert!(!look(1_001_000, 999_000) && !look(1_001_900, 999_200) && !look(1_002_000, 1_000_400));
        assert!(!look(1_003_000, 1_002_900) && look(1_004_100, 1_004_000));
    }

    #[test]
    fn what_is_ordered_waits_for_a_block_that_was_made_since() {
        /// The clock's time without its error, the newest block's, and whether it is through.
        type Look = (u64, u64, bool);
        let rows: [(&str, &[Look]); 8] = [
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
                &[(10_000, 9_900, false), (13_500, 10_300, false), (13_520, 13_400, false), (14_600, 14_500, true)],
            ),
            // More than a minute of it: what came of old does not count.
            (
                "away again and again",
                &[(10_000, 9_900, false), (40_000, 37_000, false), (69_500, 66_500, false), (73_000, 70_600, false)],
            ),
            // An idle network's block of 0.9 s ago comes first, and then the hold's.
            ("away for two seconds", &[(10_000, 9_900, false), (12_200, 11_300, false), (12_210, 12_100, false)]),
            ("an idle network's beats", &[(10_000, 9_900, false), (11_500, 11_400, true)]),
            ("set back", &[(3_630_000, 3_630_000, false), (32_000, 31_900, false), (33_100, 33_000, true)]),
        ];
        for (clock, looks) in rows {
            let mut seen = Seen::new(0, looks[0].0);
            for (now_ms, tip_ms, expected) in looks {
                assert_eq!(seen.is_through((*now_ms, *tip_ms)), *expected, "{clock}, at {now_ms}");
            }
        }
    }

    /// For a minute; then none is newer elsewhere.
    #[test]
    fn blocks_that_are_always_old_are_believed_in_the_end() {
        let mut seen = Seen::new(0, 0);
        let mut look = |second: u64| seen.is_through((second * 1_000, (second * 1_000).saturating_sub(2_000)));
        assert!((1..62).all(|second| !look(second)) && look(62));
    }

    #[test]
    fn a_clock_that_is_wrong_follows_too() {
        // Late by five seconds: seen at once, and what was there when it started comes first all the same.
        let mut following = Following::default();
        let mut look = |now_ms, tip_ms| (following.look(now_ms, tip_ms), following.without_error(now_ms));
        assert_eq!(look(1_000_000, 1_005_000), (false, 1_005_000));
        assert_eq!(look(1_001_000, 1_006_000), (false, 1_006_000));
        assert_eq!(look(1_003_000, 1_008_000), (true, 1_008_000));
        // Cut off for four seconds, it knows how old the blocks are that come then.
        assert_eq!(look(1_007_000, 1_008_100), (false, 1_012_000));
        // Ahead by as much: seen in a minute.
        let mut following = Following::default();
        let mut look = |second: u64, behind_ms: u64| {
            following.look(1_005_000 + second * 1_000, 1_000_000 + second * 1_000 - behind_ms)
        };
        assert!((0..60).all(|second| !look(second, 0)), "not at once");
        assert!((60..200).all(|second| look(second, 0)));
        assert!(!look(230, 29_000) && !look(231, 20_000), "cut off for half a minute");
        assert_eq!(following.without_error(1_235_000), 1_230_000);
    }

    /// Ahead by four seconds, it makes no block that the others take: each fourth comes after a gap, and is as new as the others.
    #[test]
    fn a_clock_is_learnt_beside_gaps_that_are_everybodys() {
        let mut following = Following::default();
        let (mut clock, mut follows) = (1_004_000, false);
        for beat in 0..60 {
            clock += if beat % 4 == 3 { 4_587 } else { 1_540 };
            follows = following.look(clock, clock - 4_000);
        }
        assert!(follows && following.without_error(clock) == clock - 4_000);
    }

    /// Cut off most of the time, a node does not take the age of what comes to it for an error of its clock.
    #[test]
    fn what_is_learnt_of_the_clock_is_learnt_without_a_gap() {
        let mut following = Following::default();
        for second in (0..200).step_by(5) {
            let now_ms = 1_000_000 + second * 1_000;
            following.look(now_ms, now_ms - 4_900);
            following.look(now_ms + 100, now_ms - 2_500);
        }
        assert_eq!(following.without_error(1_200_000), 1_200_000);
    }
}
