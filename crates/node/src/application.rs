//! The application that the engine orders blocks for: build a block, judge a block, take note of a final one.
//!
//! A block is **valid** when its header follows from its parent and its transactions, and each transaction decodes, verifies,
//! names this network, is in time, and was never ordered before. Whether the ledger then accepts a transaction is its outcome,
//! not the block's validity. An honest leader drops what would make its block invalid.
//!
//! INVARIANT: judging depends on the block, its ancestors and the genesis only. What depends on this node (its clock, whether
//! its index stands) may delay the verdict and never make it.

use crate::{
    admission::verify_all,
    attempts::Attempts,
    chain::Chain,
    engine::Runtime,
    keys::{KeyCache, changes_keys},
    metrics::Metrics,
    pool::Pool,
    schemas::{SchemaCache, changes_fields},
    validity::{belongs, block_time, follows, in_time},
};
use bytes::Bytes;
use commonware_consensus::marshal::ancestry::Ancestry;
use commonware_glue::stateful::{self, Finality, Input, Proposed, db::DatabaseSet};
use commonware_runtime::Clock;
use futures::StreamExt as _;
use rand_core::CryptoRng;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};
use tallystick_consensus::{self as consensus, Block, Scheme};
use tallystick_ledger::PolicyCache;
use tallystick_protocol::{
    BlockHeader, Hash, LogEntry, SignedTransaction, VerifiedTransaction, header::transactions_hash,
};
use tallystick_storage::{
    database::{Databases, Merkleized, Readers, Unmerkleized},
    execute::{self, BlockPlace, Executed, Stale},
    history::History,
};
use tokio::sync::Notify;

/// What the application, the admission and the reads of one node share.
pub struct Shared {
    /// The finalised chain.
    pub chain: Chain,
    /// Transactions waiting for it.
    pool: Mutex<Pool>,
    /// Keys found in use.
    pub keys: KeyCache,
    /// Acts of those who may not act any more.
    pub attempts: Attempts,
    /// Protected fields found.
    pub schemas: SchemaCache,
    /// Policies found compiled.
    pub policies: PolicyCache,
    /// Counters.
    pub metrics: Metrics,
    /// Told when the pool gains a transaction.
    pub pool_changed: Notify,
    /// Blocks that were executed and are not final yet, by height.
    executed: Mutex<BTreeMap<u64, Vec<Arc<ExecutedBlock>>>>,
}

/// Intents ordered in blocks that are not final here yet, each with the last second (Unix) in which it counts.
type Taken = HashMap<[u8; 16], u64>;

/// What is remembered of a block between its execution and its end.
struct ExecutedBlock {
    digest: Hash,
    transactions: Vec<VerifiedTransaction>,
    changes_keys: bool,
    changes_fields: bool,
    entries: Vec<LogEntry>,
}

impl Shared {
    /// The shared parts of a node that has seen the genesis block only.
    pub fn new(chain: Chain, metrics: Metrics) -> Self {
        Self {
            chain,
            keys: KeyCache::default(),
            attempts: Attempts::default(),
            schemas: SchemaCache::default(),
            policies: PolicyCache::default(),
            metrics,
            pool: Mutex::new(Pool::default()),
            pool_changed: Notify::new(),
            executed: Mutex::new(BTreeMap::new()),
        }
    }

    /// The pool.
    pub fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn executed(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<Arc<ExecutedBlock>>>> {
        self.executed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, height: u64, block: ExecutedBlock) {
        let mut executed = self.executed();
        let blocks = executed.entry(height).or_default();
        if blocks.iter().all(|known| known.digest != block.digest) {
            blocks.push(Arc::new(block));
        }
    }

    fn recall(&self, height: u64, digest: Hash) -> Option<Arc<ExecutedBlock>> {
        self.executed().get(&height)?.iter().find(|block| block.digest == digest).cloned()
    }

    /// Forgets blocks up to `height`: one of each height is final, the rest never will be.
    fn forget(&self, height: u64) {
        let mut executed = self.executed();
        *executed = executed.split_off(&(height + 1));
    }
}

/// The application of one node. Clones are the same node.
#[derive(Clone)]
pub struct Application {
    shared: Arc<Shared>,
    first: Arc<Block>,
}

impl Application {
    /// The application over what the node shares; `first` is the genesis block.
    pub fn new(shared: Arc<Shared>, first: Block) -> Self {
        Self { shared, first: Arc::new(first) }
    }

    async fn execute<E: Runtime>(
        &self,
        batches: Unmerkleized<E>,
        height: u64,
        time_ms: u64,
        transactions: &[VerifiedTransaction],
    ) -> Result<Executed<E>, Stale> {
        let genesis = self.shared.chain.genesis();
        let links = self.shared.chain.links();
        let block = BlockPlace::new(&links.calendar(), height, time_ms, links.recovery_before(height));
        execute::execute::<E>(batches, genesis, &self.shared.policies, block, transactions).await
    }

    /// What those ancestors took that the index does not hold yet.
    async fn taken_by_ancestors(&self, mut ancestry: impl Ancestry<Block>) -> Taken {
        let mut taken = Taken::new();
        while let Some(block) = ancestry.next().await {
            let block = block.inner();
            let header = block.header();
            if header.height <= self.shared.chain.tip().header.height {
                break;
            }
            let tags: Vec<_> = match self.shared.recall(header.height, header.hash()) {
                Some(executed) => executed.transactions.iter().map(|transaction| tag(transaction)).collect(),
                None => block.transactions().iter().filter_map(tag_of).collect(),
            };
            for (tag, not_after) in tags {
                // The youngest block comes first: an older one took the intent only while it counted there.
                taken.entry(tag).or_insert(not_after);
            }
        }
        taken
    }

    /// Builds a block on `parent` from what waits in the pool.
    async fn build<E: Runtime>(
        &self,
        now_ms: u64,
        context: consensus::Context,
        parent: &BlockHeader,
        taken: &Taken,
        batches: Unmerkleized<E>,
    ) -> Option<Proposed<Self, E>> {
        let time_ms = block_time(parent, now_ms);
        let height = parent.height + 1;
        let selected = {
            let history = self.shared.chain.history();
            let pool = self.shared.pool();
            pool.select(height, |transaction| {
                in_time(transaction, time_ms) && ordered(&history, taken, &transaction.replay_tag(), time_ms).is_none()
            })
        };
        // Given up meanwhile: nobody waits for this block, and the pool still holds its transactions.
        let Ok(executed) = self.execute::<E>(batches, height, time_ms, &selected).await else { return None };
        let (validators, next_validators) = executed.validators(parent);
        let ids: Vec<Hash> = selected.iter().map(|transaction| transaction.id()).collect();
        let header = BlockHeader {
            network: parent.network,
            height,
            epoch: context.round.epoch().get(),
            view: context.round.view().get(),
            leader: <[u8; 32]>::try_from(context.leader.as_ref()).ok()?,
            parent_view: context.parent.0.get(),
            parent: parent.hash(),
            time_ms,
            transactions: transactions_hash(&ids),
            transaction_count: ids.len() as u64,
            state: executed.state,
            log: executed.log,
            validators,
            next_validators,
        };
        let transactions: Vec<Bytes> = selected.iter().map(|t| t.bytes().clone()).collect();
        let block = Block::with_ids(header, transactions, ids).ok()?;
        self.note(&block, selected, executed.entries);
        Some(Proposed { block, merkleized: executed.merkleized })
    }

    /// Judges a block and applies it. `Ok(None)`: it is invalid, for everybody and for ever.
    async fn judge<E: Runtime>(
        &self,
        runtime: &mut E,
        block: &Block,
        batches: Unmerkleized<E>,
    ) -> Result<Option<Merkleized<E>>, Stale> {
        let header = block.header();
        let Some(transactions) = self.verified(runtime, block) else { return Ok(None) };
        // A leader that repeats what has expired, when its replay tag is forgotten, is refused here.
        if !transactions.iter().all(|transaction| belongs(transaction, header)) {
            return Ok(None);
        }
        let executed = self.execute::<E>(batches, header.height, header.time_ms, &transactions).await?;
        if !executed.is_as_stated(header) {
            return Ok(None);
        }
        self.note(block, transactions, executed.entries);
        Ok(Some(executed.merkleized))
    }

    /// The block's transactions, verified: those in the pool were, the rest are now, in one batch.
    fn verified(&self, runtime: &mut impl CryptoRng, block: &Block) -> Option<Vec<VerifiedTransaction>> {
        let mut found = self.shared.pool().find(block.ids());
        let unknown: Vec<(usize, Bytes)> = found
            .iter()
            .zip(block.transactions())
            .enumerate()
            .filter(|(_, (known, _))| known.is_none())
            .map(|(index, (_, bytes))| (index, bytes.clone()))
            .collect();
        let bytes = unknown.iter().map(|(_, bytes)| bytes.clone()).collect();
        for ((index, _), verified) in unknown.iter().zip(verify_all(bytes, runtime)) {
            *found.get_mut(*index)? = Some(verified.ok()?);
        }
        found.into_iter().collect()
    }

    fn note(&self, block: &Block, transactions: Vec<VerifiedTransaction>, entries: Vec<LogEntry>) {
        let operations = || transactions.iter().flat_map(|transaction| transaction.operations());
        let (changes_keys, changes_fields) = (operations().any(changes_keys), operations().any(changes_fields));
        let digest = block.header().hash();
        self.shared.remember(
            block.header().height,
            ExecutedBlock { digest, transactions, changes_keys, changes_fields, entries },
        );
    }

    /// Whether no transaction of the block was ordered before, in it or in its ancestors.
    async fn is_fresh(&self, block: &Block, ancestors: impl Ancestry<Block>) -> bool {
        let taken = self.taken_by_ancestors(ancestors).await;
        let time_ms = block.header().time_ms;
        let history = self.shared.chain.history();
        let mut here = HashSet::new();
        block.transactions().iter().zip(block.ids()).all(|(bytes, id)| {
            let known = self.shared.pool().get(id).map(|transaction| transaction.replay_tag());
            known.or_else(|| tag_of(bytes).map(|(tag, _)| tag)).is_some_and(|tag| {
                let is_new = match ordered(&history, &taken, &tag, time_ms) {
                    None => true,
                    Some(Ordered::InAncestor) => false,
                    // A block that is being finalised while it is judged stands in the index itself.
                    Some(Ordered::AtLeaf(leaf)) => history.index_of(id) == Some(leaf),
                };
                is_new && here.insert(tag)
            })
        })
    }
}

/// Where an intent was ordered before.
enum Ordered {
    /// In an ancestor that the index does not hold yet.
    InAncestor,
    /// At this leaf of the log.
    AtLeaf(u64),
}

/// Where an intent was ordered that still counts in a block of this time. Asked of the block's time and never of this node's
/// newest block, so that every node judges alike.
fn ordered(history: &History, taken: &Taken, tag: &[u8; 16], time_ms: u64) -> Option<Ordered> {
    match taken.get(tag) {
        Some(not_after) if *not_after >= time_ms / 1000 => Some(Ordered::InAncestor),
        _ => history.replayed_at(tag, time_ms).map(Ordered::AtLeaf),
    }
}

fn tag_of(bytes: &Bytes) -> Option<([u8; 16], u64)> {
    SignedTransaction::decode(bytes.clone()).ok().as_ref().map(tag)
}

fn tag(transaction: &SignedTransaction) -> ([u8; 16], u64) {
    (transaction.replay_tag(), transaction.not_after())
}

/// Milliseconds since 1970 by the runtime's clock.
pub(crate) fn now_ms(clock: &impl Clock) -> u64 {
    let since = clock.current().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl<E: Runtime> stateful::Application<E> for Application {
    type SigningScheme = Scheme;
    type Context = consensus::Context;
    type Block = Block;
    type Databases = Databases<E>;
    type Captured = ();
    type Provider = ();
    type Input = ();

    fn sync_targets(block: &Block) -> <Databases<E> as DatabaseSet<E>>::SyncTargets {
        execute::targets(block.header())
    }

    async fn genesis(&mut self) -> Block {
        self.first.as_ref().clone()
    }

    async fn propose(
        &mut self,
        (runtime, context): (E, consensus::Context),
        ancestry: impl Ancestry<Block>,
        batches: Unmerkleized<E>,
        _: Input<(), ()>,
    ) -> Option<Proposed<Self, E>> {
        if !self.shared.chain.is_ready() {
            return None;
        }
        let parent = ancestry.peek()?.inner().header().clone();
        let taken = self.taken_by_ancestors(ancestry).await;
        let application = self.clone();
        // Heavy on the processor: off the reactor's threads, and in the simulator deterministic all the same.
        let build = runtime.child("build").shared(true).spawn(move |runtime| async move {
            application.build(now_ms(&runtime), context, &parent, &taken, batches).await
        });
        build.await.ok().flatten()
    }

    async fn process(
        &mut self,
        (runtime, _): (E, consensus::Context),
        mut ancestry: impl Ancestry<Block>,
        batches: Unmerkleized<E>,
        finality: Finality,
    ) -> Option<Merkleized<E>> {
        let block = ancestry.next().await?;
        if finality == Finality::Candidate {
            let header = block.inner().header();
            let parent = ancestry.clone().next().await?;
            let links = self.shared.chain.links();
            let recovered = links.recovery_before(header.height).and_then(|recovery| recovery.validator_set().ok());
            let recovered = recovered.map(|set| set.hash());
            if !follows(header, parent.inner().header(), &links.calendar(), recovered) {
                return None;
            }
            self.shared.chain.ready().await;
            if !self.is_fresh(block.inner(), ancestry).await {
                return None;
            }
        }
        let application = self.clone();
        // The job outlives a request that was given up, and may then find its batch stale.
        let job = runtime
            .child("process")
            .shared(true)
            .spawn(move |mut runtime| async move { application.judge(&mut runtime, block.inner(), batches).await });
        match job.await {
            Ok(Ok(verdict)) => verdict,
            // A local condition is no verdict: `None` would say that the block is invalid for ever.
            Ok(Err(Stale)) | Err(_) => std::future::pending().await,
        }
    }

    async fn capture(&mut self, _: (E, consensus::Context), _: &Block, _: &Merkleized<E>, _: Readers<E>) {}

    async fn finalized(&mut self, (runtime, _): (E, consensus::Context), block: &Block, (): (), _: Readers<E>) {
        let header = block.header();
        let digest = header.hash();
        let late = self.shared.pool().settle(block.ids(), header.time_ms);
        let Some(executed) = self.shared.recall(header.height, digest) else { unreachable_block(header.height) };
        if executed.changes_keys {
            self.shared.keys.clear();
        }
        if executed.changes_fields {
            self.shared.schemas.clear();
        }
        self.shared.chain.applied(header, digest, &executed.transactions, &executed.entries);
        self.shared.forget(header.height);
        self.shared.chain.expired(&late);
        let refused = executed.entries.iter().filter(|entry| !entry.outcome.is_accepted()).count();
        let age_ms = now_ms(&runtime).saturating_sub(header.time_ms);
        self.shared.metrics.applied(header.height, header.transaction_count, refused as u64, age_ms);
    }
}

#[expect(clippy::panic, reason = "a broken invariant is a bug: stop, loudly")]
fn unreachable_block(height: u64) -> ! {
    panic!("block {height} was applied and never executed: this is a bug in tally, please report it")
}
