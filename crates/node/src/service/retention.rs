//! Let no personal value be kept longer than its register says: orders of erasure that nobody has to think of.
//!
//! ```text
//! the register says N days ─▶ an entry is so old ─▶ its values are not erased yet ─▶ order, signed by the node's own principal ─▶ as any other
//! ```
//!
//! INVARIANTS:
//! - What is due follows from the ledger alone, so that any node of the custodian can say it, whether it keeps the values or not; the
//!   others say nothing unless the first one does not.
//! - An entry is passed over for good only when each of its values that is due is erased, or about to be, by an order that is final.
//! - What waits keeps nothing behind it: about whom a hold lasts no order is raised, and neither that nor an order that is refused stops
//!   the look at what comes after. Once all that is due was looked at, it begins again with the first that waits.
//! - What is done in one pass is bounded, whatever is due.

use super::{Runtime, Service, erasing::ErasingError, posting::Posted};
use crate::holder::Holder;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    time::Duration,
};
use tallystick_ledger::{protection::sealed_in, schema::Schema};
use tallystick_protocol::{
    Commitment, ControllerRow, EntryKind, ErasureScope, Hash, Operation, Place, RegisterRow, StateKey, Subject,
    SubjectRow,
    limits::{CONTROLLER_ERASURES_OPEN_MAX, ERASURE_VALUES_MAX, SUBJECT_ERASURES_OPEN_MAX},
};
use tallystick_storage::read::ReadError;

/// Registers looked at in a pass.
const REGISTERS: usize = 64;
/// Entries of a register looked at in a pass.
const ENTRIES: u64 = 32;
/// Orders raised in a pass.
const ORDERS: usize = 8;
/// With so many of the organisation's orders that are not complete, and wait for no hold, none is raised: there is room for those that
/// people give.
const OPEN: usize = CONTROLLER_ERASURES_OPEN_MAX / 2;
/// With so many, none is, whatever they wait for.
const OPEN_HELD: usize = CONTROLLER_ERASURES_OPEN_MAX / 8 * 7;
/// With so many about one subject none is raised about that one.
const SUBJECT_OPEN: usize = SUBJECT_ERASURES_OPEN_MAX / 2;
/// With so many in one register that the ledger refused, those are tried again, and no others raised: each refusal is in the log for ever.
const REFUSED: usize = 4;
/// Between two passes.
const PAUSE: Duration = Duration::from_secs(1);
/// How much longer each further node of the custodian waits before it says what the one before it has not.
const TURN_MS: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;
/// Within how many seconds the holders must have destroyed what is due.
const DEADLINE_SECONDS: u64 = 30 * 86_400;

/// What this process has looked at, beside what the vault notes.
#[derive(Debug, Default)]
struct Watch {
    /// The register looked at last.
    after: Option<String>,
    /// How far it has come, by register and days.
    scans: BTreeMap<(String, u32), Scan>,
    /// Orders that are on their way or were refused, each with its register.
    raised: BTreeMap<String, (String, Posted)>,
    /// Whether too many of the organisation's orders are open.
    is_full: bool,
    /// How many entries wait, as it was last told.
    told: u64,
}

impl Watch {
    /// Orders in a register that the ledger refused and that are not on their way again.
    fn refused(&self, register: &str) -> usize {
        self.raised.values().filter(|(of, posted)| of == register && posted.is_refused()).count()
    }

    /// Says what has changed for an operator to know.
    fn tell(&mut self, is_full: bool) -> u64 {
        if is_full && !self.is_full {
            tracing::warn!(
                "too many orders of erasure are open: none is raised for what was kept as long as it may be"
            );
        }
        let waiting = self.scans.values().map(Scan::waiting).sum();
        if (waiting == 0) != (self.told == 0) {
            tracing::warn!(
                entries = waiting,
                "entries whose time is over wait: for a hold, or their orders are refused"
            );
        }
        (self.is_full, self.told) = (is_full, waiting);
        waiting
    }
}

/// How far the entries of a register are looked at, round after round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Scan {
    /// The last one that is passed over for good.
    passed: u64,
    /// The last one looked at in this round.
    looked: u64,
    /// How many were found waiting in this round.
    found: u64,
    /// And in the one before.
    found_before: u64,
}

/// What was found of the entries behind those looked at.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// The last of them whose time is over.
    last: u64,
    /// Whether none behind it is to be looked at yet.
    is_end: bool,
    /// The first of which something is not erased, nor about to be.
    first: Option<u64>,
    /// How many have something that waits.
    waiting: u64,
    /// Whether there is something that does not: an order that is on its way, or will be raised.
    moves: bool,
}

impl Scan {
    const fn after(passed: u64) -> Self {
        Self { passed, looked: passed, found: 0, found_before: 0 }
    }

    /// How many entries wait.
    fn waiting(&self) -> u64 {
        self.found.max(self.found_before)
    }

    fn take(&mut self, found: &Found) {
        if self.looked == self.passed {
            self.passed = found.first.map_or(found.last, |first| first.saturating_sub(1));
            self.looked = self.passed;
        }
        if found.moves {
            return;
        }
        self.found += found.waiting;
        self.looked = found.last;
        if found.is_end {
            *self = Self { found_before: self.found, ..Self::after(self.passed) };
        }
    }
}

/// A value of an entry, with the entry's number.
type Value = (u64, (Place, Commitment));

impl<E: Runtime> Service<E> {
    /// All that a holder does by itself, for ever: it settles what came with transactions, carries out orders of erasure, and raises those
    /// that follow from what its registers say.
    pub async fn hold_all(&self) {
        futures::join!(self.settle_sealed(), self.erase(), self.retain());
    }

    /// Raises orders for what was kept as long as it may be, for ever.
    pub async fn retain(&self) {
        let Some(holder) = &self.0.holder else { return };
        let mut tip = self.0.shared.chain.watch_tip();
        self.0.shared.chain.ready().await;
        let mut watch = Watch::default();
        loop {
            if let Err(error) = self.retain_due(holder, &mut watch).await {
                tracing::error!(%error, "what has been kept as long as it may be is not looked at yet");
            }
            self.0.runtime.sleep(PAUSE).await;
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    /// One pass over some registers of the node's organisation.
    async fn retain_due(&self, holder: &Holder<E>, watch: &mut Watch) -> Result<(), ErasingError> {
        let me = &holder.keys().principal;
        let nodes = self.nodes(me.organisation()).await?.map(|(_, row)| row.nodes).unwrap_or_default();
        let Some(turn) = nodes.iter().position(|node| node.node == *me) else { return Ok(()) };
        let now_ms = self.tip().header.time_ms.saturating_sub(TURN_MS.saturating_mul(turn as u64));
        let names = self.next_registers(watch);
        let (_, rows) = self.registers(&names).await?;
        let mut orders = self.room(me.organisation()).await?;
        let is_full = orders == 0;
        for (row, _) in rows.iter().filter(|(row, _)| row.custodian == me.organisation()) {
            for days in periods(row) {
                let until_ms = now_ms.saturating_sub(u64::from(days).saturating_mul(DAY_MS));
                self.retain_in(holder, (row, days, until_ms), watch, &mut orders).await?;
            }
        }
        self.0.shared.metrics.retention(watch.tell(is_full));
        Ok(())
    }

    /// How many orders may be raised now.
    async fn room(&self, organisation: &str) -> Result<usize, ReadError> {
        let row = self.row(StateKey::controller(organisation), ControllerRow::decode).await?;
        let open = row.map_or(0, |(_, row)| row.open.len());
        if open + ORDERS <= OPEN {
            return Ok(ORDERS);
        }
        let (_, orders) = self.open_erasures(&[organisation.to_owned()]).await?;
        let busy = orders.iter().filter(|one| one.holds.is_empty()).count();
        Ok(ORDERS.min(OPEN.saturating_sub(busy)).min(OPEN_HELD.saturating_sub(open)))
    }

    /// The names of the registers whose turn it is.
    fn next_registers(&self, watch: &mut Watch) -> Vec<String> {
        let history = self.history();
        let all: BTreeSet<&str> = history.registers().map(|(name, _)| name).collect();
        let from = watch.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let names: Vec<String> =
            all.range::<str, _>((from, Bound::Unbounded)).take(REGISTERS).map(|name| (*name).to_owned()).collect();
        // After the last comes the first.
        watch.after = names.last().filter(|_| names.len() == REGISTERS).cloned();
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
        let key = (row.register.clone(), days);
        let mut scan = match watch.scans.get(&key) {
            Some(scan) => *scan,
            None => Scan::after(holder.retained(&row.register, days).await?),
        };
        let passed = scan.passed;
        let (last, is_end, values) = self.next_values((row, days, until_ms), scan.looked).await?;
        let values = self.not_erased(&row.custodian, values).await?;
        let mut waiting = self.waiting_among(&row.custodian, &values).await?;
        let mut due: BTreeMap<&Subject, BTreeSet<Commitment>> = BTreeMap::new();
        for (_, (place, commitment)) in values.iter().filter(|(_, (place, _))| !waiting.contains(place.subject())) {
            let found = due.entry(place.subject()).or_default();
            if found.len() < ERASURE_VALUES_MAX {
                found.insert(*commitment);
            }
        }
        let mut moves = false;
        for (subject, values) in due {
            if self.raise(holder, (row, days), (subject, values), watch, orders).await {
                moves = true;
            } else {
                waiting.insert(subject.clone());
            }
        }
        let waits = |(number, (place, _)): &Value| waiting.contains(place.subject()).then_some(*number);
        let waiting = values.iter().filter_map(waits).collect::<BTreeSet<u64>>().len() as u64;
        scan.take(&Found { last, is_end, first: values.first().map(|(number, _)| *number), waiting, moves });
        if scan.passed > passed {
            holder.set_retained(&row.register, days, scan.passed).await?;
        }
        watch.scans.insert(key, scan);
        Ok(())
    }

    /// The values of the next entries after this one that were kept so long; with the last of these, and whether the one behind it is not
    /// to be looked at yet.
    async fn next_values(
        &self,
        (row, days, until_ms): (&RegisterRow, u32, u64),
        after: u64,
    ) -> Result<(u64, bool, Vec<Value>), ReadError> {
        let end = after.saturating_add(ENTRIES);
        let numbers: Vec<u64> = (after.saturating_add(1)..=end).collect();
        let entries = self.entries_at(&row.register, EntryKind::User, &numbers).await?;
        let schema = Schema::new(&row.register, &row.fields);
        let (mut last, mut values) = (after, Vec::new());
        for entry in entries.iter().take_while(|entry| entry.timestamp.saturating_mul(1_000) <= until_ms) {
            last = entry.number;
            let items: Vec<String> = entry.items.iter().map(|(_, item)| item.clone()).collect();
            let kept =
                sealed_in(None, &schema, &entry.key, &items).into_iter().filter(|(place, _)| is_kept(row, place, days));
            values.extend(kept.map(|value| (entry.number, value)));
            if values.len() > ERASURE_VALUES_MAX {
                return Ok((last, false, values));
            }
        }
        Ok((last, last < end, values))
    }

    /// Those of these values that are not erased nor about to be.
    async fn not_erased(&self, controller: &str, values: Vec<Value>) -> Result<Vec<Value>, ReadError> {
        let (numbers, values): (Vec<u64>, Vec<(Place, Commitment)>) = values.into_iter().unzip();
        let erased = self.erased_among(controller, &values).await?;
        let erased: BTreeSet<(Place, Commitment)> = erased.into_iter().map(|(value, _)| value.clone()).collect();
        Ok(numbers.into_iter().zip(values).filter(|(_, value)| !erased.contains(value)).collect())
    }

    /// The subjects of these values about whom no order is raised now: a hold lasts, or enough orders are open.
    async fn waiting_among(&self, controller: &str, values: &[Value]) -> Result<BTreeSet<Subject>, ReadError> {
        let subjects: BTreeSet<&Subject> = values.iter().map(|(_, (place, _))| place.subject()).collect();
        if subjects.is_empty() {
            return Ok(BTreeSet::new());
        }
        let now_ms = self.tip().header.time_ms;
        let keys: Vec<StateKey> = subjects.iter().map(|subject| StateKey::subject(controller, subject)).collect();
        let (_, rows) = self.read(keys.clone(), |sheet| sheet.rows(keys.iter().copied(), SubjectRow::decode)).await?;
        let waits = |row: SubjectRow| row.is_held(now_ms) || row.orders.len() >= SUBJECT_OPEN;
        let waiting = subjects.into_iter().zip(rows).filter(|(_, row)| row.clone().is_some_and(waits));
        Ok(waiting.map(|(subject, _)| subject.clone()).collect())
    }

    /// Raises an order, if there is room; says whether it is on its way, or will be: not, if it is refused.
    async fn raise(
        &self,
        holder: &Holder<E>,
        (row, days): (&RegisterRow, u32),
        (subject, values): (&Subject, BTreeSet<Commitment>),
        watch: &mut Watch,
        orders: &mut usize,
    ) -> bool {
        let now_s = self.now_s();
        watch.raised.retain(|_, (_, posted)| posted.matters(now_s));
        let values: Vec<Commitment> = values.into_iter().collect();
        let order = order_of(subject, &values);
        if !watch.raised.contains_key(&order) && watch.refused(&row.register) >= REFUSED {
            return false;
        }
        if *orders == 0 {
            return true;
        }
        let operation = Operation::ErasureOrder {
            order: order.clone(),
            controller: row.custodian.clone(),
            subject: subject.clone(),
            scope: ErasureScope::Values(values),
            authority: format!("The definition of register {}", row.register),
            legal_basis: format!("Kept for {days} days"),
            reason: "The time for which it is kept is over".to_owned(),
            deadline: DEADLINE_SECONDS,
        };
        let new = || (row.register.clone(), Posted::default());
        let (_, posted) = watch.raised.entry(order.clone()).or_insert_with(new);
        *orders -= usize::from(self.post(holder, format!("erasure {order}"), operation, posted).await);
        posted.is_on_its_way()
    }
}

/// The name of an order: the same whoever raises it.
fn order_of(subject: &Subject, values: &[Commitment]) -> String {
    let subject = subject.to_string();
    let parts: Vec<&[u8]> =
        std::iter::once(subject.as_bytes()).chain(values.iter().map(|value| value.as_bytes().as_slice())).collect();
    let Hash(hash) = Hash::of(&parts);
    format!("retention-{}", hex::encode(hash.first_chunk::<12>().unwrap_or(&[0; 12])))
}

/// For how many days the register keeps personal values: each period once.
fn periods(row: &RegisterRow) -> BTreeSet<u32> {
    row.fields.iter().filter_map(|field| field.protection.as_ref()?.days()).collect()
}

/// Whether what stands there is kept for so many days.
fn is_kept(row: &RegisterRow, place: &Place, days: u32) -> bool {
    let field = row.fields.iter().find(|field| field.name == place.field());
    field.and_then(|field| field.protection.as_ref()?.days()) == Some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register of entries about somebody each, all of them due, of which orders erase what is not held.
    struct Register {
        entries: Vec<&'static str>,
        held: Vec<&'static str>,
        erased: BTreeSet<u64>,
    }

    impl Register {
        /// A pass over it: orders for what may be erased, which are final by the next one.
        fn pass(&mut self, scan: &mut Scan) {
            let numbers = (scan.looked + 1)..=(scan.looked + ENTRIES).min(self.entries.len() as u64);
            let last = (*numbers.end()).max(scan.looked);
            let rest: Vec<u64> = numbers.filter(|number| !self.erased.contains(number)).collect();
            let is_held =
                |number: &&u64| self.entries.get(**number as usize - 1).is_some_and(|who| self.held.contains(who));
            let waiting = rest.iter().filter(is_held).count();
            let (is_end, first, moves) = (last < scan.looked + ENTRIES, rest.first().copied(), waiting < rest.len());
            let raised: Vec<u64> = rest.iter().filter(|number| !is_held(number)).copied().collect();
            scan.take(&Found { last, is_end, first, waiting: waiting as u64, moves });
            self.erased.extend(raised);
        }
    }

    #[test]
    fn nobody_who_is_held_keeps_what_is_of_others() {
        let mut entries = vec!["held"; 33];
        entries.extend(["free"; 40]);
        let (mut scan, mut register) =
            (Scan::default(), Register { entries, held: vec!["held"], erased: BTreeSet::new() });
        (0..7).for_each(|_| register.pass(&mut scan));
        assert_eq!(register.erased, (34..=73).collect());
        assert_eq!((scan.passed, scan.waiting()), (0, 33), "what waits is not passed over, and told");
        // What falls due later is found in the next round.
        register.entries.push("free");
        (0..7).for_each(|_| register.pass(&mut scan));
        assert_eq!(register.erased, (34..=74).collect());
        register.held.clear();
        (0..9).for_each(|_| register.pass(&mut scan));
        assert_eq!((register.erased.len(), scan.passed, scan.waiting()), (74, 74, 0));
    }

    #[test]
    fn nothing_is_looked_at_again_that_is_erased_without_a_gap() {
        let mut register = Register { entries: vec!["free"; 70], held: Vec::new(), erased: BTreeSet::new() };
        let (mut scan, mut passed) = (Scan::default(), Vec::new());
        for _ in 0..7 {
            register.pass(&mut scan);
            passed.push((scan.passed, scan.looked));
        }
        assert_eq!(passed, [(0, 0), (32, 32), (32, 32), (64, 64), (64, 64), (70, 70), (70, 70)]);
    }
}
