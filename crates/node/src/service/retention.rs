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
    limits::{CONTROLLER_ERASURES_OPEN_MAX, ERASURE_VALUES_MAX},
};

/// Registers looked at in a pass.
const REGISTERS: usize = 64;
/// Entries of a register looked at in a pass.
const ENTRIES: u64 = 32;
/// Orders raised in a pass.
const ORDERS: usize = 8;
/// With so many of the organisation's orders that are not complete none is raised: there is room for those that people give.
const OPEN: usize = CONTROLLER_ERASURES_OPEN_MAX / 2;
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
    /// Entries passed over, by register and days.
    passed: BTreeMap<(String, u32), u64>,
    /// Orders that are on their way.
    raised: BTreeMap<String, Posted>,
}

/// Values of which one order can be raised: of one subject, first those of this entry.
type Due = BTreeMap<Subject, (u64, BTreeSet<Commitment>)>;

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
        let open = self.row(StateKey::controller(me.organisation()), ControllerRow::decode).await?;
        let open = open.map_or(0, |(_, row)| row.open.len());
        let mut orders = ORDERS.min(OPEN.saturating_sub(open));
        for (row, _) in rows.iter().filter(|(row, _)| row.custodian == me.organisation()) {
            for days in periods(row) {
                let until_ms = now_ms.saturating_sub(u64::from(days).saturating_mul(DAY_MS));
                self.retain_in(holder, (row, days, until_ms), watch, &mut orders).await?;
            }
        }
        Ok(())
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
        let (name, key) = (row.register.as_str(), (row.register.clone(), days));
        let from = match watch.passed.get(&key) {
            Some(passed) => *passed,
            None => holder.retained(name, days).await?,
        };
        let numbers: Vec<u64> = (from.saturating_add(1)..=from.saturating_add(ENTRIES)).collect();
        let entries = self.entries_at(name, EntryKind::User, &numbers).await?;
        let schema = Schema::new(name, &row.fields);
        let (mut passed, mut values) = (from, Vec::new());
        for entry in entries.iter().take_while(|entry| entry.timestamp.saturating_mul(1_000) <= until_ms) {
            passed = entry.number;
            let items: Vec<String> = entry.items.iter().map(|(_, item)| item.clone()).collect();
            let kept =
                sealed_in(&schema, &entry.key, &items).into_iter().filter(|(place, _)| is_kept(row, place, days));
            values.extend(kept.map(|value| (entry.number, value)));
            if values.len() > ERASURE_VALUES_MAX {
                break;
            }
        }
        let due = self.not_erased(&row.custodian, values).await?;
        if let Some(first) = due.values().map(|(first, _)| *first).min() {
            passed = passed.min(first.saturating_sub(1));
        }
        for (subject, (_, values)) in due {
            if *orders == 0 {
                break;
            }
            // One that was refused, and waits, keeps no other from being raised.
            *orders -= usize::from(self.raise(holder, (row, days), (subject, values), watch).await);
        }
        if passed > from || !watch.passed.contains_key(&key) {
            holder.set_retained(name, days, passed).await?;
            watch.passed.insert(key, passed);
        }
        Ok(())
    }

    /// Those of these values, each with the number of its entry, that are not erased nor about to be, by subject.
    async fn not_erased(&self, controller: &str, values: Vec<(u64, (Place, Commitment))>) -> Result<Due, ErasingError> {
        let (numbers, values): (Vec<u64>, Vec<(Place, Commitment)>) = values.into_iter().unzip();
        let erased: BTreeSet<&(Place, Commitment)> =
            self.erased_among(controller, &values).await?.into_iter().map(|(value, _)| value).collect();
        let mut due = Due::new();
        for (number, value) in numbers.into_iter().zip(&values).filter(|(_, value)| !erased.contains(value)) {
            let (_, found) = due.entry(value.0.subject().clone()).or_insert_with(|| (number, BTreeSet::new()));
            if found.len() < ERASURE_VALUES_MAX {
                found.insert(value.1);
            }
        }
        Ok(due)
    }

    async fn raise(
        &self,
        holder: &Holder<E>,
        (row, days): (&RegisterRow, u32),
        (subject, values): (Subject, BTreeSet<Commitment>),
        watch: &mut Watch,
    ) -> bool {
        let values: Vec<Commitment> = values.into_iter().collect();
        let order = order_of(&subject, &values);
        let operation = Operation::ErasureOrder {
            order: order.clone(),
            controller: row.custodian.clone(),
            subject,
            scope: ErasureScope::Values(values),
            authority: format!("The definition of register {}", row.register),
            legal_basis: format!("Kept for {days} days"),
            reason: "The time for which it is kept is over".to_owned(),
            deadline: DEADLINE_SECONDS,
        };
        let now_s = self.now_s();
        watch.raised.retain(|_, posted| posted.matters(now_s));
        let posted = watch.raised.entry(order.clone()).or_default();
        self.post(holder, format!("erasure {order}"), operation, posted).await
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
