//! The chain of hand-overs that a node keeps: from the genesis' validators to those of the newest epoch it has entered. Receipts
//! show it, and nodes that join fetch it, because nothing else tells them whose certificates to believe.
//!
//! ```text
//! ask       0x00 ‖ links known (8 bytes, big-endian)
//! answer    0x01 ‖ varint count ‖ count × ( varint length ‖ link )           the last one is of a recent block, change or not
//! ```
//!
//! A link is a hand-over or a recovery. A recovery takes the place of the hand-over that the lost validators may have made in the
//! epoch of its head: so one who has a hand-over last asks for what stands in its place, too.
//!
//! Nobody is answered more often than those who join ask, and the costly part of an answer is found once an epoch: a question is
//! nine bytes, its answer up to three quarters of a MiB.
//!
//! INVARIANT: every link held was checked against the one before, down to the genesis, and is durable. Whoever asked for it to be
//! kept may go away meanwhile: it is kept in a task of its own.

use crate::{
    application::Shared,
    engine::{Marshal, Runtime},
};
use bytes::Bytes;
use commonware_codec::{Decode as _, Encode as _, RangeCfg};
use commonware_consensus::types::{Epoch, EpochInfo, Epocher, Height};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_storage::metadata::{self, Metadata};
use commonware_utils::sequence::U64;
use futures::future::{Either, select};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};
use tallystick_consensus::{certificate, epochs::Epochs};
use tallystick_protocol::{
    Calendar, Genesis, HandOver, Link, Recovery, RecoveryError, RecoveryFile, Trust, TrustError, ValidatorSet,
    limits::{HAND_OVERS_ANSWERED_MAX, RECEIPT_SEARCH_BLOCKS_MAX, RECOVERY_BYTES_MAX},
};
use tokio::sync::{Notify, mpsc, oneshot};

/// First byte of a question and of an answer.
const ASK: u8 = 0;
const ANSWER: u8 = 1;
/// Wait before everybody is asked again.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long too few may answer before it is told again.
const UNANSWERED_TOLD: Duration = Duration::from_secs(30);
/// Least time between two answers to one peer: shorter than [`ASK_AGAIN`] by what a network may make of the time between two
/// questions.
const ANSWER_AGAIN: Duration = Duration::from_millis(750);

/// Where the chain lies on disk.
type Store<E> = Metadata<E, U64, Vec<u8>>;

/// The chain, in memory and on disk. Clones share it.
#[derive(Clone)]
pub struct HandOvers {
    chain: Arc<RwLock<Held>>,
    /// To the task that keeps links.
    keeper: mpsc::Sender<Keep>,
    /// Tells the task that answers peers that this node has a question itself.
    ask: Arc<Notify>,
}

/// A link to keep, and whom to tell that it is.
struct Keep {
    link: Link,
    kept: oneshot::Sender<Result<(), TrustError>>,
}

/// What is held: the links, and whom to trust after each of them. There is one trust more than links: the first is the
/// genesis'.
struct Held {
    links: Vec<Link>,
    trusts: Vec<Trust>,
}

impl Held {
    /// Whom the links lead to in an epoch.
    fn trust_in(&self, epoch: u64) -> Option<&Trust> {
        self.trusts.iter().rev().find(|trust| trust.first_epoch() <= epoch)
    }

    /// Where a link belongs: a hand-over at the end; a recovery where the links from before the epoch of its head end. A hand-over
    /// that stands there leads to validators who never certified. `None`: it stands there already.
    fn place_of(&self, link: &Link) -> Result<Option<usize>, TrustError> {
        let Some(recovery) = link.recovery() else { return Ok(Some(self.links.len())) };
        let place = self.links.iter().take_while(|known| known.header().epoch < recovery.head.epoch).count();
        match self.links.iter().skip(place).find_map(Link::recovery) {
            None => Ok(Some(place)),
            Some(known) if known.signed_bytes() == recovery.signed_bytes() => Ok(None),
            Some(known) => Err(RecoveryError::Second(known.head.height).into()),
        }
    }

    /// The recovery that went on from the block at this height.
    fn recovery_at(&self, head: u64) -> Option<&Recovery> {
        self.links.iter().rev().filter_map(Link::recovery).find(|recovery| recovery.head.height == head)
    }
}

/// The links of the chain, for whoever makes receipts. Clones share them.
#[derive(Clone)]
pub struct Links(Arc<RwLock<Held>>);

impl Links {
    /// What a node kept, checked.
    ///
    /// # Errors
    /// When the disk fails, or holds a chain that does not hold.
    pub async fn read<E: Runtime>(runtime: &E, prefix: &str, genesis: &Genesis) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(read(runtime, prefix, genesis).await?.1))))
    }

    /// Those that lead to the validators of `epoch`.
    pub fn to(&self, epoch: u64) -> Vec<Link> {
        let chain = self.0.read().unwrap_or_else(PoisonError::into_inner);
        chain.links.iter().take_while(|link| link.header().epoch < epoch).cloned().collect()
    }

    /// The recovery whose first block is the one at this height.
    pub fn recovery_before(&self, height: u64) -> Option<Box<Recovery>> {
        let chain = self.0.read().unwrap_or_else(PoisonError::into_inner);
        chain.recovery_at(height.checked_sub(1)?).cloned().map(Box::new)
    }

    /// All recoveries, the latest last.
    pub fn recoveries(&self) -> Vec<Recovery> {
        let chain = self.0.read().unwrap_or_else(PoisonError::into_inner);
        chain.links.iter().filter_map(Link::recovery).cloned().collect()
    }

    /// Which block is of which epoch.
    ///
    /// # Panics
    ///
    /// Never: the genesis says so from the start.
    pub fn calendar(&self) -> Calendar {
        let chain = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match chain.trusts.last() {
            Some(trust) => trust.calendar().clone(),
            None => unreachable!("the genesis is trusted from the start"),
        }
    }
}

impl Epocher for Links {
    fn containing(&self, height: Height) -> Option<EpochInfo> {
        let calendar = self.calendar();
        let epoch = calendar.epoch_of(height.get());
        let (first, last) = (calendar.first_of(epoch), calendar.last_of(epoch));
        Some(EpochInfo::new(Epoch::new(epoch), height, Height::new(first), Height::new(last)))
    }

    fn first(&self, epoch: Epoch) -> Option<Height> {
        self.bounds(epoch).map(|(first, _)| first)
    }

    fn last(&self, epoch: Epoch) -> Option<Height> {
        self.bounds(epoch).map(|(_, last)| last)
    }
}

impl Links {
    /// The first and the last block of an epoch that has any.
    fn bounds(&self, epoch: Epoch) -> Option<(Height, Height)> {
        let calendar = self.calendar();
        let (first, last) = (calendar.first_of(epoch.get()), calendar.last_of(epoch.get()));
        (first <= last).then(|| (Height::new(first), Height::new(last)))
    }
}

impl HandOvers {
    /// Reads what this node keeps.
    ///
    /// # Panics
    ///
    /// When the disk fails, or holds a chain that does not hold.
    pub async fn open<E: Runtime>(runtime: E, prefix: &str, genesis: &Genesis) -> Self {
        let (store, held) = match read(&runtime, prefix, genesis).await {
            Ok(read) => read,
            Err(error) => stop(&error),
        };
        let chain = Arc::new(RwLock::new(held));
        let (keeper, inbox) = mpsc::channel(1);
        let held = chain.clone();
        runtime.child("keeper").spawn(move |_| keep(store, held, inbox));
        Self { chain, keeper, ask: Arc::default() }
    }

    /// The links, for receipts.
    pub fn links(&self) -> Links {
        Links(self.chain.clone())
    }

    /// Whom the chain leads to in an epoch: those who certify it, if the chain is complete to there.
    ///
    /// # Panics
    ///
    /// Never: the genesis' validators are those of epoch 0.
    pub fn trust_in(&self, epoch: u64) -> Trust {
        let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
        match chain.trust_in(epoch) {
            Some(trust) => trust.clone(),
            None => unreachable!("the genesis is trusted from epoch 0 on"),
        }
    }

    /// Whether the chain leads to these validators in an epoch.
    pub fn leads_to(&self, epoch: u64, validators: &ValidatorSet) -> bool {
        self.trust_in(epoch).validators() == validators
    }

    /// Takes a recovery on, durably, with what leads to its head. `highest` is the highest block that this node has a certificate
    /// of: what is final is not given up.
    pub async fn recover(&self, file: RecoveryFile, highest: u64) -> Result<(), TrustError> {
        let recovery = Link::Recovery(Box::new(file.recovery));
        let head = recovery.header().height;
        let is_known = {
            let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
            chain.place_of(&recovery)?.is_none()
        };
        if is_known {
            return Ok(());
        }
        if highest > head {
            return Err(RecoveryError::Passed { highest, head }.into());
        }
        for link in file.links {
            // Those that are here already lead nowhere from here.
            let _ = self.add(link).await;
        }
        self.add(recovery).await?;
        tracing::warn!(
            head,
            "the network is recovered: its organisations have named other validators from the block after this on"
        );
        Ok(())
    }

    /// Adds a link, durably, if it leads on from its place in the chain. A hand-over to the set that is trusted already adds nothing.
    ///
    /// The link is kept also when the caller does not wait for it.
    pub async fn add(&self, link: Link) -> Result<(), TrustError> {
        let (kept, answer) = oneshot::channel();
        let told = match self.keeper.send(Keep { link, kept }).await {
            Ok(()) => answer.await.ok(),
            Err(_) => None,
        };
        match told {
            Some(result) => result,
            // The keeper ends with the node, which goes on with nothing that is not kept.
            None => std::future::pending().await,
        }
    }

    /// Has every peer asked once for the links that this node has not.
    pub fn ask(&self) {
        self.ask.notify_one();
    }

    /// Answers those who ask, and asks when it is told to, until the node stops. `marshal` tells of the newest certified block.
    pub async fn serve<E, S, R, B>(
        self,
        runtime: E,
        marshal: Marshal,
        shared: Arc<Shared>,
        (mut sender, mut receiver): (S, R),
        blocker: B,
    ) where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
        B: Blocker<PublicKey = PublicKey>,
    {
        let mut answers = Answers::default();
        // Peers whose answer to this node's last question is still awaited; all others' are not looked at.
        let mut answered: Option<BTreeSet<PublicKey>> = None;
        loop {
            let heard = {
                let heard = std::pin::pin!(receiver.recv());
                let told = std::pin::pin!(self.ask.notified());
                match select(heard, told).await {
                    Either::Left((heard, _)) => Some(heard),
                    Either::Right(_) => None,
                }
            };
            let (peer, message) = match heard {
                Some(Ok(heard)) => heard,
                Some(Err(_)) => return,
                None => {
                    answered = Some(BTreeSet::new());
                    let _ = sender.send(Recipients::All, self.question(), false);
                    continue;
                }
            };
            match message.as_ref().split_first() {
                Some((&ASK, known)) if known.len() == size_of::<u64>() => {
                    let known = known.iter().fold(0, |known, byte| known << 8 | u64::from(*byte));
                    if !answers.may(&peer, runtime.current()) {
                        continue;
                    }
                    let (height, standing) = (shared.chain.tip().header.height, shared.chain.standing());
                    let find = async || newest(&marshal, height, standing.next.clone()).await;
                    if let Some(latest) = answers.latest((standing.epoch, height), find).await {
                        let _ = sender.send(Recipients::One(peer), self.answer(known, latest), false);
                    }
                }
                Some((&ANSWER, _)) => {
                    if answered.as_mut().is_some_and(|answered| answered.insert(peer)) {
                        // One that is fetching its state cannot know what it will have.
                        self.take(message.as_ref(), !shared.chain.is_ready()).await;
                    }
                }
                _ => {
                    tracing::warn!(%peer, "blocked a peer that asks for hand-overs in no known way");
                    let _ = blocker.clone().block(peer);
                }
            }
        }
    }

    fn question(&self) -> Bytes {
        let known = {
            let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
            let may_give_way = chain.links.last().is_some_and(|link| link.recovery().is_none());
            chain.links.len() as u64 - u64::from(may_give_way)
        };
        [[ASK].as_slice(), &known.to_be_bytes()].concat().into()
    }

    /// For one who knows so many links.
    fn answer(&self, known: u64, latest: &HandOver) -> Bytes {
        let mut answer: Vec<Vec<u8>> = {
            let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
            let skip = usize::try_from(known).unwrap_or(usize::MAX);
            let mut recoveries = 0;
            let fits = |link: &&Link| {
                recoveries += usize::from(link.recovery().is_some());
                recoveries <= 1
            };
            let links = chain.links.iter().skip(skip).take(HAND_OVERS_ANSWERED_MAX - 1).take_while(fits);
            links.map(Link::to_bytes).collect()
        };
        answer.push(latest.to_bytes());
        [[ANSWER].as_slice(), &answer.encode()].concat().into()
    }

    /// Asks every peer again and again and tells `epochs` whom to believe. Once more peers than can be lying have answered, it
    /// returns the newest epoch that they have shown; or never, if it is to go `on`.
    pub async fn learn<E, S, R>(
        &self,
        runtime: &E,
        epochs: &Epochs,
        (sender, receiver): (&mut S, &mut R),
        on: bool,
    ) -> u64
    where
        E: Runtime,
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let mut answered = BTreeSet::new();
        let mut newest = 0;
        let mut told = runtime.current();
        loop {
            if !on && runtime.current() > told + UNANSWERED_TOLD {
                told = runtime.current();
                tracing::warn!(
                    answered = answered.len(),
                    "too few peers have answered to believe them: they are not reached, or do not know this node's key; if theirs were \
                     replaced since its configuration was written, `tally node peers` writes those of today"
                );
            }
            let _ = sender.send(Recipients::All, self.question(), false);
            let again = runtime.current() + ASK_AGAIN;
            loop {
                let heard = std::pin::pin!(receiver.recv());
                let pause = std::pin::pin!(runtime.sleep_until(again));
                let (peer, message) = match select(heard, pause).await {
                    Either::Left((Ok(heard), _)) => heard,
                    Either::Left((Err(_), _)) => return newest,
                    Either::Right(_) => break,
                };
                let Some(latest) = self.take(message.as_ref(), true).await else { continue };
                let epoch = latest.header.epoch;
                // What is believed here was kept before: a node that starts again believes the same.
                for (epoch, named) in [(epoch, latest.header.validators), (epoch + 1, latest.header.next_validators)] {
                    let trust = self.trust_in(epoch);
                    if trust.validators().hash() == named {
                        let _ = epochs.know(epoch, trust.validators());
                    }
                }
                newest = newest.max(epoch);
                answered.insert(peer);
                let faulty = (self.trust_in(newest).validators().len() - 1) / 3;
                if answered.len() > faulty && !on {
                    return newest;
                }
            }
        }
    }

    /// Keeps what of an answer leads on; of recoveries, only if it may. Returns the hand-over from a recent block that it ends with,
    /// if that holds.
    async fn take(&self, message: &[u8], recoveries: bool) -> Option<HandOver> {
        let (&ANSWER, answer) = message.split_first()? else { return None };
        let limits = (RangeCfg::from(0..=HAND_OVERS_ANSWERED_MAX), (RangeCfg::from(0..=RECOVERY_BYTES_MAX), ()));
        let links = Vec::<Vec<u8>>::decode_cfg(Bytes::copy_from_slice(answer), &limits).ok()?;
        let mut links: Vec<Link> = links.iter().map(|link| Link::decode(link).ok()).collect::<Option<_>>()?;
        let Link::HandOver(latest) = links.pop()? else { return None };
        for link in links {
            if link.recovery().is_none() || recoveries {
                // Those that another peer told before lead nowhere from here, and need not.
                let _ = self.add(link).await;
            }
        }
        self.trust_in(latest.header.epoch).certified(&latest.header, &latest.certificate).ok()?;
        if latest.validators.hash() == latest.header.next_validators {
            // It hands over as well as any later one will.
            let _ = self.add(Link::HandOver(latest.clone())).await;
        }
        Some(latest)
    }
}

/// What lies on disk, checked.
async fn read<E: Runtime>(runtime: &E, prefix: &str, genesis: &Genesis) -> Result<(Store<E>, Held), String> {
    let config = metadata::Config {
        partition: format!("{prefix}-hand-overs"),
        codec_config: (RangeCfg::from(0..=RECOVERY_BYTES_MAX), ()),
    };
    let store = Store::<E>::init(runtime.child("store"), config).await.map_err(|error| error.to_string())?;
    let mut trust = Trust::anchored(genesis).map_err(|error| error.to_string())?;
    let (mut links, mut trusts) = (Vec::new(), vec![trust.clone()]);
    while let Some(bytes) = store.get(&U64::new(links.len() as u64)) {
        let link = Link::decode(bytes).map_err(|error| error.to_string())?;
        trust.walk(&link).map_err(|error| error.to_string())?;
        links.push(link);
        trusts.push(trust.clone());
    }
    Ok((store, Held { links, trusts }))
}

/// Keeps the links that lead on, one after another, until nobody can ask for it any more.
async fn keep<E: Runtime>(mut store: Store<E>, chain: Arc<RwLock<Held>>, mut inbox: mpsc::Receiver<Keep>) {
    while let Some(Keep { link, kept }) = inbox.recv().await {
        let (walked, many) = {
            let chain = chain.read().unwrap_or_else(PoisonError::into_inner);
            (walk(&chain, &link), chain.links.len())
        };
        if let Ok(Some((place, trust))) = &walked {
            for gone in place + 1..many {
                store.remove(&U64::new(gone as u64));
            }
            store = match store.put_sync(U64::new(*place as u64), link.to_bytes()).await {
                Ok(store) => store,
                Err(error) => stop(&error),
            };
            let mut chain = chain.write().unwrap_or_else(PoisonError::into_inner);
            chain.trusts.truncate(place + 1);
            chain.links.truncate(*place);
            chain.trusts.push(trust.clone());
            chain.links.push(link);
        }
        // Whoever asked may have gone.
        let _ = kept.send(walked.map(drop));
    }
}

/// Where the link belongs, and whom to trust after it; `None` when it adds nothing.
fn walk(chain: &Held, link: &Link) -> Result<Option<(usize, Trust)>, TrustError> {
    let Some(place) = chain.place_of(link)? else { return Ok(None) };
    let Some(mut trust) = chain.trusts.get(place).cloned() else { return Ok(None) };
    if matches!(link, Link::HandOver(link) if link.validators == *trust.validators()) {
        return Ok(None);
    }
    trust.walk(link)?;
    Ok(Some((place, trust)))
}

/// Whom this node answered, and with what.
#[derive(Default)]
struct Answers {
    /// When, by peer. Only peers of the network get here: as many as there are.
    given: BTreeMap<PublicKey, SystemTime>,
    latest: Option<HandOver>,
    /// The tip at which it was found.
    found_at: Option<u64>,
}

impl Answers {
    /// Whether the peer may have an answer now. It then has had it.
    fn may(&mut self, peer: &PublicKey, now: SystemTime) -> bool {
        // A clock that was set back holds nobody up.
        let waits = |given: &SystemTime| now.duration_since(*given).is_ok_and(|since| since < ANSWER_AGAIN);
        if self.given.get(peer).is_some_and(waits) {
            return false;
        }
        self.given.insert(peer.clone(), now);
        true
    }

    /// The hand-over of a recent block: one of the running epoch serves for the whole of it, and one of the epoch before until the
    /// tip moves.
    async fn latest(
        &mut self,
        (epoch, height): (u64, u64),
        find: impl AsyncFnOnce() -> Option<HandOver>,
    ) -> Option<&HandOver> {
        let serves = self.latest.as_ref().is_some_and(|latest| latest.header.epoch >= epoch);
        if !serves
            && self.found_at != Some(height)
            && let Some(found) = find().await
        {
            (self.latest, self.found_at) = (Some(found), Some(height));
        }
        self.latest.as_ref()
    }
}

/// A hand-over from the newest certified block at or below `height`, to the set that its epoch names as the next.
async fn newest(marshal: &Marshal, height: u64, next: ValidatorSet) -> Option<HandOver> {
    for height in (height.saturating_sub(RECEIPT_SEARCH_BLOCKS_MAX)..=height).rev() {
        if let Some(link) = from_block(marshal, height, next.clone()).await
            && link.header.next_validators == next.hash()
        {
            return Some(link);
        }
    }
    None
}

/// The hand-over that the block at `height` makes, if this node has the block and a certificate of its own.
pub async fn from_block(marshal: &Marshal, height: u64, validators: ValidatorSet) -> Option<HandOver> {
    let height = Height::new(height);
    let finalization = marshal.get_finalization(height).await?;
    let header = marshal.get_block(height).await?.inner().header().clone();
    Some(HandOver { header, certificate: certificate(&finalization)?, validators })
}

#[expect(clippy::panic, reason = "a node that cannot keep the chain of hand-overs must stop")]
fn stop(error: &impl std::fmt::Display) -> ! {
    panic!(
        "the chain of validators' hand-overs cannot be read or written: {error}: check the disk under the data directory, then start the node again"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;
    use commonware_consensus::{
        simplex::types::{Finalization, Finalize, Proposal},
        types::{Epoch, Round, View},
    };
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey, sha256::Digest};
    use commonware_parallel::Sequential;
    use commonware_runtime::{
        Clock as _, Runner as _, Supervisor as _, deterministic,
        mocks::{DelayedSyncContext, PendingSyncs, release_pending_syncs},
    };
    use commonware_utils::non_empty;
    use tallystick_consensus::Validators;
    use tallystick_protocol::{
        BlockHeader, GenesisValidator, Hash, LogCommitment, NetworkId, ProvenRow, StateCommitment,
        limits::EPOCH_BLOCKS_MIN,
    };

    fn set(seeds: std::ops::Range<u64>) -> ValidatorSet {
        let key = |seed| <[u8; 32]>::try_from(PrivateKey::from_seed(seed).public_key().encode().as_ref()).unwrap();
        ValidatorSet::new(seeds.map(key).collect()).unwrap()
    }

    fn genesis() -> Genesis {
        let mut genesis = Genesis {
            name: "a network".to_owned(),
            created_ms: 1,
            nonce: [7; 16],
            organisations: Vec::new(),
            validators: set(1..5)
                .keys()
                .iter()
                .map(|key| GenesisValidator { organisation: "one".to_owned(), key: *key, address: String::new() })
                .collect(),
            epoch_blocks: EPOCH_BLOCKS_MIN,
            rulebook: None,
        };
        genesis.sort();
        genesis
    }

    /// The hand-over in `epoch` from the validators of these seeds to those of the others.
    fn link(network: NetworkId, epoch: u64, from: std::ops::Range<u64>, to: std::ops::Range<u64>) -> HandOver {
        let header = BlockHeader {
            network,
            height: epoch * EPOCH_BLOCKS_MIN + 5,
            epoch,
            view: 5,
            leader: [0; 32],
            parent_view: 4,
            parent: Hash([0; 32]),
            time_ms: 1,
            transactions: Hash([0; 32]),
            transaction_count: 0,
            state: StateCommitment::default(),
            log: LogCommitment::default(),
            validators: set(from.clone()).hash(),
            next_validators: set(to.clone()).hash(),
        };
        let validators = Validators::new(network, &set(from.clone())).unwrap();
        let round = Round::new(Epoch::new(epoch), View::new(5));
        let proposal = Proposal::new(round, View::new(4), Digest(header.hash().0));
        let votes: Vec<_> = from
            .map(|seed| validators.signer(PrivateKey::from_seed(seed).into()).unwrap())
            .map(|scheme| Finalize::sign(&scheme, proposal.clone()).unwrap())
            .collect();
        let made = Finalization::from_finalizes(&validators.observer(), non_empty![@votes.iter()], &Sequential);
        HandOver { header, certificate: certificate(&made.unwrap()).unwrap(), validators: set(to) }
    }

    #[test]
    fn a_link_is_kept_also_when_whoever_learnt_it_goes_away() {
        deterministic::Runner::default().start(|context| async move {
            let (genesis, pending) = (genesis(), PendingSyncs::default());
            let disk = DelayedSyncContext { inner: context.child("disk"), pending: pending.clone() };
            let hand_overs = HandOvers::open(disk, "node", &genesis).await;
            pending.arm();
            // The disk is busy with it when the one that waits is dropped.
            let first = link(genesis.id(), 1, 1..5, 2..6);
            let waits = Box::pin(hand_overs.add(Link::HandOver(first.clone())));
            let pause = Box::pin(context.sleep(Duration::from_secs(1)));
            assert!(matches!(select(waits, pause).await, Either::Right(_)));
            assert!(!hand_overs.leads_to(2, &set(2..6)), "nothing is told of what is not durable");
            release_pending_syncs(&pending);
            hand_overs.add(Link::HandOver(link(genesis.id(), 3, 2..6, 3..7))).await.unwrap();
            assert!(hand_overs.leads_to(2, &set(2..6)) && hand_overs.leads_to(4, &set(3..7)));

            // The disk says the same.
            let links = hand_overs.links().to(9);
            drop(hand_overs);
            context.sleep(Duration::from_secs(1)).await;
            let again = HandOvers::open(context.child("again"), "node", &genesis).await;
            assert_eq!(again.links().to(9), links);
            assert_eq!(links.len(), 2);
        });
    }

    #[test]
    fn a_link_that_leads_nowhere_is_refused() {
        deterministic::Runner::default().start(|context| async move {
            let genesis = genesis();
            let hand_overs = HandOvers::open(context.child("disk"), "node", &genesis).await;
            assert!(hand_overs.add(Link::HandOver(link(genesis.id(), 3, 2..6, 3..7))).await.is_err());
            assert!(hand_overs.add(Link::HandOver(link(genesis.id(), 3, 1..5, 1..5))).await.is_ok(), "it adds nothing");
            assert!(hand_overs.links().to(9).is_empty());
        });
    }

    /// A recovery from block 5 of an epoch of these validators, which nobody has signed.
    fn recovery(network: NetworkId, epoch: u64, from: std::ops::Range<u64>, reason: &str) -> Recovery {
        let HandOver { header, certificate, .. } = link(network, epoch, from, 1..5);
        let row = ProvenRow { row: Bytes::from_static(b"\x80"), proof: Bytes::from_static(b"\x00") };
        let validator = GenesisValidator { organisation: "one".to_owned(), key: [9; 32], address: String::new() };
        Recovery {
            head: header,
            certificate,
            validators: vec![validator],
            reason: reason.to_owned(),
            rulebook: row.clone(),
            counters: row,
            organisations: Vec::new(),
            approvals: Vec::new(),
        }
    }

    #[test]
    fn a_recovery_takes_the_place_of_what_the_lost_validators_named() {
        let network = genesis().id();
        let links = [link(network, 1, 1..5, 2..6), link(network, 3, 2..6, 3..7)].map(Link::HandOver);
        let mut held = Held { links: links.to_vec(), trusts: Vec::new() };
        let from = |epoch, reason| Link::Recovery(Box::new(recovery(network, epoch, 1..5, reason)));
        for (epoch, place) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2)] {
            assert_eq!(held.place_of(&from(epoch, "fire")), Ok(Some(place)), "from epoch {epoch}");
        }
        held.links = vec![links[0].clone(), from(3, "fire")];
        assert_eq!(held.place_of(&from(3, "fire")), Ok(None), "it is there");
        for (epoch, reason) in [(3, "water"), (2, "fire"), (1, "water")] {
            let second = Err(RecoveryError::Second(3 * EPOCH_BLOCKS_MIN + 5).into());
            assert_eq!(held.place_of(&from(epoch, reason)), second, "from epoch {epoch}, for {reason}");
        }
        assert_eq!(held.place_of(&from(5, "water")), Ok(Some(2)), "again, later");
    }

    #[test]
    fn a_recovery_that_gives_up_what_is_final_or_is_not_signed_is_refused() {
        deterministic::Runner::default().start(|context| async move {
            let genesis = genesis();
            let hand_overs = HandOvers::open(context.child("disk"), "node", &genesis).await;
            hand_overs.add(Link::HandOver(link(genesis.id(), 1, 1..5, 2..6))).await.unwrap();
            let one = recovery(genesis.id(), 1, 1..5, "fire");
            let head = one.head.height;
            let file = RecoveryFile { links: Vec::new(), recovery: one };
            let refused = hand_overs.recover(file.clone(), head + 1).await;
            assert_eq!(refused, Err(RecoveryError::Passed { highest: head + 1, head }.into()));
            let refused = hand_overs.recover(file, head).await;
            assert!(matches!(refused, Err(TrustError::Recovery(RecoveryError::Row { .. }))), "{refused:?}");
            assert!(hand_overs.leads_to(2, &set(2..6)) && hand_overs.links().recoveries().is_empty());
            // Another's place may hold a recovery where this one holds a hand-over.
            assert_eq!(hand_overs.question()[1..], 0_u64.to_be_bytes());
        });
    }

    #[test]
    fn a_peer_is_answered_no_more_often_than_those_who_join_ask() {
        let [one, other] = [1, 2].map(|seed| PrivateKey::from_seed(seed).public_key());
        let (mut answers, start) = (Answers::default(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000));
        assert!(answers.may(&one, start) && answers.may(&other, start));
        assert!((0..7).all(|tenth| !answers.may(&one, start + Duration::from_millis(100 * tenth))));
        assert!(answers.may(&one, start + ASK_AGAIN - Duration::from_millis(100)), "a network is not a metronome");
        assert!(answers.may(&one, start - Duration::from_secs(900)), "the clock was set back");
    }

    #[test]
    fn the_costly_part_of_an_answer_is_found_once_an_epoch() {
        deterministic::Runner::default().start(|_| async move {
            let network = genesis().id();
            let (mut answers, mut found) = (Answers::default(), 0);
            for (epoch, height, block_epoch, times) in [
                (1, 25, 1, 1),
                (1, 26, 1, 1),
                (1, 39, 1, 1),
                (2, 40, 1, 2),
                (2, 40, 1, 2),
                (2, 41, 2, 3),
                (2, 55, 2, 3),
            ] {
                let find = async || {
                    found += 1;
                    Some(link(network, block_epoch, 1..5, 2..6))
                };
                let latest = answers.latest((epoch, height), find).await.unwrap();
                assert_eq!(latest.header.epoch, block_epoch);
                assert_eq!(found, times, "epoch {epoch}, height {height}");
            }
        });
    }
}
