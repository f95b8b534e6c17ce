//! Tell every validator of the transactions that clients handed in here, and hear of theirs.
//!
//! ```text
//! varint count ‖ count × ( varint length ‖ transaction )        at most GOSSIP_BYTES_MAX
//! ```
//!
//! A node vouches for what it passes on: it verified it. A peer that sends what does not decode, or a signature that does not
//! fit, is forging and gets blocked. A message may be lost; what waits too long is told again.
//!
//! INVARIANT: what a peer sends never waits in the network's queue, which all peers share and which bounds messages, not
//! bytes: each peer has room for some messages, and what is beyond them is dropped.

use crate::{
    admission::{Admission, Origin},
    application::Shared,
    engine::Runtime,
    rejection::RejectionCode,
};
use bytes::Bytes;
use commonware_codec::{Decode as _, Encode as _, RangeCfg};
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver, Recipients, Sender};
use commonware_runtime::Clock;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tallystick_protocol::{
    Hash, VerifiedTransaction,
    limits::{
        GOSSIP_BYTES_MAX, GOSSIP_MESSAGE_BYTES_MAX, GOSSIP_MESSAGES_MAX, GOSSIP_TRANSACTIONS_MAX,
        RETELL_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX,
    },
};
use tokio::sync::{Semaphore, mpsc};

/// How long a transaction waits before peers are told of it again.
const RETELL: Duration = Duration::from_secs(2);

/// Passes on what was admitted here, until the node stops.
pub async fn tell<E, S>(
    runtime: E,
    shared: Arc<Shared>,
    mut outbox: mpsc::UnboundedReceiver<Vec<VerifiedTransaction>>,
    mut sender: S,
) where
    E: Clock,
    S: Sender<PublicKey = PublicKey>,
{
    let mut waited: HashSet<Hash> = HashSet::new();
    loop {
        let heard = std::pin::pin!(outbox.recv());
        let retell = std::pin::pin!(runtime.sleep(RETELL));
        let transactions = match futures::future::select(heard, retell).await {
            futures::future::Either::Left((Some(transactions), _)) => transactions,
            futures::future::Either::Left((None, _)) => return,
            futures::future::Either::Right(_) => {
                let oldest = shared.pool().oldest(RETELL_TRANSACTIONS_MAX);
                let (again, fresh): (Vec<_>, Vec<_>) =
                    oldest.into_iter().partition(|transaction| waited.contains(&transaction.id()));
                waited = fresh.iter().chain(&again).map(|transaction| transaction.id()).collect();
                again
            }
        };
        for message in messages(&transactions) {
            let _ = sender.send(Recipients::All, message, false);
        }
    }
}

/// Splits transactions into messages within the limits.
fn messages(transactions: &[VerifiedTransaction]) -> Vec<Bytes> {
    let mut messages = Vec::new();
    let (mut part, mut bytes): (Vec<Bytes>, usize) = (Vec::new(), 0);
    for transaction in transactions {
        let length = transaction.bytes().len();
        if bytes + length > GOSSIP_BYTES_MAX || part.len() == GOSSIP_TRANSACTIONS_MAX {
            messages.push(std::mem::take(&mut part).encode());
            bytes = 0;
        }
        bytes += length;
        part.push(transaction.bytes().clone());
    }
    if !part.is_empty() {
        messages.push(part.encode());
    }
    messages
}

/// Takes in what peers admitted, until the node stops.
pub async fn hear<E, R, B>(runtime: E, admission: Admission<E>, mut receiver: R, blocker: B)
where
    E: Runtime,
    R: Receiver<PublicKey = PublicKey>,
    B: Blocker<PublicKey = PublicKey> + Clone,
{
    // Only peers of the network get here: as many as there are.
    let mut rooms: HashMap<PublicKey, Arc<Semaphore>> = HashMap::new();
    while let Ok((peer, message)) = receiver.recv().await {
        let room = rooms.entry(peer.clone()).or_insert_with(|| Arc::new(Semaphore::new(GOSSIP_MESSAGES_MAX)));
        let Ok(permit) = room.clone().try_acquire_owned() else { continue };
        if message.len() > GOSSIP_MESSAGE_BYTES_MAX {
            block(&blocker, peer, "a message that is too long");
            continue;
        }
        let limits = (RangeCfg::from(0..=GOSSIP_TRANSACTIONS_MAX), RangeCfg::from(0..=TRANSACTION_BYTES_MAX));
        let Ok(transactions) = Vec::<Bytes>::decode_cfg(message, &limits) else {
            block(&blocker, peer, "a message that does not decode");
            continue;
        };
        // Copied, so that one that is kept does not keep the whole message.
        let transactions = transactions.iter().map(|transaction| Bytes::copy_from_slice(transaction)).collect();
        let (admission, blocker) = (admission.clone(), blocker.clone());
        runtime.child("heard").spawn(move |_| async move {
            let answers = admission.submit(transactions, Origin::Peer).await;
            drop(permit);
            let forged = answers
                .iter()
                .filter_map(|answer| answer.as_ref().err())
                .find(|rejection| matches!(rejection.code, RejectionCode::Malformed | RejectionCode::BadSignature));
            if let Some(forged) = forged {
                block(&blocker, peer, &forged.to_string());
            }
        });
    }
}

fn block<B: Blocker<PublicKey = PublicKey> + Clone>(blocker: &B, peer: PublicKey, why: &str) {
    tracing::warn!(%peer, why, "blocked a peer that passed on a forged transaction");
    let _ = blocker.clone().block(peer);
}
