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
//! After a recovery the epoch of its head is followed by the one after the next, whose validators the recovery names.
//!
//! A node that hears of a later epoch has missed the last block of its own, and asks those who are there for it (`ahead.rs`).
//!
//! A node that fetches its state applies nothing meanwhile, and the chain goes on. It passes from epoch to epoch all the same, by
//! the last block of each with its certificate and by the hand-overs that its peers show it: if it stayed, the state it fetches
//! would be that of a block which no peer keeps for long.
//!
//! INVARIANT: no certificate of an epoch is believed before the last block of the epoch before was applied here, or was certified
//! here if the state is being fetched. So that block is never passed over: its own certificate is in the archive, and is the
//! hand-over.

use crate::{
    ahead::Ahead,
    application::Shared,
    chain::FinalisedBlock,
    engine::{MAILBOX, Marshal, REPLAY_BUFFER, Runtime, VIEWS_KEPT, vote_journal, watch_journal},
    hand_overs::{ASK_AGAIN, HandOvers, Links, from_block},
    patience::Bounded,
    timing::Timing,
    voting::Votes,
    watch,
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
use commonware_cryptography::{Digestible as _, Sha256, certificate::Scheme as _, ed25519::PublicKey, sha256::Digest};
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
use tallystick_ledger::{ScheduleRow, ValidatorRow, validators::recovered as recovered_schedule};
use tallystick_protocol::{
    Genesis, Link, StateKey, ValidatorSet,
    limits::{HAND_OVER_ASKS_MAX, PEERS_MAX, RECEIPT_SEARCH_BLOCKS_MAX},
};
use tallystick_storage::read::{ReadError, Reader, Rows};

/// Wait before the databases are looked at again, when they are behind what was told.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Wait before a node that fetches its state looks again whether the chain has passed the epoch's end.
const LOOK_FOR_END: Duration = Duration::from_millis(250);

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
    pub fn at(schedule: ScheduleRow, links: &Links, height: u64) -> Self {
        let epoch = links.calendar().epoch_of(height);
        let recovered = links.recovery_before(height).and_then(|recovery| recovery.validator_set().ok());
        let schedule = match recovered {
            Some(set) if schedule.epoch < epoch => recovered_schedule(schedule, epoch, &set),
            _ => schedule,
        };
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
    pub hand_overs: HandOvers,
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
    /// What is known of the votes of this node's key, if they can be lost.
    pub votes: Option<Arc<Votes>>,
    /// The oldest epoch whose vote journal may lie here.
    pub oldest_votes: u64,
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
        let (mut running, mut entered, mut ahead) = (None, None, Ahead::default());
        if let Some(floor) = floor {
            self.oldest_votes = floor.proposal.round.epoch().get();
            running = self.start(self.oldest_votes, Floor::Finalized(floor)).await;
        }
        let mut tip = self.shared.chain.watch_tip();
        loop {
            let height = tip.borrow_and_update().header.height;
            let begun = if self.shared.chain.is_ready() {
                self.next_applied(height, &mut entered).await
            } else {
                self.next_passed(running.as_ref()).await
            };
            if let Some(epoch) = begun {
                // A node that fetched its state may have an engine of this epoch, or of the next, already.
                if running.as_ref().is_none_or(|running: &Running| running.epoch < epoch) {
                    let floor = self.floor(epoch).await;
                    let Some(next) = self.start(epoch, floor).await else { return };
                    // The engine before ends here, after this one has begun.
                    running = Some(next);
                }
                self.ask_for_end(epoch, ahead.of(epoch));
                continue;
            }
            match self.hear(&mut running, &mut tip).await {
                Heard::Tip => {}
                Heard::Peer(epoch, peer) => {
                    if let Some(running) = running.as_ref().filter(|running| running.epoch < epoch) {
                        self.ask_for_end(running.epoch, vec![peer.clone()]);
                        ahead.note(peer, epoch);
                    }
                }
                Heard::End => return,
            }
        }
    }

    /// Enters the epoch of the block after the one applied at `height`, unless it was entered.
    async fn next_applied(&mut self, height: u64, entered: &mut Option<u64>) -> Option<u64> {
        if !is_due(*entered, self.shared.chain.calendar().epoch_of(height + 1)) {
            return None;
        }
        let standing = self.standing(height).await;
        let epoch = standing.epoch;
        *entered = Some(epoch);
        self.enter(standing).await;
        Some(epoch)
    }

    /// While the state is being fetched: the epoch after the running one, once the last block of that is certified here and the
    /// validators are known whom it names.
    async fn next_passed(&mut self, running: Option<&Running>) -> Option<u64> {
        let epoch = running?.epoch;
        let last = Height::new(self.last_of(epoch));
        self.marshal.get_finalization(last).await?;
        let named = self.marshal.get_block(last).await?.inner().header().next_validators;
        // A recovery passes over an epoch, and over what the last block of the one before names.
        let next = self.shared.chain.calendar().epoch_of(last.get() + 1);
        let trust = self.hand_overs.trust_in(next);
        if next == epoch + 1 && trust.validators().hash() != named {
            self.hand_overs.ask();
            return None;
        }
        if let Err(error) = self.epochs.know(next, trust.validators()) {
            stop(&error);
        }
        tracing::info!(epoch = next, "the epoch begins while the state is being fetched");
        Some(next)
    }

    async fn hear(&mut self, running: &mut Option<Running>, tip: &mut watch::Receiver<Arc<FinalisedBlock>>) -> Heard {
        let applied = std::pin::pin!(tip.changed());
        let votes = std::pin::pin!(self.lanes.stray_votes.recv());
        let certificates = std::pin::pin!(self.lanes.stray_certificates.recv());
        // Nothing tells what a node has that applies nothing yet, and the tip is told a moment before the node is ready.
        let opened = std::pin::pin!(async {
            if self.shared.chain.is_ready() {
                return std::future::pending().await;
            }
            let ready = std::pin::pin!(self.shared.chain.ready());
            let pause = std::pin::pin!(self.runtime.sleep(LOOK_FOR_END));
            select(ready, pause).await;
        });
        let ended = std::pin::pin!(async {
            match running {
                Some(running) => _ = (&mut running.engine).await,
                None => std::future::pending().await,
            }
        });
        match select(select(select(applied, opened), ended), select(votes, certificates)).await {
            Either::Left((Either::Left((Either::Left((Ok(()), _)) | Either::Right(_), _)), _)) => Heard::Tip,
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

    /// Asks peers, one after another until one has it, for the last block of an epoch.
    fn ask_for_end(&self, epoch: u64, peers: Vec<PublicKey>) {
        if let Ok(peers) = NonEmptyVec::try_from(peers) {
            self.marshal.hint_finalized(Height::new(self.last_of(epoch)), peers);
        }
    }

    /// Rows of the state once it has the block at `height`, and the height at which they stand.
    async fn rows(&self, keys: &[StateKey], height: u64) -> Rows {
        loop {
            match self.reader.rows(keys).await {
                Ok(rows) if rows.height >= height => return rows,
                Ok(_) | Err(ReadError::NotOpen) => self.runtime.sleep(LOOK_AGAIN).await,
                Err(error) => stop(&error),
            }
        }
    }

    /// Who certifies, as the state says once it has the block at `height`.
    async fn standing(&self, height: u64) -> Standing {
        let rows = self.rows(&[StateKey::schedule()], height).await;
        // Before block 1 there is no row.
        let Some(row) = rows.rows.into_iter().next().flatten() else {
            return self.shared.chain.standing().as_ref().clone();
        };
        match ScheduleRow::decode(&row) {
            Ok(schedule) => Standing::at(schedule, self.shared.chain.links(), rows.height + 1),
            Err(error) => stop(&error),
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
        // The last block of the epoch before that one is durable by now: fewer blocks wait than an epoch has. While a state is
        // fetched nothing is removed, because a node that starts again may begin at the same floor.
        let calendar = self.shared.chain.calendar();
        let before = calendar.first_of(epoch).checked_sub(1).map(|height| calendar.epoch_of(height));
        let Some(old) = before.and_then(|before| before.checked_sub(1)) else { return };
        for old in self.oldest_votes.min(old)..=old {
            // None where there was none.
            for journal in [vote_journal(&self.prefix, old), watch_journal(&self.prefix, old)] {
                let _ = self.runtime.remove(&journal, None).await;
            }
        }
        self.oldest_votes = old + 1;
    }

    /// Keeps the certificate by which the validators before named these, if they are others. Without it no receipt of this epoch
    /// could be checked.
    async fn keep_hand_over(&self, standing: &Standing) {
        let Standing { epoch, running, .. } = standing;
        let Some(last) = epoch.checked_sub(1).map(|before| self.last_of(before)) else { return };
        if self.hand_overs.leads_to(*epoch, running) {
            return;
        }
        if let Some(link) = from_block(&self.marshal, last, running.clone()).await {
            // One that leads nowhere: links before it are missing.
            let _ = self.hand_overs.add(Link::HandOver(link)).await;
        }
        for _ in 0..HAND_OVER_ASKS_MAX {
            if self.hand_overs.leads_to(*epoch, running) {
                return;
            }
            tracing::warn!(epoch, "the hand-over to the epoch's validators is not here: asking the peers for it");
            self.hand_overs.ask();
            self.runtime.sleep(ASK_AGAIN).await;
        }
        lost(*epoch)
    }

    /// Speaks with the validators of this epoch and of the next, and with those who follow.
    async fn track(&mut self, standing: &Standing) {
        let keys = standing.keys();
        let rows: Vec<StateKey> = keys.iter().map(StateKey::validator).collect();
        let rows = self.rows(&rows, 0).await.rows;
        let is_primary = |key: &[u8; 32]| standing.running.contains(key) || standing.next.contains(key);
        let mut addresses = BTreeMap::new();
        for (key, row) in keys.iter().zip(rows) {
            let Ok(public) = decode_key(key) else { continue };
            let told = self.known.iter().find(|(known, _)| *known == public).map(|(_, address)| address.clone());
            let stated = || row.and_then(|row| address_of(&ValidatorRow::decode(&row).ok()?.address));
            let address = told.or_else(stated).unwrap_or_else(|| {
                // Of one that has left nobody need know it.
                if is_primary(key) {
                    tracing::warn!(validator = %public, "no address of this validator is known: it must dial this node itself");
                }
                NOWHERE
            });
            addresses.insert(*key, (public, address));
        }
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
        let scheme = self.scheme(epoch).await?;
        let votes = self.lanes.votes.register(epoch).await.ok()?;
        let certificates = self.lanes.certificates.register(epoch).await.ok()?;
        let requests = self.lanes.requests.register(epoch).await.ok()?;
        let config = self.simplex(epoch, scheme, floor);
        let runtime = self.runtime.child("simplex").with_attribute("epoch", epoch);
        let runtime = Bounded::new(runtime, self.timing.longest());
        let engine = simplex::Engine::new(runtime, config).start(votes, certificates, requests);
        Some(Running { epoch, engine })
    }

    /// What the epoch's engine votes with, or only checks with when this node's key must not vote in it.
    async fn scheme(&self, epoch: u64) -> Option<Scheme> {
        let scheme = self.epochs.scheme_of(epoch)?.as_ref().clone();
        let Some(votes) = self.votes.clone().filter(|_| scheme.me().is_some()) else { return Some(scheme) };
        // The disk is written, and perhaps a token.
        let begun = self.runtime.child("begin_votes").shared(true).spawn(move |_| async move { votes.begin(epoch) });
        match begun.await.ok()? {
            Ok(true) => return Some(scheme),
            Ok(false) => {
                tracing::warn!(epoch, "the votes that this node's key cast in this epoch are not here: no vote")
            }
            Err(error) => tracing::error!(epoch, %error, "the epoch cannot be marked as voted in: no vote in it"),
        }
        self.shared.chain.be_silent_in(epoch);
        Some(scheme.observer())
    }

    fn simplex(
        &self,
        epoch: u64,
        scheme: Scheme,
        floor: Floor<Scheme, Digest>,
    ) -> simplex::Config<Scheme, RoundRobin<Sha256>, B, Digest, A, A, A, Sequential> {
        let timing = self.timing;
        let journal = if scheme.me().is_some() { vote_journal } else { watch_journal };
        simplex::Config {
            scheme,
            elector: RoundRobin::default(),
            blocker: self.blocker.clone(),
            automaton: self.automaton.clone(),
            relay: self.automaton.clone(),
            reporter: self.automaton.clone(),
            strategy: Sequential,
            partition: journal(&self.prefix, epoch),
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

/// Whether an epoch is still to be entered. The rows that tell who certifies may be a block ahead of what is told as applied, and
/// then a later epoch than that was entered.
fn is_due(entered: Option<u64>, epoch: u64) -> bool {
    entered.is_none_or(|entered| entered < epoch)
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

#[expect(clippy::panic, reason = "receipts that nobody can check are worse than none")]
fn lost(epoch: u64) -> ! {
    panic!(
        "the hand-over to the validators of epoch {epoch} is neither here nor with the peers: see that the node reaches them, then start it again; if it stays so, move the data directory away and start the node, which fetches everything from its peers"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_entered_once_also_when_the_rows_are_ahead_of_the_tip() {
        assert!(is_due(None, 0) && is_due(Some(3), 4));
        assert!(!is_due(Some(4), 4));
        assert!(!is_due(Some(5), 4), "the rows said 5 when the tip said 4");
    }
}
