//! Let no personal value of a partition be kept longer than its register says. What is due, and when which node says it, stands in
//! `retention.rs` beside this folder.
//!
//! ```text
//! private transactions, in their order ─▶ old enough? ─▶ read again, payload by payload ─▶ values of own registers ─▶ order, by a private transaction
//! ```
//!
//! A partition's rows know no entry by its number, so its private transactions are walked through: once for all registers that keep for so
//! many days, and once for all that the agreement keeps no longer. What is in a register that is made later is at later numbers; and which fields are protected for how long, and whose a register with
//! such fields is, stays as it is said.
//!
//! INVARIANTS:
//! - Nothing is raised while this node may not have executed yet what somebody else raised: it would be ordered twice.
//! - A private transaction that cannot be read here, as under a sealing secret that the node has replaced, is not passed over: nobody here knows
//!   what is in it. It is asked for, is counted as waiting, and keeps nothing behind it; until it comes, the custodian's next node says what is
//!   due. A member's node that joined late has executed, and so can read, all that came before.
//! - Once the agreement's time is over nothing can be ordered there: what is due then waits, until the members amend it.

use super::{Parcels, Room, error::PrivateError, sealed::Value};
use crate::{
    application::now_ms,
    engine::Runtime,
    retention::{
        Concern, Due, NUMBERS, PAUSE, REGISTERS, Scan, Seen, Watch, is_kept, kept_days, kept_since, periods, room,
        turn, waits,
    },
    service::posting::AGAIN_SECONDS,
};
use futures::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};
use tallystick_protocol::{RegisterRow, Subject, limits::ERASURE_VALUES_MAX};
use tallystick_storage::vault::Walked;

/// Periods for which is looked in a pass.
const PERIODS: usize = 8;

/// What this process has looked at in a partition.
#[derive(Debug, Default)]
struct Retaining {
    watch: Watch,
    /// For how many days registers of this organisation keep values, by what they say themselves, as far as these were looked at: it only grows.
    periods: BTreeSet<Option<u32>>,
    /// The register looked at last, by its number.
    register: u32,
    /// The period looked for last.
    days: Option<u32>,
}

/// What is looked for in a pass.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// For how many days it is kept.
    days: u32,
    /// And for how many at most, by the agreement.
    agreed: u32,
    /// What is due was kept since this time or longer.
    until_ms: u64,
}

impl Kept {
    /// Whether the agreement says so: what is kept so is another than what registers keep for as many days under one that allows more, and is looked
    /// for by itself.
    const fn is_agreed(self) -> bool {
        self.days == self.agreed
    }

    /// How far it was looked for is noted under this.
    fn key(self) -> (String, u32) {
        (if self.is_agreed() { "agreement" } else { "registers" }.to_owned(), self.days)
    }
}

impl Retaining {
    /// All periods.
    fn in_force(&self, agreed: u32) -> BTreeSet<u32> {
        self.periods.iter().filter_map(|own| kept_days(*own, Some(agreed))).collect()
    }

    /// The periods whose turn it is: none is longer than what is agreed. By one that is over, or not agreed any more, nothing is looked at, so that
    /// nothing is passed over by it.
    fn next_periods(&mut self, agreed: u32) -> Vec<u32> {
        let periods = self.in_force(agreed);
        let from = self.days.map_or(Bound::Unbounded, Bound::Excluded);
        let next: Vec<u32> = periods.range((from, Bound::Unbounded)).take(PERIODS).copied().collect();
        // After the last comes the first.
        self.days = next.last().filter(|_| next.len() == PERIODS).copied();
        next
    }
}

impl<E: Runtime> Room<E> {
    /// Learns for how many days registers of this organisation keep values, of some registers.
    async fn learn_periods(&self, own: &str, retaining: &mut Retaining) {
        let partition = self.partition.lock().await;
        let total = partition.registers().await;
        for _ in (0..total).take(REGISTERS) {
            retaining.register = retaining.register % total + 1;
            let kept = partition.register_of(retaining.register).await.filter(|kept| kept.row.custodian == own);
            retaining.periods.extend(kept.iter().flat_map(|kept| periods(&kept.row)));
        }
    }

    /// How many orders of this organisation may be raised now.
    async fn orders_room(&self, own: &str, now_ms: u64) -> usize {
        let partition = self.partition.lock().await;
        let open = partition.controller(own).await.open;
        if let Some(orders) = room(open.len(), None) {
            return orders;
        }
        let mut busy = 0;
        for one in &open {
            let Some(row) = partition.erasure(&one.order).await else { continue };
            let subject = partition.subject(own, &row.subject).await;
            busy += usize::from(subject.is_none_or(|subject| !subject.is_held(now_ms)));
        }
        room(open.len(), Some(busy)).unwrap_or_default()
    }

    /// Those whom these values are about of whom no order is raised now.
    async fn waiting_among(&self, own: &str, seen: &Seen, now_ms: u64) -> BTreeSet<Concern> {
        let partition = self.partition.lock().await;
        let subjects: BTreeSet<&Subject> = seen.values.iter().map(|(_, (place, _))| place.subject()).collect();
        let mut waiting = BTreeSet::new();
        for subject in subjects {
            let row = partition.subject(own, subject).await;
            if row.is_some_and(|row| waits(&row, now_ms)) {
                waiting.insert(subject);
            }
        }
        seen.concerns(|subject| waiting.contains(subject))
    }

    /// Those of these values that registers of this organisation keep for so many days.
    async fn kept_for(
        &self,
        (own, days, agreed): (&str, u32, u32),
        values: Vec<Value>,
        registers: &mut BTreeMap<String, Option<RegisterRow>>,
    ) -> Vec<Value> {
        let partition = self.partition.lock().await;
        let mut kept = Vec::new();
        for (place, commitment) in values {
            if !registers.contains_key(place.register()) {
                let row = partition.register(place.register()).await.map(|kept| kept.row);
                registers.insert(place.register().to_owned(), row.filter(|row| row.custodian == own));
            }
            let row = registers.get(place.register()).and_then(Option::as_ref);
            if row.is_some_and(|row| is_kept(row, &place, days, Some(agreed))) {
                kept.push((place, commitment));
            }
        }
        kept
    }
}

impl<E: Runtime> Parcels<E> {
    /// Raises orders in a partition for what was kept as long as it may be, for as long as the node runs.
    pub(super) async fn retain(self, runtime: E, room: Arc<Room<E>>) {
        let mut tip = self.0.shared.chain.watch_tip();
        let mut retaining = Retaining::default();
        loop {
            if !room.is_open() {
                // What waits there is no longer this node's to say.
                self.0.shared.metrics.retention(retaining.watch.forget());
                room.opened().await;
            }
            if let Err(error) = self.retain_due(&room, &mut retaining).await {
                tracing::error!(
                    partition = room.name, %error, "what has been kept as long as it may be is not looked at yet"
                );
            }
            runtime.sleep(PAUSE).await;
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    /// One pass, if it is this node's turn.
    async fn retain_due(&self, room: &Room<E>, retaining: &mut Retaining) -> Result<(), PrivateError> {
        let me = &self.0.holder.principal;
        let (own, now_ms) = (me.organisation(), self.time_ms());
        let Some(membership) = self.membership(&room.name).await? else { return Ok(()) };
        let nodes = membership.nodes.iter().filter(|node| node.node.organisation() == own);
        let Some(turn_ms) = turn(nodes, me, now_ms) else { return Ok(()) };
        room.learn_periods(own, retaining).await;
        if retaining.periods.is_empty() || !self.is_erased_to_date(room).await {
            return Ok(());
        }
        let mut orders = room.orders_room(own, now_ms).await;
        let is_full = orders == 0;
        let (agreed, is_open) = (membership.row.terms.retention_days, membership.row.is_open(now_ms));
        for days in retaining.next_periods(agreed) {
            let due = (Kept { days, agreed, until_ms: kept_since(turn_ms, days) }, is_open);
            self.retain_for(room, due, &mut retaining.watch, &mut orders).await?;
        }
        let in_force = retaining.in_force(agreed);
        let keys = in_force.into_iter().map(|days| Kept { days, agreed, until_ms: 0 }.key()).collect();
        retaining.watch.keep(&keys);
        self.0.shared.metrics.retention(retaining.watch.tell(Some(&room.name), is_full));
        Ok(())
    }

    /// Raises orders for what was kept so long; unless the partition is not open.
    async fn retain_for(
        &self,
        room: &Room<E>,
        (kept, is_open): (Kept, bool),
        watch: &mut Watch,
        orders: &mut usize,
    ) -> Result<(), PrivateError> {
        let (own, now_ms) = (self.0.holder.principal.organisation(), self.time_ms());
        let (days, key) = (kept.days, kept.key());
        let walked = if kept.is_agreed() { Walked::Agreed(&room.name) } else { Walked::Partition(&room.name) };
        let mut scan = match watch.scan(&key) {
            Some(scan) => scan,
            None => Scan::after(self.vault().retained(walked, days).await?),
        };
        let passed = scan.passed;
        let mut seen = self.next_values(room, kept, scan.looked).await;
        let values: Vec<&Value> = seen.values.iter().map(|(_, value)| value).collect();
        let erased = room.erased_among(values, now_ms).await;
        seen.values.retain(|(_, value)| !erased.contains_key(value));
        let mut waiting = if is_open { room.waiting_among(own, &seen, now_ms).await } else { seen.concerns(|_| true) };
        let agreement = kept.is_agreed().then_some(room.name.as_str());
        let due = seen.due(days, agreement, &waiting);
        let moves = self.raise(room, due, &mut waiting, watch, orders).await;
        scan.go_on(&seen, &waiting, moves);
        if scan.passed > passed {
            self.vault().set_retained(walked, days, scan.passed).await?;
        }
        watch.note(key, scan);
        Ok(())
    }

    /// The values that the next private transactions wrote to registers of this organisation, and that were kept so long. Their numbers are
    /// from 0, and what is looked at has numbers from 1.
    async fn next_values(&self, room: &Room<E>, Kept { days, agreed, until_ms }: Kept, after: u64) -> Seen {
        let own = self.0.holder.principal.organisation();
        let (end, executed) = (after.saturating_add(NUMBERS), room.partition.lock().await.position().executed);
        let (mut last, mut registers) = (None, BTreeMap::new());
        let mut seen = Seen { last: after, ..Seen::default() };
        for number in after..end.min(executed) {
            let row = room.partition.lock().await.numbered(number).await;
            if row.as_ref().is_some_and(|row| row.time_ms > until_ms) {
                break;
            }
            seen.last = number + 1;
            let Some(row) = row.filter(|row| row.may_append()) else { continue };
            let Ok(transaction) = self.next_transaction(room, &row, &mut last).await else {
                seen.unread.insert(number + 1);
                continue;
            };
            let act = room.partition.lock().await.act(&transaction.replay_tag()).await;
            if act.is_none_or(|act| act.number != number || act.refused.is_some()) {
                continue;
            }
            let values = room.kept_for((own, days, agreed), room.sealed(&transaction).await, &mut registers).await;
            seen.values.extend(values.into_iter().map(|value| (number + 1, value)));
            if seen.values.len() > ERASURE_VALUES_MAX {
                return seen;
            }
        }
        seen.is_end = seen.last < end;
        seen
    }

    /// Raises these orders, together, as far as there is room; says whether one of them was taken, or will be raised. Of whom none was waits.
    async fn raise(
        &self,
        room: &Room<E>,
        all: Vec<Due>,
        waiting: &mut BTreeSet<Concern>,
        watch: &mut Watch,
        orders: &mut usize,
    ) -> bool {
        let own = self.0.holder.principal.organisation();
        let now_s = now_ms(&self.0.runtime).max(self.time_ms()) / 1_000;
        let not_after = now_s + AGAIN_SECONDS;
        let (mut raised, mut moves) = (Vec::new(), false);
        for due in all {
            match watch.posted(&due, now_s) {
                Some(_) if *orders == 0 => moves = true,
                Some(posted) => {
                    if posted.begin(now_s, not_after) {
                        *orders -= 1;
                        raised.push(due);
                    } else {
                        waiting.insert(due.concern());
                    }
                }
                None => drop(waiting.insert(due.concern())),
            }
        }
        let mut posts = Vec::with_capacity(raised.len());
        for due in &raised {
            posts.push(self.post_within(&room.name, due.subject(), due.operation(own), not_after));
        }
        let said = join_all(posts).await;
        for (due, said) in raised.iter().zip(said) {
            match said {
                Ok(()) => moves = true,
                Err(not_taken) => {
                    waiting.insert(due.concern());
                    let subject = format!("{} in partition {}", due.subject(), room.name);
                    if let Some(posted) = watch.posted(due, now_s) {
                        not_taken.note(posted, &subject, (now_s, not_after));
                    }
                }
            }
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_period_has_its_turn() {
        let mut retaining = Retaining { periods: (1..=20).map(Some).collect(), ..Retaining::default() };
        let turns: Vec<Vec<u32>> = (0..4).map(|_| retaining.next_periods(60)).collect();
        assert_eq!(turns, [(1..=8).collect(), (9..=16).collect(), (17..=20).collect(), (1..=8).collect::<Vec<u32>>()]);
        // One that is learned meanwhile is looked for in its place.
        retaining.periods.insert(Some(40));
        assert_eq!(
            [retaining.next_periods(60), retaining.next_periods(60)],
            [(9..=16).collect(), vec![17, 18, 19, 20, 40]]
        );
        // What is agreed is the longest, also for what no register says.
        retaining.periods.insert(None);
        let turns = [19, 19, 19, 60, 60, 60].map(|agreed| retaining.next_periods(agreed));
        assert_eq!([&turns[2][..], &turns[5][..]], [&[17, 18, 19][..], &[17, 18, 19, 20, 40, 60]]);
    }
}
