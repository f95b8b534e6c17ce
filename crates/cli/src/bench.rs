//! `tally bench`: what a network of this program does on this machine, compared with what the machine could do at most.

mod cluster;
mod join;
mod load;
mod machine;
mod partition;
pub mod process;
mod reads;
mod report;
mod watch;
mod work;

use crate::{
    output::{Doing, Done, Failure, json, say},
    sandbox::signal::Stop,
};
use clap::{Args, Subcommand};
use cluster::Cluster;
use load::{Findings, Order, Percentiles};
use machine::Machine;
use process::Used;
use reads::Door;
use report::{Idle, Kill, Load, Lone, NodeUse, Report, Wipe};
use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tallystick_protocol::{
    Change,
    limits::{EPOCH_BLOCKS_DEFAULT, POLICIES_MAX, POLICIES_PER_CHANGE_MAX, REQUESTS_MAX, SANDBOX_NODES_MAX},
};

/// The share of the limit that is signed for; the load ends early if the network does more.
const SIGNED_SHARE_OF_LIMIT: f64 = 0.7;
/// Lone transactions measured.
const LONE_TRANSACTIONS: u64 = 100;
/// Pause between two lone transactions, so that each finds the network idle.
const LONE_PAUSE: Duration = Duration::from_millis(250);
/// Clients of a measurement in a partition, or of reads.
const CLIENTS: u16 = 128;
/// How long the network rests before it is measured idle.
const SETTLE: Duration = Duration::from_secs(10);
/// Blocks by which a node may be behind and still count as level: what is on its way.
const LEVEL_BLOCKS: u64 = 2;
/// How long a node may take to be level again.
const LEVEL_PATIENCE: Duration = Duration::from_secs(300);

/// Measure what a network does on this machine
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Starts a fresh network of processes in a temporary folder. First, and after the load again, \
    it measures the machine's limit: Ed25519 signatures checked in batches of 1,000, per second and core, times cores, over \
    nodes, since every node checks every signature. Then a client in its own process hands in signed single-entry appends.\n\n\
    Give the machine nothing else to do meanwhile, and build with --release.\n\n\
    Examples:\n  \
    tally bench --nodes 4 --seconds 60 --principals 1000\n  \
    tally bench --lone --idle                  one transaction at a time; and none at all\n  \
    tally bench --preload 1000000 --wipe       with a million records; then one node loses its disk\n  \
    tally bench --kill                         one node is killed under load\n  \
    tally bench --policies 20                  each transaction is judged by twenty policies\n  \
    tally bench --partition --seconds 20       the same work in public and in a partition of two\n  \
    tally bench --partition --lone             one at a time, executed by both members\n  \
    tally bench --reads                        sealed values read at one node, each on record; and in a partition:\n  \
    tally bench --partition --reads\n  \
    tally bench join                           a fifth validator is admitted under load"
)]
pub struct Bench {
    #[command(subcommand)]
    other: Option<Other>,
    /// Nodes, all on this machine
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=SANDBOX_NODES_MAX as i64))]
    nodes: u8,
    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=500))]
    seconds: u64,
    /// Principals that sign, taken in turn
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    principals: u32,
    /// Records in the register before anything is measured
    #[arg(long, value_name = "N", default_value_t = 0)]
    preload: u64,
    /// Policies in force, by all of which each transaction is judged; fewer than a network begins with add none
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=POLICIES_MAX as i64))]
    policies: u8,
    /// Measure single transactions on an idle network instead of the load
    #[arg(long)]
    lone: bool,
    /// Measure what an idle network costs instead of the load
    #[arg(long)]
    idle: bool,
    /// Measure what two members of a partition do in it, beside what they do in public, instead of the load
    #[arg(long, conflicts_with_all = ["idle", "kill"])]
    partition: bool,
    /// Measure reads of sealed values, with --partition in one, and kill the node that answers them in the end
    #[arg(long, conflicts_with_all = ["lone", "idle", "wipe", "kill"])]
    reads: bool,
    /// Clients, with --partition or --reads
    #[arg(long, value_name = "N", default_value_t = CLIENTS, value_parser = clap::value_parser!(u16).range(1..=REQUESTS_MAX as i64))]
    clients: u16,
    /// Transactions that each client hands in at once, with --partition, and waits for; with --reads, reads in each transaction
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    at_once: u16,
    /// Kill one node (-9) a third into the load, start it again at two thirds
    #[arg(long, conflicts_with_all = ["lone", "idle"])]
    kill: bool,
    /// In the end wipe one node's disk and time how long it takes to be back
    #[arg(long)]
    wipe: bool,
    /// Transactions to a request
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    batch: u32,
    /// Transactions handed in and not yet final, at most
    #[arg(long, value_name = "N", default_value_t = 6_000)]
    in_flight: u32,
    /// The first port
    #[arg(long, value_name = "PORT", default_value_t = 18_080)]
    base_port: u16,
    /// Keep the network in this folder, instead of a temporary one
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Other {
    Join(join::Join),
    /// The load, in its own process
    #[command(hide = true)]
    Load,
}

impl Bench {
    /// Runs the command.
    pub fn run(self) -> Done {
        match &self.other {
            Some(Other::Load) => return load::run(),
            Some(Other::Join(join)) => return join.run(),
            None => {}
        }
        if !self.partition && !self.reads && (self.clients, self.at_once) != (CLIENTS, 1) {
            return Err(Failure::error(
                "--clients and --at-once are of --partition and --reads: give one of these, too",
            ));
        }
        let stop = Stop::on_signals()?;
        let principals = self.principals();
        say("measuring the machine");
        let machine = Machine::measure(principals)?;
        let temporary = tempfile::Builder::new()
            .prefix("tally-bench-")
            .tempdir()
            .doing(|| "cannot make a temporary folder".to_owned())?;
        let dir = self.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
        say(format_args!("starting {} nodes in {}", self.nodes, dir.display()));
        let mut cluster =
            Cluster::start(&dir, usize::from(self.nodes), self.base_port, EPOCH_BLOCKS_DEFAULT, principals)?;
        let measured = self.measure(&mut cluster, machine, &stop);
        cluster.stop_all()?;
        let report = measured?;
        if self.json { json(&report) } else { report.print() }
    }

    fn measure(&self, cluster: &mut Cluster, machine: Machine, stop: &Stop) -> Result<Report, Failure> {
        let mut report = Report::new(self.nodes, self.principals, self.preload, machine);
        let clients = (self.clients.into(), self.at_once.into());
        report.policies = self.add_policies(cluster)?;
        if self.preload > 0 {
            let begun = Instant::now();
            cluster.preload(self.preload)?;
            report.preload_seconds = Some(begun.elapsed().as_secs_f64());
        }
        if self.idle {
            say(format_args!("idle for {} s", self.seconds));
            report.idle = Some(self.idle(cluster, stop)?);
        }
        if self.lone {
            say(format_args!("{LONE_TRANSACTIONS} transactions, one at a time"));
            report.lone = Some(if self.partition { partition::lone(cluster, stop)? } else { lone(cluster, stop)? });
        } else if self.reads {
            let door = if self.partition { Door::Partition } else { Door::Public };
            report.reads = Some(reads::measure(cluster, door, clients, self.seconds)?);
        } else if self.partition {
            report.partition = Some(partition::measure(cluster, clients, self.seconds)?);
        }
        if !self.idle && !self.lone && !self.partition && !self.reads {
            let (load, machine) = self.load(cluster, machine, stop)?;
            report.load = Some(load);
            report.set_machine(machine);
        }
        report.nodes_memory(&cluster.used());
        if self.wipe {
            report.wipe = Some(wipe(cluster)?);
        }
        Ok(report)
    }

    /// Adds policies up to the number wanted; how many are in force then.
    fn add_policies(&self, cluster: &Cluster) -> Result<usize, Failure> {
        let begun_with = cluster.client()?.policies(None)?.value.policies.len();
        let put = work::policies(usize::from(self.policies).saturating_sub(begun_with))?;
        for put in put.chunks(POLICIES_PER_CHANGE_MAX) {
            let (from, put) = (cluster.client()?.policies(None)?.value.policies.len(), put.to_vec());
            say(format_args!("putting {} policies in force", put.len()));
            cluster.decree(&format!("policies-{from}"), vec![Change::Policies { put, remove: Vec::new() }])?;
        }
        Ok(cluster.client()?.policies(None)?.value.policies.len())
    }

    fn principals(&self) -> usize {
        usize::try_from(self.principals).unwrap_or(usize::MAX)
    }

    fn idle(&self, cluster: &Cluster, stop: &Stop) -> Result<Idle, Failure> {
        sleep(SETTLE, stop)?;
        let (before, begun) = (cluster.used(), Instant::now());
        sleep(Duration::from_secs(self.seconds), stop)?;
        let seconds = begun.elapsed().as_secs_f64();
        let used = since(&cluster.used(), &before);
        let most = |value: fn(&Used) -> f64| used.iter().map(value).fold(0.0, f64::max) / seconds;
        Ok(Idle {
            seconds,
            cpu_percent_max: most(|used| used.cpu_seconds) * 100.0,
            written_kb_per_second_max: most(|used| used.written_bytes as f64) / 1_000.0,
            memory_mb_max: used.iter().map(|used| used.memory_bytes).max().unwrap_or(0) as f64 / 1e6,
        })
    }

    /// Returns what the load found, and the machine's speed: the mean of before and after.
    fn load(&self, cluster: &mut Cluster, before: Machine, stop: &Stop) -> Result<(Load, Machine), Failure> {
        let nodes = usize::from(self.nodes);
        let order = Order {
            nodes: cluster.layout.nodes.iter().map(crate::sandbox::layout::NodePlace::url).collect(),
            network: cluster.layout.genesis.id(),
            keys: cluster.keys.clone(),
            transactions: (before.limit(nodes) * SIGNED_SHARE_OF_LIMIT * self.seconds as f64) as usize,
            batch: usize::try_from(self.batch).unwrap_or(usize::MAX),
            in_flight: usize::try_from(self.in_flight.max(self.batch)).unwrap_or(usize::MAX),
            seconds: self.seconds,
            per_second: None,
        };
        say(format_args!("signing {} transactions", order.transactions));
        let mut client = LoadProcess::start(&order)?;
        let (used, disk) = (cluster.used(), cluster.disk_bytes());
        say(format_args!("load for {} s", self.seconds));
        client.go()?;
        let kill = if self.kill { Some(self.kill(cluster, stop)?) } else { None };
        let findings = client.findings()?;
        if stop.is_told() {
            return Err(Failure::error("told to stop"));
        }
        let used_after = cluster.used();
        let grown: Vec<u64> =
            cluster.disk_bytes().iter().zip(&disk).map(|(after, before)| after.saturating_sub(*before)).collect();
        let kill = kill.map(|kill| kill.with_rates(&findings));
        say("measuring the machine again");
        let machine = before.mean(Machine::measure(self.principals())?);
        let committed_per_second = findings.committed as f64 / findings.seconds.max(1.0);
        let load = Load {
            committed_per_second,
            ratio: committed_per_second / machine.limit(nodes),
            nodes: node_use(&since(&used_after, &used), &grown, &findings),
            disk_bytes_per_transaction: per_transaction(&grown, &findings),
            kill,
            findings,
        };
        Ok((load, machine))
    }

    /// Kills the last node a third into the run, starts it again at two thirds, and waits until it is level.
    fn kill(&self, cluster: &mut Cluster, stop: &Stop) -> Result<Kill, Failure> {
        let third = Duration::from_secs((self.seconds / 3).max(1));
        let (victim, begun) = (cluster.nodes.len().saturating_sub(1), Instant::now());
        sleep(third, stop)?;
        cluster.kill(victim)?;
        let killed_at = begun.elapsed().as_secs_f64();
        sleep(third, stop)?;
        cluster.start_again(victim)?;
        let started_at = begun.elapsed().as_secs_f64();
        let level = cluster.seconds_until_level(victim, LEVEL_BLOCKS, LEVEL_PATIENCE)?;
        Ok(Kill { killed_at, started_at, level_after_seconds: level, ..Kill::default() })
    }
}

fn node_use(used: &[Used], grown: &[u64], findings: &Findings) -> Vec<NodeUse> {
    used.iter()
        .zip(grown)
        .map(|(used, grown)| NodeUse {
            cpu_seconds: used.cpu_seconds,
            memory_peak_mb: used.memory_peak_bytes as f64 / 1e6,
            written_bytes: used.written_bytes,
            disk_bytes: *grown,
            written_bytes_per_transaction: used.written_bytes as f64 / findings.finalised.max(1) as f64,
        })
        .collect()
}

fn per_transaction(grown: &[u64], findings: &Findings) -> f64 {
    let mean = grown.iter().sum::<u64>() as f64 / grown.len().max(1) as f64;
    mean / findings.finalised.max(1) as f64
}

fn since(after: &[Used], before: &[Used]) -> Vec<Used> {
    after.iter().zip(before).map(|(after, before)| after.since(before)).collect()
}

fn sleep(length: Duration, stop: &Stop) -> Done {
    let begun = Instant::now();
    while begun.elapsed() < length {
        if stop.is_told() {
            return Err(Failure::error("told to stop"));
        }
        thread::sleep(Duration::from_millis(20).min(length.saturating_sub(begun.elapsed())));
    }
    Ok(())
}

/// The pause before a lone transaction of this number: not in step with the network's own rhythm.
fn rest(number: u64, stop: &Stop) -> Done {
    sleep(LONE_PAUSE + Duration::from_millis(number * 37 % 100), stop)
}

/// One transaction at a time, to one node after another, each waited for.
fn lone(cluster: &Cluster, stop: &Stop) -> Result<Lone, Failure> {
    let clients: Vec<_> = (0..cluster.nodes.len()).map(|index| cluster.client_of(index)).collect::<Result<_, _>>()?;
    let keys = cluster.keys.signing_keys()?;
    let mut keys_of = cluster.keys.clone();
    keys_of.run = "lone".to_owned();
    let mut latency_ms = Vec::new();
    for (number, client) in (0..LONE_TRANSACTIONS).zip(clients.iter().cycle()) {
        rest(number, stop)?;
        let not_after = tallystick_client::now_seconds() + tallystick_client::NOT_AFTER_SECONDS;
        let transaction = work::append(cluster.layout.genesis.id(), &keys_of, &keys, number, not_after)?;
        let begun = Instant::now();
        let settled = client.submit(&transaction, Duration::from_secs(30))?;
        if !settled.outcome.is_accepted() {
            return Err(Failure::error(format!("a lone transaction was refused: {:?}", settled.outcome)));
        }
        latency_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(Lone { latency_ms: Percentiles::of(latency_ms) })
}

/// The last node loses its disk; how long until it is level by what its peers give it.
fn wipe(cluster: &mut Cluster) -> Result<Wipe, Failure> {
    let victim = cluster.nodes.len().saturating_sub(1);
    say("wiping one node");
    cluster.stop(victim)?;
    let data = cluster.place(victim)?.data.clone();
    std::fs::remove_dir_all(&data).doing(|| format!("cannot remove `{}`", data.display()))?;
    cluster.start_again(victim)?;
    let level = cluster.seconds_until_level(victim, LEVEL_BLOCKS, LEVEL_PATIENCE)?;
    Ok(Wipe { log_size: cluster.client_of(0)?.status()?.log_size, level_after_seconds: level })
}

/// The client's process.
struct LoadProcess {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl LoadProcess {
    /// Starts it, and waits until it has signed everything.
    fn start(order: &Order) -> Result<Self, Failure> {
        let program = std::env::current_exe().doing(|| "cannot find this program's own file".to_owned())?;
        let mut child = Command::new(program)
            .args(["bench", "load"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .doing(|| "cannot start the load's process".to_owned())?;
        let stdout = child.stdout.take().ok_or_else(|| Failure::error("the load's process has no output"))?;
        let mut process = Self { child, lines: BufReader::new(stdout).lines() };
        process.tell(&serde_json::to_string(order).map_err(Failure::error)?)?;
        process.hear()?;
        Ok(process)
    }

    fn tell(&mut self, text: &str) -> Done {
        let input = self.child.stdin.as_mut().ok_or_else(|| Failure::error("the load's process has no input"))?;
        writeln!(input, "{text}").doing(|| "the load's process went away".to_owned())
    }

    fn hear(&mut self) -> Result<String, Failure> {
        let line = self.lines.next().and_then(Result::ok);
        line.ok_or_else(|| Failure::error("the load's process failed; what it said stands above"))
    }

    /// Starts the clock.
    fn go(&mut self) -> Done {
        self.tell("go")
    }

    /// Ends the load before its time.
    fn end(&mut self) -> Done {
        self.tell("end")
    }

    /// Waits for the end.
    fn findings(&mut self) -> Result<Findings, Failure> {
        let text = self.hear()?;
        serde_json::from_str(&text).doing(|| "the load's process gave no findings".to_owned())
    }
}

impl Drop for LoadProcess {
    fn drop(&mut self) {
        // It has nothing to lose, and must not outlive its network.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
