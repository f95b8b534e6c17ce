//! One consensus engine for each epoch, one after another, over one set of channels.
//!
//! ```text
//! last block of epoch e applied
//!   ├─ the hand-over to the set of e+1 is kept, if that set is another
//!   ├─ the scheme of e+1 is known: certificates of e+1 are believed from here on, and not before
//!   ├─ the peers of e+1 and e+2 are dialled
//!   ├─ the engine of e+1 starts, from that block, with a vote journal of its own
//!   └─ the engine of e ends, and the journal of e−1 is removed
//! ```
//!
//! A node that hears of a later epoch has missed the last block of its own, and asks whoever sent that for it.
//!
//! INVARIANT: no certificate of an epoch is believed before the last block of the epoch before was applied here. So that block
//! is never passed over: its own certificate is in the archive, and is the hand-over.

use crate::{
    application::Shared,
    chain::FinalisedBlock,
    engine::{MAILBOX, Marshal, REPLAY_BUFFER, Runtime, VIEWS_KEPT, vote_journal},
    hand_overs::{HandOvers, from_block},
    patience::Bounded,
    timing::Timing,
};
use commonware_consensus::{
    CertifiableAutomaton, Relay, Reporter,
    simplex::{
        self, Floor,
        config::{ForwardPolicy, SkipBudget, SkipPolicy},
        elector::RoundRobin,
        types::{Activity, Finalization},
    },
    types::{Epoch, Height},
};
use commonware_cryptography::{Digestible as _, Sha256, ed25519::PublicKey, sha256::Digest};
use commonware_p2p::{
    Address, AddressableManager, AddressableTrackedPeers, Blocker, Channel, Message, Receiver, Sender,
    utils::mux::{Builder as _, MuxHandle, Muxer},
};
use commonware_parallel::Sequential;
use commonware_runtime::{Handle, buffer::paged::CacheRef};
use commonware_utils::{NZDuration, NZUsize, channel::mpsc, ordered::Map, vec::NonEmptyVec};
use futures::future::{Either, select};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tallystick_consensus::{Context, Epochs, Scheme, peers::PeerAddress, validators::decode_key};
use tallystick_ledger::{ScheduleRow, ValidatorRow};
use tallystick_protocol::{
    Calendar, Genesis, StateKey, ValidatorSet,
    limits::{PEERS_MAX, RECEIPT_SEARCH_BLOCKS_MAX},
};
use tallystick_storage::read::{ReadError, Reader};
use tokio::sync::watch;

/// Wait before the databases are looked at again, when they are behind what was told.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Who certifies now, and who will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The epoch of the next block.
    pub epoch: u64,
    /// Its validators.
    pub running: ValidatorSet,
    /// Those of the epoch after.
    pub next: ValidatorSet,
    /// Those of the epochs after that, as far as was decided.
    pub later: ValidatorSet,
    /// Those who left, and whose nodes follow.
    pub former: Vec<[u8; 32]>,
}

impl Standing {
    /// At a network's beginning.
    pub fn of(genesis: &Genesis) -> Option<Self> {
        let set = genesis.validator_set()?;
        Some(Self { epoch: 0, running: set.clone(), next: set.clone(), later: set, former: Vec::new() })
    }

    /// As the schedule says when the next block is at `height`.
    pub fn at(schedule: ScheduleRow, calendar: &Calendar, height: u64) -> Self {
        let epoch = calendar.epoch_of(height);
        let ScheduleRow { running, next, later, former, .. } = schedule;
        if schedule.epoch == epoch {
            return Self { epoch, running, next, later, former };
        }
        Self { epoch, running: next, next: later.clone(), later, former }
    }

    /// The keys of all of them, ascending.
    pub fn keys(&self) -> Vec<[u8; 32]> {
        let mut keys: Vec<[u8; 32]> =
            [&self.running, &self.next, &self.later].iter().flat_map(|set| set.keys()).copied().collect();
        keys.extend(&self.former);
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The three channels of consensus, shared by the engines of all epochs, and what arrives for an epoch without one.
pub(crate) struct Lanes<S: Sender> {
    votes: MuxHandle<S>,
    certificates: MuxHandle<S>,
    requests: MuxHandle<S>,
    stray_votes: mpsc::Receiver<(Channel, Message<PublicKey>)>,
    stray_certificates: mpsc::Receiver<(Channel, Message<PublicKey>)>,
}

impl<S: Sender<PublicKey = PublicKey>> Lanes<S> {
    /// Divides the channels.
    pub fn open<E: Runtime, R: Receiver<PublicKey = PublicKey>>(runtime: &E, channels: [(S, R); 3]) -> Self {
        let [votes, certificates, requests] = channels;
        let (mux, votes, stray_votes) = Muxer::builder(runtime.child("votes"), votes.0, votes.1).with_backup().build();
        mux.start();
        let (mux, certificates, stray_certificates) =
            Muxer::builder(runtime.child("certificates"), certificates.0, certificates.1).with_backup().build();
        mux.start();
        let (mux, requests) = Muxer::new(runtime.child("requests"), requests.0, requests.1);
        mux.start();
        Self { votes, certificates, requests, stray_votes, stray_certificates }
    }
}

/// The engine of one epoch; it ends with this.
struct Running {
    epoch: u64,
    engine: Handle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.engine.abort();
    }
}

/// Leads the node from one epoch into the next.
pub(crate) struct Conductor<E: Runtime, S: Sender, P, B, A> {
    pub runtime: E,
    pub prefix: String,
    pub shared: Arc<Shared>,
    pub reader: Reader<E>,
    pub marshal: Marshal,
    pub epochs: Epochs,
    pub hand_overs: HandOvers<E>,
    pub peers: P,
    pub blocker: B,
    /// Nodes that this one is told of by its configuration, itself among them, and where they are.
    pub known: Vec<(PublicKey, Address)>,
    pub lanes: Lanes<S>,
    /// What every engine votes on.
    pub automaton: A,
    pub timing: Timing,
    pub cache: CacheRef,
    /// The genesis block's digest.
    pub first: Digest,
}

/// What ended a wait.
enum Heard {
    /// A block was applied, or the index stands.
    Tip,
    /// A peer is in this epoch.
    Peer(u64, PublicKey),
    /// An engine or a channel ended: the node must.
    End,
}

impl<E, S, P, B, A> Conductor<E, S, P, B, A>
where
    E: Runtime,
    S: Sender<PublicKey = PublicKey>,
    P: AddressableManager<PublicKey = PublicKey> + Sync,
    B: Blocker<PublicKey = PublicKey> + Sync,
    A: CertifiableAutomaton<Context = Context, Digest = Digest>
        + Relay<Digest = Digest, PublicKey = PublicKey, Plan = simplex::Plan<PublicKey>>
        + Reporter<Activity = Activity<Scheme, Digest>>
        + Clone,
{
    /// Leads until an engine ends that must not. A node that fetches its state begins at the block `floor`, whose state it
    /// does not have yet.
    pub async fn run(mut self, floor: Option<Finalization<Scheme, Digest>>) {
        let (mut running, mut entered) = (None, None);
        if let Some(floor) = floor {
            running = self.start(floor.proposal.round.epoch().get(), Floor::Finalized(floor)).await;
        }
        let mut tip = self.shared.chain.watch_tip();
        // The furthest that a peer was seen, so that a node that is far behind need not wait to hear of it again.
        let mut ahead: Option<(u64, PublicKey)> = None;
        loop {
            let height = tip.borrow_and_update().header.height;
            let due = self.shared.chain.calendar().epoch_of(height + 1);
            if self.shared.chain.is_ready() && entered != Some(due) {
                let standing = self.standing(height).await;
                let epoch = standing.epoch;
                entered = Some(epoch);
                self.enter(standing).await;
                // A node that fetched its state has an engine of this epoch already.
                if running.as_ref().is_none_or(|running: &Running| running.epoch != epoch) {
                    let floor = self.floor(epoch).await;
                    let Some(next) = self.start(epoch, floor).await else { return };
                    // The engine before ends here, after this one has begun.
                    running = Some(next);
                }
                if let Some((_, peer)) = ahead.as_ref().filter(|(seen, _)| *seen > epoch) {
                    self.ask_for_end(epoch, peer.clone());
                }
                continue;
            }
            match self.hear(&mut running, &mut tip).await {
                Heard::Tip => {}
                Heard::Peer(epoch, peer) => {
                    if let Some(running) = running.as_ref().filter(|running| running.epoch < epoch) {
                        self.ask_for_end(running.epoch, peer.clone());
                        ahead = Some((epoch, peer));
                    }
                }
                Heard::End => return,
            }
        }
    }

    async fn hear(&mut self, running: &mut Option<Running>, tip: &mut watch::Receiver<Arc<FinalisedBlock>>) -> Heard {
        let applied = std::pin::pin!(tip.changed());
        let votes = std::pin::pin!(self.lanes.stray_votes.recv());
        let certificates = std::pin::pin!(self.lanes.stray_certificates.recv());
        let ended = std::pin::pin!(async {
            match running {
                Some(running) => _ = (&mut running.engine).await,
                None => std::future::pending().await,
            }
        });
        match select(select(applied, ended), select(votes, certificates)).await {
            Either::Left((Either::Left((Ok(()), _)), _)) => Heard::Tip,
            Either::Left(_) => Heard::End,
            Either::Right((Either::Left((stray, _)) | Either::Right((stray, _)), _)) => match stray {
                Some((epoch, (peer, _))) => Heard::Peer(epoch, peer),
                None => Heard::End,
            },
        }
    }

    /// The last block of an epoch.
    fn last_of(&self, epoch: u64) -> u64 {
        self.shared.chain.calendar().last_of(epoch)
    }

    fn ask_for_end(&self, epoch: u64, peer: PublicKey) {
        self.marshal.hint_finalized(Height::new(self.last_of(epoch)), NonEmptyVec::new(peer));
    }

    /// Who certifies, as the state says once it has the block at `height`.
    async fn standing(&self, height: u64) -> Standing {
        loop {
            match self.reader.rows(&[StateKey::schedule()]).await {
                Ok(rows) if rows.height >= height => {
                    let row = rows.rows.into_iter().next().flatten();
                    let Some(row) = row else { return self.shared.chain.standing().as_ref().clone() };
                    match ScheduleRow::decode(&row) {
                        Ok(schedule) => return Standing::at(schedule, &self.shared.chain.calendar(), rows.height + 1),
                        Err(error) => stop(&error),
                    }
                }
                Ok(_) => {}
                Err(ReadError::NotOpen) => {}
                Err(error) => stop(&error),
            }
            self.runtime.sleep(LOOK_AGAIN).await;
        }
    }

    /// Begins an epoch.
    async fn enter(&mut self, standing: Standing) {
        let epoch = standing.epoch;
        self.keep_hand_over(&standing).await;
        if let Err(error) = self.epochs.know(epoch, &standing.running) {
            stop(&error);
        }
        self.track(&standing).await;
        tracing::info!(epoch, validators = standing.running.len(), "the epoch begins");
        self.shared.chain.stands(standing);
        // The last block of the epoch before that one is durable by now: fewer blocks wait than an epoch has.
        if let Some(old) = epoch.checked_sub(2) {
            // None where there was none.
            let _ = self.runtime.remove(&vote_journal(&self.prefix, old), None).await;
        }
    }

    /// Keeps the certificate by which the validators before named these, if they are others.
    async fn keep_hand_over(&self, standing: &Standing) {
        let leads_to = self.hand_overs.trust_in(standing.epoch);
        let Some(last) = standing.epoch.checked_sub(1).map(|before| self.last_of(before)) else { return };
        if *leads_to.validators() == standing.running {
            return;
        }
        let link = from_block(&self.marshal, last, standing.running.clone()).await;
        let kept = match link {
            Some(link) => self.hand_overs.add(link).await.map_err(|error| error.to_string()),
            None => Err(format!("this node has no certificate of block {last}")),
        };
        if let Err(why) = kept {
            tracing::error!(
                epoch = standing.epoch,
                why,
                "the hand-over to new validators cannot be shown: receipts lack it"
            );
        }
    }

    /// Speaks with the validators of this epoch and of the next, and with those who follow.
    async fn track(&mut self, standing: &Standing) {
        let keys = standing.keys();
        let rows: Vec<StateKey> = keys.iter().map(StateKey::validator).collect();
        let rows = self.reader.rows(&rows).await.map(|rows| rows.rows).unwrap_or_default();
        let mut addresses = BTreeMap::new();
        for (key, row) in keys.iter().zip(rows.into_iter().chain(std::iter::repeat(None))) {
            let Ok(public) = decode_key(key) else { continue };
            let told = self.known.iter().find(|(known, _)| *known == public).map(|(_, address)| address.clone());
            let stated = || row.and_then(|row| address_of(&ValidatorRow::decode(&row).ok()?.address));
            addresses.insert(*key, (public, told.or_else(stated).unwrap_or(NOWHERE)));
        }
        let is_primary = |key: &[u8; 32]| standing.running.contains(key) || standing.next.contains(key);
        let part = |primary: bool| {
            addresses.iter().filter(move |(key, _)| is_primary(key) == primary).map(|(_, peer)| peer.clone())
        };
        let primary: Vec<_> = part(true).take(PEERS_MAX).collect();
        let room = PEERS_MAX - primary.len();
        let others = self.known.iter().filter(|(key, _)| primary.iter().all(|(peer, _)| peer != key)).cloned();
        let secondary: Vec<_> = others.chain(part(false)).take(room).collect();
        let peers = AddressableTrackedPeers::new(Map::from_iter_dedup(primary), Map::from_iter_dedup(secondary));
        // Set 0 is what the configuration said at the start.
        let _ = self.peers.track(standing.epoch + 1, peers);
    }

    /// What the epoch's engine starts from: the last block of the epoch before, or a certified one of this epoch when the node
    /// fetched its state and never had that block.
    async fn floor(&self, epoch: u64) -> Floor<Scheme, Digest> {
        let Some(last) = epoch.checked_sub(1).map(|before| self.last_of(before)) else {
            return Floor::Genesis(self.first);
        };
        if let Some(block) = self.marshal.get_block(Height::new(last)).await {
            return Floor::Genesis(block.digest());
        }
        loop {
            let tip = self.shared.chain.tip().header.height;
            for height in (tip.saturating_sub(RECEIPT_SEARCH_BLOCKS_MAX).max(last + 1)..=tip).rev() {
                if let Some(finalization) = self.marshal.get_finalization(Height::new(height)).await {
                    return Floor::Finalized(finalization);
                }
            }
            self.runtime.sleep(LOOK_AGAIN).await;
        }
    }

    /// Starts an epoch's engine. `None` when a channel has ended.
    async fn start(&mut self, epoch: u64, floor: Floor<Scheme, Digest>) -> Option<Running> {
        let scheme = self.epochs.scheme_of(epoch)?;
        let votes = self.lanes.votes.register(epoch).await.ok()?;
        let certificates = self.lanes.certificates.register(epoch).await.ok()?;
        let requests = self.lanes.requests.register(epoch).await.ok()?;
        let config = self.simplex(epoch, scheme.as_ref().clone(), floor);
        let runtime = self.runtime.child("simplex").with_attribute("epoch", epoch);
        let runtime = Bounded::new(runtime, self.timing.longest());
        let engine = simplex::Engine::new(runtime, config).start(votes, certificates, requests);
        Some(Running { epoch, engine })
    }

    fn simplex(
        &self,
        epoch: u64,
        scheme: Scheme,
        floor: Floor<Scheme, Digest>,
    ) -> simplex::Config<Scheme, RoundRobin<Sha256>, B, Digest, A, A, A, Sequential> {
        let timing = self.timing;
        simplex::Config {
            scheme,
            elector: RoundRobin::default(),
            blocker: self.blocker.clone(),
            automaton: self.automaton.clone(),
            relay: self.automaton.clone(),
            reporter: self.automaton.clone(),
            strategy: Sequential,
            partition: vote_journal(&self.prefix, epoch),
            mailbox_size: MAILBOX,
            epoch: Epoch::new(epoch),
            floor,
            replay_buffer: REPLAY_BUFFER,
            write_buffer: NZUsize!(1 << 20),
            page_cache: self.cache.clone(),
            leader_timeout: timing.leader,
            certification_timeout: timing.certification,
            timeout_retry: timing.certification,
            view_retention: VIEWS_KEPT,
            skip: SkipPolicy::Enabled { timeout: timing.skip, budget: SkipBudget::Participants },
            fetch_timeout: NZDuration!(Duration::from_secs(1)),
            fetch_retry_delay: Duration::from_millis(500),
            forward: ForwardPolicy::SilentVoters,
            track_historical_votes: false,
        }
    }
}

/// Where nobody is reached: a validator whose address is not known dials the others itself.
const NOWHERE: Address = Address::Symmetric(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));

fn address_of(text: &str) -> Option<Address> {
    text.parse::<PeerAddress>().ok()?.to_engine().ok()
}

#[expect(clippy::panic, reason = "a node that cannot tell who certifies must stop")]
fn stop(error: &impl std::fmt::Display) -> ! {
    panic!("the schedule of the validators cannot be read: {error}: run `tally audit` on the data directory")
}
