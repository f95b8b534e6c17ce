//! Execute what is ordered, in the order of the chain: read from the public log, from where the partition's own state says that it
//! left off.

use super::{Parcels, Room, Standing, erasing::Eraser, message::Message, order::Executed};
use crate::{application::now_ms, engine::Runtime};
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};
use tallystick_protocol::{
    LogEntry, Operation, OrderedParcel, ParcelId, PartitionRootsRow, Payload, PrincipalId, RootsAt, SignedTransaction,
    StateKey,
    limits::{PARCELS_PER_ORDER_MAX, ROOT_INTERVAL_MS},
};
use tallystick_storage::{
    partition::{Done, Opened, ParcelStore, Placed, Position, PrivateBlock},
    read::ReadError,
};

/// Places of the public log read at a time.
const SCAN_PLACES: u64 = 512;
/// For how many milliseconds payloads are missing before a partition stands still: until then they are on their way.
const STALL_MS: u64 = 5_000;
/// Wait before what is missing is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Milliseconds of ledger time between two times that openings that are lacking are asked for.
const ASK_LACKING_MS: u64 = 2_000;
/// Each so many-th time orders are looked for that wait in vain.
const END_PASSES: u64 = 4;
/// Wait after the log could not be read.
const READ_AGAIN: Duration = Duration::from_millis(200);
/// For how long a root that a node posts is good, in seconds.
const ROOT_SECONDS: u64 = 120;

/// How old what was ordered may be, in milliseconds, for its root to be posted: nobody waits for older ones, or asks for that height.
const RECENT_MS: u64 = 3 * ROOT_INTERVAL_MS;

/// What one block orders in a partition.
#[derive(Clone, Debug)]
struct Orders {
    height: u64,
    time_ms: u64,
    location: u64,
    parcels: Vec<Ordered>,
    /// The principals that acknowledged them.
    holders: BTreeSet<PrincipalId>,
}

/// A parcel as it was ordered.
#[derive(Clone, Debug)]
struct Ordered {
    parcel: OrderedParcel,
    /// The height of its evidence.
    evidence_height: u64,
    /// The organisation whose node ordered it.
    orderer: String,
}

/// Where reading the log has come to.
struct Cursor {
    location: u64,
    /// The leaf that comes next.
    leaf: u64,
    /// What was read of a block whose end was not seen yet.
    open: Option<Orders>,
}

impl<E: Runtime> Room<E> {
    /// Payloads that are asked for now.
    pub(super) fn wanted(&self) -> BTreeSet<ParcelId> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how many payloads are missing, and for how long.
    fn lacks(&self, missing: usize, since_ms: u64) {
        let mut standing = self.standing();
        (standing.missing, standing.is_still) = (missing, missing > 0 && since_ms >= STALL_MS);
    }

    fn want(&self, ids: BTreeSet<ParcelId>) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }
}

impl<E: Runtime> Parcels<E> {
    /// Executes what is ordered in the partition, for as long as the node runs. `proposed` is a leaf before which nothing was.
    pub(super) async fn follow(self, mut runtime: E, room: Arc<Room<E>>, proposed: u64) {
        let position = room.partition.lock().await.position();
        let mut cursor = self.cursor(position, proposed);
        let mut tip = self.0.shared.chain.watch_tip();
        // The height whose root is known to be posted, and when this was last tried.
        let (mut posted, mut tried_ms, mut asked_ms, mut asks) = (0, 0, 0, 0);
        let mut eraser = Eraser::default();
        loop {
            room.opened().await;
            let (height, time_ms) = {
                let tip = tip.borrow_and_update();
                (tip.header.height, tip.header.time_ms)
            };
            match self.read_on(&room.name, &mut cursor).await {
                Ok((blocks, at_end)) => {
                    let newest = blocks.last().filter(|_| at_end).map(|orders| orders.height);
                    for orders in blocks {
                        let before = room.partition.lock().await.position();
                        // What is ordered after it may be a hold.
                        let eraser = (newest == Some(orders.height)).then_some(&mut eraser);
                        let discloses = self.execute(&mut runtime, (&room, eraser), &orders).await;
                        let times = (before.time_ms, orders.time_ms, now_ms(&runtime));
                        if is_posted_at_once(times, discloses) && !self.is_posted(&room.name, orders.height).await {
                            self.post_root(&runtime, &room).await;
                        }
                    }
                    if !at_end {
                        continue;
                    }
                    room.executed.send_replace(height);
                }
                Err(error) => {
                    tracing::debug!(partition = room.name, %error, "could not read the log");
                    runtime.sleep(READ_AGAIN).await;
                    continue;
                }
            }
            // Also what an older vault brought back, before anything is given.
            self.erase(&runtime, (&room, &mut eraser), (height, time_ms)).await;
            self.tidy(&room, time_ms).await;
            if time_ms.saturating_sub(asked_ms) >= ASK_LACKING_MS {
                (asked_ms, asks) = (time_ms, asks + 1);
                self.ask_lacking(&room, asks).await;
                if asks % END_PASSES == 0 {
                    self.end_erasures(&runtime, &room, &mut eraser).await;
                }
            }
            // And the last one, when nothing follows; also after a restart, until everybody sees it.
            let position = room.partition.lock().await.position();
            let is_quiet = |since_ms: u64| time_ms.saturating_sub(since_ms) >= ROOT_INTERVAL_MS;
            let is_behind = !is_recent(time_ms, now_ms(&runtime));
            if position.height > posted && is_quiet(position.time_ms) && is_quiet(tried_ms) && !is_behind {
                tried_ms = time_ms;
                if self.is_posted(&room.name, position.height).await {
                    posted = position.height;
                } else {
                    self.post_root(&runtime, &room).await;
                }
            }
            if tip.changed().await.is_err() {
                return;
            }
        }
    }

    /// Lets go what waited too long: nothing is missing, and all that this time's block and those before it order is executed.
    async fn tidy(&self, room: &Room<E>, time_ms: u64) {
        if let Err(error) = room.store.lock().await.expire(time_ms).await {
            tracing::error!(partition = room.name, %error, "what waited too long cannot be removed");
        }
        self.settle_rest(room, time_ms).await;
    }

    fn cursor(&self, position: Position, proposed: u64) -> Cursor {
        if position.location > 0 {
            return Cursor { location: position.location, leaf: position.leaves(), open: None };
        }
        let location = self.0.shared.chain.history().location(proposed);
        match location {
            Some(location) => Cursor { location, leaf: proposed, open: None },
            // Location 0 is the empty database's own commit.
            None => Cursor { location: 1, leaf: 0, open: None },
        }
    }

    /// Reads on in the log; says which blocks ordered something, and whether its end was reached.
    async fn read_on(&self, partition: &str, cursor: &mut Cursor) -> Result<(Vec<Orders>, bool), ReadError> {
        let mut entries = Vec::new();
        let scanned = self.0.reader.scan(
            cursor.location,
            SCAN_PLACES,
            |read| {
                entries = read.iter().map(|entry| (orders_of(entry, partition), entry.height, entry.time_ms)).collect();
            },
            |_| true,
        );
        let (next, at_end) = scanned.await?;
        cursor.location = next;
        let mut blocks = Vec::new();
        for (found, height, time_ms) in entries {
            // Leaf i of block h lies at i + h.
            let location = cursor.leaf + height + 1;
            cursor.leaf += 1;
            if cursor.open.as_ref().is_some_and(|open| open.height < height) {
                blocks.extend(cursor.open.take());
            }
            let Some((parcels, holders)) = found else { continue };
            let open = cursor.open.get_or_insert_with(|| Orders {
                height,
                time_ms,
                location,
                parcels: Vec::new(),
                holders: BTreeSet::new(),
            });
            open.location = location;
            open.parcels.extend(parcels);
            open.holders.extend(holders);
        }
        if at_end {
            // A block is appended as a whole.
            blocks.extend(cursor.open.take());
        }
        Ok((blocks, at_end))
    }

    /// Executes a block's orders, once every payload is here for good; says whether one of them discloses something. What it orders to be erased is
    /// carried out where an `eraser` is given: of the newest block.
    async fn execute(
        &self,
        runtime: &mut E,
        (room, eraser): (&Arc<Room<E>>, Option<&mut Eraser>),
        orders: &Orders,
    ) -> bool {
        let since_ms = now_ms(runtime);
        let payloads = loop {
            // Before the look, so that what arrives meanwhile is not missed.
            let arrived = room.arrived.notified();
            let (found, missing) = self.gathered(runtime, room, orders).await;
            if missing.is_empty() {
                break found;
            }
            room.lacks(missing.len(), now_ms(runtime).saturating_sub(since_ms));
            room.want(missing.clone());
            // Who is no member's any more is given nothing: it asks when it is again.
            room.opened().await;
            self.ask(room, orders, &missing).await;
            let arrived = std::pin::pin!(arrived);
            let again = std::pin::pin!(runtime.sleep(ASK_AGAIN));
            futures::future::select(arrived, again).await;
        };
        room.want(BTreeSet::new());
        room.lacks(0, 0);
        let Orders { height, time_ms, location, .. } = *orders;
        let block = PrivateBlock { height, time_ms, location, payloads };
        let (done, root, executed) = {
            let mut partition = room.partition.lock().await;
            // Before anybody can see that it orders something.
            room.is_done.store(false, Ordering::Release);
            let done = partition.execute(&block).await;
            room.take_records(&partition, &done).await;
            room.prove_orders(&partition).await;
            room.notices.note(&block, &done);
            (done, partition.root(), partition.position().executed)
        };
        // Before what came is settled, so that what was here is counted.
        if let Some(eraser) = eraser {
            self.erase(runtime, (room, eraser), (orders.height, time_ms)).await;
        }
        // Before anybody is told: who reads at once must find them.
        self.settle_block(room, &block).await;
        {
            let mut payloads = room.payloads();
            orders.parcels.iter().for_each(|one| payloads.forget(&one.parcel.id));
        }
        *room.standing() = Standing { height, executed, root, ..Standing::default() };
        let discloses = done.iter().any(|one| one.discloses);
        self.tell(room, height, done);
        discloses
    }

    fn tell(&self, room: &Room<E>, height: u64, done: Vec<Done>) {
        let mut waiting = room.waiting();
        for Done { transaction, number, outcome, .. } in done {
            let Some(transaction) = transaction else { continue };
            if let Some(answer) = waiting.remove(&transaction) {
                let _ = answer.send(Ok(Executed {
                    transaction,
                    height,
                    number,
                    outcome,
                    given: Vec::new(),
                    waiting: None,
                }));
            }
        }
    }

    /// The payloads that are here for good, in order; and those that are not: what is executed must never be among what may expire.
    async fn gathered(&self, runtime: &mut E, room: &Room<E>, orders: &Orders) -> (Vec<Placed>, BTreeSet<ParcelId>) {
        let (mut found, mut missing) = (Vec::with_capacity(orders.parcels.len()), BTreeSet::new());
        let mut store = room.store.lock().await;
        if let Err(error) = store.ordered(orders.parcels.iter().map(|one| one.parcel.id)).await {
            tracing::error!(
                partition = room.name,
                %error,
                "what is ordered cannot be marked as such, and is not executed until it is, or another node has given it: look at the disk"
            );
        }
        for Ordered { parcel: ordered, evidence_height, orderer } in &orders.parcels {
            if !store.is_ordered(&ordered.id) {
                missing.insert(ordered.id);
                continue;
            }
            let open = room.payloads().get(&ordered.id);
            let opened = match open {
                Some(opened) => Some(opened),
                None => self.opened(runtime, room, &store, ordered).await,
            };
            match opened {
                Some(opened) => {
                    let (ordered, evidence_height, orderer) = (*ordered, *evidence_height, orderer.clone());
                    found.push(Placed { ordered, evidence_height, orderer, opened });
                }
                None => drop(missing.insert(ordered.id)),
            }
        }
        (found, missing)
    }

    /// A payload out of the store.
    async fn opened(
        &self,
        runtime: &mut E,
        room: &Room<E>,
        store: &ParcelStore<E>,
        ordered: &OrderedParcel,
    ) -> Option<Arc<Opened>> {
        let (kept, parcel) = match store.get(&ordered.id).await {
            Ok(kept) => kept?,
            Err(error) => {
                tracing::error!(partition = room.name, %error, "a payload cannot be read");
                return None;
            }
        };
        let network = self.0.shared.chain.network();
        // One that was kept under a key that this node no longer has is as good as lost, and fetched again.
        let payload = Payload::open(&network, &room.name, &kept, &parcel, &self.0.holder.sealing).ok()?;
        Some(Arc::new(Opened::of(payload, network, &room.name, runtime)))
    }

    /// Asks for payloads: those who acknowledged them, then every other member's node.
    async fn ask(&self, room: &Room<E>, orders: &Orders, missing: &BTreeSet<ParcelId>) {
        let Ok(Some(membership)) = self.membership(&room.name).await else { return };
        tracing::debug!(partition = room.name, height = orders.height, missing = missing.len(), "asks for payloads");
        let others = membership.nodes.iter().filter(|node| node.node != self.0.holder.principal);
        let (first, then): (Vec<_>, Vec<_>) = others.partition(|node| orders.holders.contains(&node.node));
        let ids: Vec<ParcelId> = missing.iter().copied().take(PARCELS_PER_ORDER_MAX).collect();
        for node in first.into_iter().chain(then) {
            self.send(&node.peer, &Message::Fetch { partition: room.name.clone(), ids: ids.clone() });
        }
    }

    /// Whether everybody sees this node's root of that height, or one that is certified since.
    async fn is_posted(&self, partition: &str, height: u64) -> bool {
        let row = match self.0.reader.rows(&[StateKey::partition_roots(partition)]).await {
            Ok(read) => read.rows.into_iter().flatten().next(),
            Err(_) => return false,
        };
        let row = row.and_then(|row| PartitionRootsRow::decode(&row).ok()).unwrap_or_default();
        let own = |at: &RootsAt| at.roots.iter().any(|posted| posted.node == self.0.holder.principal);
        row.certified.is_some_and(|certified| certified.height >= height)
            || row.posted.iter().any(|at| at.height == height && own(at))
    }

    /// Posts the root of the state.
    async fn post_root(&self, runtime: &E, room: &Room<E>) {
        let (height, root, posts_after) = {
            let partition = room.partition.lock().await;
            (partition.position().height, partition.root(), partition.posts_after())
        };
        if height <= posts_after {
            return;
        }
        let operation = Operation::PartitionRoot { partition: room.name.clone(), height, root };
        let now_s = now_ms(runtime).max(self.0.shared.chain.tip().header.time_ms) / 1_000;
        let subject = format!("root of partition {}", room.name);
        let (height, again) = (height.to_be_bytes(), (now_s / ROOT_SECONDS).to_be_bytes());
        let mark: [&[u8]; 4] = [b"root", room.name.as_bytes(), &height, &again];
        if let Err(error) = self.post(subject, operation, now_s + ROOT_SECONDS, &mark).await {
            tracing::debug!(partition = room.name, %error, "could not hand in a root: it is posted again when all is quiet");
        }
    }
}

/// Whether a root is posted once it is known: the first of each interval, and what somebody outside is to be shown, so that every member
/// posts at the same heights. A node that catches up posts none: they would all be refused, and in the log for ever. Times, in Unix
/// milliseconds, are of the block before that ordered something, of this one, and now.
const fn is_posted_at_once((before_ms, time_ms, now_ms): (u64, u64, u64), discloses: bool) -> bool {
    (discloses || time_ms / ROOT_INTERVAL_MS > before_ms / ROOT_INTERVAL_MS) && is_recent(time_ms, now_ms)
}

const fn is_recent(time_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(time_ms) < RECENT_MS
}

/// What a log entry orders in the partition, if it was accepted: the parcels, and who acknowledged them.
fn orders_of(entry: &LogEntry, partition: &str) -> Option<(Vec<Ordered>, Vec<PrincipalId>)> {
    const NAME: &[u8] = b"private-order";
    // Decoding every transaction of the network again would cost a member much more than a look.
    if !entry.outcome.is_accepted() || !entry.transaction.windows(NAME.len()).any(|window| window == NAME) {
        return None;
    }
    let transaction = SignedTransaction::decode(entry.transaction.clone()).ok()?;
    let orderer = transaction.principal().organisation();
    let mut found = Vec::new();
    for operation in transaction.operations() {
        if let Operation::PrivateOrder { partition: named, height, parcels } = operation
            && named == partition
        {
            let (evidence_height, orderer) = (*height, orderer.to_owned());
            found.extend(parcels.iter().map(|parcel| Ordered {
                parcel: *parcel,
                evidence_height,
                orderer: orderer.clone(),
            }));
        }
    }
    let holders = transaction.signers().map(|(principal, _)| principal.clone()).collect();
    (!found.is_empty()).then_some((found, holders))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_posted_of_what_is_new() {
        let rows = [
            // The block before, this one, now, and whether it discloses.
            (9_999, 10_000, 10_100, false, true),
            (10_000, 19_999, 20_100, false, false),
            (10_000, 19_999, 20_100, true, true),
            // A slow clock, a slow node, and one that was off.
            (9_999, 10_000, 9_000, false, true),
            (9_999, 10_000, 39_999, false, true),
            (9_999, 10_000, 40_000, false, false),
            (9_999, 10_000, 86_400_000, true, false),
        ];
        for (before_ms, time_ms, now_ms, discloses, expected) in rows {
            let posted = is_posted_at_once((before_ms, time_ms, now_ms), discloses);
            assert_eq!(posted, expected, "{before_ms} {time_ms} {now_ms} {discloses}");
        }
    }
}
