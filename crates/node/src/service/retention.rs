//! Let no personal value of the public partition be kept longer than its register says: orders of erasure that nobody has to think of. What is
//! due, and when which node says it, stands in `retention.rs` beside this folder.

use super::{Runtime, Service, erasing::ErasingError};
use crate::{
    holder::Holder,
    retention::{
        Due, NUMBERS, PAUSE, REGISTERS, Scan, Seen, Value, Watch, is_kept, kept_since, periods, room, turn, waits,
    },
};
use std::{collections::BTreeSet, ops::Bound};
use tallystick_ledger::{protection::sealed_in, schema::Schema};
use tallystick_protocol::{
    Commitment, ControllerRow, EntryKind, Place, RegisterRow, StateKey, Subject, SubjectRow, limits::ERASURE_VALUES_MAX,
};
use tallystick_storage::{read::ReadError, vault::Walked};

impl<E: Runtime> Service<E> {
    /// All that a holder does by itself in the public partition, for ever: it settles what came with transactions, carries out orders of
    /// erasure, raises those that follow from what its registers say, and looks whether all is well with the other partitions.
    pub async fn hold_all(&self) {
        futures::join!(self.settle_sealed(), self.erase(), self.retain(), self.watch_partitions());
    }

    /// Raises orders for what was kept as long as it may be, for ever.
    pub async fn retain(&self) {
        let Some(holder) = &self.0.holder else { return };
        let mut tip = self.0.shared.chain.watch_tip();
        self.0.shared.chain.ready().await;
        // The register looked at last.
        let (mut watch, mut after) = (Watch::default(), None);
        loop {
            if let Err(error) = self.retain_due(holder, &mut watch, &mut after).await {
                tracing::error!(%error, "what has been kept as long as it may be is not looked at yet");
            }
            self.0.runtime.sleep(PAUSE).await;
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    /// One pass over some registers of the node's organisation.
    async fn retain_due(
        &self,
        holder: &Holder<E>,
        watch: &mut Watch,
        after: &mut Option<String>,
    ) -> Result<(), ErasingError> {
        let me = &holder.keys().principal;
        let nodes = self.nodes(me.organisation()).await?.map(|(_, row)| row.nodes).unwrap_or_default();
        let Some(now_ms) = turn(nodes.iter(), me, self.tip().header.time_ms) else { return Ok(()) };
        let names = self.next_registers(after);
        let (_, rows) = self.registers(&names).await?;
        let mut orders = self.room(me.organisation()).await?;
        let is_full = orders == 0;
        for (row, _) in rows.iter().filter(|(row, _)| row.custodian == me.organisation()) {
            for days in periods(row).into_iter().flatten() {
                self.retain_in(holder, (row, days, kept_since(now_ms, days)), watch, &mut orders).await?;
            }
        }
        self.0.shared.metrics.retention(watch.tell(None, is_full));
        Ok(())
    }

    /// How many orders may be raised now.
    async fn room(&self, organisation: &str) -> Result<usize, ReadError> {
        let row = self.row(StateKey::controller(organisation), ControllerRow::decode).await?;
        let open = row.map_or(0, |(_, row)| row.open.len());
        if let Some(orders) = room(open, None) {
            return Ok(orders);
        }
        let (_, orders) = self.open_erasures(&[organisation.to_owned()]).await?;
        Ok(room(open, Some(orders.iter().filter(|one| one.holds.is_empty()).count())).unwrap_or_default())
    }

    /// The names of the registers whose turn it is, after this one.
    fn next_registers(&self, after: &mut Option<String>) -> Vec<String> {
        let history = self.history();
        let all: BTreeSet<&str> = history.registers().map(|(name, _)| name).collect();
        let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let names: Vec<String> =
            all.range::<str, _>((from, Bound::Unbounded)).take(REGISTERS).map(|name| (*name).to_owned()).collect();
        // After the last comes the first.
        *after = names.last().filter(|_| names.len() == REGISTERS).cloned();
        names
    }

    /// Raises orders for what a register keeps for so many days, and has kept since this time or longer.
    async fn retain_in(
        &self,
        holder: &Holder<E>,
        (row, days, until_ms): (&RegisterRow, u32, u64),
        watch: &mut Watch,
        orders: &mut usize,
    ) -> Result<(), ErasingError> {
        let (key, walked) = ((row.register.clone(), days), Walked::Register(&row.register));
        let mut scan = match watch.scan(&key) {
            Some(scan) => scan,
            None => Scan::after(holder.retained(walked, days).await?),
        };
        let passed = scan.passed;
        let mut seen = self.next_values((row, days, until_ms), scan.looked).await?;
        seen.values = self.not_erased(&row.custodian, seen.values).await?;
        let subjects = self.waiting_among(&row.custodian, &seen.values).await?;
        let (mut waiting, mut moves) = (seen.concerns(|subject| subjects.contains(subject)), false);
        for due in seen.due(days, None, &waiting) {
            let concern = due.concern();
            if self.raise(holder, (row, due), watch, orders).await {
                moves = true;
            } else {
                waiting.insert(concern);
            }
        }
        scan.go_on(&seen, &waiting, moves);
        if scan.passed > passed {
            holder.set_retained(walked, days, scan.passed).await?;
        }
        watch.note(key, scan);
        Ok(())
    }

    /// The values of the next entries after this one that were kept so long.
    async fn next_values(
        &self,
        (row, days, until_ms): (&RegisterRow, u32, u64),
        after: u64,
    ) -> Result<Seen, ReadError> {
        let end = after.saturating_add(NUMBERS);
        let numbers: Vec<u64> = (after.saturating_add(1)..=end).collect();
        let entries = self.entries_at(&row.register, EntryKind::User, &numbers).await?;
        let schema = Schema::new(&row.register, &row.fields);
        let mut seen = Seen { last: after, ..Seen::default() };
        for entry in entries.iter().take_while(|entry| entry.timestamp.saturating_mul(1_000) <= until_ms) {
            seen.last = entry.number;
            let items: Vec<String> = entry.items.iter().map(|(_, item)| item.clone()).collect();
            let kept = sealed_in(None, &schema, &entry.key, &items)
                .into_iter()
                .filter(|(place, _)| is_kept(row, place, days, None));
            seen.values.extend(kept.map(|value| (entry.number, value)));
            if seen.values.len() > ERASURE_VALUES_MAX {
                return Ok(seen);
            }
        }
        seen.is_end = seen.last < end;
        Ok(seen)
    }

    /// Those of these values that are not erased nor about to be.
    async fn not_erased(&self, controller: &str, values: Vec<Value>) -> Result<Vec<Value>, ReadError> {
        let (numbers, values): (Vec<u64>, Vec<(Place, Commitment)>) = values.into_iter().unzip();
        let erased = self.erased_among(controller, &values).await?;
        let erased: BTreeSet<(Place, Commitment)> = erased.into_iter().map(|(value, _)| value.clone()).collect();
        Ok(numbers.into_iter().zip(values).filter(|(_, value)| !erased.contains(value)).collect())
    }

    /// The subjects of these values about whom no order is raised now.
    async fn waiting_among(&self, controller: &str, values: &[Value]) -> Result<BTreeSet<Subject>, ReadError> {
        let subjects: BTreeSet<&Subject> = values.iter().map(|(_, (place, _))| place.subject()).collect();
        if subjects.is_empty() {
            return Ok(BTreeSet::new());
        }
        let now_ms = self.tip().header.time_ms;
        let keys: Vec<StateKey> = subjects.iter().map(|subject| StateKey::subject(controller, subject)).collect();
        let (_, rows) = self.read(keys.clone(), |sheet| sheet.rows(keys.iter().copied(), SubjectRow::decode)).await?;
        let waiting =
            subjects.into_iter().zip(rows).filter(|(_, row)| row.as_ref().is_some_and(|row| waits(row, now_ms)));
        Ok(waiting.map(|(subject, _)| subject.clone()).collect())
    }

    /// Raises an order, if there is room; says whether it is on its way, or will be: not, if it is refused.
    async fn raise(
        &self,
        holder: &Holder<E>,
        (row, due): (&RegisterRow, Due),
        watch: &mut Watch,
        orders: &mut usize,
    ) -> bool {
        let Some(posted) = watch.posted(&due, self.now_s()) else { return false };
        if *orders == 0 {
            return true;
        }
        *orders -= usize::from(self.post(holder, due.subject(), due.operation(&row.custodian), posted).await);
        posted.is_on_its_way()
    }
}
