//! Faults at work: which are on, and what they make of links, machines and processes.

use crate::{
    checkers::secrecy::Found,
    errands::{erase, share},
    machine::{Hardware, Leap, Said},
    members::{Member, Members},
    node::{Door, Life, Network, Start},
    plan::{Event, Fault, Plan},
    wires::Wires,
    world::Record,
};
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_runtime::{
    Blob as _, BlobVersion, Clock as _, Handle, ReadOptions, Storage as _, Supervisor as _, WriteOptions, deterministic,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};
use tallystick_node::parcels::{PrivateError, message::Message};
use tallystick_protocol::{Operation, ParcelId, PartlySignedTransaction, PrincipalId, Query};
use tallystick_storage::vault::{Drawer, Vault, VaultKey};

/// The nodes of one segment, and what is wrong with them.
pub struct Hosts<'a> {
    /// The world.
    pub world: &'a deterministic::Context,
    /// Its network.
    pub network: &'a Network,
    /// Its links.
    pub wires: Wires,
    /// What is planned.
    pub plan: &'a Plan,
    /// Who is who.
    pub members: &'a Members,
    /// What is seen.
    pub record: &'a Record,
    /// Where each node can be asked.
    pub doors: Vec<Door>,
    /// What outlives each node's process.
    pub lives: Vec<Life>,
    /// Time that passed at once.
    pub leap: Leap,
    hardware: Vec<Arc<Hardware>>,
    processes: Vec<Vec<Handle<()>>>,
    /// Faults that keep each node down.
    down: Vec<usize>,
    active: Vec<Fault>,
    /// Vaults as they once were, by node.
    old_vaults: BTreeMap<usize, Vec<File>>,
    /// What nodes once kept of partitions, and how much of it they had executed.
    old_rooms: BTreeMap<usize, (Vec<File>, u64)>,
}

/// A file of a disk.
struct File {
    partition: String,
    name: Vec<u8>,
    version: BlobVersion,
    bytes: Vec<u8>,
}

/// Of whatever version.
const ANY: RangeInclusive<BlobVersion> = BlobVersion::new(0)..=BlobVersion::new(u16::MAX);
/// Until what ran on a node has let go of its files.
const CLOSING: Duration = Duration::from_millis(20);
/// How long it may take until a node is asked to acknowledge something.
const VOUCHING: Duration = Duration::from_secs(20);

impl<'a> Hosts<'a> {
    /// Machines for nodes with these lives, all off.
    pub fn new(
        world: &'a deterministic::Context,
        network: &'a Network,
        (plan, members, record): (&'a Plan, &'a Members, &'a Record),
        (lives, leap): (Vec<Life>, Leap),
    ) -> Self {
        let (keys, delay_ms, loss_percent) = (members.keys().clone(), plan.delay_ms, plan.loss_percent);
        Self {
            world,
            network,
            wires: Wires { network: network.clone(), keys, delay_ms, loss_percent },
            plan,
            members,
            record,
            doors: lives.iter().map(|_| Door::default()).collect(),
            hardware: lives.iter().map(|_| Arc::new(Hardware::new(leap.clone()))).collect(),
            processes: lives.iter().map(|_| Vec::new()).collect(),
            down: lives.iter().map(|_| 0).collect(),
            lives,
            leap,
            active: Vec::new(),
            old_vaults: BTreeMap::new(),
            old_rooms: BTreeMap::new(),
        }
    }

    /// Starts every node.
    pub async fn start_all(&mut self) {
        self.relink().await;
        for node in 0..self.lives.len() {
            self.start(node).await;
        }
    }

    /// From now on looks for what only some may see in all that machines write and send.
    pub fn watch(&self) {
        let blindings = self.record.blindings();
        self.hardware.iter().for_each(|hardware| hardware.watch(&blindings));
    }

    /// What was found of it, by node.
    pub fn found(&self) -> Vec<Found> {
        let found = self.hardware.iter().map(|hardware| hardware.found());
        found.map(|[written, sent, bared]| Found { written, sent, bared }).collect()
    }

    /// The messages that gave parcels: which machine sent one to which.
    pub fn handed(&self) -> Vec<(usize, usize)> {
        let keys = self.members.keys();
        let place = |key: &PublicKey| keys.iter().position(|other| other == key).unwrap_or(usize::MAX);
        let gives = |message: &Message| matches!(message, Message::Deliver { .. } | Message::Fetched { .. });
        let of = |(from, hardware): (usize, &Arc<Hardware>)| -> Vec<(usize, usize)> {
            hardware.said(|said| said.iter().filter(|(_, what)| gives(what)).map(|(to, _)| (from, place(to))).collect())
        };
        self.hardware.iter().enumerate().flat_map(of).collect()
    }

    /// How many parcels are in more than one order that was handed to somebody to acknowledge.
    pub fn asked_again(&self) -> usize {
        let mut orders: BTreeMap<ParcelId, BTreeSet<Bytes>> = BTreeMap::new();
        for hardware in &self.hardware {
            hardware.said(|said| {
                for (_, message) in said {
                    let Message::Deliver { order: Some(bytes), .. } = message else { continue };
                    let Ok(order) = PartlySignedTransaction::decode(bytes.clone()) else { continue };
                    let parcels = order.intent().operations.iter().flat_map(|operation| match operation {
                        Operation::PrivateOrder { parcels, .. } => parcels.clone(),
                        _ => Vec::new(),
                    });
                    for parcel in parcels {
                        orders.entry(parcel.id).or_default().insert(bytes.clone());
                    }
                }
            });
        }
        orders.values().filter(|orders| orders.len() > 1).count()
    }

    /// A fault begins.
    pub async fn begin(&mut self, event: &Event) {
        self.record.note(format!("for {} ms: {:?}", event.lasts.as_millis(), event.fault));
        self.active.push(event.fault.clone());
        match &event.fault {
            Fault::Crash { node } | Fault::Forget { node } | Fault::LosePayloads { node } => self.stop(*node),
            Fault::Wipe { node } => {
                self.stop(*node);
                self.lives[*node].disks_lost += 1;
            }
            Fault::SlowDisk { node, ms } => self.hardware[*node].set_disk_delay_ms(*ms),
            Fault::NoState { node } => self.hardware[*node].set_state_cut(true),
            Fault::ClockJump { node, ms } => self.hardware[*node].set_clock_ahead_ms(*ms),
            Fault::Split { .. } | Fault::Lossy { .. } => self.relink().await,
            Fault::TimePasses { hours } => self.leap.pass(Duration::from_secs(hours * 3_600)),
            // The world sends somebody.
            Fault::Reform { .. } | Fault::Errand(_) => {}
            Fault::OldVault { node } => {
                let files = self.copy(self.vault_partitions(*node)).await;
                self.record.note(format!("the vault of node {node} had {} files", files.len()));
                self.old_vaults.insert(*node, files);
            }
            Fault::Recover { to } => self.recover(to).await,
            Fault::CrashVouching { node } => {
                self.vouched(*node).await;
                self.stop(*node);
            }
            Fault::Withhold { node } => self.hardware[*node].set_withholding(true),
            Fault::ShutRooms { node } => {
                self.stop(*node);
                self.world.sleep(CLOSING).await;
                self.hardware[*node].set_shutting_rooms(true);
                self.come_back(*node).await;
            }
            Fault::OldRooms { node } => {
                let executed = self.executed(*node).await;
                self.stop(*node);
                self.world.sleep(CLOSING).await;
                let files = self.copy(self.rooms(*node)).await;
                self.old_rooms.insert(*node, (files, executed));
                self.come_back(*node).await;
            }
        }
    }

    /// A fault ends.
    pub async fn end(&mut self, event: &Event) {
        self.record.note(format!("ends: {:?}", event.fault));
        if let Some(index) = self.active.iter().position(|fault| *fault == event.fault) {
            self.active.remove(index);
        }
        if let Fault::Forget { node } = &event.fault {
            let partition = format!("{}-hand-overs", self.lives[*node].prefix(""));
            self.world.remove(&partition, None).await.expect("a node that ran keeps hand-overs");
        }
        match &event.fault {
            Fault::Crash { node } | Fault::Wipe { node } | Fault::Forget { node } | Fault::CrashVouching { node } => {
                self.come_back(*node).await
            }
            Fault::LosePayloads { node } => {
                let folders: Vec<String> =
                    self.rooms(*node).into_iter().filter(|room| room.contains("-parcels-")).collect();
                let lost = self.copy(folders.clone()).await.len();
                self.record.note(format!("node {node} loses {lost} files of payloads"));
                self.put_back(folders, &[]).await;
                self.come_back(*node).await;
            }
            Fault::Withhold { node } => self.give_again(*node).await,
            Fault::ShutRooms { node } => {
                self.asked_of_shut(*node).await;
                self.hardware[*node].set_shutting_rooms(false);
            }
            Fault::OldRooms { node } => {
                let (files, before) = self.old_rooms.remove(node).expect("it was copied when the fault began");
                let behind = self.executed(*node).await.saturating_sub(before);
                self.record.note(format!("node {node} is put {behind} private transactions back"));
                self.stop(*node);
                self.world.sleep(CLOSING).await;
                self.put_back(self.rooms(*node), &files).await;
                self.come_back(*node).await;
            }
            Fault::OldVault { node } => {
                self.stop(*node);
                self.bring_back(*node).await;
                self.come_back(*node).await;
            }
            Fault::SlowDisk { node, .. } => self.hardware[*node].set_disk_delay_ms(0),
            Fault::NoState { node } => self.hardware[*node].set_state_cut(false),
            Fault::ClockJump { node, .. } => self.hardware[*node].set_clock_ahead_ms(0),
            Fault::Split { .. } | Fault::Lossy { .. } => self.relink().await,
            Fault::Reform { .. } | Fault::Errand(_) | Fault::TimePasses { .. } => {}
            Fault::Recover { .. } => {
                for node in self.given() {
                    self.come_back(node).await;
                }
            }
        }
    }

    /// Waits until a node says that it keeps something, for as long as somebody can be expected to ask it.
    async fn vouched(&self, node: usize) {
        let count = || {
            let is_one = |said: &&Said| matches!(said.1, Message::Acknowledged { .. });
            self.hardware[node].said(|said| said.iter().filter(is_one).count())
        };
        let (before, since) = (count(), self.world.current());
        while count() == before && self.world.current() < since + VOUCHING {
            self.world.sleep(Duration::from_millis(1)).await;
        }
        let vouched = count() - before;
        self.record.note(format!("{vouched} acknowledgements of node {node} are on their way when it stops"));
    }

    /// A node answers again; says what it has held up.
    async fn give_again(&self, node: usize) {
        let mut missing = 0;
        for other in (0..self.doors.len()).filter(|other| *other != node) {
            let here = self.doors[other].ask(|service| async move { service.partition_here(share::PARTITION) }).await;
            missing += here.flatten().map_or(0, |standing| standing.missing);
        }
        let withheld = self.hardware[node].withheld();
        self.record.note(format!("{withheld} answers were withheld by node {node}"));
        self.record.note(format!("{missing} payloads were missing for it"));
        self.hardware[node].set_withholding(false);
    }

    /// What a node says of a partition that it cannot open: of itself, and to who asks. The question is no good, and not looked at.
    async fn asked_of_shut(&self, node: usize) {
        let holder = self.members.holder(node).expect("a holder");
        let query = Query::sign(&self.members.genesis.id(), "/", holder.principal, 0, &holder.key).expect("a question");
        let asked = self.doors[node].ask(|service| async move {
            let answer = service.parcels()?.registers(share::PARTITION, (&query, "/"), (0, 1)).await;
            Ok::<_, PrivateError>((service.partition_troubles(), answer.map(drop)))
        });
        let (troubles, answer) = asked.await.expect("it runs").expect("a holder");
        let told = troubles.iter().filter(|trouble| trouble.shut).count();
        self.record.note(format!("{told} partitions are shut on node {node}"));
        let is_told = answer == Err(PrivateError::Shut(share::PARTITION.to_owned()));
        self.record.note(format!("{} who ask node {node} are told so", u8::from(is_told)));
    }

    /// How many private transactions a node has executed.
    async fn executed(&self, node: usize) -> u64 {
        let here = self.doors[node].ask(|service| async move { service.partition_here(share::PARTITION) }).await;
        here.flatten().map_or(0, |standing| standing.executed)
    }

    /// Where a node's disk has what it keeps of partitions.
    fn rooms(&self, node: usize) -> Vec<String> {
        self.hardware[node].rooms(&self.lives[node].prefix(""))
    }

    /// One fault less keeps a node down.
    async fn come_back(&mut self, node: usize) {
        self.down[node] -= 1;
        if self.down[node] == 0 {
            self.start(node).await;
        }
    }

    /// The partitions that the vault of a node can have.
    fn vault_partitions(&self, node: usize) -> impl Iterator<Item = String> + use<> {
        Vault::<deterministic::Context>::partitions(&self.lives[node].prefix(""))
    }

    /// Puts a node's vault back as it was, and says how much is in it that the node had destroyed since.
    async fn bring_back(&mut self, node: usize) {
        let files = self.old_vaults.remove(&node).expect("it was copied when the fault began");
        let now = self.values(node).await;
        self.put_back(self.vault_partitions(node), &files).await;
        let then = self.values(node).await;
        // Looking clears what an interrupted change left: that is for the node to do.
        self.put_back(self.vault_partitions(node), &files).await;
        let again: usize = then.iter().zip(now).filter(|(_, now)| *now == 0).map(|(then, _)| *then).sum();
        self.record.note(format!("the old vault of node {node} holds {again} erased values"));
    }

    /// How many values the vault of a node that is off holds of each who is erased.
    async fn values(&self, node: usize) -> Vec<usize> {
        let keys = self.members.vault(node).expect("a holder's");
        let key = VaultKey::from_bytes(keys.sealing.vault_key());
        let vault = Vault::open(self.world.child("search"), &self.lives[node].prefix(""), &key).await;
        let vault = vault.expect("it is the node's own");
        let mut values = Vec::new();
        let of_partition = share::erase::erased().chain(share::retain::erased());
        for drawer in erase::erased().map(Drawer::public).chain(of_partition) {
            values.push(vault.all(&drawer).await.expect("a disk that works").len());
        }
        values
    }

    /// All files in these partitions of a disk.
    async fn copy(&self, partitions: impl IntoIterator<Item = String>) -> Vec<File> {
        let mut files = Vec::new();
        for partition in partitions {
            for name in self.world.scan(&partition).await.unwrap_or_default() {
                let opened = self.world.open_versioned(&partition, &name, ANY).await;
                let (blob, size, version) = opened.expect("it was just there");
                let size = usize::try_from(size).expect("it fits into memory");
                let bytes = match size {
                    0 => Vec::new(),
                    _ => {
                        let read = blob.read_at(0, size, ReadOptions::default()).await.expect("it is so long");
                        read.coalesce().as_ref().to_vec()
                    }
                };
                files.push(File { partition: partition.clone(), name, version, bytes });
            }
        }
        files
    }

    /// Puts files in the place of all that is in these partitions of a disk.
    async fn put_back(&self, partitions: impl IntoIterator<Item = String>, files: &[File]) {
        for partition in partitions {
            // None where there was none.
            let _ = self.world.remove(&partition, None).await;
        }
        for File { partition, name, version, bytes } in files {
            let opened = self.world.open_versioned(partition, name, *version..=*version).await;
            let (blob, ..) = opened.expect("a disk that works");
            blob.write_at(0, bytes.clone(), WriteOptions::default()).await.expect("a disk that works");
            blob.sync().await.expect("a disk that works");
        }
    }

    /// The organisations' administrators sign, as many as it takes, that the network goes on with other validators from the
    /// highest block that a node stands at. Every node that kept its disk is given that, and stops.
    async fn recover(&mut self, to: &[usize]) {
        let mut heights = Vec::new();
        for (node, door) in self.doors.iter().enumerate() {
            let height = door.ask(|service| async move { service.tip().header.height });
            heights.extend(height.await.map(|height| (height, node)));
        }
        let (_, highest) = heights.into_iter().max().expect("a node stands");
        let door = &self.doors[highest];
        let validators: Vec<_> = to.iter().map(|node| self.members.validator(*node)).collect();
        let ground = async |principal: Option<PrincipalId>| {
            let run: Vec<String> = validators.iter().map(|validator| validator.organisation.clone()).collect();
            let ground =
                door.ask(move |service| async move { service.recovery_ground(principal.as_ref(), &run).await });
            ground.await.expect("the node stands").expect("a block without others after it is certified")
        };
        let mut file = ground(None).await.draft(validators.clone(), "two machines burnt");
        // The last organisations first: those whose validators are lost have their say.
        for members in self.members.principals.iter().rev() {
            if file.recovery.check().is_ok() {
                break;
            }
            let Member { id, key } = &members[0];
            let signature = key.sign(&file.recovery.signed_bytes()).expect("a key in memory signs");
            file.approve(ground(Some(id.clone())).await, key.public(), signature).expect("the node stands at the head");
        }
        let approvals = file.recovery.check().expect("enough have signed");
        self.record.note(format!("recovered from block {} with {} votes", file.recovery.head.height, approvals.votes));
        self.record.recovered(&file.recovery);
        let file = Arc::new(file);
        let wiped = |fault: &Fault, node: usize| matches!(fault, Fault::Wipe { node: wiped } if *wiped == node);
        for node in 0..self.lives.len() {
            if !self.active.iter().any(|fault| wiped(fault, node)) {
                self.lives[node].recovery = Some(file.clone());
                self.stop(node);
            }
        }
    }

    /// The nodes that were given the recovery.
    fn given(&self) -> Vec<usize> {
        (0..self.lives.len()).filter(|node| self.lives[*node].recovery.is_some()).collect()
    }

    /// Nodes that are to keep every promise.
    pub fn honest(&self) -> impl Iterator<Item = usize> {
        let criminal = self.plan.criminal.map(|(node, _)| node);
        (0..self.lives.len()).filter(move |node| Some(*node) != criminal)
    }

    fn stop(&mut self, node: usize) {
        self.down[node] += 1;
        self.doors[node].shut();
        for process in self.processes[node].drain(..) {
            process.abort();
        }
    }

    async fn start(&mut self, node: usize) {
        let life = self.lives[node].clone();
        self.lives[node].starts += 1;
        let crime = self.plan.criminal.filter(|(criminal, _)| *criminal == node).map(|(_, crime)| crime);
        let start = Start {
            world: self.world,
            network: self.network,
            members: self.members,
            hardware: self.hardware[node].clone(),
            record: self.record,
            door: &self.doors[node],
            life,
            crime,
            seed: self.plan.seed,
        };
        self.processes[node] = start.run().await;
    }

    /// Sets every link to what the active faults leave of it.
    async fn relink(&self) {
        let percents = self.active.iter().map(|fault| match fault {
            Fault::Lossy { percent } => *percent,
            _ => 0,
        });
        let lost = percents.max().unwrap_or(0).max(self.plan.loss_percent);
        self.wires.set(|from, to| (!self.is_split(from, to)).then(|| self.wires.link(lost))).await;
    }

    fn is_split(&self, from: usize, to: usize) -> bool {
        self.active.iter().any(|fault| match fault {
            Fault::Split { side } => side.contains(&from) != side.contains(&to),
            _ => false,
        })
    }
}
