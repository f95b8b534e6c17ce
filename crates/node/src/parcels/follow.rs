//! Execute what is ordered, in the order of the chain: read from the public log, from where the partition's own state says that it
//! left off.

use super::{Parcels, Room, Standing, erasing::Eraser, message::Message, order::Executed};
use crate::{application::now_ms, engine::Runtime};
use futures::future::Either;
use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};
use tallystick_protocol::{
    LogEntry, NodeRow, Operation, OrderedParcel, ParcelId, PartitionRootsRow, Payload, PrincipalId, RootsAt,
    SignedTransaction, StateKey,
    limits::{PARCELS_BYTES_MAX, PARCELS_PER_ORDER_MAX, ROOT_INTERVAL_MS},
    parcel::parcel_bytes,
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
/// Milliseconds of ledger time between two looks at all that waits to be settled; in between at what is over.
const SETTLE_ALL_MS: u64 = 10_000;
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

/// How payloads that are missing are asked for: as many at once as one answer holds, first of the nodes that acknowledged them, and of
/// everybody where these did not give them.
#[derive(Debug, Default)]
struct Asking {
    /// What was asked for last.
    asked: BTreeSet<ParcelId>,
    /// Whether it did not come, and nothing was here by itself since: whoever catches up does not wait again with every block.
    is_in_vain: bool,
}

impl Asking {
    /// What is asked for now: nothing while what was asked for is on its way, which it is until it `is_over`.
    fn next(&mut self, orders: &Orders, missing: &BTreeSet<ParcelId>, is_over: bool) -> Vec<ParcelId> {
        let has_come = self.asked.is_disjoint(missing);
        if !has_come && !is_over {
            return Vec::new();
        }
        self.is_in_vain |= !has_come;
        let (mut bytes, mut ids) = (0, Vec::new());
        for parcel in orders.parcels.iter().map(|one| one.parcel).filter(|parcel| missing.contains(&parcel.id)) {
            bytes += parcel_bytes(parcel.class);
            if bytes > PARCELS_BYTES_MAX || ids.len() >= PARCELS_PER_ORDER_MAX {
                break;
            }
            ids.push(parcel.id);
        }
        self.asked = ids.iter().copied().collect();
        ids
    }

    /// Who is asked.
    fn asks<'m>(&self, others: Vec<&'m NodeRow>, holders: &BTreeSet<PrincipalId>) -> Vec<&'m NodeRow> {
        let (mut asked, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|node| holders.contains(&node.node));
        if self.is_in_vain || asked.is_empty() {
            asked.extend(rest);
        }
        asked
    }
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
        let (mut posted, mut tried_ms, mut asked_ms, mut asks, mut settled_ms) = (0, 0, 0, 0, 0);
        let (mut eraser, mut asking) = (Eraser::default(), Asking::default());
        loop {
            if !room.is_open() {
                // What was ordered meanwhile is caught up with as after a start.
                eraser = Eraser::default();
                room.opened().await;
            }
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
                        let discloses = self.execute(&mut runtime, (&room, eraser), &orders, &mut asking).await;
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
            let all = time_ms.saturating_sub(settled_ms) >= SETTLE_ALL_MS;
            if all {
                settled_ms = time_ms;
            }
            self.tidy(&room, time_ms, all).await;
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

    /// Lets go what waited too long: nothing is missing, and all that this time's block and those before it order is executed. Looks at `all` that
    /// waits to be settled, or at what is over.
    async fn tidy(&self, room: &Room<E>, time_ms: u64, all: bool) {
        if let Err(error) = room.store.lock().await.expire(time_ms).await {
            tracing::error!(partition = room.name, %error, "what waited too long cannot be removed");
        }
        self.settle_rest(room, time_ms, all).await;
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

    /// Executes a block's orders, once every payload is here for good; says whether one of them discloses something. What it orders to be
    /// erased is carried out where an `eraser` is given: of the newest block.
    async fn execute(
        &self,
        runtime: &mut E,
        (room, eraser): (&Arc<Room<E>>, Option<&mut Eraser>),
        orders: &Orders,
        asking: &mut Asking,
    ) -> bool {
        let payloads = self.awaited(runtime, room, orders, asking).await;
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

    /// The payloads of a block's orders, in order, once every one is here for good.
    async fn awaited(&self, runtime: &mut E, room: &Arc<Room<E>>, orders: &Orders, asking: &mut Asking) -> Vec<Placed> {
        let (since_ms, mut again, mut is_over) = (now_ms(runtime), None, false);
        loop {
            // Before the look, so that what arrives meanwhile is not missed.
            let arrived = std::pin::pin!(room.arrived.notified());
            let (found, missing) = self.gathered(runtime, room, orders).await;
            if missing.is_empty() {
                asking.is_in_vain &= again.is_some();
                room.want(BTreeSet::new());
                room.lacks(0, 0);
                return found;
            }
            room.lacks(missing.len(), now_ms(runtime).saturating_sub(since_ms));
            room.want(missing.clone());
            // Who is no member's any more is given nothing: it asks when it is again.
            room.opened().await;
            let ids = asking.next(orders, &missing, is_over);
            if !ids.is_empty() {
                self.ask(room, orders, (asking, ids)).await;
                again = None;
            }
            let again = again.get_or_insert_with(|| Box::pin(runtime.sleep(ASK_AGAIN)));
            // That first: among steady deliveries something has always arrived.
            is_over = matches!(futures::future::select(again.as_mut(), arrived).await, Either::Left(_));
        }
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
        if let Err(error) = store.ordered(orders.parcels.iter().map(|one| one.parcel.id)).await
            // Said once for each time that it holds up the partition.
            && room.wanted().is_empty()
        {
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
                    // Until the others are here too.
                    room.keep_open(ordered.id, opened.clone());
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

    /// Asks for payloads.
    async fn ask(&self, room: &Room<E>, orders: &Orders, (asking, ids): (&Asking, Vec<ParcelId>)) {
        let Ok(Some(membership)) = self.membership(&room.name).await else { return };
        let others = membership.nodes.iter().filter(|node| node.node != self.0.holder.principal).collect();
        let asked = asking.asks(others, &orders.holders);
        tracing::debug!(
            partition = room.name,
            height = orders.height,
            payloads = ids.len(),
            nodes = asked.len(),
            "asks for payloads"
        );
        for node in asked {
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use tallystick_protocol::{
        SealingKey,
        limits::{PARCEL_CLASS_MAX, PARCEL_CLASS_MIN},
    };

    /// Orders of so many parcels of this class, with their ids.
    fn orders(count: u8, class: u8) -> (Orders, Vec<ParcelId>) {
        let ids: Vec<ParcelId> = (0..count).rev().map(|n| ParcelId([n; 32])).collect();
        let parcel = |id: &ParcelId| Ordered {
            parcel: OrderedParcel { id: *id, class },
            evidence_height: 1,
            orderer: "council".into(),
        };
        let parcels = ids.iter().map(parcel).collect();
        let holders = ["council/vault", "health/vault"].map(|node| node.parse().unwrap()).into();
        (Orders { height: 2, time_ms: 0, location: 9, parcels, holders }, ids)
    }

    #[test]
    fn what_is_missing_is_asked_for_once_until_it_comes_or_its_time_is_over() {
        let (orders, ids) = orders(3, PARCEL_CLASS_MIN);
        let missing = |ids: &[ParcelId]| ids.iter().copied().collect::<BTreeSet<_>>();
        let mut asking = Asking::default();
        assert_eq!(asking.next(&orders, &missing(&ids), false), ids, "in the order of the chain");
        // Whatever else is delivered meanwhile, and a part of it.
        assert_eq!(asking.next(&orders, &missing(&ids), false), []);
        assert_eq!(asking.next(&orders, &missing(&ids[1..]), false), []);
        assert!(!asking.is_in_vain);
        assert_eq!(asking.next(&orders, &missing(&ids[1..]), true), ids[1..]);
        assert!(asking.is_in_vain, "it did not come");
        assert_eq!(asking.next(&orders, &missing(&ids[1..]), false), []);
    }

    #[test]
    fn what_one_answer_does_not_hold_is_asked_for_once_the_rest_is_here() {
        let (orders, ids) = orders(40, PARCEL_CLASS_MAX);
        let fit = PARCELS_BYTES_MAX / parcel_bytes(PARCEL_CLASS_MAX);
        let (mut asking, mut missing) = (Asking::default(), ids.iter().copied().collect::<BTreeSet<_>>());
        let mut asked = Vec::new();
        while !missing.is_empty() {
            let more = asking.next(&orders, &missing, false);
            assert!((1..=fit).contains(&more.len()), "{}", more.len());
            missing.retain(|id| !more.contains(id));
            asked.extend(more);
        }
        assert_eq!((asked, asking.is_in_vain), (ids, false));
    }

    #[test]
    fn who_acknowledged_is_asked_first_and_everybody_where_they_do_not_give() {
        let sealing = SealingKey::from_bytes([9; 32]).unwrap();
        let node = |name: &str| NodeRow {
            node: name.parse().unwrap(),
            peer: [1; 32],
            sealing,
            jurisdiction: "GB".parse().unwrap(),
            since_ms: 0,
        };
        let nodes = ["border/vault", "council/vault", "health/vault", "police/vault"].map(node);
        let all = || nodes.iter().collect::<Vec<_>>();
        let (orders, _) = orders(1, PARCEL_CLASS_MIN);
        let names = |asked: Vec<&NodeRow>| asked.iter().map(|node| node.node.to_string()).collect::<Vec<_>>();
        let mut asking = Asking::default();
        assert_eq!(names(asking.asks(all(), &orders.holders)), ["council/vault", "health/vault"]);
        assert_eq!(asking.asks(all(), &BTreeSet::new()).len(), 4, "none of them is a member's any more");
        asking.is_in_vain = true;
        let expected = ["council/vault", "health/vault", "border/vault", "police/vault"];
        assert_eq!(names(asking.asks(all(), &orders.holders)), expected);
    }

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
