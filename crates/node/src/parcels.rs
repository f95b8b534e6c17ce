//! Private transactions: hand their payloads to the other members' nodes, have them acknowledged and ordered, and execute what is
//! ordered.
//!
//! ```text
//! client ─▶ gather ─▶ evidence, commitment ─▶ kept here ─▶ delivered ─▶ acknowledged = co-signed ─▶ pool ─▶ block
//!                                                                                                     │
//!                              outcome ◀─ executed ◀─ payloads: kept here, or fetched ◀─ orders ◀─ the public log
//! ```
//!
//! A node does this that has a [`ParcelKeys`]'s keys and is registered by a member of the partition. All the others see orders go by.
//!
//! INVARIANTS:
//! - A payload leaves this node only encrypted to a node that a member of its partition has registered, and that stands where the
//!   agreement allows: looked up before each byte is sent.
//! - Nothing is acknowledged before it is durable here, its evidence is what this node's own state says, and policies permit it as far as
//!   this node has executed the partition; but for reads, of which an attempt is to be on record.
//! - What is ordered is executed in the order of the chain. What is missing holds up its partition, and nothing else.

mod consent;
mod deliver;
mod erasing;
mod erasures;
mod error;
mod follow;
mod hear;
mod held;
mod log;
mod mandate;
pub mod message;
mod notify;
mod order;
mod permit;
mod policy;
mod read;
mod refuse;
mod retention;
mod sealed;
mod under_way;

pub use erasures::Certifying;
use erasures::Proofs;
pub use error::PrivateError;
pub use held::{HeldEntry, HeldPage};
pub use log::{Corrected, ReadAct, ReadsPage};
use notify::Notices;
pub use notify::{Waiting, WaitingForAll};
pub use order::Executed;
pub(crate) use read::different_roots;
use read::{Awaited, ReadPayload};
pub use read::{Correcting, Given, Proof, Told};
use under_way::UnderWay;

use crate::{
    admission::{Admission, Origin},
    application::Shared,
    engine::Runtime,
    erasing::Erasing,
    holder::Holder,
    rejection::RejectionCode,
    schemas::SchemaCache,
    service::posting::{AGAIN_SECONDS, Posted},
    watch,
};
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_utils::sync::AsyncMutex;
use message::{Message, Reason};
use order::Submission;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
    time::Duration,
};
use tallystick_consensus::validators::decode_key;
use tallystick_ledger::{OrganisationRow, PageRow};
use tallystick_protocol::{
    Hash, Intent, Jurisdiction, NodeRow, NodesRow, Operation, OrganisationStatus, Outcome, ParcelId, ParcelSecret,
    PartitionRow, PrincipalId, Signature, SigningKey, StateKey, TransferPath,
    limits::{
        PARTITIONS_MAX, PARTITIONS_PER_PAGE, PAYLOADS_OPEN_BYTES_MAX, PAYLOADS_READ_BYTES_MAX, PRIVATE_QUEUE_MAX,
    },
};
use tallystick_storage::{
    cache::Cache,
    partition::{Anew, Opened, ParcelStore, Partition},
    read::{ReadError, Reader, Rows},
};
use tokio::sync::{Notify, mpsc, oneshot};

/// How long a node looks for partitions that it has become a member of, at least, between two looks.
const LOOK: Duration = Duration::from_millis(500);

/// Payloads that may be read for their readers at once.
const READING: usize = 16;

/// How often somebody who asks for a partition that is about to be opened looks, ten times as fast.
const LOOKS: usize = 40;

/// The keys of a node that holds what only some may see, and its vault.
pub struct ParcelKeys<E: Runtime> {
    /// The principal that the node is.
    pub principal: PrincipalId,
    /// With which it signs what it does.
    pub key: SigningKey,
    /// To which others encrypt what it is to hold.
    pub sealing: ParcelSecret,
    /// Where it keeps what opens values that are sealed in partitions.
    pub vault: Arc<Holder<E>>,
}

/// A partition whose members are known, as the newest block has it.
pub(crate) struct Membership {
    /// The partition.
    pub row: PartitionRow,
    /// The nodes of its members, but for those that are expelled from the network, that stand where it allows.
    pub nodes: Vec<NodeRow>,
    /// Those that stand elsewhere: nothing goes to them.
    pub refused: Vec<NodeRow>,
    /// The height that this is so at.
    pub height: u64,
}

impl Membership {
    /// The node that its peers know by this key.
    pub fn node_of(&self, peer: &[u8]) -> Option<&NodeRow> {
        self.nodes.iter().find(|node| node.peer.as_slice() == peer)
    }

    /// Whether nothing goes to a node any more: its organisation has left, or was expelled, or it is retired, or stands elsewhere now.
    pub fn has_left(&self, node: &PrincipalId) -> bool {
        !self.nodes.iter().any(|there| there.node == *node)
    }
}

/// What came of an order that was sent to a node.
type Ack = ([u8; 32], Result<Signature, Reason>);

/// What is awaited of a private transaction.
type Answer = oneshot::Sender<Result<Executed, PrivateError>>;

/// How a partition stands on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The height of the last block of which something was executed.
    pub height: u64,
    /// Private transactions executed.
    pub executed: u64,
    /// The root of its state after that block.
    pub root: Hash,
    /// Payloads that nobody has given yet, without which it does not go on.
    pub missing: usize,
    /// Whether they have been missing for so long that it stands still.
    pub is_still: bool,
}

/// A partition on this node.
pub(crate) struct Room<E: Runtime> {
    name: String,
    partition: tokio::sync::Mutex<Partition<E>>,
    store: tokio::sync::Mutex<ParcelStore<E>>,
    /// What is open already of the store and not executed: made here, or judged here when it was delivered. To execute it, it need not be read,
    /// decrypted and verified once more.
    payloads: Mutex<Cache<ParcelId, Arc<Opened>>>,
    /// Told when a parcel, or openings that were lacking, were stored.
    arrived: Notify,
    /// What is asked for now.
    wanted: Mutex<BTreeSet<ParcelId>>,
    /// Registers' schemas, as far as they were looked up.
    schemas: SchemaCache,
    /// Payloads that were executed, and of which openings are not here, or that cannot be read here any more; each with how often they were
    /// asked for.
    lacking: Mutex<BTreeMap<ParcelId, u32>>,
    /// Transactions that were handed in, and for which somebody waits.
    under_way: UnderWay,
    /// Where to say what became of those that are ordered.
    waiting: Mutex<HashMap<Hash, Answer>>,
    /// Reads that somebody waits for, with the records as they are when these are executed.
    reading: Mutex<BTreeMap<Hash, Awaited>>,
    /// Orders of erasure whose certificates somebody waits for, with the proofs that are taken as blocks are executed.
    certifying: Mutex<Proofs>,
    /// The height up to which everything that is ordered to be erased is carried out, but for what waits, and what is so new that a hold may
    /// follow. 0 before the first look since this node began, or began to hold it again: nothing that is sealed is given before.
    erased_to: watch::Sender<u64>,
    /// The same, without any that is so new.
    settled_to: watch::Sender<u64>,
    /// The height up to which everything that is ordered is executed; 0 before the first time since this node began, or began to hold it again.
    executed: watch::Sender<u64>,
    /// Whether nothing that is executed here is left to carry out, but for what waits. It says nothing of what is not executed here yet.
    is_done: AtomicBool,
    intake: mpsc::Sender<Submission>,
    standing: Mutex<Standing>,
    /// Who of this organisation must know of corrections.
    notices: Notices,
    /// Whether this node is one of a member's still. While it is not, nothing goes in or out, and nobody is asked for anything.
    open: watch::Sender<bool>,
}

impl<E: Runtime> Room<E> {
    fn waiting(&self) -> MutexGuard<'_, HashMap<Hash, Answer>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn payloads(&self) -> MutexGuard<'_, Cache<ParcelId, Arc<Opened>>> {
        self.payloads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a payload for a while, so that it is executed without another look.
    fn keep_open(&self, id: ParcelId, payload: Arc<Opened>) {
        let size = payload.size();
        self.payloads().keep(id, payload, size);
    }

    fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Whether what it tells is as of the newest block that this node had when it began, or of where it stands still.
    fn is_abreast(&self) -> bool {
        *self.executed.borrow() > 0 || self.standing().is_still
    }

    /// That it is not.
    fn behind(&self) -> PrivateError {
        PrivateError::Behind { partition: self.name.clone(), height: self.standing().height }
    }

    /// Waits until this node is one of a member's.
    async fn opened(&self) {
        // The room has the sender.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The private transactions of a node. Clones are the same ones.
pub struct Parcels<E: Runtime>(Arc<Inner<E>>);

struct Inner<E: Runtime> {
    runtime: E,
    shared: Arc<Shared>,
    reader: Reader<E>,
    admission: Admission<E>,
    holder: ParcelKeys<E>,
    me: [u8; 32],
    prefix: String,
    outbox: mpsc::UnboundedSender<(PublicKey, Bytes)>,
    rooms: Mutex<BTreeMap<String, Arc<Room<E>>>>,
    /// Partitions of which this node is a member's, and that it cannot open.
    shut: Mutex<BTreeSet<String>>,
    acks: Mutex<HashMap<Hash, mpsc::UnboundedSender<Ack>>>,
    /// What is on record of this day: which node was given nothing of which partition, on which path.
    refused: Mutex<BTreeMap<Refusal, u64>>,
    /// Executed payloads that were read last, of all partitions.
    read_last: Mutex<Cache<ParcelId, Arc<ReadPayload>>>,
    /// Who reads one that is not among them: of those whose ids begin alike one at a time.
    reading: Vec<AsyncMutex<()>>,
}

/// Why what this node says within a partition is not taken.
struct NotTaken {
    /// By the ledger, for ever in the log.
    is_refused: bool,
    why: String,
}

impl NotTaken {
    /// It was not executed.
    fn here(error: impl std::fmt::Display) -> Self {
        Self { is_refused: false, why: error.to_string() }
    }

    /// Notes it of what was posted now, good until then, in Unix seconds.
    fn note(self, posted: &mut Posted, subject: &str, (now_s, not_after): (u64, u64)) {
        if self.is_refused {
            posted.refused(subject, now_s, self.why);
        } else {
            posted.put_off(subject, not_after, self.why);
        }
    }
}

/// A partition, a node that is given nothing of it, where that stands, and how something was about to leave.
type Refusal = (String, PrincipalId, Jurisdiction, TransferPath);

impl<E: Runtime> Clone for Parcels<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Runtime> Parcels<E> {
    /// Starts what a node with these keys does, until it stops. `me` is the key its peers know it by.
    pub fn start<S, R, B>(
        runtime: E,
        (shared, reader, admission): (Arc<Shared>, Reader<E>, Admission<E>),
        (holder, me, prefix): (ParcelKeys<E>, [u8; 32], String),
        (mut sender, receiver): (S, R),
        blocker: B,
    ) -> Self
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
        B: Blocker<PublicKey = PublicKey> + Clone + Send + 'static,
    {
        let (outbox, mut post) = mpsc::unbounded_channel::<(PublicKey, Bytes)>();
        runtime.child("post").spawn(move |_| async move {
            while let Some((peer, message)) = post.recv().await {
                let _ = sender.send(Recipients::One(peer), message, false);
            }
        });
        let (looking, hearing) = (runtime.child("look"), runtime.child("hear"));
        let (rooms, acks, refused) = (Mutex::default(), Mutex::default(), Mutex::default());
        let parcels = Self(Arc::new(Inner {
            runtime,
            shared,
            reader,
            admission,
            holder,
            me,
            prefix,
            outbox,
            rooms,
            shut: Mutex::default(),
            acks,
            refused,
            read_last: Mutex::new(Cache::new(PAYLOADS_READ_BYTES_MAX)),
            reading: (0..READING).map(|_| AsyncMutex::new(())).collect(),
        }));
        let (lookout, listener) = (parcels.clone(), parcels.clone());
        looking.spawn(move |runtime| lookout.look(runtime));
        hearing.spawn(move |runtime| listener.hear(runtime, receiver, blocker));
        parcels
    }

    /// How a partition stands here; none if this node is none of its members'.
    pub fn standing(&self, partition: &str) -> Option<Standing> {
        Some(self.room(partition)?.standing().clone())
    }

    /// All partitions that this node holds, with how they stand.
    pub fn standings(&self) -> Vec<(String, Standing)> {
        let rooms = self.rooms();
        rooms
            .iter()
            .filter(|(_, room)| room.is_open())
            .map(|(name, room)| (name.clone(), room.standing().clone()))
            .collect()
    }

    /// The partitions that it should hold, and cannot open: nobody is answered about them.
    pub fn shut(&self) -> Vec<String> {
        self.shut_ones().iter().cloned().collect()
    }

    fn shut_ones(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.shut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a partition cannot be opened. It is tried again and again, and the log says it once.
    fn note_shut(&self, partition: &str, error: &dyn std::error::Error) {
        if self.shut_ones().insert(partition.to_owned()) {
            tracing::error!(
                partition,
                %error,
                "a partition cannot be opened, and nobody is answered about it: look at the disk under the data directory; it is tried again until it opens"
            );
        }
    }

    /// Payloads of all partitions that this node holds, which it cannot read, or of which it lacks what opens values sealed in them, and that
    /// it asks for.
    pub fn lacking(&self) -> usize {
        self.rooms().values().filter(|room| room.is_open()).map(|room| room.lacking().len()).sum()
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Room<E>>>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The room of a partition of which this node is a member's.
    fn room(&self, partition: &str) -> Option<Arc<Room<E>>> {
        self.rooms().get(partition).filter(|room| room.is_open()).cloned()
    }

    /// The same, waited for a moment where this node has just become a member's, and is about to open it, or has not executed yet what was ordered
    /// when it began.
    ///
    /// # Errors
    /// When this node is none of a member's, cannot open the partition, or has not executed it still.
    async fn room_soon(&self, partition: &str) -> Result<Arc<Room<E>>, PrivateError> {
        let mut room = self.room(partition);
        if room.is_none() {
            if self.shut_ones().contains(partition) {
                return Err(PrivateError::Shut(partition.to_owned()));
            }
            let membership = self.membership(partition).await.ok().flatten();
            let is_own = |node: &NodeRow| node.node == self.0.holder.principal;
            if !membership.is_some_and(|membership| membership.nodes.iter().any(is_own)) {
                return Err(PrivateError::NotHeld(partition.to_owned()));
            }
        }
        for _ in 0..LOOKS {
            room = room.or_else(|| self.room(partition));
            if let Some(room) = room.take_if(|room| room.is_abreast()) {
                return Ok(room);
            }
            self.0.runtime.sleep(LOOK / 10).await;
        }
        Err(room.map_or_else(|| PrivateError::NotHeld(partition.to_owned()), |room| room.behind()))
    }

    /// Leaves the rooms of all partitions but these, and is back in those of them that it had left.
    fn stay(&self, partitions: &BTreeMap<String, u64>) {
        self.shut_ones().retain(|name| partitions.contains_key(name));
        for (name, room) in &*self.rooms() {
            let is_member = partitions.contains_key(name);
            if room.open.send_if_modified(|open| std::mem::replace(open, is_member) != is_member) {
                // What was ordered meanwhile is not executed yet.
                room.executed.send_replace(0);
                room.erased_to.send_replace(0);
                tracing::info!(partition = name, is_member, "holds a partition again, or no longer");
            }
        }
    }

    fn acks(&self) -> MutexGuard<'_, HashMap<Hash, mpsc::UnboundedSender<Ack>>> {
        self.0.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands in what this node puts on record as the holder that it is, in seconds since 1970 not after then. What has the same `mark` is the
    /// same act, however often it is handed in meanwhile.
    async fn post(&self, subject: String, operation: Operation, not_after: u64, mark: &[&[u8]]) -> Result<(), String> {
        let (holder, chain) = (&self.0.holder, &self.0.shared.chain);
        let Hash(key) = Hash::of(mark);
        let intent = Intent {
            not_after,
            idempotency_key: key.get(..16).unwrap_or_default().to_vec(),
            ..Intent::new(chain.network(), holder.principal.clone(), subject, vec![operation])
        };
        let signed = intent.sign(&holder.key).map_err(|error| error.to_string())?;
        match self.0.admission.submit(vec![signed.bytes().clone()], Origin::Client).await.pop() {
            // The same act, signed a moment before.
            Some(Err(rejection)) if rejection.code == RejectionCode::IdempotencyConflict => Ok(()),
            Some(Err(rejection)) => Err(rejection.to_string()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Hands in what this node says within a partition as the holder that it is, and waits until that is executed.
    async fn post_within(
        &self,
        partition: &str,
        subject: String,
        operation: Operation,
        not_after: u64,
    ) -> Result<(), NotTaken> {
        let holder = &self.0.holder;
        let (name, until) = (operation.name(), not_after.to_be_bytes());
        let mark = [partition.as_bytes(), name.as_str().as_bytes(), subject.as_bytes(), &until].join(&0);
        let Hash(key) = Hash::of(&[&mark]);
        let intent = Intent {
            not_after,
            idempotency_key: key.into_iter().take(16).collect(),
            partition: Some(partition.to_owned()),
            ..Intent::new(self.0.shared.chain.network(), holder.principal.clone(), subject, vec![operation])
        };
        let signed = intent.sign(&holder.key).map_err(NotTaken::here)?;
        match self.submit(signed.bytes().clone(), &[], Duration::from_secs(AGAIN_SECONDS)).await {
            Ok(executed) => match executed.outcome {
                Outcome::Accepted { .. } => Ok(()),
                Outcome::Refused(refusal) => {
                    let why = format!("{}: {}", refusal.code, refusal.code.advice());
                    Err(NotTaken { is_refused: true, why })
                }
            },
            Err(error) => Err(NotTaken::here(error)),
        }
    }

    /// Sends a message to a node, if there is such a peer.
    fn send(&self, peer: &[u8; 32], message: &Message) {
        if let Ok(peer) = decode_key(peer) {
            // Who reads it ends with the node.
            let _ = self.0.outbox.send((peer, message.to_bytes()));
        }
    }

    /// Looks again and again for partitions of which this node is a member's: opens a room for each, and leaves the others.
    async fn look(self, runtime: E) {
        self.0.shared.chain.ready().await;
        let mut tip = self.0.shared.chain.watch_tip();
        loop {
            match self.memberships().await {
                Ok(names) => {
                    self.stay(&names);
                    for (name, proposed) in names {
                        let is_known = self.rooms().contains_key(&name);
                        if !is_known {
                            self.enter(name, proposed).await;
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "could not look for partitions"),
            }
            runtime.sleep(LOOK).await;
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    /// The partitions of which this node is a member's, each with the leaf of its proposal: nothing was ordered in it before.
    async fn memberships(&self) -> Result<BTreeMap<String, u64>, ReadError> {
        let own = self.0.holder.principal.organisation();
        let pages: Vec<StateKey> =
            (0..).take(PARTITIONS_MAX.div_ceil(PARTITIONS_PER_PAGE)).map(StateKey::partitions).collect();
        let pages = self.0.reader.rows(&pages).await?.rows;
        let pages = pages.into_iter().flatten().filter_map(|row| PageRow::decode(&row).ok());
        let keys: Vec<StateKey> = pages.flat_map(|page| page.ids).map(|name| StateKey::partition(&name)).collect();
        let rows = self.0.reader.rows(&keys).await?.rows;
        let rows = rows.into_iter().flatten().filter_map(|row| PartitionRow::decode(&row).ok());
        let rows: Vec<PartitionRow> = rows.filter(|row| row.terms.has_member(own)).collect();
        let found = self.0.reader.rows(&[StateKey::nodes(own), StateKey::organisation(own)]).await?.rows;
        let [nodes, organisation] = found.try_into().unwrap_or_default();
        if organisation.is_some_and(|row| is_expelled(&row)) {
            return Ok(BTreeMap::new());
        }
        let nodes = nodes.and_then(|row| NodesRow::decode(&row).ok()).unwrap_or_default().nodes;
        let is_allowed = |row: &PartitionRow| {
            let is_this = |node: &&NodeRow| node.node == self.0.holder.principal && node.peer == self.0.me;
            nodes.iter().find(is_this).is_some_and(|node| row.terms.allows(&node.jurisdiction))
        };
        Ok(rows.into_iter().filter(is_allowed).map(|row| (row.terms.partition, row.proposed)).collect())
    }

    async fn enter(&self, name: String, proposed: u64) {
        let Inner { runtime, prefix, shared, .. } = &*self.0;
        let labelled = |label: &'static str| runtime.child(label).with_attribute("partition", &name);
        let tip = shared.chain.tip();
        let partition =
            Partition::open(labelled("partition"), prefix, shared.chain.network(), &name, tip.header.height).await;
        match partition.anew() {
            Some(Anew::Damaged(why)) => {
                tracing::error!(
                    partition = name,
                    %why,
                    "the state of a partition is damaged: it is made anew of its payloads: look at the disk"
                );
            }
            Some(Anew::Form) => {
                tracing::info!(
                    partition = name,
                    "the state of a partition is of another version: it is made anew of its payloads"
                );
            }
            None => {}
        }
        if partition.position().executed == 0
            && let Err(error) = Erasing::begin_anew(self.vault(), &name).await
        {
            return self.note_shut(&name, &error);
        }
        let store = match ParcelStore::open(labelled("parcels"), prefix, &name, tip.header.time_ms).await {
            Ok(store) => store,
            Err(error) => return self.note_shut(&name, &error),
        };
        note_damaged(&name, store.damaged());
        let (intake, submissions) = mpsc::channel(PRIVATE_QUEUE_MAX);
        let (root, position) = (partition.root(), partition.position());
        let (notices, news) = Notices::new();
        let standing = Standing { height: position.height, executed: position.executed, root, ..Standing::default() };
        let room = Arc::new(Room {
            name: name.clone(),
            partition: tokio::sync::Mutex::new(partition),
            store: tokio::sync::Mutex::new(store),
            payloads: Mutex::new(Cache::new(PAYLOADS_OPEN_BYTES_MAX)),
            arrived: Notify::new(),
            wanted: Mutex::default(),
            schemas: SchemaCache::default(),
            lacking: Mutex::default(),
            under_way: UnderWay::default(),
            waiting: Mutex::default(),
            reading: Mutex::default(),
            certifying: Mutex::default(),
            erased_to: watch::Sender::new(0),
            settled_to: watch::Sender::new(0),
            executed: watch::Sender::new(0),
            is_done: AtomicBool::new(false),
            intake,
            standing: Mutex::new(standing),
            notices,
            open: watch::Sender::new(true),
        });
        self.rooms().insert(name.clone(), room.clone());
        self.shut_ones().remove(&name);
        tracing::info!(partition = name, executed = position.executed, "holds a partition");
        let (follower, gatherer, retainer, notifier) = (self.clone(), self.clone(), self.clone(), self.clone());
        let (followed, gathered, notified) = (room.clone(), room.clone(), room.clone());
        labelled("follow").spawn(move |runtime| follower.follow(runtime, followed, proposed));
        labelled("gather").spawn(move |runtime| gatherer.gather(runtime, gathered, submissions));
        labelled("notify").spawn(move |runtime| notifier.notify(runtime, notified, news));
        labelled("retain").spawn(move |runtime| retainer.retain(runtime, room));
    }

    /// The partition and the nodes of its members as the newest block has them; none if there is no such partition.
    pub(crate) async fn membership(&self, partition: &str) -> Result<Option<Membership>, ReadError> {
        let found = self.0.reader.rows(&[StateKey::partition(partition)]).await?;
        let row = found.rows.into_iter().flatten().next().and_then(|row| PartitionRow::decode(&row).ok());
        let Some(row) = row else { return Ok(None) };
        let members = &row.terms.members;
        let organisations = members.iter().map(|member| StateKey::organisation(member));
        let keys: Vec<StateKey> = members.iter().map(|member| StateKey::nodes(member)).chain(organisations).collect();
        let Rows { height, rows } = self.0.reader.rows(&keys).await?;
        let (nodes, organisations) = rows.split_at_checked(members.len()).unwrap_or_default();
        let stays = |(_, row): &(&String, &Option<Bytes>)| !row.as_ref().is_some_and(|row| is_expelled(row));
        let staying = members.iter().zip(organisations).filter(stays).map(|(member, _)| member.clone());
        let members: BTreeSet<String> = staying.collect();
        let nodes = nodes.iter().flatten().filter_map(|row| NodesRow::decode(row).ok()).flat_map(|row| row.nodes);
        let nodes = nodes.filter(|node| members.contains(node.node.organisation()));
        let (nodes, refused) = nodes.partition(|node| row.terms.allows(&node.jurisdiction));
        Ok(Some(Membership { row, nodes, refused, height }))
    }
}

/// Says of how many files of a partition's payloads the disk has damaged what comes before their own bytes.
fn note_damaged(partition: &str, files: usize) {
    if files > 0 {
        tracing::error!(
            partition,
            files,
            "files of payloads are damaged, and removed: what was in them is fetched from other members' nodes when it is needed: look at the disk"
        );
    }
}

fn is_expelled(organisation: &[u8]) -> bool {
    OrganisationRow::decode(organisation).is_ok_and(|row| row.status == OrganisationStatus::Expelled)
}
