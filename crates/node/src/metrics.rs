//! Counters of our own, beside the engine's: what an operator watches.

use commonware_runtime::{
    Metrics as Registry,
    telemetry::metrics::{Counter, Gauge, GaugeExt as _, GaugeValue, MetricsExt as _},
};
use tallystick_api::ErasuresView;
use tallystick_protocol::limits::EXPIRY_WARNING_DAYS;

/// How the partitions stand that a node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many there are.
    pub partitions: u64,
    /// Payloads that nobody has given it yet.
    pub missing: u64,
    /// Payloads that it cannot read any more, or with sealed values whose openings nobody has given it yet, of all these; those for which it
    /// asks still.
    pub lacking: u64,
    /// In how many something is ordered that is not executed here.
    pub behind: u64,
    /// Of how many the members' nodes posted different roots.
    pub alarmed: u64,
}

/// Handles to the counters; clones count together.
#[derive(Clone)]
pub struct Metrics {
    verified: Counter,
    batches: Counter,
    busy: Counter,
    applied: Counter,
    refused: Counter,
    height: Gauge,
    pool_transactions: Gauge,
    pool_bytes: Gauge,
    finality_ms: Gauge,
    expiring: [Gauge; EXPIRY_WARNING_DAYS.len()],
    expired: Gauge,
    erasures_open: Gauge,
    erasures_on_hold: Gauge,
    erasures_overdue: Gauge,
    erasures_overdue_of_all: Gauge,
    retention_due: Gauge,
    partitions: Gauge,
    partitions_missing: Gauge,
    partitions_lacking: Gauge,
    partitions_behind: Gauge,
    partitions_alarmed: Gauge,
    backup_complete_seconds: Gauge,
    backup_failures: Counter,
}

impl Metrics {
    /// Registers the counters.
    pub fn register(context: &impl Registry) -> Self {
        Self {
            verified: context.counter("signatures_verified", "transaction signatures checked"),
            batches: context.counter("verify_batches", "batches they were checked in"),
            busy: context.counter("rejected_busy", "transactions turned away for want of room"),
            applied: context.counter("transactions_applied", "transactions in finalised blocks"),
            refused: context.counter("transactions_refused", "of them, refused by the ledger"),
            height: context.gauge("height", "height of the newest applied block"),
            pool_transactions: context.gauge("pool_transactions", "transactions waiting"),
            pool_bytes: context.gauge("pool_bytes", "bytes of the transactions waiting"),
            finality_ms: context.gauge("finality_ms", "milliseconds from a block's time to its application here"),
            expiring: [
                context.gauge(
                    "expiring_90_days",
                    "keys, authorities and revocation lists of the organisation that end within 90 days",
                ),
                context.gauge("expiring_30_days", "of them, within 30 days"),
                context.gauge("expiring_7_days", "of them, within 7 days"),
            ],
            expired: context.gauge("expired", "of them, ended already"),
            erasures_open: context
                .gauge("erasures_open", "orders of erasure of the organisation, in public, that are not complete"),
            erasures_on_hold: context.gauge("erasures_on_hold", "of them, suspended by a hold"),
            erasures_overdue: context.gauge("erasures_overdue", "of them, and of those in partitions, past their deadline"),
            erasures_overdue_of_all: context
                .gauge("erasures_overdue_of_all", "orders of erasure of all organisations, in public, past their deadline"),
            retention_due: context.gauge(
                "retention_due",
                "entries with values that are kept longer than their registers say: held, their orders not taken, or not to be read here",
            ),
            partitions: context.gauge("partitions", "partitions that this node holds"),
            partitions_missing: context.gauge("partitions_missing", "payloads that nobody has given it yet"),
            partitions_lacking: context
                .gauge("partitions_lacking", "payloads that it cannot read any more, or whose sealed values nothing opens here yet"),
            partitions_behind: context
                .gauge("partitions_behind", "partitions in which something is ordered that is not executed here"),
            partitions_alarmed: context
                .gauge("partitions_alarmed", "partitions of which the members' nodes posted different roots"),
            backup_complete_seconds: context
                .gauge("backup_complete_seconds", "when the newest backup of the vault that is complete was begun, in Unix seconds"),
            backup_failures: context.counter("backup_failures", "times that a backup failed, or could not be looked for"),
        }
    }

    pub(crate) fn verified(&self, count: usize) {
        self.verified.inc_by(count as u64);
        self.batches.inc();
    }

    pub(crate) fn busy(&self) {
        self.busy.inc();
    }

    /// What waits in the pool.
    pub fn pool(&self, transactions: usize, bytes: usize) {
        let _ = self.pool_transactions.try_set(transactions);
        let _ = self.pool_bytes.try_set(bytes);
    }

    /// What ends within each of the warnings, and what has ended.
    pub fn expiries(&self, (within, ended): ([u64; EXPIRY_WARNING_DAYS.len()], u64)) {
        for (gauge, count) in self.expiring.iter().zip(within) {
            let _ = gauge.try_set(count);
        }
        let _ = self.expired.try_set(ended);
    }

    /// Orders of erasure that are not complete.
    pub fn erasures(&self, erasures: &ErasuresView) {
        let _ = self.erasures_open.try_set(erasures.open);
        let _ = self.erasures_on_hold.try_set(erasures.on_hold);
        let _ = self.erasures_overdue.try_set(erasures.overdue);
        let _ = self.erasures_overdue_of_all.try_set(erasures.overdue_of_all);
    }

    /// Entries of one partition, the public one or another, whose values should be erased by now, and wait: so many before, and now.
    pub(crate) fn retention(&self, (before, now): (u64, u64)) {
        let [before, now] = [before, now].map(|count| GaugeValue::try_from(count).unwrap_or(GaugeValue::MAX));
        self.retention_due.inc_by(now.saturating_sub(before));
    }

    /// When the newest backup was begun, in seconds since 1970.
    pub(crate) fn backup_complete(&self, time_s: u64) {
        let _ = self.backup_complete_seconds.try_set(time_s);
    }

    /// A backup failed.
    pub(crate) fn backup_failed(&self) {
        self.backup_failures.inc();
    }

    /// How the partitions stand that this node holds.
    pub fn partitions(&self, held: &Held) {
        let _ = self.partitions.try_set(held.partitions);
        let _ = self.partitions_missing.try_set(held.missing);
        let _ = self.partitions_lacking.try_set(held.lacking);
        let _ = self.partitions_behind.try_set(held.behind);
        let _ = self.partitions_alarmed.try_set(held.alarmed);
    }

    /// A block was applied.
    pub fn applied(&self, height: u64, transactions: u64, refused: u64, finality_ms: u64) {
        self.applied.inc_by(transactions);
        self.refused.inc_by(refused);
        let _ = self.height.try_set(height);
        let _ = self.finality_ms.try_set(finality_ms);
    }
}

/// Prometheus' text without what the engine tells of each single partition: how much is in one is seen by no stranger, and anybody may ask for
/// metrics.
pub fn without_partitions(text: &str) -> String {
    let is_of_one = |line: &&str| !line.starts_with('#') && line.contains("partition=\"");
    text.split_inclusive('\n').filter(|line| !is_of_one(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_learns_from_metrics_how_much_is_in_a_partition() {
        let text =
            "# HELP items Items in \"any\" partition=\"x\".\nitems{partition=\"imports\"} 108\nnode_partitions 2\n";
        assert_eq!(without_partitions(text), "# HELP items Items in \"any\" partition=\"x\".\nnode_partitions 2\n");
    }
}
