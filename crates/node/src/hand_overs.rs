//! The chain of hand-overs that a node keeps: from the genesis' validators to those of the newest epoch it has entered. Receipts
//! show it, and nodes that join fetch it, because nothing else tells them whose certificates to believe.
//!
//! ```text
//! ask       0x00 ‖ links known (8 bytes, big-endian)
//! answer    0x01 ‖ varint count ‖ count × ( varint length ‖ hand-over )      the last one is of a recent block, change or not
//! ```
//!
//! INVARIANT: every link held was checked against the one before, down to the genesis, and is durable.

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
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tallystick_consensus::{certificate, epochs::Epochs};
use tallystick_protocol::{
    Calendar, Genesis, HandOver, Trust, TrustError, ValidatorSet,
    limits::{HAND_OVER_BYTES_MAX, HAND_OVERS_ANSWERED_MAX, RECEIPT_SEARCH_BLOCKS_MAX},
};
use tokio::sync::Mutex;

/// First byte of a question and of an answer.
const ASK: u8 = 0;
const ANSWER: u8 = 1;
/// Wait before everybody is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Where the chain lies on disk, once it is open.
type Store<E> = Metadata<E, U64, Vec<u8>>;

/// The chain, in memory and on disk. Clones share it.
pub struct HandOvers<E: Runtime> {
    chain: Arc<RwLock<Held>>,
    store: Arc<Mutex<Option<Store<E>>>>,
}

impl<E: Runtime> Clone for HandOvers<E> {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), store: self.store.clone() }
    }
}

/// What is held: the links, and whom to trust after each of them. There is one trust more than links: the first is the
/// genesis'.
struct Held {
    links: Vec<HandOver>,
    trusts: Vec<Trust>,
}

impl Held {
    /// Whom the links lead to in an epoch.
    fn trust_in(&self, epoch: u64) -> Option<&Trust> {
        self.trusts.iter().rev().find(|trust| trust.first_epoch() <= epoch)
    }
}

/// The links of the chain, for whoever makes receipts. Clones share them.
#[derive(Clone)]
pub struct Links(Arc<RwLock<Held>>);

impl Links {
    /// Those that lead to the validators of `epoch`.
    pub fn to(&self, epoch: u64) -> Vec<HandOver> {
        let chain = self.0.read().unwrap_or_else(PoisonError::into_inner);
        chain.links.iter().take_while(|link| link.header.epoch < epoch).cloned().collect()
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

impl<E: Runtime> HandOvers<E> {
    /// Reads what this node keeps.
    ///
    /// # Panics
    ///
    /// When the disk fails, or holds a chain that does not hold.
    pub async fn open(runtime: E, prefix: &str, genesis: &Genesis) -> Result<Self, TrustError> {
        let config = metadata::Config {
            partition: format!("{prefix}-hand-overs"),
            codec_config: (RangeCfg::from(0..=HAND_OVER_BYTES_MAX), ()),
        };
        let store = match Metadata::<E, U64, Vec<u8>>::init(runtime, config).await {
            Ok(store) => store,
            Err(error) => stop(&error),
        };
        let (mut trust, mut links) = (Trust::anchored(genesis)?, Vec::new());
        let mut trusts = vec![trust.clone()];
        while let Some(bytes) = store.get(&U64::new(links.len() as u64)) {
            let link = HandOver::decode(bytes).unwrap_or_else(|error| stop(&error));
            if let Err(error) = trust.walk(&link) {
                stop(&error);
            }
            links.push(link);
            trusts.push(trust.clone());
        }
        Ok(Self { chain: Arc::new(RwLock::new(Held { links, trusts })), store: Arc::new(Mutex::new(Some(store))) })
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

    /// Adds a link, durably, if it leads on from the end of the chain. One to the set that is trusted already adds nothing.
    pub async fn add(&self, link: HandOver) -> Result<(), TrustError> {
        let mut store = self.store.lock().await;
        let (mut trust, place) = {
            let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
            (chain.trust_in(u64::MAX).cloned(), chain.links.len() as u64)
        };
        let Some(trust) = trust.as_mut().filter(|trust| *trust.validators() != link.validators) else { return Ok(()) };
        trust.walk(&link)?;
        if let Some(open) = store.take() {
            match open.put_sync(U64::new(place), link.to_bytes()).await {
                Ok(open) => *store = Some(open),
                Err(error) => stop(&error),
            }
        }
        let mut chain = self.chain.write().unwrap_or_else(PoisonError::into_inner);
        chain.trusts.push(trust.clone());
        chain.links.push(link);
        Ok(())
    }

    /// Answers those who ask, until the node stops. `marshal` tells of the newest certified block.
    pub async fn serve<S, R, B>(
        self,
        marshal: Marshal,
        shared: Arc<Shared>,
        (mut sender, mut receiver): (S, R),
        blocker: B,
    ) where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
        B: Blocker<PublicKey = PublicKey>,
    {
        while let Ok((peer, message)) = receiver.recv().await {
            let known = match message.as_ref().split_first() {
                Some((&ASK, known)) => <[u8; 8]>::try_from(known).ok().map(u64::from_be_bytes),
                // The answer to a question of before: this node has joined.
                Some((&ANSWER, _)) => continue,
                _ => None,
            };
            let Some(known) = known else {
                tracing::warn!(%peer, "blocked a peer that asks for hand-overs in no known way");
                let _ = blocker.clone().block(peer);
                continue;
            };
            let (height, next) = (shared.chain.tip().header.height, shared.chain.standing().next.clone());
            let mut answer: Vec<Vec<u8>> = {
                let chain = self.chain.read().unwrap_or_else(PoisonError::into_inner);
                let skip = usize::try_from(known).unwrap_or(usize::MAX);
                chain.links.iter().skip(skip).take(HAND_OVERS_ANSWERED_MAX - 1).map(HandOver::to_bytes).collect()
            };
            let Some(latest) = latest(&marshal, height, next).await else { continue };
            answer.push(latest.to_bytes());
            let bytes: Bytes = [[ANSWER].as_slice(), &answer.encode()].concat().into();
            let _ = sender.send(Recipients::One(peer), bytes, false);
        }
    }

    /// Asks every peer again and again and tells `epochs` whom to believe. Once more peers than can be lying have answered, it
    /// returns the newest epoch that they have shown; or never, if it is to go `on`.
    pub async fn learn<S, R>(&self, runtime: &E, epochs: &Epochs, (sender, receiver): (&mut S, &mut R), on: bool) -> u64
    where
        S: Sender<PublicKey = PublicKey>,
        R: Receiver<PublicKey = PublicKey>,
    {
        let mut answered = BTreeSet::new();
        let mut newest = 0;
        loop {
            let known = self.chain.read().unwrap_or_else(PoisonError::into_inner).links.len() as u64;
            let ask: Bytes = [[ASK].as_slice(), &known.to_be_bytes()].concat().into();
            let _ = sender.send(Recipients::All, ask, false);
            let again = runtime.current() + ASK_AGAIN;
            loop {
                let heard = std::pin::pin!(receiver.recv());
                let pause = std::pin::pin!(runtime.sleep_until(again));
                let (peer, message) = match futures::future::select(heard, pause).await {
                    futures::future::Either::Left((Ok(heard), _)) => heard,
                    futures::future::Either::Left((Err(_), _)) => return newest,
                    futures::future::Either::Right(_) => break,
                };
                let Some(epoch) = self.take(epochs, message.as_ref()).await else { continue };
                newest = newest.max(epoch);
                answered.insert(peer);
                let faulty = (self.trust_in(newest).validators().len() - 1) / 3;
                if answered.len() > faulty && !on {
                    return newest;
                }
            }
        }
    }

    /// Takes an answer in, as far as it holds. Returns the epoch of the block it ends with.
    async fn take(&self, epochs: &Epochs, message: &[u8]) -> Option<u64> {
        let (&ANSWER, answer) = message.split_first()? else { return None };
        let limits = (RangeCfg::from(0..=HAND_OVERS_ANSWERED_MAX), (RangeCfg::from(0..=HAND_OVER_BYTES_MAX), ()));
        let links = Vec::<Vec<u8>>::decode_cfg(Bytes::copy_from_slice(answer), &limits).ok()?;
        let mut links: Vec<HandOver> = links.iter().map(|link| HandOver::decode(link).ok()).collect::<Option<_>>()?;
        let latest = links.pop()?;
        for link in links {
            // Those that another peer told before lead nowhere from here, and need not.
            let _ = self.add(link).await;
        }
        let trust = self.trust_in(latest.header.epoch);
        trust.certified(&latest.header, &latest.certificate).ok()?;
        let epoch = latest.header.epoch;
        epochs.know(epoch, trust.validators()).ok()?;
        if latest.validators.hash() == latest.header.next_validators {
            epochs.know(epoch + 1, &latest.validators).ok()?;
            // It hands over as well as any later one will.
            let _ = self.add(latest).await;
        }
        Some(epoch)
    }
}

/// A hand-over from the newest certified block at or below `height`, to the set that its epoch names as the next.
async fn latest(marshal: &Marshal, height: u64, next: ValidatorSet) -> Option<HandOver> {
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
