//! Judge what another member's node delivers, keep it, and acknowledge it: stored durably, valid by schema and policy, and lawful here.

use super::{
    Membership, Parcels, Room,
    error::PrivateError,
    message::{Delivered, Message, Reason},
};
use crate::{application::now_ms, engine::Runtime};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tallystick_protocol::{
    Hash, Operation, OrderedParcel, PartlySignedTransaction, Payload, PrincipalId, Signature, StateKey,
    VerifiedTransaction, limits::NOT_AFTER_WINDOW_SECONDS_MAX,
};
use tallystick_storage::partition::{Kept, Opened, Placed, StoreError};

/// How long evidence of a block that has not come here yet is waited for: with the look at policies less than who asks waits.
const AHEAD: Duration = Duration::from_secs(1);

/// An order as a node that is to acknowledge it sees it.
struct Asked {
    order: PartlySignedTransaction,
    height: u64,
    parcels: Vec<OrderedParcel>,
}

impl Asked {
    /// What it orders, as it would be executed.
    fn placed(&self, orderer: &str, payloads: &[Arc<Opened>]) -> Vec<Placed> {
        let place = |(ordered, opened): (&OrderedParcel, &Arc<Opened>)| Placed {
            ordered: *ordered,
            evidence_height: self.height,
            orderer: orderer.to_owned(),
            opened: opened.clone(),
        };
        self.parcels.iter().zip(payloads).map(place).collect()
    }
}

impl<E: Runtime> Parcels<E> {
    pub(super) async fn delivered(
        &self,
        runtime: &mut E,
        from: [u8; 32],
        (partition, order, parcels): (String, Option<Bytes>, Vec<Delivered>),
        openings: Option<Bytes>,
    ) {
        let hash = order.as_ref().map(|order| Hash::of(&[order]));
        let judged = match self.room_soon(&partition).await {
            Ok(room) => self.acknowledge(runtime, from, &room, (order, parcels, openings)).await,
            Err(PrivateError::Behind { .. } | PrivateError::Shut(_)) => Err(Reason::Busy),
            Err(_) => Err(Reason::Excluded),
        };
        if let Err(reason) = &judged {
            tracing::debug!(partition, ?reason, "did not acknowledge");
        }
        let Some(order) = hash else { return };
        match judged {
            Ok(Some(signature)) => self.send(&from, &Message::Acknowledged { order, signature }),
            Ok(None) => {}
            Err(reason) => self.send(&from, &Message::Refused { order, reason }),
        }
    }

    async fn acknowledge(
        &self,
        runtime: &mut E,
        from: [u8; 32],
        room: &Room<E>,
        (order, parcels, openings): (Option<Bytes>, Vec<Delivered>, Option<Bytes>),
    ) -> Result<Option<Signature>, Reason> {
        let membership = self.membership(&room.name).await.ok().flatten().ok_or(Reason::Busy)?;
        let sender = membership.node_of(&from).ok_or(Reason::Excluded)?.node.clone();
        let own = &self.0.holder.principal;
        if !membership.nodes.iter().any(|node| node.node == *own) {
            return Err(Reason::Unlawful);
        }
        let now = self.0.shared.chain.tip();
        if !membership.row.is_open(now.header.time_ms) {
            return Err(Reason::Excluded);
        }
        let payloads = self.open(runtime, &room.name, &parcels)?;
        let openings = self.came_beside(room, &parcels, openings).ok_or(Reason::Openings)?;
        let asked = order.map(|order| self.asked(order, &sender, room, &parcels)).transpose()?;
        // Whoever acknowledges says that it keeps them too.
        if !self.are_of(room, &payloads, &openings) && (asked.is_some() || !openings.is_empty()) {
            return Err(Reason::Openings);
        }
        let transactions = self.waiting(runtime, &payloads, &sender)?;
        if let Some(asked) = &asked {
            self.judge(runtime, room, &membership, (asked, &payloads, &transactions)).await?;
        }
        // Also of what this node is not asked to acknowledge: it would wait here all the same. Whose keys they are is told by its own
        // state: evidence need not say it.
        for transaction in transactions {
            room.exposes_nothing(transaction).await.map_err(|_| Reason::Invalid)?;
            self.0.admission.may_sign(transaction).await.map_err(|_| Reason::Invalid)?;
        }
        if let Some(asked) = &asked {
            self.permitted(runtime, room, asked.placed(sender.organisation(), &payloads)).await?;
        }
        let (sender, members) = (sender.organisation(), membership.row.terms.members.len());
        if let Err(error) = self.keep_beside(room, &payloads, (sender, members), &openings).await {
            tracing::warn!(partition = room.name, %error, "could not keep openings that were delivered");
            return Err(Reason::Busy);
        }
        let kept = Kept::Waiting { since_ms: now.header.time_ms, sender, members };
        match room.store.lock().await.put(&parcels, kept).await {
            Ok(()) => {
                for ((ordered, _), payload) in parcels.iter().zip(payloads) {
                    room.keep_open(ordered.id, payload);
                }
                room.arrived.notify_waiters();
            }
            Err(StoreError::Form) => return Err(Reason::Invalid),
            Err(error) => {
                tracing::warn!(partition = room.name, %error, "could not keep what was delivered");
                return Err(Reason::Busy);
            }
        }
        let Some(asked) = asked else { return Ok(None) };
        let key = &self.0.holder.key;
        let signature = key.sign(&asked.order.to_be_cosigned(&key.public()));
        signature.map(Some).map_err(|_| Reason::Busy)
    }

    /// What the parcels hold.
    pub(super) fn open(
        &self,
        runtime: &mut E,
        partition: &str,
        parcels: &[Delivered],
    ) -> Result<Vec<Arc<Opened>>, Reason> {
        let network = self.0.shared.chain.network();
        let open = |(ordered, parcel): &Delivered| {
            let payload = Payload::open(&network, partition, ordered, parcel, &self.0.holder.sealing).ok()?;
            Some(Arc::new(Opened::of(payload, network, partition, runtime)))
        };
        parcels.iter().map(open).collect::<Option<_>>().ok_or(Reason::Invalid)
    }

    /// The order, if it is the sender's, of these parcels, and asks this node.
    fn asked(
        &self,
        order: Bytes,
        sender: &PrincipalId,
        room: &Room<E>,
        delivered: &[Delivered],
    ) -> Result<Asked, Reason> {
        let order = PartlySignedTransaction::decode(order).map_err(|_| Reason::Invalid)?;
        order.verify().map_err(|_| Reason::Invalid)?;
        let (intent, holder) = (order.intent(), &self.0.holder);
        let key = holder.key.public();
        let asks = intent.cosigners.iter().any(|one| one.principal == holder.principal && one.key == key);
        let latest = self.0.shared.chain.tip().header.time_ms / 1_000 + NOT_AFTER_WINDOW_SECONDS_MAX;
        let is_in_place = intent.network == self.0.shared.chain.network()
            && intent.principal == *sender
            && intent.partition.is_none()
            && intent.not_after <= latest;
        let (height, parcels) = match intent.operations.as_slice() {
            [Operation::PrivateOrder { partition, height, parcels }] if *partition == room.name => {
                (*height, parcels.clone())
            }
            _ => return Err(Reason::Invalid),
        };
        let is_of_these = parcels.iter().eq(delivered.iter().map(|(ordered, _)| ordered));
        if asks && is_in_place && is_of_these { Ok(Asked { order, height, parcels }) } else { Err(Reason::Invalid) }
    }

    /// The transactions of these payloads, if each is of the sender's organisation, is over soon, and may be executed as its evidence has
    /// it.
    fn waiting<'p>(
        &self,
        runtime: &E,
        payloads: &'p [Arc<Opened>],
        sender: &PrincipalId,
    ) -> Result<Vec<&'p VerifiedTransaction>, Reason> {
        let now_s = now_ms(runtime).max(self.0.shared.chain.tip().header.time_ms) / 1_000;
        let mut transactions = Vec::new();
        for payload in payloads {
            for transaction in payload.transactions() {
                let transaction = transaction.as_ref().map_err(|_| Reason::Invalid)?;
                payload.may_execute(transaction).map_err(|_| Reason::Invalid)?;
                // Who orders another's transaction orders nothing: see `Partition`. What is never over would wait for ever.
                if transaction.principal().organisation() != sender.organisation()
                    || transaction.not_after() > now_s + NOT_AFTER_WINDOW_SECONDS_MAX
                {
                    return Err(Reason::Invalid);
                }
                transactions.push(transaction);
            }
        }
        Ok(transactions)
    }

    /// Whether nothing that an order holds was executed before, and its evidence is what this node knows.
    async fn judge(
        &self,
        runtime: &E,
        room: &Room<E>,
        membership: &Membership,
        (asked, payloads, transactions): (&Asked, &[Arc<Opened>], &[&VerifiedTransaction]),
    ) -> Result<(), Reason> {
        debug_assert_eq!(asked.parcels.len(), payloads.len());
        let mut rows: BTreeMap<StateKey, &Option<Vec<u8>>> = BTreeMap::new();
        for payload in payloads {
            let evidence = payload.payload().evidence();
            if evidence.height != asked.height {
                return Err(Reason::Invalid);
            }
            for (key, row) in &evidence.rows {
                // What the height says twice must be the same.
                if rows.insert(*key, row).is_some_and(|other| other != row) {
                    return Err(Reason::Evidence);
                }
            }
        }
        {
            let partition = room.partition.lock().await;
            for transaction in transactions {
                if partition.act(&transaction.replay_tag()).await.is_some() {
                    return Err(Reason::Invalid);
                }
            }
        }
        self.reach(runtime, asked.height.max(membership.height)).await;
        let keys: Vec<StateKey> = rows.keys().copied().collect();
        let own = self.0.reader.rows(&keys).await.map_err(|_| Reason::Busy)?;
        let is_so = own.height >= asked.height
            && own.rows.iter().zip(rows.values()).all(|(own, said)| own.as_deref() == said.as_deref());
        if is_so { Ok(()) } else { Err(Reason::Evidence) }
    }

    /// Waits until this node has come to a height, for a while.
    pub(super) async fn reach(&self, runtime: &E, height: u64) {
        let mut tip = self.0.shared.chain.watch_tip();
        let reached = std::pin::pin!(tip.wait_for(|tip| tip.header.height >= height));
        let patience = std::pin::pin!(runtime.sleep(AHEAD));
        futures::future::select(reached, patience).await;
    }
}
