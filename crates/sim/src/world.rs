//! A run: the world of one seed from its first start to the last check.
//!
//! ```text
//! start ─▶ faults ─▶ power loss ─▶ start ─▶ faults ─▶ peace ─▶ progress? ─▶ stop clients ─▶ check everything
//! ```

use crate::{
    chance::Chance,
    checkers::{
        Broken,
        agreement::{Agreement, Databases},
        authority::{self, Rows},
        durability::{Durability, Told},
        erasure,
        exactly_once::{self, Entries},
        innocence, progress,
        receipts::Receipts,
        secrecy,
    },
    client::{Client, Hostile},
    errands::{erase, share},
    faults::Hosts,
    machine::{Blindings, Leap, Machine},
    members::Members,
    node::{Door, Life},
    plan::{Errand, Event, Fault, Plan, PowerLoss, Segment},
};
use bytes::Bytes;
use commonware_p2p::simulated::{Config, Network};
use commonware_runtime::{
    Clock as _, Handle, Spawner as _, Supervisor as _,
    deterministic::{self, FaultConfig, PartialWriteMode, Runner, WriteConfig},
};
use commonware_utils::{NZUsize, Probability};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tallystick_node::{engine, service::Service};
use tallystick_protocol::{EntryKind, Hash, LogEntry, Recovery, SignedTransaction, StateKey, Subject};
use tallystick_storage::{
    read::Reader,
    vault::{Drawer, Vault, VaultKey},
};

/// When every simulated world begins: Unix seconds.
const START_S: u64 = 1_790_000_000;
/// How often the world looks around.
const GLANCE: Duration = Duration::from_millis(250);
/// Longest wait for something that has no bound of its own.
const WAIT: Duration = Duration::from_secs(60);
/// The number of the client that changes the validators.
const REFORMER: usize = 1_000;
/// The numbers of those on errands, from this one.
const ERRANDS: usize = 2_000;
/// Signed transactions kept for those who replay.
const REPLAYS_MAX: usize = 500;

/// What a run that kept every promise was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Height at the end.
    pub height: u64,
    /// Transactions in the log.
    pub transactions: usize,
    /// Transactions that clients were told are final.
    pub told: usize,
    /// Receipts given and checked.
    pub receipts: usize,
    /// Those of them that lead through a hand-over between validators, by the node that gave them.
    pub led: BTreeMap<usize, usize>,
    /// Those that say that the network was recovered, by the node that gave them.
    pub recovered: BTreeMap<usize, usize>,
    /// Seconds that passed in the world.
    pub seconds: u64,
    /// Digest of everything that happened, in its order.
    pub auditor: String,
    /// What went wrong, and when.
    pub trace: Vec<String>,
}

/// A run that broke a promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}: {broken}")]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What broke.
    pub broken: Broken,
    /// What happened before.
    pub trace: Vec<String>,
}

/// What is seen in a run, by checkers and clients. Outlives every power loss.
#[derive(Default)]
pub struct Seen {
    /// Blocks.
    pub agreement: Agreement,
    /// Answers.
    pub durability: Durability,
    /// Receipts.
    pub receipts: Receipts,
    signed: BTreeSet<Hash>,
    replays: Vec<Bytes>,
    recoveries: Vec<Recovery>,
    unanswered: BTreeMap<usize, SignedTransaction>,
    done: BTreeSet<String>,
    broken: Option<Broken>,
    trace: Vec<String>,
    now: Option<SystemTime>,
    blindings: Blindings,
    /// Who is on an errand.
    away: Vec<Errand>,
    stopping: bool,
    probed: bool,
}

/// What is seen, shared by all who see.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Seen>>);

impl Record {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows something to the checkers.
    pub fn check(&self, look: impl FnOnce(&mut Seen) -> Result<(), Broken>) {
        let mut seen = self.lock();
        if let Err(broken) = look(&mut seen) {
            seen.broken.get_or_insert(broken);
        }
    }

    /// A promise is broken. The first one counts.
    pub fn broken(&self, broken: Broken) {
        self.lock().broken.get_or_insert(broken);
    }

    /// Something worth telling when the run fails.
    pub fn note(&self, what: String) {
        let mut seen = self.lock();
        let passed = seen.now.and_then(|now| now.duration_since(UNIX_EPOCH + Duration::from_secs(START_S)).ok());
        let line = format!("{:>9.3} s  {what}", passed.unwrap_or_default().as_secs_f64());
        tracing::info!("{line}");
        seen.trace.push(line);
    }

    /// A client made this.
    pub fn signed_by_client(&self, transaction: &SignedTransaction) {
        let mut seen = self.lock();
        seen.signed.insert(transaction.id());
        if seen.replays.len() < REPLAYS_MAX {
            seen.replays.push(transaction.bytes().clone());
        }
    }

    /// Something a client made before, if anything.
    pub fn any_signed(&self, number: u64) -> Option<Bytes> {
        let seen = self.lock();
        let count = seen.replays.len() as u64;
        seen.replays.get(usize::try_from(number.checked_rem(count)?).ok()?).cloned()
    }

    /// What a client waits for; none when it was answered.
    pub fn set_unanswered(&self, client: usize, transaction: Option<SignedTransaction>) {
        let mut seen = self.lock();
        match transaction {
            Some(transaction) => seen.unanswered.insert(client, transaction),
            None => seen.unanswered.remove(&client),
        };
    }

    /// What a client waited for when the power was lost.
    pub fn unanswered(&self, client: usize) -> Option<SignedTransaction> {
        self.lock().unanswered.get(&client).cloned()
    }

    /// The organisations recovered the network.
    pub fn recovered(&self, recovery: &Recovery) {
        self.lock().recoveries.push(recovery.clone());
    }

    /// A client was told that a transaction expired.
    pub fn told_expired(&self, id: Hash) {
        self.lock().durability.told_expired(id);
    }

    /// Remembers that something need not be done again.
    pub fn done(&self, what: &str) {
        self.lock().done.insert(what.to_owned());
    }

    /// Whether that was remembered.
    pub fn is_done(&self, what: &str) -> bool {
        self.lock().done.contains(what)
    }

    /// Whether clients should end.
    pub fn is_stopping(&self) -> bool {
        let seen = self.lock();
        seen.stopping || seen.broken.is_some()
    }

    /// Somebody is back from an errand.
    pub fn is_back(&self, errand: Errand) {
        self.note(format!("back from {errand:?}"));
        let mut seen = self.lock();
        let place = seen.away.iter().position(|away| *away == errand);
        place.map(|place| seen.away.remove(place));
    }

    /// The time of a block that was seen, in Unix milliseconds.
    pub fn time_ms(&self, height: u64) -> Option<u64> {
        self.lock().agreement.header(height).map(|header| header.time_ms)
    }

    /// The blindings that are looked for.
    pub fn blindings(&self) -> Blindings {
        self.lock().blindings.clone()
    }

    fn is_broken(&self) -> bool {
        self.lock().broken.is_some()
    }

    fn height(&self) -> u64 {
        self.lock().agreement.height()
    }
}

/// The id of a transaction that a node signed.
fn signed_by_node(entry: &LogEntry) -> Option<Hash> {
    let transaction = SignedTransaction::decode(entry.transaction.clone()).ok()?;
    transaction.principal().name().starts_with("node").then(|| transaction.id())
}

/// Runs a seed's plan.
pub fn run(seed: u64) -> Result<Report, Failure> {
    run_plan(&Plan::new(seed))
}

impl Plan {
    /// Runs it, and stops with all that happened where a promise is broken: for tests.
    ///
    /// # Panics
    /// When a promise is broken.
    pub fn keeps(&self) -> Report {
        run_plan(self).unwrap_or_else(|failure| panic!("{failure}\n{}", failure.trace.join("\n")))
    }
}

impl Report {
    /// The number that stands before these words in a line of the trace, in each such line.
    pub fn counted(&self, words: &str) -> Vec<u64> {
        let number = |line: &String| line.split_once(words)?.0.split_whitespace().next_back()?.parse().ok();
        self.trace.iter().filter_map(number).collect()
    }
}

/// Runs a plan.
pub fn run_plan(plan: &Plan) -> Result<Report, Failure> {
    let mut members = Members::new(plan.seed, plan.validators, plan.followers, START_S * 1000);
    let events = || plan.segments.iter().flat_map(|segment| &segment.events);
    let shares =
        [Errand::Share, Errand::Reshape, Errand::Retain, Errand::SeverShared, Errand::Permit].map(Fault::Errand);
    members.shares = events().any(|event| shares.contains(&event.fault));
    let seals = [Errand::Erase, Errand::Order, Errand::Away, Errand::Sever].map(Fault::Errand);
    members.seals = events().any(|event| seals.contains(&event.fault));
    let record = Record::default();
    record.note(format!("{} nodes, criminal {:?}, links {:?} ms", plan.validators, plan.criminal, plan.delay_ms));
    let stage = Stage { plan: plan.clone(), members, record: record.clone(), leap: Leap::default() };
    // A node stops loudly when its disk or its code is broken: here that is a finding like any other.
    let ran = catch_unwind(AssertUnwindSafe(|| stage.run()));
    let mut seen = record.lock();
    let trace = std::mem::take(&mut seen.trace);
    let broken = match ran {
        Ok(report) => match seen.broken.take() {
            None => return Ok(Report { trace, ..report }),
            Some(broken) => broken,
        },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Broken::new("no node stops by itself", text.unwrap_or_else(|| "a panic".to_owned()))
        }
    };
    Err(Failure { seed: plan.seed, broken, trace })
}

#[derive(Clone)]
struct Stage {
    plan: Plan,
    members: Members,
    record: Record,
    leap: Leap,
}

impl Stage {
    fn run(&self) -> Report {
        let start = UNIX_EPOCH + Duration::from_secs(START_S);
        let config = deterministic::Config::default().with_seed(self.plan.seed).with_start_time(start);
        let mut runner = Runner::new(config);
        let mut lives: Vec<Life> = (0..self.plan.validators + self.plan.followers)
            .map(|node| Life { node, disks_lost: 0, starts: 0, recovery: None })
            .collect();
        let mut ended = None;
        for (index, segment) in self.plan.segments.iter().enumerate() {
            let (outcome, checkpoint) =
                runner.start_and_recover(|world| self.live(world, index as u64, segment, lives.clone()));
            lives = outcome.lives;
            ended = Some((outcome.time, checkpoint.auditor().state()));
            if self.record.is_broken() {
                break;
            }
            runner = Runner::from(checkpoint);
        }
        let (time, auditor) = ended.expect("a plan has segments");
        let seen = self.record.lock();
        Report {
            seed: self.plan.seed,
            height: seen.agreement.height(),
            transactions: seen.agreement.header(seen.agreement.height()).map_or(0, |header| header.log.size as usize),
            told: seen.durability.count(),
            receipts: seen.receipts.count(),
            led: seen.receipts.led(),
            recovered: seen.receipts.recovered(),
            seconds: time.duration_since(start).unwrap_or_default().as_secs(),
            auditor,
            trace: Vec::new(),
        }
    }

    /// One segment: from a start of the world until its power is lost, or peace.
    async fn live(&self, world: deterministic::Context, index: u64, segment: &Segment, lives: Vec<Life>) -> Ended {
        *world.storage_fault_config().write() = segment.power_loss.map_or_else(FaultConfig::default, fault_config);
        let (network, oracle) = Network::new_with_peers(
            world.child("network"),
            Config {
                max_size: engine::message_bytes_max(),
                max_peers_per_set: NZUsize!(16),
                disconnect_on_block: true,
                tracked_peer_sets: NZUsize!(4),
            },
            self.members.keys(),
        )
        .await;
        network.start();
        let clock = world.child("clock");
        let record = self.record.clone();
        world.child("glance").spawn(move |_| async move {
            loop {
                record.lock().now = Some(clock.current());
                clock.sleep(Duration::from_millis(10)).await;
            }
        });
        // Who was on an errand when the power was lost does not come back.
        self.record.lock().away.clear();
        let mut hosts =
            Hosts::new(&world, &oracle, (&self.plan, &self.members, &self.record), (lives, self.leap.clone()));
        if self.members.shares || self.members.seals {
            hosts.watch();
        }
        hosts.start_all().await;
        let clients = self.clients(&world, index, &hosts);
        self.play(&world, &mut hosts, segment).await;
        if let Some(power_loss) = segment.power_loss {
            self.record.note(format!("{power_loss:?}"));
        } else {
            self.settle(&world, &hosts, clients).await;
            let blocked = oracle.blocked().await.expect("the network runs");
            let place = |key| self.members.keys().iter().position(|other| *other == key).unwrap_or(usize::MAX);
            let blocked: Vec<_> = blocked.into_iter().map(|(from, to)| (place(from), place(to))).collect();
            if self.members.shares {
                self.check_shared(&world, &hosts).await;
            }
            if self.members.seals && !self.record.is_broken() {
                self.check_erased(&world, &hosts).await;
            }
            self.record.check(|_| innocence::check(&blocked, self.plan.criminal.map(|(node, _)| node)));
        }
        Ended { lives: hosts.lives.clone(), time: world.current() }
    }

    fn client(&self, world: &deterministic::Context, hosts: &Hosts<'_>, organisation: usize, luck: u64) -> Client {
        Client {
            world: world.child("client"),
            leap: self.leap.clone(),
            doors: hosts.honest().map(|node| (node, hosts.doors[node].clone())).collect(),
            members: self.members.clone(),
            record: self.record.clone(),
            wires: hosts.wires.clone(),
            organisation,
            chance: Chance::new(self.plan.seed, luck),
        }
    }

    fn clients(&self, world: &deterministic::Context, index: u64, hosts: &Hosts<'_>) -> Vec<Handle<()>> {
        let luck = 1_000 * (index + 1);
        let mut handles: Vec<Handle<()>> = (0..2)
            .map(|number| {
                let client = self.client(world, hosts, number, luck + number as u64);
                world.child("client").spawn(move |_| client.work())
            })
            .collect();
        if self.plan.hostile_client {
            let hostile = Hostile(self.client(world, hosts, 2, luck + 2));
            handles.push(world.child("hostile").spawn(move |_| hostile.work()));
        }
        handles
    }

    /// Lets every fault of the segment begin and end in its time.
    async fn play(&self, world: &deterministic::Context, hosts: &mut Hosts<'_>, segment: &Segment) {
        let start = world.current();
        let mut moments: Vec<(Duration, bool, &Event)> = segment
            .events
            .iter()
            .flat_map(|event| [(event.at, true, event), (event.at + event.lasts, false, event)])
            .collect();
        moments.sort_by_key(|(at, begins, _)| (*at, *begins));
        for (at, begins, event) in moments {
            world.sleep_until(start + at).await;
            if self.record.is_broken() {
                return;
            }
            if begins {
                hosts.begin(event).await;
                self.send(world, hosts, &event.fault);
            } else {
                hosts.end(event).await;
            }
        }
        world.sleep_until(start + segment.lasts).await;
    }

    /// Sends somebody to do what is no fault.
    fn send(&self, world: &deterministic::Context, hosts: &Hosts<'_>, fault: &Fault) {
        match fault {
            Fault::Reform { add, remove } => {
                let client = self.client(world, hosts, REFORMER, 77);
                let (add, remove) = (add.clone(), remove.clone());
                world.child("reform").spawn(move |_| client.reform(add, remove));
            }
            Fault::Errand(errand) => {
                let number = ERRANDS + *errand as usize;
                let client = self.client(world, hosts, number, number as u64);
                self.record.lock().away.push(*errand);
                let errand = *errand;
                world.child("errand").spawn(move |_| client.go(errand));
            }
            _ => {}
        }
    }

    /// After the last fault: finality must return, and then everything must be as promised.
    async fn settle(&self, world: &deterministic::Context, hosts: &Hosts<'_>, clients: Vec<Handle<()>>) {
        let (from, since) = (self.record.height(), world.current());
        self.record.note(format!("all faults have ended at height {from}"));
        let (probe, record) = (self.client(world, hosts, 3, 9), self.record.clone());
        let probe = world.child("probe").spawn(move |_| async move {
            if probe.probe().await {
                record.lock().probed = true;
            }
        });
        loop {
            if self.record.is_broken() {
                return;
            }
            let heights = heights(hosts).await;
            let (probed, away) = {
                let seen = self.record.lock();
                (seen.probed, seen.away.clone())
            };
            let reached: Option<Vec<u64>> = heights.iter().map(|(_, height)| *height).collect();
            let has_returned = reached.is_some_and(|reached| progress::has_returned(from, &reached, probed));
            if has_returned && away.is_empty() {
                break;
            }
            let bound = if has_returned { progress::ERRAND_BOUND } else { progress::BOUND };
            if world.current() > since + bound {
                return self.record.broken(progress::broken((from, bound), &heights, probed, &away));
            }
            world.sleep(GLANCE).await;
        }
        self.record.lock().stopping = true;
        let took = world.current().duration_since(since).unwrap_or_default();
        self.record.note(format!("finality returned in {} ms", took.as_millis()));
        for client in clients.into_iter().chain([probe]) {
            let _ = client.await;
        }
        self.check_all(world, hosts).await;
    }

    /// Whether the members of the partition come to the same state, and nobody else to know of it.
    async fn check_shared(&self, world: &deterministic::Context, hosts: &Hosts<'_>) {
        let since = world.current();
        let events = || self.plan.segments.iter().flat_map(|segment| &segment.events);
        let is_on = |errand| events().any(|event| event.fault == Fault::Errand(errand));
        // Those who are members at the end, and those who ever were.
        let (members, all): (&[usize], &[usize]) = match () {
            () if is_on(Errand::Reshape) => (&share::REMAINING, &share::EVER),
            () if is_on(Errand::SeverShared) => (&share::EVER, &share::EVER),
            () => (&share::MEMBERS, &share::MEMBERS),
        };
        loop {
            let mut standings = Vec::new();
            for node in 0..hosts.doors.len() {
                let asked = hosts.doors[node].ask(|service| async move { service.partition_here(share::PARTITION) });
                standings.push(asked.await.flatten());
            }
            let is_members = |node: &usize| members.contains(node);
            let (of_members, of_others): (Vec<usize>, Vec<usize>) = (0..standings.len()).partition(is_members);
            if of_others.into_iter().any(|node| standings[node].is_some()) {
                return self.record.broken(Broken::new("secrecy", format!("others hold it: {standings:?}")));
            }
            let first = &standings[of_members[0]];
            let is_same = of_members.iter().all(|node| standings[*node] == *first);
            if is_same && first.as_ref().is_some_and(|standing| standing.executed > 0) {
                break;
            }
            if world.current() > since + WAIT {
                return self.record.broken(Broken::new("agreement", format!("members differ: {standings:?}")));
            }
            world.sleep(GLANCE).await;
        }
        self.check_sealed(world, hosts, members).await;
        let found = hosts.found();
        self.record.check(|_| secrecy::check(&found, all));
        self.record.note(format!("{} blindings were looked for", self.record.blindings().count()));
        let given = hosts.handed();
        self.record.note(format!("parcels were given in {} messages", given.len()));
        self.record.note(format!("{} parcels were asked for again", hosts.asked_again()));
        self.record.check(|_| secrecy::check_given(&given, all));
    }

    /// Whether every member's node keeps what is sealed in the partition, and none what was never ordered, or is erased.
    async fn check_sealed(&self, world: &deterministic::Context, hosts: &Hosts<'_>, members: &[usize]) {
        let since = world.current();
        for node in members {
            let keys = self.members.vault(*node).expect("a member's node has a vault");
            let key = VaultKey::from_bytes(keys.sealing.vault_key());
            loop {
                let vault = Vault::open(world.child("search"), &hosts.lives[*node].prefix(""), &key).await;
                let vault = vault.expect("it is the node's own");
                let count = async |drawer: Drawer| vault.all(&drawer).await.expect("it can be read").len();
                let counts = [count(share::sealed::kept()).await, count(share::sealed::never()).await];
                let mut erased = Vec::new();
                for drawer in share::erase::erased().chain(share::retain::erased()).chain(share::sever::erased()) {
                    erased.push((format!("{drawer:?}"), count(drawer).await));
                }
                let vaulted = erasure::Vaulted { node: *node, erased, kept: counts[0] };
                if counts[1] == 0 && erasure::check(&[vaulted], &[]).is_ok() {
                    self.record.note(format!("node {node} keeps what is sealed in the partition"));
                    break;
                }
                if world.current() > since + WAIT {
                    let what = format!(
                        "node {node} keeps {counts:?} of what is sealed, and was never ordered; or what is erased"
                    );
                    return self.record.broken(Broken::new("secrecy", what));
                }
                world.sleep(GLANCE).await;
            }
        }
    }

    /// Whether holders have nothing of what is erased, and what is not.
    async fn check_erased(&self, world: &deterministic::Context, hosts: &Hosts<'_>) {
        let mut vaults = Vec::new();
        for node in erase::HOLDERS {
            let Some(keys) = self.members.vault(node) else { continue };
            let key = VaultKey::from_bytes(keys.sealing.vault_key());
            let vault = Vault::open(world.child("search"), &hosts.lives[node].prefix(""), &key).await;
            let vault = vault.expect("it is the node's own");
            let count = async |subject: &Subject| {
                vault.all(&Drawer::public(subject.clone())).await.expect("it can be read").len()
            };
            let mut erased = Vec::new();
            for subject in erase::erased() {
                erased.push((subject.to_string(), count(&subject).await));
            }
            vaults.push(erasure::Vaulted { node, erased, kept: count(&erase::kept()).await });
        }
        let found = hosts.found();
        self.record.note(format!("{} blindings were looked for", self.record.blindings().count()));
        self.record.check(|_| erasure::check(&vaults, &found));
    }

    /// Looks into every honest node.
    async fn check_all(&self, world: &deterministic::Context, hosts: &Hosts<'_>) {
        let target = self.record.height();
        let registers = (0..self.plan.validators).map(|number| format!("register-{number}"));
        let registers: Vec<String> = registers.chain(erase::registers()).collect();
        for node in hosts.honest() {
            let inside = self.look(world, &hosts.doors[node], target, &registers).await;
            let Some(inside) = inside else {
                return self.record.broken(Broken::new("durability", format!("node {node} cannot be read")));
            };
            self.record.check(|seen| {
                // What nodes sign themselves no client made: they order what is private, and post its roots.
                seen.signed.extend(inside.log.iter().filter_map(signed_by_node));
                seen.agreement.stands(node, &inside.databases)?;
                seen.durability.check(node, &inside.told())?;
                let entries = exactly_once::check_log(node, &inside.log, &seen.signed)?;
                exactly_once::check_registers(node, &entries, &inside.entries)?;
                let (genesis, recoveries) = (&self.members.genesis, seen.recoveries.as_slice());
                authority::check(node, (genesis, recoveries), &inside.log_of_rows, &inside.rows)
            });
            if self.record.is_broken() {
                return;
            }
        }
        self.record.check(|seen| {
            seen.agreement.check_chain()?;
            seen.receipts.check(&self.members.genesis)
        });
    }

    /// Reads a node's databases once it stands at `target` or above.
    async fn look(
        &self,
        world: &deterministic::Context,
        door: &Door,
        target: u64,
        registers: &[String],
    ) -> Option<Inside> {
        let deadline = world.current() + WAIT;
        while world.current() < deadline {
            let height = door.ask(|service| async move { service.tip().header.height }).await;
            if height.is_some_and(|height| height >= target) {
                let (registers, record) = (registers.to_vec(), self.record.clone());
                return door.read(move |s, r, m| read(s, r, m, registers, record)).await.flatten();
            }
            world.sleep(GLANCE).await;
        }
        None
    }
}

struct Ended {
    lives: Vec<Life>,
    time: SystemTime,
}

/// What one node holds.
struct Inside {
    databases: Databases,
    log: Vec<LogEntry>,
    entries: Entries,
    /// The whole state, and the log up to its height, which may be greater than that of the databases above.
    rows: Rows,
    log_of_rows: Vec<LogEntry>,
}

impl Inside {
    fn told(&self) -> BTreeMap<Hash, Told> {
        let told = |(index, entry): (usize, &LogEntry)| {
            let told = Told { index: index as u64, height: entry.height, outcome: entry.outcome.clone() };
            (Hash::of(&[&entry.transaction]), told)
        };
        self.log.iter().enumerate().map(told).collect()
    }
}

async fn read(
    service: Service<Machine>,
    reader: Reader<Machine>,
    machine: Machine,
    registers: Vec<String>,
    record: Record,
) -> Option<Inside> {
    let (height, state_root) = reader.state_root().await.ok()?;
    let size = log_size(&service, &machine, &record, height).await?;
    let log_root = service.history().log().root_at(size);
    let mut log = Vec::new();
    for index in 0..size {
        log.push(service.log_entry(index).await.ok()??);
    }
    let mut entries = Entries::new();
    for register in registers {
        let count = service.history().register(&register).map_or(0, |register| register.count(EntryKind::User));
        for entry in service.entries(&register, EntryKind::User, 1..=count).await.ok()? {
            // Only what the log of that height holds: blocks go on while this reads.
            if entry.leaf < size {
                entries.entry((register.clone(), entry.key)).or_default().push(entry.number);
            }
        }
    }
    let (rows_height, rows) = reader.rows_after(StateKey([0; 32]), usize::MAX).await.ok()?;
    let rows = rows.into_iter().map(|(key, row)| (key, row.to_vec())).collect();
    let mut log_of_rows = log.clone();
    for index in size..log_size(&service, &machine, &record, rows_height).await? {
        log_of_rows.push(service.log_entry(index).await.ok()??);
    }
    Some(Inside { databases: Databases { height, state_root, log_root }, log, entries, rows, log_of_rows })
}

/// The size of the log at a height, once the node's index has come so far.
async fn log_size(service: &Service<Machine>, machine: &Machine, record: &Record, height: u64) -> Option<u64> {
    for _ in 0..100 {
        // The watcher hears of a block a moment after the databases have it.
        let size = record.lock().agreement.header(height).map(|header| header.log.size);
        if let Some(size) = size.filter(|size| service.history().size() >= *size) {
            return Some(size);
        }
        machine.sleep(Duration::from_millis(20)).await;
    }
    None
}

async fn heights(hosts: &Hosts<'_>) -> Vec<(usize, Option<u64>)> {
    let mut heights = Vec::new();
    for node in hosts.honest() {
        let height =
            hosts.doors[node].ask(|service| async move { service.is_ready().then(|| service.tip().header.height) });
        heights.push((node, height.await.flatten()));
    }
    heights
}

fn fault_config(power_loss: PowerLoss) -> FaultConfig {
    FaultConfig::default().write(WriteConfig {
        failure_rate: Probability::new(0, 100).expect("none"),
        retention_rate: Probability::new(power_loss.kept_percent.min(100), 100).expect("at most all"),
        mode: if power_loss.torn { PartialWriteMode::Subset } else { PartialWriteMode::Prefix },
    })
}
