//! Everything a node does for those who ask it: submit, wait, look up, prove. HTTP answers from here, and so do the simulator's
//! clients: there is no second way in.

pub mod audit;
pub mod authority;
mod backup;
pub mod consent;
pub mod data_map;
mod erasing;
pub mod erasure;
pub mod mandate;
pub mod notice;
pub mod partition;
pub mod policy;
pub(crate) mod posting;
pub mod principal;
pub mod proposal;
mod reading;
mod retention;
pub mod sealed;
mod state;
mod trouble;
pub mod validators;

use crate::{
    admission::{Admission, Origin},
    application::Shared,
    certify::{self, CertifyError},
    chain::{Finalised, FinalisedBlock},
    engine::{Marshal, Node, Runtime},
    epochs::Standing,
    holder::Holder,
    metrics::{Held, without_partitions},
    parcels::Parcels,
    rejection::Rejection,
};
use bytes::Bytes;
use commonware_consensus::types::Height;
use futures::future::{Either, select};
use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, RwLockReadGuard},
    time::{Duration, SystemTime},
};
use tallystick_api::{ErasuresView, ExpiryView, PartitionTroubleView};
use tallystick_consensus::certificate;
use tallystick_ledger::{MandateRow, OrganisationRow, PrincipalRow, TreeRow};
use tallystick_protocol::{
    BlockHeader, EntryKind, Finality, FinalityCertificate, Genesis, Hash, LogEntry, MandateId, NetworkId, NodesRow,
    PrincipalId, ProposalReceipt, RecordReceipt, RecoveryGround, RegisterRow, StateKey, TransactionReceipt,
};
use tallystick_storage::{
    history::{Entry, History, Position, entry_at},
    read::{ReadError, Reader},
};
use tokio::sync::{Mutex as AsyncMutex, broadcast};

/// What is known of a transaction.
#[derive(Clone, Debug)]
pub enum TransactionState {
    /// It waits in the pool.
    Pending,
    /// It is final.
    Finalised(Finalised),
}

/// Why waiting for a transaction ended without an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Its not-after time passed before a block took it; it will never be applied.
    #[error(
        "the transaction's not-after time passed before it was ordered: it is not on the ledger and never will be; sign it again"
    )]
    Expired,
    /// The wait was bounded.
    #[error(
        "the transaction is not final yet, and may still become so: before you do it again see whether it did, a read in `tally access-log`"
    )]
    TimedOut,
    /// This node has never heard of it.
    #[error("this node knows no such transaction")]
    Unknown,
}

/// A stored block.
#[derive(Clone, Debug)]
pub struct StoredBlock {
    /// Its header.
    pub header: BlockHeader,
    /// Its signed transactions.
    pub transactions: Vec<Bytes>,
    /// Their ids.
    pub ids: Vec<Hash>,
    /// Its own certificate; a block may be final by a descendant's alone.
    pub certificate: Option<FinalityCertificate>,
}

/// How a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it can serve everything.
    pub ready: bool,
    /// If not, why; and what an operator should know even so.
    pub reasons: Vec<String>,
    /// Height of the newest applied block.
    pub height: u64,
    /// Its time, in milliseconds since 1970.
    pub time_ms: u64,
    /// Milliseconds since then, by this node's clock.
    pub age_ms: u64,
    /// Transactions waiting.
    pub pool: usize,
    /// Validators of the network.
    pub validators: usize,
    /// Whether this node is one of them in this epoch.
    pub validator: bool,
    /// As whom it holds what only some may see.
    pub holder: Option<PrincipalId>,
    /// Whether this node votes.
    pub voting: bool,
    /// What of its organisation ends soon; no reason not to be ready.
    pub expiries: Vec<ExpiryView>,
}

/// Age of the newest block that is no cause for worry: several beats of an idle network.
const AGE_HEALTHY: Duration = Duration::from_secs(15);

/// For how long what was counted is told to others who ask: as often as somebody does, it costs no more than this.
const COUNTED: Duration = Duration::from_millis(500);

/// What a node counts for whoever watches it, and when it last did.
struct Counted {
    at: SystemTime,
    erasures: ErasuresView,
    held: Held,
}

/// A node, to those who ask it. Clones are the same node.
pub struct Service<E: Runtime>(Arc<Inner<E>>);

struct Inner<E: Runtime> {
    runtime: E,
    shared: Arc<Shared>,
    reader: Reader<E>,
    admission: Admission<E>,
    marshal: Marshal,
    me: Option<[u8; 32]>,
    may_vote: bool,
    holder: Option<Arc<Holder<E>>>,
    parcels: Option<Parcels<E>>,
    /// What is amiss with the partitions that this node holds.
    troubles: Mutex<Vec<PartitionTroubleView>>,
    counted: AsyncMutex<Option<Counted>>,
}

impl<E: Runtime> Clone for Service<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Runtime> Service<E> {
    /// The service of a running node, with what it holds if it does.
    pub fn new(runtime: E, node: &Node<E>, may_vote: bool, holder: Option<Arc<Holder<E>>>) -> Self {
        Self(Arc::new(Inner {
            runtime,
            shared: node.shared.clone(),
            reader: node.reader.clone(),
            admission: node.admission.clone(),
            marshal: node.marshal.clone(),
            me: node.me.as_ref().try_into().ok(),
            may_vote,
            holder,
            parcels: node.parcels.clone(),
            troubles: Mutex::default(),
            counted: AsyncMutex::default(),
        }))
    }

    /// The network's genesis.
    pub fn genesis(&self) -> &Arc<Genesis> {
        self.0.shared.chain.genesis()
    }

    /// The network's id.
    pub fn network(&self) -> NetworkId {
        self.0.shared.chain.network()
    }

    /// Whether the node can serve everything.
    pub fn is_ready(&self) -> bool {
        self.0.shared.chain.is_ready()
    }

    /// Submits signed transactions: an id each, or why not. An id tells that the node took it in, not that it is final.
    pub async fn submit(&self, transactions: Vec<Bytes>) -> Vec<Result<Hash, Rejection>> {
        if !self.is_ready() {
            let starting =
                Rejection::unavailable("this node is starting or joining: try again shortly, or another node");
            return vec![Err(starting); transactions.len()];
        }
        self.0.admission.submit(transactions, Origin::Client).await
    }

    /// Waits until a transaction is final, at most `patience`.
    pub async fn finalised(&self, id: &Hash, patience: Duration) -> Result<Finalised, WaitError> {
        // The waiter first: a block between the two questions must not be missed.
        let waiter = self.0.shared.chain.wait(*id);
        match self.transaction(id).await {
            Some(TransactionState::Finalised(finalised)) => return Ok(finalised),
            Some(TransactionState::Pending) => {}
            None => return Err(WaitError::Unknown),
        }
        let sleep = std::pin::pin!(self.0.runtime.sleep(patience));
        match select(waiter, sleep).await {
            Either::Left((Ok(Some(finalised)), _)) => Ok(finalised),
            Either::Left((Ok(None) | Err(_), _)) => Err(WaitError::Expired),
            Either::Right(_) => Err(WaitError::TimedOut),
        }
    }

    /// What is known of a transaction; `None` if this node has never heard of it.
    pub async fn transaction(&self, id: &Hash) -> Option<TransactionState> {
        let index = self.0.shared.chain.history().index_of(id);
        if let Some(index) = index {
            let entry = self.log_entry(index).await.ok()??;
            return Some(TransactionState::Finalised(Finalised {
                index,
                height: entry.height,
                time_ms: entry.time_ms,
                outcome: entry.outcome,
            }));
        }
        self.0.shared.pool().get(id).map(|_| TransactionState::Pending)
    }

    /// The receipt of a final transaction.
    pub async fn receipt(&self, id: &Hash) -> Result<TransactionReceipt, CertifyError> {
        let inner = &self.0;
        certify::transaction_receipt(&inner.shared.chain, &inner.marshal, &inner.reader, id).await
    }

    /// The receipt of the current record of a key, or of there being none.
    pub async fn record_receipt(&self, register: &str, key: &str) -> Result<RecordReceipt, CertifyError> {
        let inner = &self.0;
        certify::record_receipt(&inner.runtime, &inner.shared.chain, &inner.marshal, &inner.reader, register, key).await
    }

    /// The receipt of a proposal: where it stands at the newest applied block.
    pub async fn proposal_receipt(&self, id: &str) -> Result<ProposalReceipt, CertifyError> {
        let inner = &self.0;
        certify::proposal_receipt(&inner.runtime, &inner.shared.chain, &inner.marshal, &inner.reader, id).await
    }

    /// What a recovery stands on that goes on from the newest applied block, with these organisations; for this principal to sign
    /// if one is named.
    pub async fn recovery_ground(
        &self,
        principal: Option<&PrincipalId>,
        organisations: &[String],
    ) -> Result<RecoveryGround, CertifyError> {
        let (inner, asked) = (&self.0, (principal, organisations));
        certify::recovery_ground(&inner.runtime, &inner.shared.chain, &inner.marshal, &inner.reader, asked).await
    }

    /// Whether the organisation has registered this node as one that holds, with the very secret that it holds with.
    async fn holds_for(&self, holder: &Holder<E>, organisation: &str) -> Result<bool, ReadError> {
        let keys = holder.keys();
        let nodes = self.nodes(organisation).await?.map(|(_, nodes)| nodes).unwrap_or_default();
        Ok(nodes.node(&keys.principal).is_some_and(|node| *node.sealing.as_bytes() == keys.sealing.public()))
    }

    /// The newest applied block.
    pub fn tip(&self) -> Arc<FinalisedBlock> {
        self.0.shared.chain.tip()
    }

    /// Finalised blocks from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<FinalisedBlock>> {
        self.0.shared.chain.subscribe()
    }

    /// A stored block.
    pub async fn block(&self, height: u64) -> Option<StoredBlock> {
        if height > self.tip().header.height {
            return None;
        }
        let block = self.0.marshal.get_block(Height::new(height)).await?;
        let block = block.inner();
        let certificate = match self.0.marshal.get_finalization(Height::new(height)).await {
            Some(finalization) => certificate(&finalization),
            None => None,
        };
        Some(StoredBlock {
            header: block.header().clone(),
            transactions: block.transactions().to_vec(),
            ids: block.ids().to_vec(),
            certificate,
        })
    }

    /// The newest certified block: its header, those up to the certified one, and the certificate.
    pub async fn checkpoint(&self) -> Option<Finality> {
        certify::checkpoint(&self.0.shared.chain, &self.0.marshal).await
    }

    /// The path from a leaf of the log to the root at `size`.
    pub fn log_inclusion(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        self.history().log().inclusion(index, size)
    }

    /// The proof that the log at `new` leaves continues the log at `old`.
    pub fn log_consistency(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        self.history().log().consistency(old, new)
    }

    /// The index over the log. Hold it briefly, and never across an await.
    pub fn history(&self) -> RwLockReadGuard<'_, History> {
        self.0.shared.chain.history()
    }

    /// An entry of the log.
    pub async fn log_entry(&self, index: u64) -> Result<Option<LogEntry>, ReadError> {
        let location = self.history().location(index);
        let Some(location) = location else { return Ok(None) };
        Ok(self.0.reader.log_entries(&[location]).await?.pop())
    }

    /// Entries of a register by number, in rising order; numbers that do not exist are left out.
    pub async fn entries(
        &self,
        register: &str,
        kind: EntryKind,
        numbers: RangeInclusive<u64>,
    ) -> Result<Vec<Entry>, ReadError> {
        self.entries_at(register, kind, &numbers.collect::<Vec<_>>()).await
    }

    /// As [`Service::entries`], for any strictly or not strictly ordered numbers.
    pub async fn entries_at(&self, register: &str, kind: EntryKind, numbers: &[u64]) -> Result<Vec<Entry>, ReadError> {
        let places: Vec<(u64, Position, u64)> = {
            let history = self.history();
            let Some(index) = history.register(register) else { return Ok(Vec::new()) };
            numbers
                .iter()
                .filter_map(|number| {
                    let position = index.position(kind, *number)?;
                    let location = history.location(position.leaf)?;
                    Some((*number, position, location))
                })
                .collect()
        };
        let mut locations: Vec<u64> = places.iter().map(|(_, _, location)| *location).collect();
        locations.sort_unstable();
        locations.dedup();
        let logged = self.0.reader.log_entries(&locations).await?;
        places
            .iter()
            .map(|(number, position, location)| {
                let logged = locations.binary_search(location).ok().and_then(|at| logged.get(at));
                let logged = logged.ok_or(ReadError::NotOpen)?;
                entry_at(logged, position, *number)
                    .map_err(|error| ReadError::Storage { database: "log", detail: error.to_string() })
            })
            .collect()
    }

    /// One entry of a register.
    pub async fn entry(&self, register: &str, kind: EntryKind, number: u64) -> Result<Option<Entry>, ReadError> {
        Ok(self.entries_at(register, kind, &[number]).await?.pop())
    }

    /// A register's definition and its tree's row, and the height they stand at.
    pub async fn register(&self, name: &str) -> Result<Option<(u64, RegisterRow, TreeRow)>, ReadError> {
        let (height, mut found) = self.registers(&[name]).await?;
        Ok(found.pop().map(|(row, tree)| (height, row, tree)))
    }

    /// Those of these registers that there are, each with its tree's row, and the height they stand at.
    pub async fn registers(
        &self,
        names: &[impl AsRef<str> + Sync],
    ) -> Result<(u64, Vec<(RegisterRow, TreeRow)>), ReadError> {
        let keys: Vec<StateKey> = names.iter().map(|name| StateKey::register(name.as_ref())).collect();
        self.read(keys.iter().copied(), |sheet| {
            let rows: Vec<RegisterRow> =
                sheet.rows(keys.iter().copied(), RegisterRow::decode)?.into_iter().flatten().collect();
            let trees = sheet.rows(rows.iter().map(|row| StateKey::tree(row.number)), TreeRow::decode)?;
            Ok(rows.into_iter().zip(trees).filter_map(|(row, tree)| Some((row, tree?))).collect())
        })
        .await
    }

    /// An organisation, and the height it stands at.
    pub async fn organisation(&self, id: &str) -> Result<Option<(u64, OrganisationRow)>, ReadError> {
        self.row(StateKey::organisation(id), OrganisationRow::decode).await
    }

    /// The nodes of an organisation that hold what only some may see, and the height they stand at.
    pub async fn nodes(&self, organisation: &str) -> Result<Option<(u64, NodesRow)>, ReadError> {
        let (place, nodes) = (StateKey::organisation(organisation), StateKey::nodes(organisation));
        let found = self.read([place, nodes], |sheet| {
            let member = sheet.row(place, OrganisationRow::decode)?;
            let nodes = sheet.row(nodes, NodesRow::decode)?;
            Ok(member.map(|_| nodes.unwrap_or_default()))
        });
        let (height, nodes) = found.await?;
        Ok(nodes.map(|nodes| (height, nodes)))
    }

    /// A principal, and the height it stands at.
    pub async fn principal(&self, id: &PrincipalId) -> Result<Option<(u64, PrincipalRow)>, ReadError> {
        self.row(StateKey::principal(id), PrincipalRow::decode).await
    }

    /// A mandate, and the height it stands at.
    pub async fn mandate(&self, id: &MandateId) -> Result<Option<(u64, MandateRow)>, ReadError> {
        self.row(StateKey::mandate(id), MandateRow::decode).await
    }

    async fn row<T, X: std::fmt::Display>(
        &self,
        key: StateKey,
        decode: impl Fn(&[u8]) -> Result<T, X>,
    ) -> Result<Option<(u64, T)>, ReadError> {
        let (height, row) = self.read([key], |sheet| sheet.row(key, &decode)).await?;
        Ok(row.map(|row| (height, row)))
    }

    /// Who certifies the next block, and who will certify later ones.
    pub fn standing(&self) -> Arc<Standing> {
        self.0.shared.chain.standing()
    }

    /// How the node does.
    pub fn health(&self) -> Health {
        let tip = self.tip();
        let now_ms = crate::application::now_ms(&self.0.runtime);
        let age_ms = now_ms.saturating_sub(tip.header.time_ms);
        let standing = self.standing();
        let validator = self.0.me.is_some_and(|me| standing.running.contains(&me));
        let mut reasons = Vec::new();
        let ready = self.is_ready();
        if !ready {
            reasons.push("opening its databases, or fetching them from peers".to_owned());
        } else if tip.header.height > 0 && age_ms > AGE_HEALTHY.as_millis() as u64 {
            reasons.push(format!(
                "no block for {} s: too few validators can reach one another: check the peers and the network between them; if keys were replaced while this node was away, `tally node peers` writes those of today",
                age_ms / 1000
            ));
        }
        if !self.0.may_vote {
            reasons.push(
                "following without voting: the vote journal of this validator's key is lost, so the key must not vote again"
                    .to_owned(),
            );
        }
        let is_silent = self.0.shared.chain.is_silent_in(standing.epoch);
        if is_silent {
            reasons.push(format!(
                "casts no vote in epoch {}: the votes that its key cast in it are not in its data directory, which was restored or is new: \
                 it votes again by itself from epoch {} on",
                standing.epoch,
                standing.epoch + 1
            ));
        }
        let backups = self.0.holder.as_ref().and_then(|holder| holder.backups());
        if backups.is_some_and(crate::backup::Backups::is_amiss) {
            reasons.push("the backup of its vault is amiss: its log says why".to_owned());
        }
        if self.0.holder.as_ref().is_some_and(|holder| holder.fails_orders()) {
            reasons.push("its vault fails to carry out orders of erasure: its log says which, and why".to_owned());
        }
        Health {
            ready: ready && (tip.header.height > 0),
            reasons,
            height: tip.header.height,
            time_ms: tip.header.time_ms,
            age_ms,
            pool: self.0.shared.pool().len(),
            validators: standing.running.len(),
            validator,
            holder: self.0.holder.as_ref().map(|holder| holder.keys().principal.clone()),
            voting: validator && self.0.may_vote && !is_silent,
            expiries: self.0.shared.chain.expiries().told(now_ms),
        }
    }

    /// The orders of erasure that are not complete, and how the partitions stand that this node holds, as they were counted no longer than
    /// [`COUNTED`] ago: anybody may ask, and it takes many reads.
    pub async fn counted(&self) -> (ErasuresView, Held) {
        let mut counted = self.0.counted.lock().await;
        let now = self.0.runtime.current();
        let kept = counted.as_ref().filter(|kept| now.duration_since(kept.at).is_ok_and(|age| age < COUNTED));
        if let Some(kept) = kept {
            return (kept.erasures.clone(), kept.held);
        }
        let (erasures, held) = (self.own_erasures().await, self.held_partitions().await);
        *counted = Some(Counted { at: now, erasures: erasures.clone(), held });
        (erasures, held)
    }

    /// Counters in Prometheus' text format.
    pub fn metrics(&self, erasures: &ErasuresView, held: &Held) -> String {
        let (transactions, bytes) = {
            let pool = self.0.shared.pool();
            (pool.len(), pool.bytes())
        };
        self.0.shared.metrics.pool(transactions, bytes);
        let now_ms = crate::application::now_ms(&self.0.runtime);
        self.0.shared.metrics.expiries(self.0.shared.chain.expiries().counts(now_ms));
        self.0.shared.metrics.erasures(erasures);
        self.0.shared.metrics.partitions(held);
        without_partitions(&self.0.runtime.encode())
    }
}
