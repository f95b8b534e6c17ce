//! `tally bench join`: a fifth organisation and its validator are admitted by vote while the network works. What does it cost?

use crate::{
    bench::{
        LoadProcess,
        cluster::Cluster,
        load::{Findings, Order},
        sleep,
        watch::{Watch, Watched},
    },
    output::{Colour, Doing, Done, Failure, Table, json, line, paint, say, thousands},
    sandbox::{layout::Newcomer, process::NodeProcess, signal::Stop},
};
use clap::Args;
use serde::Serialize;
use std::{
    thread,
    time::{Duration, Instant},
};
use tallystick_api::ValidatorsView;
use tallystick_client::Client;
use tallystick_protocol::{
    Change, FinalityCertificate, GenesisOrganisation, GenesisPrincipal, GenesisValidator, Hash, Particulars, Receipt,
    Roles, cbor,
    limits::{CERTIFICATE_BYTES_MAX, EPOCH_BLOCKS_MAX, EPOCH_BLOCKS_MIN},
};

/// Nodes before the fifth joins.
const NODES: usize = 4;
/// Who joins.
const NEWCOMER: (&str, &str) = ("harbour", "Harbour Authority");
/// The proposal's id.
const PROPOSAL: &str = "admit-harbour";
/// How long the network works before anything is proposed, and after the fifth has begun to vote.
const CALM: Duration = Duration::from_secs(10);
/// Pause between two looks at who certifies.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// What counts as around the hand-over, before and after its first block.
const AROUND: Duration = Duration::from_secs(10);
/// Receipts of acknowledged transactions that are fetched from the fifth node and checked.
const RECEIPTS: usize = 100;
/// The longest gap between final blocks that is borne.
const GAP_MS_BAR: f64 = 3_000.0;

/// Measure what it costs to admit a fifth validator under load
#[derive(Debug, Args)]
#[command(
    after_help = "Starts a fresh network of four, keeps a load on it, admits an organisation and its validator by one \
    proposal and the others' ballots, starts the newcomer's node, and waits until it votes. Then every transaction that was told to be \
    final is looked for on every node, and receipts are fetched from the newcomer and checked.\n\n\
    Exit codes: 0 nothing is lost and the fifth votes; 1 otherwise.\n\n\
    Examples:\n  \
    tally bench join\n  \
    tally bench join --per-second 0            as much load as the machine bears"
)]
pub struct Join {
    /// Blocks of an epoch: two of them pass until the fifth votes
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(EPOCH_BLOCKS_MIN..=EPOCH_BLOCKS_MAX))]
    epoch_blocks: u64,
    /// Transactions handed in per second; 0 for as many as the network takes
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    per_second: u64,
    /// Transactions handed in and not yet final, at most
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    in_flight: usize,
    /// Seconds until the fifth must vote
    #[arg(long, value_name = "SECONDS", default_value_t = 240, value_parser = clap::value_parser!(u64).range(30..=500))]
    within: u64,
    /// The first port
    #[arg(long, value_name = "PORT", default_value_t = 18_080)]
    base_port: u16,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether it was built for speed.
    optimised: bool,
    epoch_blocks: u64,
    /// Transactions that became final per second while the load lasted.
    committed_per_second: f64,
    /// Transactions that the network told to be final.
    acknowledged: u64,
    /// Of those, missing on any node afterwards.
    lost: u64,
    /// Whether the newcomer's log is the others'.
    same_log: bool,
    /// Receipts fetched from the newcomer that hold from `network.json`, hand-over included.
    receipts_held: usize,
    /// The longest time between two final blocks: within [`AROUND`] of the hand-over, and from beginning to end.
    gap_around_ms: f64,
    gap_longest_ms: f64,
    /// The first block that five validators certify.
    hand_over_height: u64,
    /// Seconds from when the proposal took effect until the fifth was seen to vote.
    votes_after_seconds: f64,
    /// Final blocks since then, how many the fifth proposed, and how many certificates hold its signature.
    blocks_since: u64,
    proposed: u64,
    signed: u64,
}

impl Join {
    /// Runs the command.
    pub fn run(&self) -> Done {
        let stop = Stop::on_signals()?;
        let place = tempfile::Builder::new()
            .prefix("tally-bench-")
            .tempdir()
            .doing(|| "cannot make a temporary folder".to_owned())?;
        say(format_args!("starting {NODES} nodes in {}", place.path().display()));
        let mut cluster = Cluster::start(place.path(), NODES, self.base_port, self.epoch_blocks, 100)?;
        let measured = self.measure(&mut cluster, &stop);
        cluster.stop_all()?;
        let report = measured?;
        if self.json {
            json(&report)?;
        } else {
            report.print()?;
        }
        if report.is_sound() { Ok(()) } else { Err(Failure::Said) }
    }

    fn measure(&self, cluster: &mut Cluster, stop: &Stop) -> Result<Report, Failure> {
        let order = self.order(cluster);
        say(format_args!("signing {} transactions", order.transactions));
        let mut load = LoadProcess::start(&order)?;
        let watch = Watch::start(cluster.client_of(0)?)?;
        load.go()?;
        sleep(CALM, stop)?;
        let newcomer = cluster.layout.newcomer(NEWCOMER.0, NEWCOMER.1)?;
        say(format_args!("{} is put to the vote", NEWCOMER.1));
        admit(cluster, &newcomer)?;
        let decided = Instant::now();
        cluster.nodes.push(Some(NodeProcess::start(&newcomer.place.config, &newcomer.place.log)?));
        cluster.layout.nodes.push(newcomer.place.clone());
        let view = self.wait_for_vote(cluster, &newcomer, stop)?;
        let votes_after_seconds = decided.elapsed().as_secs_f64();
        say(format_args!("it votes since block {}", view.current.from_height));
        sleep(CALM, stop)?;
        load.end()?;
        let findings = load.findings()?;
        // Blocks of the drain are over too.
        let watched = watch.stop();
        say("looking for every transaction on every node");
        let report = look(cluster, &newcomer, &view, watched, &findings)?;
        Ok(Report { epoch_blocks: self.epoch_blocks, votes_after_seconds, ..report })
    }

    fn order(&self, cluster: &Cluster) -> Order {
        // Without a bound of its own the load is bounded by what is signed for it.
        const UNBOUNDED_PER_SECOND: u64 = 4_000;
        let per_second = (self.per_second > 0).then_some(self.per_second);
        let seconds = self.within + 2 * CALM.as_secs();
        let transactions = per_second.unwrap_or(UNBOUNDED_PER_SECOND).saturating_mul(seconds);
        Order {
            nodes: cluster.layout.nodes.iter().map(crate::sandbox::layout::NodePlace::url).collect(),
            network: cluster.layout.genesis.id(),
            keys: cluster.keys.clone(),
            transactions: usize::try_from(transactions).unwrap_or(usize::MAX),
            batch: 100,
            in_flight: self.in_flight,
            seconds,
            per_second,
        }
    }

    /// Waits until the newcomer's validator is in the set of this epoch, and its node says that it votes.
    fn wait_for_vote(&self, cluster: &Cluster, newcomer: &Newcomer, stop: &Stop) -> Result<ValidatorsView, Failure> {
        let (others, fifth) = (cluster.client_of(0)?, Client::new([newcomer.place.url()])?);
        let (key, begun) = (hex::encode(newcomer.validator), Instant::now());
        while begun.elapsed() < Duration::from_secs(self.within) {
            sleep(LOOK_AGAIN, stop)?;
            let view = others.validators()?.value;
            if view.current.contains(&key) && fifth.status().is_ok_and(|status| status.voting && status.ready) {
                return Ok(view);
            }
        }
        let lines = crate::sandbox::process::tail(&newcomer.place.log, 12).join("\n  ");
        Err(Failure::error(format!(
            "the newcomer does not vote after {} s: give it more with --within, or shorter epochs with --epoch-blocks; its log ends:\n  {lines}",
            self.within
        )))
    }
}

/// Has the network admit the organisation and its validator.
fn admit(cluster: &Cluster, newcomer: &Newcomer) -> Done {
    let (id, name) = (NEWCOMER.0.to_owned(), NEWCOMER.1.to_owned());
    let administrator = GenesisPrincipal::person("administrator", Roles::administrator(), newcomer.administrator);
    let address = newcomer.place.listen.to_string();
    let validator = GenesisValidator { organisation: id.clone(), key: newcomer.validator, address };
    let changes = vec![
        Change::OrganisationAdmit {
            organisation: GenesisOrganisation {
                id,
                name,
                particulars: Particulars::default(),
                principals: vec![administrator],
            },
        },
        Change::Validators { add: vec![validator], remove: Vec::new() },
    ];
    cluster.decree(PROPOSAL, changes)
}

/// Looks for everything that was acknowledged, on every node.
fn look(
    cluster: &Cluster,
    newcomer: &Newcomer,
    view: &ValidatorsView,
    watched: Watched,
    findings: &Findings,
) -> Result<Report, Failure> {
    let first = cluster.client_of(0)?;
    let mut missing: Vec<Hash> = Vec::new();
    for index in 1..NODES {
        missing.extend(watched.missing_on(&cluster.client_of(index)?)?);
    }
    missing.sort_unstable();
    missing.dedup();
    let fifth = Client::new([newcomer.place.url()])?;
    let hand_over_height = view.current.from_height;
    let (blocks_since, proposed, signed) = part_of(&first, view, newcomer, watched.last_height())?;
    Ok(Report {
        optimised: !cfg!(debug_assertions),
        epoch_blocks: 0,
        committed_per_second: findings.finalised as f64 / watched.seconds().max(1.0),
        acknowledged: watched.ids().count() as u64,
        lost: missing.len() as u64,
        same_log: same_log(&first, &fifth)?,
        receipts_held: receipts_held(cluster, &fifth, &watched)?,
        gap_around_ms: watched.longest_gap_ms(Some((hand_over_height, AROUND))),
        gap_longest_ms: watched.longest_gap_ms(None),
        hand_over_height,
        votes_after_seconds: 0.0,
        blocks_since,
        proposed,
        signed,
    })
}

/// Final blocks since the hand-over, those that the newcomer proposed, and the certificates that hold its signature.
fn part_of(client: &Client, view: &ValidatorsView, newcomer: &Newcomer, last: u64) -> Result<(u64, u64, u64), Failure> {
    let key = hex::encode(newcomer.validator);
    let place = view.current.validators.iter().position(|validator| validator.key == key);
    let (mut blocks, mut proposed, mut signed) = (0, 0, 0);
    for height in view.current.from_height..=last {
        let Some(block) = client.block(height)? else { break };
        blocks += 1;
        proposed += u64::from(block.value.leader == key);
        let bytes = block.value.certificate.and_then(|text| hex::decode(text).ok());
        let certificate =
            bytes.and_then(|bytes| cbor::decode::<FinalityCertificate>(&bytes, CERTIFICATE_BYTES_MAX).ok());
        let signers = certificate.into_iter().flat_map(|certificate| certificate.signatures);
        signed += u64::from(signers.into_iter().any(|(index, _)| usize::try_from(index).ok() == place));
    }
    Ok((blocks, proposed, signed))
}

/// Whether two nodes have the same log at the same height. Blocks come meanwhile, so that they are asked until they meet.
fn same_log(one: &Client, other: &Client) -> Result<bool, Failure> {
    for _ in 0..100 {
        let (one, other) = (one.status()?, other.status()?);
        if one.height == other.height {
            return Ok(one.log_root == other.log_root && one.state_root == other.state_root);
        }
        thread::sleep(LOOK_AGAIN);
    }
    Ok(false)
}

/// How many receipts of acknowledged transactions, from beginning to end, the newcomer gives that hold.
fn receipts_held(cluster: &Cluster, fifth: &Client, watched: &Watched) -> Result<usize, Failure> {
    let ids: Vec<&Hash> = watched.ids().collect();
    let mut held = 0;
    for id in ids.iter().step_by((ids.len() / RECEIPTS).max(1)).take(RECEIPTS) {
        let receipt = Receipt::decode(&fifth.transaction_receipt(id)?).map_err(Failure::error)?;
        held += usize::from(receipt.check(&cluster.layout.genesis).is_ok());
    }
    Ok(held)
}

impl Report {
    fn is_sound(&self) -> bool {
        self.lost == 0 && self.same_log && self.signed > 0 && self.receipts_held > 0
    }

    fn print(&self) -> Done {
        if !self.optimised {
            line(paint(Colour::Yellow, "this is a build for debugging: its figures mean nothing"))?;
        }
        let mut table = Table::new(&["figure", "value"]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        let bar = |ms: f64| format!("{:.2} s", ms / 1_000.0);
        row("blocks of an epoch", thousands(self.epoch_blocks));
        row("committed", format!("{:.0} tx/s", self.committed_per_second));
        row("told to be final", thousands(self.acknowledged));
        row("lost", thousands(self.lost));
        row("the fifth has the same log and state", (if self.same_log { "yes" } else { "no" }).to_owned());
        row("receipts from the fifth that hold", thousands(self.receipts_held as u64));
        row("longest gap between final blocks, 10 s around the hand-over", bar(self.gap_around_ms));
        row("longest gap, from beginning to end", bar(self.gap_longest_ms));
        row("five certify from block", thousands(self.hand_over_height));
        row("the fifth votes after the proposal took effect", format!("{:.0} s", self.votes_after_seconds));
        row("blocks since", thousands(self.blocks_since));
        row("  proposed by the fifth", thousands(self.proposed));
        row("  certificates with its signature", thousands(self.signed));
        table.print()?;
        if self.gap_around_ms > GAP_MS_BAR {
            line(format_args!("the gap is longer than {} s", GAP_MS_BAR / 1_000.0))?;
        }
        Ok(())
    }
}
