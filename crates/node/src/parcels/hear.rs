//! Hear what other nodes say of parcels: each message in a task of its own, few of one peer at a time.

use super::{
    Parcels,
    message::{Delivered, Message},
};
use crate::engine::Runtime;
use bytes::Bytes;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::{Blocker, Receiver};
use std::{collections::HashMap, sync::Arc};
use tallystick_protocol::{
    ParcelId, Payload, TransferPath,
    limits::{PARCELS_ANSWER_BYTES_MAX, PARCELS_BYTES_MAX, PARCELS_IN_WORK_MAX, PARCELS_MESSAGE_BYTES_MAX},
};
use tallystick_storage::partition::Kept;
use tokio::sync::Semaphore;

impl<E: Runtime> Parcels<E> {
    /// Takes in what other nodes send, until the node stops.
    pub(super) async fn hear<R, B>(self, runtime: E, mut receiver: R, blocker: B)
    where
        R: Receiver<PublicKey = PublicKey>,
        B: Blocker<PublicKey = PublicKey> + Clone + Send + 'static,
    {
        // Only peers of the network get here: as many as there are.
        let mut rooms: HashMap<PublicKey, Arc<Semaphore>> = HashMap::new();
        while let Ok((peer, bytes)) = receiver.recv().await {
            let room = rooms.entry(peer.clone()).or_insert_with(|| Arc::new(Semaphore::new(PARCELS_IN_WORK_MAX)));
            let permit = room.clone().try_acquire_owned().ok();
            // What cannot be worked on is not read either, unless it may be an answer, which takes no time.
            if permit.is_none() && bytes.len() > PARCELS_ANSWER_BYTES_MAX {
                tracing::debug!(%peer, "a peer sends more of parcels at once than is worked on: it sends it again");
                continue;
            }
            let read =
                if bytes.len() > PARCELS_MESSAGE_BYTES_MAX { None } else { Message::decode(bytes.as_ref()).ok() };
            let (Some(message), Ok(from)) = (read, <[u8; 32]>::try_from(peer.as_ref())) else {
                tracing::warn!(%peer, "blocked a peer that speaks of parcels in no known way");
                let _ = blocker.clone().block(peer);
                continue;
            };
            let (Some(message), Some(permit)) = (self.answered(from, message), permit) else { continue };
            let parcels = self.clone();
            runtime.child("heard").spawn(move |mut runtime| async move {
                parcels.heard(&mut runtime, from, message).await;
                drop(permit);
            });
        }
    }

    async fn heard(&self, runtime: &mut E, from: [u8; 32], message: Message) {
        match message {
            Message::Deliver { partition, order, parcels, openings } => {
                self.delivered(runtime, from, (partition, order, parcels), openings).await
            }
            // Told before.
            Message::Acknowledged { .. } | Message::Refused { .. } => {}
            Message::Fetch { partition, ids } => self.fetch(runtime, from, partition, ids).await,
            Message::Fetched { partition, parcels, openings } => {
                self.fetched(runtime, from, &partition, (parcels, openings)).await
            }
        }
    }

    /// Tells whoever waits for an answer to an order, if the message is one; gives back any other.
    fn answered(&self, from: [u8; 32], message: Message) -> Option<Message> {
        let (order, answer) = match message {
            Message::Acknowledged { order, signature } => (order, Ok(signature)),
            Message::Refused { order, reason } => (order, Err(reason)),
            other => return Some(other),
        };
        if let Some(waiting) = self.acks().get(&order) {
            let _ = waiting.send((from, answer));
        }
        None
    }

    /// Gives a member's node what it asks for, encrypted to it, as far as it is here.
    async fn fetch(&self, runtime: &mut E, from: [u8; 32], partition: String, ids: Vec<ParcelId>) {
        let Some(room) = self.room(&partition) else { return };
        // Who no longer is a member, or stands where it may not be held, is not among these: nothing leaves for it.
        let membership = self.membership(&partition).await.ok().flatten();
        let asking = membership.as_ref().and_then(|membership| membership.node_of(&from).cloned());
        let Some(asking) = asking else {
            let refused = membership.iter().flat_map(|membership| &membership.refused);
            let refused = refused.filter(|node| node.peer == from);
            self.refuse(runtime, &partition, TransferPath::Fetch, refused).await;
            tracing::debug!(partition, peer = hex::encode(from), "gave no payload to a peer that is no member's node");
            return;
        };
        let network = self.0.shared.chain.network();
        let (mut parcels, mut payloads, mut bytes): (Vec<Delivered>, Vec<Payload>, usize) = (Vec::new(), Vec::new(), 0);
        for id in ids {
            let kept = room.store.lock().await.get(&id).await;
            let Ok(Some((ordered, parcel))) = kept else { continue };
            let opened = Payload::open(&network, &partition, &ordered, &parcel, &self.0.holder.sealing);
            let Ok(payload) = opened else { continue };
            let padded = payload.padded(&network, &partition, ordered);
            let Ok(sealed) = padded.and_then(|padded| padded.seal(&asking.sealing, runtime)) else { continue };
            bytes += sealed.len();
            if bytes > PARCELS_BYTES_MAX {
                break;
            }
            parcels.push((ordered, sealed));
            payloads.push(payload);
        }
        if parcels.is_empty() {
            return;
        }
        // As far as they are here: without them it executes as well.
        let openings = self.kept_of(&room, &payloads).await.unwrap_or_else(|error| {
            tracing::warn!(partition, %error, "could not look for openings that are asked for");
            Vec::new()
        });
        let openings = self.beside(runtime, &room, (&parcels, &openings), &asking).ok().flatten();
        self.send(&from, &Message::Fetched { partition, parcels, openings });
    }

    /// Keeps what this node lacked and asked for.
    async fn fetched(
        &self,
        runtime: &mut E,
        from: [u8; 32],
        partition: &str,
        (parcels, openings): (Vec<Delivered>, Option<Bytes>),
    ) {
        let Some(room) = self.room(partition) else { return };
        let Ok(Some(membership)) = self.membership(partition).await else { return };
        let Some(giver) = membership.node_of(&from) else { return };
        let is_asked = |id: &ParcelId| room.wanted().contains(id) || room.lacking().contains_key(id);
        let openings = self.came_beside(&room, &parcels, openings);
        // Another may have given some of them meanwhile.
        let parcels: Vec<Delivered> = parcels.into_iter().filter(|one| is_asked(&one.0.id)).collect();
        if parcels.is_empty() {
            return;
        }
        let Ok(payloads) = self.open(runtime, partition, &parcels) else { return };
        // First these: once the payload is here it is executed.
        if let Some(openings) = openings {
            let giver = (giver.node.organisation(), membership.row.terms.members.len());
            self.keep_fetched(&room, (&parcels, &payloads), giver, &openings).await;
        }
        let wanted = room.wanted();
        let mut new = Vec::new();
        for one in parcels {
            // Of one that lacked its openings alone, the payload is here.
            if wanted.contains(&one.0.id) || self.kept_payload(&room, &one.0.id).await.is_err() {
                new.push(one);
            }
        }
        if !new.is_empty()
            && let Err(error) = room.store.lock().await.put(&new, Kept::Ordered).await
        {
            tracing::warn!(partition, %error, "could not keep payloads that were fetched");
            return;
        }
        room.arrived.notify_waiters();
    }
}
