//! One node in the world: started, watched, asked, and ended between two instructions.

use crate::{
    checkers::Broken,
    crimes::{Line, Manner, equivocator, forger},
    machine::{Hardware, Machine, Said},
    members::Members,
    plan::Crime,
    world::Record,
};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{
    Address, Recipients, Sender as _,
    simulated::{Oracle, Receiver, SplitTarget},
};
use commonware_runtime::{Clock as _, Handle, Spawner as _, Supervisor as _, deterministic};
use commonware_utils::{NZU64, NZUsize};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tallystick_consensus::channel;
use tallystick_node::{
    engine::{self, Voting},
    holder::{Holder, HolderKeys},
    parcels::message::Message,
    service::Service,
    timing::Timing,
};
use tallystick_protocol::RecoveryFile;
use tallystick_storage::read::Reader;

/// The network's remote control.
pub type Network = Oracle<PublicKey, deterministic::Context>;
type Channels = Vec<(Line, Receiver<PublicKey>)>;

/// What a node is found by, and whether it is there.
#[derive(Clone, Default)]
pub struct Door(Arc<Mutex<Option<Inside>>>);

struct Inside {
    machine: Machine,
    service: Service<Machine>,
    reader: Reader<Machine>,
    /// On which it speaks of parcels.
    parcels: Line,
}

impl Door {
    /// Asks the node something. `None` when it is down, not open yet, or dies over it.
    ///
    /// The question lives on the node's own machine, so that it dies with the node and holds nothing of it after.
    pub async fn ask<T, F, Fut>(&self, question: F) -> Option<T>
    where
        F: FnOnce(Service<Machine>) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let asked = {
            let inside = self.lock();
            let inside = inside.as_ref()?;
            let service = inside.service.clone();
            inside.machine.child("question").spawn(move |_| question(service))
        };
        asked.await.ok()
    }

    /// As [`Door::ask`], of the databases themselves.
    pub async fn read<T, F, Fut>(&self, question: F) -> Option<T>
    where
        F: FnOnce(Service<Machine>, Reader<Machine>, Machine) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let asked = {
            let inside = self.lock();
            let inside = inside.as_ref()?;
            let (service, reader) = (inside.service.clone(), inside.reader.clone());
            inside.machine.child("question").spawn(move |machine| question(service, reader, machine))
        };
        asked.await.ok()
    }

    /// Says something of parcels in the node's name, as if its software were another.
    pub fn say(&self, to: PublicKey, message: &Message) {
        if let Some(inside) = self.lock().as_ref() {
            let _ = inside.parcels.clone().send(Recipients::One(to), message.to_bytes(), false);
        }
    }

    /// Looks at all that the node's machine said of parcels; none while it is down.
    pub fn said<T>(&self, look: impl FnOnce(&[Said]) -> T) -> Option<T> {
        Some(self.lock().as_ref()?.machine.hardware().said(look))
    }

    /// Whether the node can be asked.
    pub fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    fn open(&self, inside: Inside) {
        *self.lock() = Some(inside);
    }

    /// Nobody is there any more.
    pub fn shut(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Inside>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What outlives a node's process: its disk and what it knows of its votes.
#[derive(Clone, Debug)]
pub struct Life {
    /// Which node.
    pub node: usize,
    /// Disks it had before this one.
    pub disks_lost: u32,
    /// Starts before this one.
    pub starts: u32,
    /// The recovery that it was given.
    pub recovery: Option<Arc<RecoveryFile>>,
}

impl Life {
    /// Whether its vote journal is lost: then it fetches the state and follows.
    pub const fn has_lost_votes(&self) -> bool {
        self.disks_lost > 0
    }

    /// What the names on its disk begin with.
    pub fn prefix(&self, face: &str) -> String {
        format!("node-{}{face}-disk-{}", self.node, self.disks_lost)
    }
}

/// How long the nodes of a simulation wait for what: shorter than in the world, as its links are.
pub fn timing() -> Timing {
    Timing {
        spacing: Duration::from_millis(100),
        full: 40,
        idle: Duration::from_millis(700),
        leader: Duration::from_millis(1_400),
        certification: Duration::from_millis(2_000),
        skip: Duration::from_millis(3_000),
    }
}

/// What starting a node takes.
pub struct Start<'a> {
    /// The world.
    pub world: &'a deterministic::Context,
    /// Its network.
    pub network: &'a Network,
    /// Who is who.
    pub members: &'a Members,
    /// The machine's.
    pub hardware: Arc<Hardware>,
    /// What is seen.
    pub record: &'a Record,
    /// Where it can be asked.
    pub door: &'a Door,
    /// Which node, for the how manieth time.
    pub life: Life,
    /// Whether it lies, and how.
    pub crime: Option<Crime>,
    /// The run's seed.
    pub seed: u64,
}

impl Start<'_> {
    /// Starts the node. Its handle ends it, and everything it began.
    pub async fn run(self) -> Vec<Handle<()>> {
        let lines = self.register().await;
        match self.crime {
            None => vec![self.one(lines, "", true)],
            Some(Crime::Forger) => vec![self.one(lines, "", false)],
            Some(Crime::Equivocator) => {
                let (one, other) = self.split(lines);
                vec![self.one(one, "-one", false), self.one(other, "-other", false)]
            }
        }
    }

    fn me(&self) -> PublicKey {
        self.members.keys()[self.life.node].clone()
    }

    /// Everybody, at addresses that the simulated network does not look at.
    fn known(&self) -> Vec<(PublicKey, Address)> {
        let nowhere = Address::Symmetric(SocketAddr::from(([127, 0, 0, 1], 1)));
        self.members.keys().into_iter().map(|key| (key, nowhere.clone())).collect()
    }

    async fn register(&self) -> Channels {
        let control = self.network.control(self.me());
        let (forged, percent) = forger::channels(self.seed);
        let mut channels = Vec::new();
        for id in channel::ALL {
            let (sender, receiver) = control.register(id, channel::QUOTA).await.expect("the network runs");
            let manner = match self.crime {
                Some(Crime::Forger) if forged.contains(&id) => {
                    Manner::Forging(Arc::new(forger::Forger::new(self.seed, id, percent)))
                }
                _ if [channel::STATE_SYNC, channel::LOG_SYNC].contains(&id) => Manner::Cut(self.hardware.clone()),
                _ => Manner::Honest,
            };
            let line = Line::new(sender, manner);
            let is_parcels = id == channel::PARCELS;
            let is_watched = self.members.shares || self.members.seals;
            let line = if is_watched { line.watched(self.hardware.clone(), is_parcels) } else { line };
            channels.push((line, receiver));
        }
        channels
    }

    /// Both faces hear everything; each speaks to its own audience.
    fn split(&self, channels: Channels) -> (Channels, Channels) {
        let audiences = equivocator::faces(self.seed, &self.members.keys(), self.life.node).map(Arc::new);
        let [one, other] = audiences.map(Manner::Facing);
        let faces = channels.into_iter().map(|(line, receiver)| {
            let (to_one, to_other) = receiver.split_with(self.world.child("faces"), |_: &_| SplitTarget::Both);
            (((line.with(one.clone())), to_one), (line.with(other.clone()), to_other))
        });
        faces.unzip()
    }

    /// One process.
    fn one(&self, channels: Channels, face: &'static str, is_watched: bool) -> Handle<()> {
        let prefix = self.life.prefix(face);
        let Life { node, starts, .. } = self.life;
        let signer = self.members.nodes[node].clone();
        let lost = self.life.has_lost_votes();
        let config = engine::Config {
            genesis: self.members.genesis.clone(),
            me: self.me(),
            voting: if lost { Voting::Observes } else { Voting::Signs(Box::new(signer.into()), None) },
            prefix,
            cache_pages: NZUsize!(256),
            // So few that pruning takes away what nobody may need any more.
            operations_per_file: NZU64!(64),
            state_sync: lost || !self.members.is_founder(node),
            known: self.known(),
            recovery: self.life.recovery.as_deref().cloned(),
            timing: timing(),
        };
        let (manager, control) = (self.network.socket_manager(), self.network.control(self.me()));
        let (record, door) = (self.record.clone(), self.door.clone());
        let (vault, sharing) = (self.members.vault(node), self.members.holder(node));
        let vault_prefix = config.prefix.clone();
        let parcels = channels.last().expect("parcels are the last channel").0.clone();
        let world = self.world.child("node").with_attribute("index", format!("{node}{face}"));
        let machine = Machine::new(world.with_attribute("start", starts), self.hardware.clone());
        machine.spawn(move |machine| async move {
            let holder = match vault {
                Some(keys) => Some(Arc::new(open_vault(&machine, &vault_prefix, keys).await)),
                None => None,
            };
            let keys = sharing.zip(holder.clone()).map(|(keys, vault)| keys.with(vault));
            let started = engine::start(machine.child("engine"), config, keys, manager, control, channels).await;
            let running = started.unwrap_or_else(|error| panic!("node {node} does not start: {error}"));
            if is_watched {
                let service = Service::new(machine.child("service"), &running, !lost, holder);
                let holds = service.clone();
                machine.child("holding").spawn(move |_| async move { holds.hold_all().await });
                let reader = running.reader.clone();
                door.open(Inside { machine: machine.child("door"), service: service.clone(), reader, parcels });
                watch(machine, node, service, record).await;
            } else if running.engine.await.is_ok() {
                record.note(format!("node {node}{face}: consensus ended"));
            }
        })
    }
}

async fn open_vault(machine: &Machine, prefix: &str, keys: HolderKeys) -> Holder<Machine> {
    let opened = Holder::open(machine.child("holder"), prefix, keys).await;
    opened.unwrap_or_else(|error| panic!("a vault does not open: {error}"))
}

/// Tells the checkers of every block that the node applies, for ever.
async fn watch(machine: Machine, node: usize, service: Service<Machine>, record: Record) {
    let mut blocks = service.subscribe();
    while !service.is_ready() {
        machine.sleep(Duration::from_millis(20)).await;
    }
    record.note(format!("node {node} is ready at height {}", service.tip().header.height));
    if service.tip().header.height > 0 {
        record.check(|seen| seen.agreement.applied(node, &service.tip().header));
    }
    loop {
        match blocks.recv().await {
            Ok(block) => record.check(|seen| {
                if block.digest != block.header.hash() {
                    return Err(Broken::new(
                        "agreement",
                        format!("node {node} names a digest that is not the header's"),
                    ));
                }
                seen.agreement.applied(node, &block.header)
            }),
            Err(error) => {
                record.note(format!("node {node}: blocks missed by the watcher: {error}"));
                machine.sleep(Duration::from_millis(20)).await;
            }
        }
    }
}
