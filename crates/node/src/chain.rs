//! What a node knows of the finalised chain, in memory: the newest applied block, the index over the log, and who wants to hear
//! of the next block.
//!
//! The databases hold the truth; this follows them. At start the index is rebuilt from the log, and until that is done the node
//! neither proposes nor judges blocks ([`Chain::ready`]).
//!
//! INVARIANT: the index holds exactly the log entries of blocks up to the tip.

use crate::{epochs::Standing, expiry::Expiries, hand_overs::Links, watch};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard},
};
use tallystick_protocol::{
    BlockHeader, Calendar, Genesis, Hash, LogEntry, NetworkId, Outcome, SignedTransaction, VerifiedTransaction,
    limits::SUBSCRIBER_LAG_BLOCKS_MAX,
};
use tallystick_storage::history::{self, History};
use tokio::sync::{broadcast, oneshot};

/// A block that is final and applied.
#[derive(Clone, Debug)]
pub struct FinalisedBlock {
    /// Its header.
    pub header: BlockHeader,
    /// The header's hash.
    pub digest: Hash,
    /// Its transactions' ids, in order.
    pub ids: Vec<Hash>,
    /// How many of them the ledger refused.
    pub refused: u64,
}

/// A transaction's place and outcome.
#[derive(Clone, Debug)]
pub struct Finalised {
    /// Its leaf in the log.
    pub index: u64,
    /// Height of its block.
    pub height: u64,
    /// Time of its block, in milliseconds since 1970.
    pub time_ms: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// Somebody waits for a transaction; `None` tells that it expired.
type Waiter = oneshot::Sender<Option<Finalised>>;

/// The finalised chain as this node sees it.
pub struct Chain {
    genesis: Arc<Genesis>,
    network: NetworkId,
    history: RwLock<History>,
    expiries: Expiries,
    tip: watch::Sender<Arc<FinalisedBlock>>,
    blocks: broadcast::Sender<Arc<FinalisedBlock>>,
    waiters: Mutex<HashMap<Hash, Vec<Waiter>>>,
    standing: watch::Sender<Arc<Standing>>,
    links: Links,
    /// The epoch in which this node's key must not vote, though it is a validator's: at most one at a time, the one that runs.
    silent: Mutex<Option<u64>>,
    ready: watch::Sender<bool>,
}

impl Chain {
    /// A chain that knows the genesis block only.
    pub fn new(genesis: Arc<Genesis>, first: BlockHeader, standing: Standing, links: Links) -> Self {
        let digest = first.hash();
        let first = FinalisedBlock { header: first, digest, ids: Vec::new(), refused: 0 };
        Self {
            network: genesis.id(),
            genesis,
            history: RwLock::new(History::new()),
            expiries: Expiries::default(),
            tip: watch::Sender::new(Arc::new(first)),
            blocks: broadcast::Sender::new(SUBSCRIBER_LAG_BLOCKS_MAX),
            waiters: Mutex::new(HashMap::new()),
            standing: watch::Sender::new(Arc::new(standing)),
            links,
            silent: Mutex::new(None),
            ready: watch::Sender::new(false),
        }
    }

    /// The genesis.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// The network's id. The genesis tells it too, each time by hashing itself.
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// The newest applied block.
    pub fn tip(&self) -> Arc<FinalisedBlock> {
        self.tip.borrow().clone()
    }

    /// Who certifies the next block, and who will certify later ones.
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.borrow().clone()
    }

    /// Follows who certifies.
    pub fn watch_standing(&self) -> watch::Receiver<Arc<Standing>> {
        self.standing.subscribe()
    }

    /// An epoch begins.
    pub fn stands(&self, standing: Standing) {
        self.standing.send_replace(Arc::new(standing));
    }

    /// This node's key must not vote in an epoch, whose engine only checks.
    pub fn be_silent_in(&self, epoch: u64) {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) = Some(epoch);
    }

    /// Whether its engine only checks in an epoch, though its key is a validator's.
    pub fn is_silent_in(&self, epoch: u64) -> bool {
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) == Some(epoch)
    }

    /// The hand-overs from the genesis' validators to those of an epoch.
    pub const fn links(&self) -> &Links {
        &self.links
    }

    /// Which block is of which epoch.
    pub fn calendar(&self) -> Calendar {
        self.links.calendar()
    }

    /// Follows the tip.
    pub fn watch_tip(&self) -> watch::Receiver<Arc<FinalisedBlock>> {
        self.tip.subscribe()
    }

    /// Finalised blocks from now on. One that lags more than [`SUBSCRIBER_LAG_BLOCKS_MAX`] is told how many it lost.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<FinalisedBlock>> {
        self.blocks.subscribe()
    }

    /// The index over the log. Hold it briefly and never across an await: blocks wait for it.
    pub fn history(&self) -> RwLockReadGuard<'_, History> {
        self.history.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of the node's organisation ends soon.
    pub const fn expiries(&self) -> &Expiries {
        &self.expiries
    }

    /// Whether the index stands.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Resolves when the index stands.
    pub async fn ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender lives as long as this does.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// Adds log entries while the index is rebuilt at start.
    pub fn rebuild<'a>(&self, entries: impl IntoIterator<Item = &'a LogEntry>) {
        let mut history = self.history.write().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            let decoded = SignedTransaction::decode(entry.transaction.clone()).map_err(history::Error::from);
            let pushed = decoded.and_then(|transaction| {
                self.expiries.note(entry, &transaction);
                history.push_decoded(entry, &transaction)
            });
            sound(&history, pushed);
        }
    }

    /// The index is complete and `tip` is the newest applied block.
    pub fn rebuilt(&self, tip: FinalisedBlock) {
        let time_ms = tip.header.time_ms;
        self.history.write().unwrap_or_else(PoisonError::into_inner).forget_before(time_ms);
        self.tip.send_replace(Arc::new(tip));
        self.ready.send_replace(true);
    }

    /// A block was applied. Before the index stands this does nothing: the rebuild reads the block from the log.
    pub fn applied(
        &self,
        header: &BlockHeader,
        digest: Hash,
        transactions: &[VerifiedTransaction],
        entries: &[LogEntry],
    ) {
        if !self.is_ready() {
            return;
        }
        let first = header.log.size - entries.len() as u64;
        {
            let mut history = self.history.write().unwrap_or_else(PoisonError::into_inner);
            for (index, (entry, transaction)) in (first..).zip(entries.iter().zip(transactions)) {
                // A block may be told of twice after a restart.
                if index >= history.size() {
                    self.expiries.note(entry, transaction);
                    let pushed = history.push_decoded(entry, transaction);
                    sound(&history, pushed);
                }
            }
            history.forget_before(header.time_ms);
        }
        let ids: Vec<Hash> = transactions.iter().map(|transaction| transaction.id()).collect();
        self.answer_waiters(first, &ids, entries);
        let refused = entries.iter().filter(|entry| !entry.outcome.is_accepted()).count();
        let block = Arc::new(FinalisedBlock { header: header.clone(), digest, ids, refused: refused as u64 });
        self.tip.send_replace(block.clone());
        // Nobody listening is no failure.
        let _ = self.blocks.send(block);
    }

    /// Resolves when the transaction is final; with `None` when it has expired. Register before asking whether it is final.
    pub fn wait(&self, id: Hash) -> oneshot::Receiver<Option<Finalised>> {
        let (sender, receiver) = oneshot::channel();
        let mut waiters = self.lock_waiters();
        let waiting = waiters.entry(id).or_default();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.push(sender);
        receiver
    }

    /// These expired before any block took them.
    pub fn expired(&self, ids: &[Hash]) {
        let mut waiters = self.lock_waiters();
        for id in ids {
            for waiter in waiters.remove(id).unwrap_or_default() {
                let _ = waiter.send(None);
            }
        }
        waiters.retain(|_, waiting| waiting.iter().any(|waiter| !waiter.is_closed()));
    }

    fn answer_waiters(&self, first: u64, ids: &[Hash], entries: &[LogEntry]) {
        let mut waiters = self.lock_waiters();
        if waiters.is_empty() {
            return;
        }
        for (index, (id, entry)) in (first..).zip(ids.iter().zip(entries)) {
            for waiter in waiters.remove(id).unwrap_or_default() {
                let finalised =
                    Finalised { index, height: entry.height, time_ms: entry.time_ms, outcome: entry.outcome.clone() };
                let _ = waiter.send(Some(finalised));
            }
        }
    }

    fn lock_waiters(&self) -> MutexGuard<'_, HashMap<Hash, Vec<Waiter>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::panic,
    reason = "a finalised log entry that does not decode means that the disk or this program is broken"
)]
fn sound(history: &History, pushed: Result<(), history::Error>) {
    if let Err(error) = pushed {
        panic!("log entry {} cannot be indexed: {error}: run `tally audit disk` on the data directory", history.size());
    }
}
