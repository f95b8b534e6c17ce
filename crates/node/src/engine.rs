//! Wire one node: the same function for the real world and for the simulator, generic over the runtime and the network.
//!
//! ```text
//! peers ─ transactions ─▶ admission ─▶ pool ─▶ paced leader ─▶ deferred ─▶ simplex
//!       ─ blocks ───────▶ broadcast ─▶ marshal ─▶ stateful ─▶ application ─▶ databases
//! ```
//!
//! Simplex is one engine an epoch (`epochs.rs`); all the rest goes on from one epoch to the next.
//!
//! INVARIANT: a node whose vote journal is lost starts with a scheme that cannot sign ([`Voting::Observes`]), and one whose journal
//! of an epoch is lost has an engine that cannot sign in that epoch.

use crate::{
    admission::Admission,
    application::{Application, Shared},
    chain::Chain,
    epochs::{Conductor, Lanes, Standing},
    gossip,
    hand_overs::{HandOvers, Links},
    metrics::Metrics,
    opening::Opening,
    parcels::{ParcelKeys, Parcels},
    timing::Timing,
    voting::Votes,
};
use commonware_broadcast::buffered;
use commonware_codec::Codec;
use commonware_consensus::{
    marshal::{
        self,
        core::{Actor as MarshalActor, CommitmentFallback},
        resolver::p2p as marshal_resolver,
        standard::{Deferred, Standard},
    },
    simplex,
    types::{Epoch, ViewDelta},
};
use commonware_cryptography::{Digested, Digestible as _, ed25519::PublicKey, sha256::Digest};
use commonware_glue::stateful::{
    self, PruneConfig, Stateful, SyncPlan,
    db::{SyncEngineConfig, p2p as sync_p2p},
    probe::{self, Probe},
};
use commonware_p2p::{Address, AddressableManager, Blocker, Provider, Receiver, Sender, utils::mux};
use commonware_parallel::Sequential;
use commonware_runtime::{Clock, Handle, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::{
    archive::{Archive as _, immutable},
    mmr,
    qmdb::sync::{ServeError, Source},
};
use commonware_utils::{NZDuration, NZU16, NZU64, NZUsize};
use futures::future::{Either, select};
use rand_core::CryptoRng;
use std::{
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};
use tallystick_consensus::{Block, Epochs, NodeKey, Paced, Scheme, validators::ValidatorsError};
use tallystick_protocol::{
    BlockHeader, Genesis, Hash, RecoveryFile, TrustError,
    limits::{
        GOSSIP_MESSAGE_BYTES_MAX, HAND_OVERS_MESSAGE_BYTES_MAX, LOG_OPERATION_BYTES_MAX, PARCELS_MESSAGE_BYTES_MAX,
        SYNC_BYTES_MAX, VALIDATORS_MAX,
    },
};
use tallystick_storage::{
    database::{self, LogDb, LogOperation, SYNC_OPERATIONS, StateDb, StateOperation},
    execute,
    read::Reader,
    wire::{self, WireOperation},
};
use tokio::sync::mpsc;

/// Runtime that a node runs on, real or deterministic.
pub trait Runtime: commonware_storage::Context + Spawner + Clock + Storage + CryptoRng + Sync {}
impl<T: commonware_storage::Context + Spawner + Clock + Storage + CryptoRng + Sync> Runtime for T {}

/// The engine's keeper of finalised blocks and certificates.
pub type Marshal = marshal::core::Mailbox<Scheme, Standard<Block>>;

/// Entries waiting in an actor's mailbox.
pub(crate) const MAILBOX: NonZeroUsize = NZUsize!(1024);
/// Bytes of a page in every cache. With the engine's check sum of 12 bytes it is one page of the system's on disk: a page of
/// 4096 would straddle two, and every small write dirty both.
pub(crate) const PAGE_BYTES: std::num::NonZeroU16 = NZU16!(4084);
/// Pages of the cache for blocks, certificates and votes.
const ENGINE_CACHE_PAGES: NonZeroUsize = NZUsize!(2048);
/// Pages of the cache for the log, which is read near its end.
const LOG_CACHE_PAGES: NonZeroUsize = NZUsize!(1024);
/// Bytes read ahead when a journal is replayed at start.
pub(crate) const REPLAY_BUFFER: NonZeroUsize = NZUsize!(1 << 20);
/// Bytes gathered before keys are written.
const KEY_BUFFER: NonZeroUsize = NZUsize!(64 << 10);
/// Bytes gathered before blocks are written.
const VALUE_BUFFER: NonZeroUsize = NZUsize!(2 << 20);
/// Views of votes kept behind the finalised one.
pub(crate) const VIEWS_KEPT: ViewDelta = ViewDelta::new(10);
/// Finalised blocks that may wait for the state to become durable.
const PENDING_ACKS: NonZeroUsize = NZUsize!(16);
/// Finalised blocks whose state operations are kept, so that a peer can sync to a state that is not the newest.
const STATE_BLOCKS_KEPT: usize = 256;
/// Blocks of one peer kept in memory until they are needed.
const BROADCAST_BLOCKS_KEPT: usize = 6;

/// Whether a node may vote.
#[derive(Clone)]
pub enum Voting {
    /// It votes with its key, in the epochs in which it may by what is known of its votes. Without that it never lost a journal.
    Signs(Box<NodeKey>, Option<Arc<Votes>>),
    /// It follows and checks everything, and votes for nothing.
    Observes,
}

impl Voting {
    /// The key it votes with, if it votes.
    fn signer(&self) -> Option<NodeKey> {
        match self {
            Self::Signs(key, _) => Some(key.as_ref().clone()),
            Self::Observes => None,
        }
    }

    /// What is known of its votes.
    fn votes(&self) -> Option<Arc<Votes>> {
        match self {
            Self::Signs(_, votes) => votes.clone(),
            Self::Observes => None,
        }
    }
}

/// What a node is told at its start.
pub struct Config {
    /// The network's genesis.
    pub genesis: Arc<Genesis>,
    /// The key its peers know it by.
    pub me: PublicKey,
    /// Whether it votes.
    pub voting: Voting,
    /// Names of everything it stores begin with this.
    pub prefix: String,
    /// Pages of 4 KiB of the state that are kept in memory.
    pub cache_pages: NonZeroUsize,
    /// Operations of a database in one file. Whole files are pruned; a data directory keeps the number it began with.
    pub operations_per_file: NonZeroU64,
    /// Whether to fetch the state from peers, if this data directory was never complete.
    pub state_sync: bool,
    /// Nodes to speak with, itself among them, and where they are. What this says of a validator's place goes before what the
    /// ledger says.
    pub known: Vec<(PublicKey, Address)>,
    /// A recovery of the network that this node is to take on.
    pub recovery: Option<RecoveryFile>,
    /// How long to wait for what.
    pub timing: Timing,
}

/// A running node, without its HTTP.
pub struct Node<E: Runtime> {
    /// The key its peers know it by.
    pub me: PublicKey,
    /// Ends when consensus does: then the node must stop.
    pub engine: Handle<()>,
    /// Blocks and certificates.
    pub marshal: Marshal,
    /// The chain and the pool.
    pub shared: Arc<Shared>,
    /// The databases, once they are open.
    pub reader: Reader<E>,
    /// The way into the pool.
    pub admission: Admission<E>,
    /// Its private transactions, if it holds any.
    pub parcels: Option<Parcels<E>>,
}

/// Bytes of the largest message on any channel, however many validators there come to be.
#[must_use]
pub fn message_bytes_max() -> u32 {
    let validators = VALIDATORS_MAX as u32;
    commonware_p2p::max_message_size(&[
        mux::prefixed(simplex::max_payload_size::<Scheme, Digest>(validators)),
        marshal::max_payload_size::<Standard<Block>, Scheme>(validators, &()),
        probe::max_payload_size::<Standard<Block>, Scheme>(validators),
        sync_p2p::max_payload_size::<mmr::Family, Digest>(SYNC_LARGEST_OPERATIONS, LOG_OPERATION_BYTES_MAX),
        GOSSIP_MESSAGE_BYTES_MAX,
        HAND_OVERS_MESSAGE_BYTES_MAX,
        PARCELS_MESSAGE_BYTES_MAX,
    ])
}

/// The genesis block: an empty ledger. Block 1 writes what the genesis names.
#[must_use]
pub fn genesis_header<E: Runtime>(genesis: &Genesis) -> BlockHeader {
    let (state, log) = execute::empty::<E>();
    let validators = genesis.validator_set().map_or(Hash([0; 32]), |set| set.hash());
    BlockHeader {
        network: genesis.id(),
        height: 0,
        epoch: 0,
        view: 0,
        leader: genesis.validators.first().map_or([0; 32], |validator| validator.key),
        parent_view: 0,
        parent: Hash([0; 32]),
        time_ms: genesis.created_ms,
        transactions: Hash::of(&[]),
        transaction_count: 0,
        state,
        log,
        validators,
        next_validators: validators,
    }
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The genesis is no genesis.
    #[error(transparent)]
    Validators(#[from] tallystick_consensus::validators::ValidatorsError),
    /// The genesis block does not stand.
    #[error("the network file gives no genesis block: {0}")]
    Genesis(#[from] tallystick_consensus::block::BlockError),
    /// The kept hand-overs do not lead from the genesis, or the recovery is none that this node may take on.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A channel could not be opened.
    #[error("the node's network channels could not be opened: {0}")]
    Channel(String),
}

/// The channels of a node, each with its purpose.
struct Channels<S, R> {
    consensus: [(S, R); 3],
    backfill: (S, R),
    blocks: (S, R),
    state: (S, R),
    log: (S, R),
    probe: (S, R),
    transactions: (S, R),
    hand_overs: (S, R),
    parcels: (S, R),
}

impl<S, R> Channels<S, R> {
    /// Gives each of [`tallystick_consensus::channel::ALL`] its purpose.
    fn name(channels: Vec<(S, R)>) -> Result<Self, StartError> {
        let mut channels = channels.into_iter();
        let mut next = || channels.next().ok_or_else(|| StartError::Channel("too few were registered".to_owned()));
        Ok(Self {
            consensus: [next()?, next()?, next()?],
            backfill: next()?,
            blocks: next()?,
            state: next()?,
            log: next()?,
            probe: next()?,
            transactions: next()?,
            hand_overs: next()?,
            parcels: next()?,
        })
    }
}

/// Starts a node on `runtime`, with one sender and receiver for each of [`tallystick_consensus::channel::ALL`]. `holder` are its keys and its
/// vault, if it holds what only some may see.
///
/// A node that fetches its state returns only when a peer has named a recent block.
pub async fn start<E, S, R, P, B>(
    runtime: E,
    config: Config,
    holder: Option<ParcelKeys<E>>,
    peers: P,
    blocker: B,
    channels: Vec<(S, R)>,
) -> Result<Node<E>, StartError>
where
    E: Runtime,
    S: Sender<PublicKey = PublicKey>,
    R: Receiver<PublicKey = PublicKey>,
    P: AddressableManager<PublicKey = PublicKey> + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
{
    let standing = Standing::of(&config.genesis).ok_or(ValidatorsError::Duplicate)?;
    let first = Block::new(genesis_header::<E>(&config.genesis), Vec::new())?;
    let mut channels = Channels::name(channels)?;
    let wiring = Wiring { runtime: &runtime, config: &config, peers, blocker };
    let cache = CacheRef::new(PAGE_BYTES, ENGINE_CACHE_PAGES);

    let epochs = Epochs::new(config.genesis.id(), config.voting.signer());
    let hand_overs = HandOvers::open(runtime.child("hand_overs"), &config.prefix, &config.genesis).await;
    let epocher = hand_overs.links();
    let finalizations = archive(&runtime, &config.prefix, "finalizations", &cache, VALIDATORS_MAX).await;
    let blocks = archive(&runtime, &config.prefix, "blocks", &cache, ()).await;
    if let Some(file) = config.recovery.clone() {
        hand_overs.recover(file, finalizations.last_index().unwrap_or(0)).await?;
    }
    let (plan, probe) = wiring.plan(&epochs, &hand_overs, channels.probe, &mut channels.hand_overs).await?;
    let resolver = marshal_resolver::init(runtime.child("marshal_resolver"), wiring.backfill(), channels.backfill);
    let (broadcast, buffer) = buffered::Engine::new(runtime.child("broadcast"), wiring.broadcast());
    broadcast.start(channels.blocks);
    let sync_floor = plan.floor().cloned();
    let marshal_config = wiring.marshal(&epochs, &plan, &first, epocher.clone(), &cache);
    let context = runtime.child("marshal");
    let (marshal_actor, marshal, floor) =
        MarshalActor::<_, Standard<Block>, _, _, _, _, _>::init(context, finalizations, blocks, marshal_config).await;

    let chain = Chain::new(config.genesis.clone(), first.header().clone(), standing, hand_overs.links());
    let shared = Arc::new(Shared::new(chain, Metrics::register(&runtime)));
    let state_sync = wiring.sync::<StateDb<E>, StateOperation>("state_sync", channels.state);
    let log_sync = wiring.sync::<LogDb<E>, LogOperation>("log_sync", channels.log);
    let (stateful_actor, stateful) = Stateful::new(
        runtime.child("stateful"),
        stateful::Config {
            application: Application::new(shared.clone(), first.clone()),
            db_config: wiring.databases(),
            provider: (),
            marshal: (marshal.clone(), floor),
            mailbox_size: MAILBOX,
            plan,
            resolvers: (state_sync, log_sync),
            sync_config: SYNC,
            prune_config: Some(PRUNE),
            strategy: Sequential,
        },
    );
    let paced = Paced { inner: stateful.clone(), work: PoolWork(shared.clone()), pace: config.timing.pace() };
    let automaton = Deferred::new(runtime.child("automaton"), paced, marshal.clone(), epocher);
    marshal_actor.start(stateful.clone(), buffer, resolver);
    probe.attach(marshal.clone());
    if let Some(floor) = &sync_floor {
        tracing::info!(view = floor.proposal.round.view().get(), "fetching the state of a recent block from peers");
        let _ = marshal.subscribe_by_commitment(floor.proposal.payload, CommitmentFallback::Wait).await;
    }
    stateful_actor.start();

    let reader = Reader::default();
    let me = <[u8; 32]>::try_from(config.me.as_ref()).unwrap_or_default();
    let opening = Opening { shared: shared.clone(), reader: reader.clone(), marshal: marshal.clone(), me };
    runtime.child("open").spawn(move |runtime| async move {
        opening.run(runtime, stateful.subscribe_databases().await).await;
    });
    let admission = wiring.admission(&shared, &reader, channels.transactions);
    let parcels = holder.map(|holder| {
        wiring.parcels((shared.clone(), reader.clone(), admission.clone()), (holder, me), channels.parcels)
    });
    wiring.serve_hand_overs(&hand_overs, (&shared, &marshal), channels.hand_overs);
    let lanes = Lanes::open(&runtime, channels.consensus);
    let known = (&shared, &reader, &marshal);
    let conductor = wiring.conductor(known, (epochs, hand_overs), lanes, automaton, cache, first.digest());
    let engine = runtime.child("conduct").spawn(move |_| conductor.run(sync_floor));
    Ok(Node { me: config.me.clone(), engine, marshal, shared, reader, admission, parcels })
}

/// Name of the journal of an epoch in which a node does not vote. Not that of its votes: a key that must not vote any more may have cast some
/// in this epoch, and the engine takes up no votes but those of the key that it has.
pub fn watch_journal(prefix: &str, epoch: u64) -> String {
    format!("{prefix}-watched-{epoch}")
}

/// Name of the vote journal of an epoch: whoever lost it must not vote.
#[must_use]
pub fn vote_journal(prefix: &str, epoch: u64) -> String {
    format!("{prefix}-votes-{epoch}")
}

/// An archive that keeps everything.
async fn archive<E, V>(
    runtime: &E,
    prefix: &str,
    name: &'static str,
    cache: &CacheRef,
    codec_config: V::Cfg,
) -> immutable::Archive<E, Digest, V>
where
    E: Runtime,
    V: commonware_codec::CodecShared,
{
    let config = archive_config(prefix, name, cache, codec_config);
    match immutable::Archive::init(runtime.child(name), config).await {
        Ok(archive) => archive,
        Err(error) => stop(name, &error),
    }
}

/// How an archive lies on disk.
pub(crate) fn archive_config<C>(prefix: &str, name: &str, cache: &CacheRef, codec_config: C) -> immutable::Config<C> {
    let partition = |part: &str| format!("{prefix}-{name}-{part}");
    immutable::Config {
        metadata_partition: partition("metadata"),
        freezer_table_partition: partition("table"),
        freezer_table_initial_size: 1 << 14,
        freezer_table_resize_frequency: 4,
        freezer_table_resize_chunk_size: 1 << 12,
        freezer_key_partition: partition("keys"),
        freezer_key_page_cache: cache.clone(),
        freezer_value_partition: partition("values"),
        freezer_value_target_size: 1 << 28,
        freezer_value_compression: None,
        ordinal_partition: partition("ordinal"),
        items_per_section: NZU64!(1 << 14),
        freezer_key_write_buffer: KEY_BUFFER,
        freezer_value_write_buffer: VALUE_BUFFER,
        ordinal_write_buffer: KEY_BUFFER,
        replay_buffer: REPLAY_BUFFER,
        codec_config,
    }
}

#[expect(clippy::panic, reason = "a node that cannot open its storage must stop")]
fn stop(name: &str, error: &impl std::fmt::Display) -> ! {
    panic!(
        "the archive of {name} cannot be opened: {error}: check the disk; if it is damaged beyond a crash, move the data directory away and start again, the node fetches everything from its peers"
    )
}

/// The largest operations that fill an answer of state sync: no message with smaller ones, under one proof, is larger.
const SYNC_LARGEST_OPERATIONS: NonZeroU64 = NZU64!(SYNC_BYTES_MAX.div_ceil(LOG_OPERATION_BYTES_MAX) as u64);

/// How state sync fetches.
const SYNC: SyncEngineConfig = SyncEngineConfig {
    fetch_batch_size: SYNC_OPERATIONS,
    apply_batch_size: NZU64!(4096),
    max_outstanding_requests: NZUsize!(16),
};

/// Prunes state operations; blocks lie in archives that keep everything.
const PRUNE: PruneConfig = PruneConfig {
    maintenance_interval: NZUsize!(64),
    retained_marshal_blocks: STATE_BLOCKS_KEPT,
    retained_qmdb_blocks: STATE_BLOCKS_KEPT,
};

/// How long one peer is given to answer a request.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
/// Wait before a request is put to another peer.
const FETCH_RETRY: Duration = Duration::from_millis(100);

type Plan<E> = SyncPlan<E, Scheme, Standard<Block>>;
type MarshalConfig = marshal::Config<Epochs, Links, Sequential, Block, Digested<Block>, Digest>;

/// What every actor of a node is wired to.
struct Wiring<'a, E, P, B> {
    runtime: &'a E,
    config: &'a Config,
    peers: P,
    blocker: B,
}

impl<E: Runtime, P: Provider<PublicKey = PublicKey>, B: Blocker<PublicKey = PublicKey>> Wiring<'_, E, P, B> {
    /// Whether to fetch the state from peers or to recover it from this disk; if the former, from which block on. Whose
    /// certificate of that block to believe is learnt first.
    async fn plan<S, R>(
        &self,
        epochs: &Epochs,
        hand_overs: &HandOvers,
        channel: (S, R),
        (asking, hearing): &mut (S, R),
    ) -> Result<(Plan<E>, probe::Mailbox<Scheme, Standard<Block>>), StartError>
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let mut plan = Plan::init(self.runtime.child("plan"), format!("{}-", self.config.prefix)).await;
        // One that was interrupted asks again: the state of the block it began with may be kept by nobody any more. The plan takes
        // only a newer block.
        let fetches = plan.should_sync(self.config.state_sync);
        let mut newest = 0;
        if fetches {
            tracing::info!("asking peers who certifies, and for a recent finalised block to fetch the state of");
            newest = hand_overs.learn(self.runtime, epochs, (&mut *asking, &mut *hearing), false).await;
        }
        let (prober, mailbox) = Probe::new(probe::Config {
            context: self.runtime.child("probe"),
            provider: epochs.clone(),
            strategy: Sequential,
            mailbox_size: NZUsize!(128),
            blocker: self.blocker.clone(),
            minimum_epoch: Epoch::new(newest),
            retry_timeout: NZDuration!(Duration::from_millis(500)),
        });
        prober.start(channel);
        if fetches {
            // The network goes on meanwhile, perhaps into an epoch of other validators.
            let learning = std::pin::pin!(hand_overs.learn(self.runtime, epochs, (asking, hearing), true));
            let probing = std::pin::pin!(mailbox.subscribe());
            if let Either::Left((Ok(finalization), _)) = select(probing, learning).await {
                plan = plan.set_floor(finalization).await;
            }
        }
        if let Some(floor) = plan.floor() {
            let epoch = floor.proposal.round.epoch().get();
            epochs.know(epoch, hand_overs.trust_in(epoch).validators())?;
        }
        Ok((plan, mailbox))
    }

    fn backfill(&self) -> marshal_resolver::Config<PublicKey, P, B> {
        marshal_resolver::Config {
            public_key: self.config.me.clone(),
            peer_provider: self.peers.clone(),
            blocker: self.blocker.clone(),
            mailbox_size: MAILBOX,
            fetch_timeout: NZDuration!(FETCH_TIMEOUT),
            fetch_retry_delay: FETCH_RETRY,
            priority_requests: false,
            priority_responses: false,
        }
    }

    /// How the databases lie on disk, each with a cache of its own.
    fn databases(&self) -> database::Config<E> {
        let state_cache = CacheRef::new(PAGE_BYTES, self.config.cache_pages);
        let log_cache = CacheRef::new(PAGE_BYTES, LOG_CACHE_PAGES);
        database::config::<E>(&self.config.prefix, self.config.operations_per_file, &state_cache, &log_cache)
    }

    /// Answers who asks how the sets of validators followed one another.
    fn serve_hand_overs(
        &self,
        hand_overs: &HandOvers,
        (shared, marshal): (&Arc<Shared>, &Marshal),
        channel: (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
    ) {
        let (hand_overs, blocker) = (hand_overs.clone(), self.blocker.clone());
        let (shared, marshal) = (shared.clone(), marshal.clone());
        let server = self.runtime.child("serve_hand_overs");
        server.spawn(move |runtime| hand_overs.serve(runtime, marshal, shared, channel, blocker));
    }

    /// Who leads from one epoch into the next.
    fn conductor<S: Sender, A>(
        &self,
        (shared, reader, marshal): (&Arc<Shared>, &Reader<E>, &Marshal),
        (epochs, hand_overs): (Epochs, HandOvers),
        lanes: Lanes<S>,
        automaton: A,
        cache: CacheRef,
        first: Digest,
    ) -> Conductor<E, S, P, B, A> {
        Conductor {
            runtime: self.runtime.child("epochs"),
            prefix: self.config.prefix.clone(),
            shared: shared.clone(),
            reader: reader.clone(),
            marshal: marshal.clone(),
            epochs,
            hand_overs,
            peers: self.peers.clone(),
            blocker: self.blocker.clone(),
            known: self.config.known.clone(),
            lanes,
            automaton,
            timing: self.config.timing,
            cache,
            first,
            votes: self.config.voting.votes(),
            oldest_votes: u64::MAX,
        }
    }

    fn broadcast(&self) -> buffered::Config<PublicKey, (), P, Sequential> {
        buffered::Config {
            public_key: self.config.me.clone(),
            mailbox_size: MAILBOX,
            deque_size: BROADCAST_BLOCKS_KEPT,
            priority: true,
            codec_config: (),
            peer_provider: self.peers.clone(),
            strategy: Sequential,
        }
    }

    fn marshal(
        &self,
        epochs: &Epochs,
        plan: &Plan<E>,
        first: &Block,
        epocher: Links,
        cache: &CacheRef,
    ) -> MarshalConfig {
        marshal::Config {
            provider: epochs.clone(),
            epocher,
            start: plan.marshal_start(Digested::precomputed(first.clone(), first.digest())),
            partition_prefix: self.config.prefix.clone(),
            mailbox_size: MAILBOX,
            view_retention: VIEWS_KEPT,
            prunable_items_per_section: NZU64!(16),
            page_cache: cache.clone(),
            replay_buffer: REPLAY_BUFFER,
            key_write_buffer: KEY_BUFFER,
            value_write_buffer: VALUE_BUFFER,
            block_codec_config: (),
            max_repair: NZUsize!(16),
            max_pending_acks: PENDING_ACKS,
            strategy: Sequential,
        }
    }

    /// An actor that fetches operations of one database from peers and serves them.
    fn sync<Db, Op>(
        &self,
        label: &'static str,
        channel: (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
    ) -> wire::Resolver<E, Db, Op>
    where
        Db: Send + Sync + 'static,
        Op: Codec<Cfg: Default> + Clone + Send + Sync + 'static,
        wire::Served<Db>:
            Source<Family = mmr::Family, Digest = Digest, Op = WireOperation<Op>, Error = ServeError<mmr::Family>>,
    {
        let (actor, mailbox) = sync_p2p::Actor::new(
            self.runtime.child(label),
            sync_p2p::Config {
                peer_provider: self.peers.clone(),
                blocker: self.blocker.clone(),
                database: None,
                mailbox_size: NZUsize!(256),
                me: Some(self.config.me.clone()),
                fetch_timeout: NZDuration!(FETCH_TIMEOUT),
                fetch_retry_delay: FETCH_RETRY,
                max_serve_ops: SYNC_OPERATIONS,
                priority_requests: false,
                priority_responses: false,
            },
        );
        actor.start(channel);
        wire::Resolver::new(self.runtime.child("resolver"), mailbox)
    }

    /// What a node does that holds what only some may see.
    fn parcels(
        &self,
        known: (Arc<Shared>, Reader<E>, Admission<E>),
        (holder, me): (ParcelKeys<E>, [u8; 32]),
        channel: (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
    ) -> Parcels<E> {
        let keys = (holder, me, self.config.prefix.clone());
        Parcels::start(self.runtime.child("parcels"), known, keys, channel, self.blocker.clone())
    }

    /// The way into the pool, for clients and for what peers tell.
    fn admission(
        &self,
        shared: &Arc<Shared>,
        reader: &Reader<E>,
        (sender, receiver): (impl Sender<PublicKey = PublicKey>, impl Receiver<PublicKey = PublicKey>),
    ) -> Admission<E> {
        let (outbox, told) = mpsc::unbounded_channel();
        let context = self.runtime.child("admission");
        let admission = Admission::start(context, shared.clone(), reader.clone(), outbox);
        let telling = shared.clone();
        self.runtime.child("tell").spawn(move |runtime| gossip::tell(runtime, telling, told, sender));
        let (hearing, blocker) = (admission.clone(), self.blocker.clone());
        self.runtime.child("hear").spawn(move |runtime| gossip::hear(runtime, hearing, receiver, blocker));
        admission
    }
}

/// The pool as the pacing of proposals sees it.
#[derive(Clone)]
struct PoolWork(Arc<Shared>);

impl tallystick_consensus::pace::Work for PoolWork {
    fn ready(&self) -> usize {
        self.0.pool().len()
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        self.0.pool_changed.notified()
    }
}
