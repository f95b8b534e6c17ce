//! What the benchmark found, as a table and as JSON.

use crate::{
    bench::{
        load::{Findings, Percentiles},
        machine::Machine,
        partition::{Partition, Rate},
        process::Used,
        reads::{Door, Reads},
    },
    output::{Colour, Done, Table, line, paint, thousands},
};
use serde::Serialize;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The program's version.
    pub version: String,
    /// Whether it was built for speed.
    pub optimised: bool,
    /// Nodes.
    pub nodes: u8,
    /// Principals that signed.
    pub principals: u32,
    /// Policies of the partition in force.
    pub policies: usize,
    /// Records before anything was measured.
    pub preload: u64,
    /// Seconds that putting them there took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload_seconds: Option<f64>,
    /// The machine: the mean of before and after, if there was a load.
    pub machine: Machine,
    /// Transactions per second at most, if checking signatures were all the work.
    pub limit_per_second: f64,
    /// Most memory of any node, in MB.
    pub memory_peak_mb: f64,
    /// Under load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// One transaction at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lone: Option<Lone>,
    /// None at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
    /// In public, and in a partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<Partition>,
    /// Reads of sealed values, each on record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<Reads>,
    /// A node that lost its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wipe: Option<Wipe>,
}

/// Under load.
#[derive(Debug, Serialize)]
pub struct Load {
    /// Transactions that became final per second.
    pub committed_per_second: f64,
    /// The same over the machine's limit.
    pub ratio: f64,
    /// Bytes that a transaction adds to a node's disk.
    pub disk_bytes_per_transaction: f64,
    /// What each node used.
    pub nodes: Vec<NodeUse>,
    /// A node that was killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kill: Option<Kill>,
    /// What the client saw.
    pub findings: Findings,
}

/// What a node used under load.
#[derive(Debug, Serialize)]
pub struct NodeUse {
    /// Seconds of CPU.
    pub cpu_seconds: f64,
    /// Most memory, in MB.
    pub memory_peak_mb: f64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes by which its folder grew.
    pub disk_bytes: u64,
    /// Bytes written for each transaction.
    pub written_bytes_per_transaction: f64,
}

/// One transaction at a time.
#[derive(Debug, Serialize)]
pub struct Lone {
    /// From handing in to the answer that it is final; of a private one, until each member's node has executed it.
    pub latency_ms: Percentiles,
}

/// No transactions.
#[derive(Debug, Serialize)]
pub struct Idle {
    /// Seconds measured.
    pub seconds: f64,
    /// Share of a core of the busiest node.
    pub cpu_percent_max: f64,
    /// Written by the busiest node.
    pub written_kb_per_second_max: f64,
    /// Memory of the largest node, in MB.
    pub memory_mb_max: f64,
}

/// A node that was killed under load. Times are in seconds since the load began.
#[derive(Debug, Default, Serialize)]
pub struct Kill {
    /// When it was killed.
    pub killed_at: f64,
    /// When it was started again.
    pub started_at: f64,
    /// Seconds from then until it was level with the others.
    pub level_after_seconds: Option<f64>,
    /// Final per second before.
    pub before_per_second: f64,
    /// Final per second without it.
    pub without_per_second: f64,
    /// The latter over the former.
    pub kept: f64,
}

/// A node that lost its disk.
#[derive(Debug, Serialize)]
pub struct Wipe {
    /// Transactions in the log.
    pub log_size: u64,
    /// Seconds from its start until it served and was level with the others.
    pub level_after_seconds: Option<f64>,
}

impl Kill {
    /// With the rates before and after, from whole seconds that hold neither beginning nor kill.
    pub fn with_rates(self, findings: &Findings) -> Self {
        let mean = |from: f64, to: f64| {
            let (from, to) = (from.ceil() as usize, to.floor() as usize);
            let counts: Vec<u64> =
                findings.per_second.iter().skip(from).take(to.saturating_sub(from)).copied().collect();
            counts.iter().sum::<u64>() as f64 / counts.len().max(1) as f64
        };
        let before_per_second = mean(1.0, self.killed_at);
        let without_per_second = mean(self.killed_at, self.started_at);
        Self { before_per_second, without_per_second, kept: without_per_second / before_per_second.max(1.0), ..self }
    }
}

impl Report {
    /// A report of nothing yet.
    pub fn new(nodes: u8, principals: u32, preload: u64, machine: Machine) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            optimised: !cfg!(debug_assertions),
            nodes,
            principals,
            policies: 0,
            preload,
            preload_seconds: None,
            machine,
            limit_per_second: machine.limit(usize::from(nodes)),
            memory_peak_mb: 0.0,
            load: None,
            lone: None,
            idle: None,
            partition: None,
            reads: None,
            wipe: None,
        }
    }

    /// Takes another measurement of the machine for the one the report was begun with.
    pub fn set_machine(&mut self, machine: Machine) {
        self.machine = machine;
        self.limit_per_second = machine.limit(usize::from(self.nodes));
    }

    /// Notes the most memory that a node has had.
    pub fn nodes_memory(&mut self, used: &[Used]) {
        self.memory_peak_mb = used.iter().map(|used| used.memory_peak_bytes).max().unwrap_or(0) as f64 / 1e6;
    }

    /// Writes the tables.
    pub fn print(&self) -> Done {
        if !self.optimised {
            line(paint(Colour::Yellow, "this is a build for debugging: its figures mean nothing"))?;
        }
        let mut table = Table::new(&["figure", "value"]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("nodes", self.nodes.to_string());
        row("principals", thousands(self.principals.into()));
        row("policies", self.policies.to_string());
        row("records before", thousands(self.preload));
        if let Some(seconds) = self.preload_seconds {
            row("  putting them there", format!("{seconds:.1} s"));
        }
        row("signatures checked, one core alone", format!("{} /s", whole(self.machine.one_core_alone)));
        row("signatures checked, each core when all work", format!("{} /s", whole(self.machine.per_core)));
        row("limit: × cores ÷ nodes", format!("{} tx/s", whole(self.limit_per_second)));
        row("memory peak, largest node", format!("{:.0} MB", self.memory_peak_mb));
        if let Some(load) = &self.load {
            load.rows(&mut row);
        }
        if let Some(lone) = &self.lone {
            row("lone transaction, p50 / p90 / p99", percentiles(&lone.latency_ms));
        }
        if let Some(idle) = &self.idle {
            row("idle, CPU of the busiest node", format!("{:.2} % of a core", idle.cpu_percent_max));
            row("idle, written by the busiest node", format!("{:.1} kB/s", idle.written_kb_per_second_max));
        }
        if let Some(partition) = &self.partition {
            partition.rows(&mut row);
        }
        if let Some(reads) = &self.reads {
            reads.rows(&mut row);
        }
        if let Some(wipe) = &self.wipe {
            row("wiped node level again after", seconds(wipe.level_after_seconds));
        }
        table.print()?;
        self.load.as_ref().map_or(Ok(()), Load::print_nodes)
    }
}

impl Partition {
    fn rows(&self, row: &mut impl FnMut(&str, String)) {
        row("clients × transactions at once", format!("{} × {}", self.clients, self.at_once));
        for (place, Rate { per_second, latency_ms, failed, failure }) in
            [("in public", &self.public), ("in the partition", &self.private)]
        {
            row(place, format!("{} tx/s", whole(*per_second)));
            row("  submit → done, p50 / p90 / p99", percentiles(latency_ms));
            if let Some(why) = failure {
                row("  not accepted", format!("{}: {why}", thousands(*failed)));
            }
        }
        row("in the partition ÷ in public", format!("{:.2}", self.ratio));
    }
}

impl Reads {
    fn rows(&self, row: &mut impl FnMut(&str, String)) {
        row("clients × reads in a transaction", format!("{} × {}", self.clients, self.at_once));
        let place = match self.door {
            Door::Public => "recorded reads in public, at one node",
            Door::Partition => "recorded reads in a partition, at one node",
        };
        row(place, format!("{} /s", whole(self.per_second)));
        row("  submit → value, p50 / p90 / p99", percentiles(&self.latency_ms));
        if let Some(why) = &self.failure {
            row("  not given", format!("{}: {why}", thousands(self.failed)));
        }
        row("given, also around its kill (-9)", thousands(self.given));
        row("  not on record afterwards", format!("{} transactions", thousands(self.unrecorded)));
    }
}

impl Load {
    fn rows(&self, row: &mut impl FnMut(&str, String)) {
        let findings = &self.findings;
        row("committed", format!("{} tx/s", whole(self.committed_per_second)));
        row("committed ÷ limit", format!("{:.3}", self.ratio));
        row("submit → final, p50 / p90 / p99", percentiles(&findings.latency_ms));
        row("blocks", thousands(findings.blocks));
        row("transactions final in all", thousands(findings.finalised));
        row("refused by the ledger", thousands(findings.refused));
        row("told busy", thousands(findings.busy));
        if let Some(reason) = &findings.rejection {
            row("rejected", format!("{}: {reason}", thousands(findings.rejected)));
        }
        if findings.ran_out {
            row("notice", "all signed transactions were used up: the rate is higher than this".to_owned());
        }
        row("disk", format!("{} bytes a transaction", whole(self.disk_bytes_per_transaction)));
        row("CPU of the client", format!("{:.1} s", findings.cpu_seconds));
        if let Some(kill) = &self.kill {
            row("before one node was killed", format!("{} tx/s", whole(kill.before_per_second)));
            row("without it", format!("{} tx/s, {:.0} % kept", whole(kill.without_per_second), kill.kept * 100.0));
            row("killed node level again after", seconds(kill.level_after_seconds));
        }
    }

    fn print_nodes(&self) -> Done {
        let mut table = Table::new(&["node", "CPU s", "memory peak MB", "written MB", "written bytes/tx", "disk MB"]);
        for (index, node) in self.nodes.iter().enumerate() {
            table.row([
                index.to_string(),
                format!("{:.1}", node.cpu_seconds),
                format!("{:.0}", node.memory_peak_mb),
                format!("{:.1}", node.written_bytes as f64 / 1e6),
                whole(node.written_bytes_per_transaction),
                format!("{:.1}", node.disk_bytes as f64 / 1e6),
            ]);
        }
        line("")?;
        table.print()
    }
}

fn whole(value: f64) -> String {
    thousands(value.round().max(0.0) as u64)
}

fn percentiles(latency_ms: &Percentiles) -> String {
    format!("{:.0} / {:.0} / {:.0} ms", latency_ms.p50, latency_ms.p90, latency_ms.p99)
}

fn seconds(after: Option<f64>) -> String {
    after.map_or_else(|| "not in time".to_owned(), |seconds| format!("{seconds:.1} s"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    #[test]
    fn what_a_kill_costs_is_told_from_whole_seconds() {
        let findings = Findings { per_second: vec![5, 100, 100, 40, 90, 90, 20, 100], ..Findings::default() };
        let kill = Kill { killed_at: 3.4, started_at: 6.2, ..Kill::default() }.with_rates(&findings);
        assert_eq!((kill.before_per_second, kill.without_per_second, kill.kept), (100.0, 90.0, 0.9));
    }
}
