//! The benchmark's client, in a process of its own: everything signed before the clock starts, then handed in by batches to
//! all nodes in turn, finality followed in the stream of one node's blocks.
//!
//! It speaks with the benchmark over its standard streams: it writes `signed`, waits for a line, and writes its findings as
//! JSON on the last line.

use crate::{
    bench::work::{Keys, append},
    output::{Done, Failure, line},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io::BufRead,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tallystick_api::{SubmissionResult, SubmissionStatus};
use tallystick_client::{Blocks, Client, Error};
use tallystick_protocol::{Hash, NetworkId};

/// Connections to each node.
const CONNECTIONS_PER_NODE: usize = 2;
/// Pause while as much is on its way as may be.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Pause when a node does not answer.
const DOWN_PAUSE: Duration = Duration::from_millis(200);
/// How long after the end the last transactions may take to become final.
const DRAIN: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Addresses of the nodes; the first one's blocks are followed.
    pub nodes: Vec<String>,
    /// The network.
    pub network: NetworkId,
    /// Which keys sign.
    pub keys: Keys,
    /// How many transactions to sign.
    pub transactions: usize,
    /// Transactions to a request.
    pub batch: usize,
    /// Transactions handed in and not final, at most.
    pub in_flight: usize,
    /// How long, unless it is told to end before.
    pub seconds: u64,
    /// How many to hand in per second, at most; none for as many as the network takes.
    pub per_second: Option<u64>,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Findings {
    /// Seconds that signing took, before the clock started.
    pub signing_seconds: f64,
    /// Transactions that became final while the clock ran.
    pub committed: u64,
    /// Seconds that the clock ran.
    pub seconds: f64,
    /// Transactions handed in and taken by a node.
    pub taken: u64,
    /// Of those, final by the end of the drain.
    pub finalised: u64,
    /// Final, and refused by the ledger.
    pub refused: u64,
    /// Times that a node said "busy" of a transaction.
    pub busy: u64,
    /// Transactions rejected for good, with the first reason.
    pub rejected: u64,
    /// That reason.
    pub rejection: Option<String>,
    /// Whether all transactions were used up before the time was.
    pub ran_out: bool,
    /// Milliseconds from handing in to finality, of each transaction that became final while the clock ran: percentiles.
    pub latency_ms: Percentiles,
    /// Transactions that became final in each second.
    pub per_second: Vec<u64>,
    /// Final blocks that held transactions, while the clock ran.
    pub blocks: u64,
    /// CPU seconds of this process while the clock ran.
    pub cpu_seconds: f64,
}

/// Exact percentiles of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Half are at most this.
    pub p50: f64,
    /// Nine of ten are.
    pub p90: f64,
    /// Ninety-nine of a hundred are.
    pub p99: f64,
    /// All are.
    pub max: f64,
    /// How many there are.
    pub count: u64,
}

impl Percentiles {
    /// Of these values; the value at rank ⌈p·n⌉.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let rank = |hundredths: usize| {
            let rank = (values.len() * hundredths).div_ceil(100).max(1) - 1;
            values.get(rank).copied().unwrap_or_default()
        };
        Self { p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100), count: values.len() as u64 }
    }
}

/// Runs the client: reads its order from standard input.
pub fn run() -> Done {
    let mut input = std::io::BufReader::new(std::io::stdin()).lines();
    let mut next = || input.next().and_then(Result::ok).ok_or_else(|| Failure::error("the benchmark went away"));
    let order: Order = serde_json::from_str(&next()?).map_err(Failure::error)?;
    let started = Instant::now();
    let signed = Signed::make(&order)?;
    let signing_seconds = started.elapsed().as_secs_f64();
    line("signed")?;
    next()?;
    let before = super::process::cpu_seconds(std::process::id());
    let load = Load::new(&order, &signed);
    let ended = load.ended.clone();
    // The benchmark goes away only after it has heard the findings.
    thread::spawn(move || {
        let _ = input.next();
        ended.store(true, Ordering::Relaxed);
    });
    let mut findings = load.run()?;
    findings.signing_seconds = signing_seconds;
    findings.cpu_seconds = super::process::cpu_seconds(std::process::id()) - before;
    line(serde_json::to_string(&findings).map_err(Failure::error)?)
}

/// Signed transactions, one after another.
struct Signed {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    index: HashMap<Hash, u32>,
}

impl Signed {
    fn make(order: &Order) -> Result<Self, Failure> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = order.transactions.div_ceil(threads).max(1);
        let not_after = tallystick_client::now_seconds() + super::work::NOT_AFTER_SECONDS;
        let parts = thread::scope(|scope| {
            let parts: Vec<_> = (0..order.transactions)
                .step_by(share)
                .map(|first| {
                    let range = first..(first + share).min(order.transactions);
                    scope.spawn(move || {
                        let keys = order.keys.signing_keys()?;
                        range.map(|n| append(order.network, &order.keys, &keys, n as u64, not_after)).collect()
                    })
                })
                .collect();
            let join = |part: thread::ScopedJoinHandle<'_, Result<Vec<_>, Failure>>| {
                part.join().unwrap_or_else(|_| Err(Failure::error("signing failed unexpectedly")))
            };
            parts.into_iter().map(join).collect::<Result<Vec<_>, Failure>>()
        })?;
        let mut signed = Self { bytes: Vec::new(), ends: Vec::new(), index: HashMap::new() };
        for transaction in parts.into_iter().flatten() {
            signed.bytes.extend_from_slice(transaction.bytes());
            signed.index.insert(transaction.id(), u32::try_from(signed.ends.len()).unwrap_or(u32::MAX));
            signed.ends.push(signed.bytes.len());
        }
        Ok(signed)
    }

    fn bytes_of(&self, index: usize) -> &[u8] {
        let begin = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(index).and_then(|end| self.bytes.get(begin..*end)).unwrap_or_default()
    }
}

struct Load<'a> {
    order: &'a Order,
    signed: &'a Signed,
    begun: Instant,
    /// The next transaction that nobody has sent yet.
    next: AtomicUsize,
    /// When each was handed in, in microseconds since the beginning, plus one; 0 when it was not.
    handed_in: Vec<AtomicU64>,
    taken: AtomicU64,
    finalised: AtomicU64,
    busy: AtomicU64,
    rejected: AtomicU64,
    rejection: Mutex<Option<String>>,
    /// Told to end before its time.
    ended: Arc<AtomicBool>,
    over: AtomicBool,
}

/// What the stream of blocks told.
#[derive(Default)]
struct Followed {
    latency_ms: Vec<f64>,
    per_second: Vec<u64>,
    refused: u64,
    blocks: u64,
}

impl<'a> Load<'a> {
    fn new(order: &'a Order, signed: &'a Signed) -> Self {
        Self {
            order,
            signed,
            begun: Instant::now(),
            next: AtomicUsize::new(0),
            handed_in: signed.ends.iter().map(|_| AtomicU64::new(0)).collect(),
            taken: AtomicU64::new(0),
            finalised: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            rejection: Mutex::new(None),
            ended: Arc::default(),
            over: AtomicBool::new(false),
        }
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.order.seconds)
    }

    fn run(mut self) -> Result<Findings, Failure> {
        let first = self.order.nodes.first().cloned().unwrap_or_default();
        let client = Client::new([&first])?;
        let blocks = client.blocks(true)?;
        self.begun = Instant::now();
        let load = &self;
        let followed = thread::scope(|scope| {
            let follower = scope.spawn(|| load.follow(&client, blocks));
            let mut senders = Vec::new();
            for node in &load.order.nodes {
                for _ in 0..CONNECTIONS_PER_NODE {
                    senders.push(scope.spawn(|| load.send(node)));
                }
            }
            let sent: Vec<_> = senders.into_iter().map(thread::ScopedJoinHandle::join).collect();
            load.drain();
            load.over.store(true, Ordering::Relaxed);
            let followed = follower.join().unwrap_or_default();
            match sent.into_iter().find(|sent| !matches!(sent, Ok(Ok(())))) {
                Some(Ok(Err(failure))) => Err(failure),
                Some(_) => Err(Failure::error("a connection of the load failed unexpectedly")),
                None => Ok(followed),
            }
        })?;
        Ok(self.findings(followed))
    }

    fn findings(&self, followed: Followed) -> Findings {
        let ran_out = self.next.load(Ordering::Relaxed) >= self.signed.ends.len();
        let seconds = usize::try_from(self.order.seconds).unwrap_or(usize::MAX);
        Findings {
            committed: followed.per_second.iter().take(seconds).sum(),
            seconds: self.order.seconds as f64,
            taken: self.taken.load(Ordering::Relaxed),
            finalised: self.finalised.load(Ordering::Relaxed),
            refused: followed.refused,
            busy: self.busy.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            rejection: self.rejection.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ran_out,
            latency_ms: Percentiles::of(followed.latency_ms),
            per_second: followed.per_second,
            blocks: followed.blocks,
            ..Findings::default()
        }
    }

    /// Waits for what was taken to become final.
    fn drain(&self) {
        let begun = Instant::now();
        while self.in_flight() > 0 && begun.elapsed() < DRAIN {
            thread::sleep(FULL_PAUSE);
        }
    }

    fn in_flight(&self) -> u64 {
        self.taken.load(Ordering::Relaxed).saturating_sub(self.finalised.load(Ordering::Relaxed))
    }

    /// One connection: batch after batch until the time is up.
    fn send(&self, node: &str) -> Done {
        let client = Client::new([node])?;
        let mut again: Vec<usize> = Vec::new();
        while self.begun.elapsed() < self.length() && !self.ended.load(Ordering::Relaxed) {
            if self.in_flight() as usize + self.order.batch > self.order.in_flight || self.is_ahead() {
                thread::sleep(FULL_PAUSE);
                continue;
            }
            let batch = if again.is_empty() { self.next_batch() } else { std::mem::take(&mut again) };
            if batch.is_empty() {
                return Ok(());
            }
            let body: Vec<u8> = batch.iter().flat_map(|&index| self.signed.bytes_of(index).iter().copied()).collect();
            let now = self.now_us() + 1;
            for slot in batch.iter().filter_map(|&index| self.handed_in.get(index)) {
                slot.store(now, Ordering::Relaxed);
            }
            // Counted before the answer, since finality may come first.
            self.taken.fetch_add(batch.len() as u64, Ordering::Relaxed);
            match client.hand_in_only(&body) {
                Ok(results) => {
                    let pause = self.look_at(&batch, &results, &mut again);
                    thread::sleep(pause);
                }
                Err(Error::Unreachable(_)) => {
                    self.taken.fetch_sub(batch.len() as u64, Ordering::Relaxed);
                    again = batch;
                    thread::sleep(DOWN_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Whether as much was handed in as should have been by now.
    fn is_ahead(&self) -> bool {
        let due = self.order.per_second.map(|rate| self.begun.elapsed().as_secs_f64() * rate as f64);
        due.is_some_and(|due| self.next.load(Ordering::Relaxed) as f64 > due)
    }

    fn next_batch(&self) -> Vec<usize> {
        let first = self.next.fetch_add(self.order.batch, Ordering::Relaxed);
        (first..(first + self.order.batch).min(self.signed.ends.len())).collect()
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Keeps what was not taken for another time; gives how long to pause.
    fn look_at(&self, batch: &[usize], results: &[SubmissionResult], again: &mut Vec<usize>) -> Duration {
        let mut pause_ms = 0;
        for (place, &index) in batch.iter().enumerate() {
            // A request that is turned away whole has one result for all.
            let result = results.get(place).or(results.first().filter(|_| results.len() == 1));
            let Some(result) = result.filter(|result| result.status == SubmissionStatus::Rejected) else { continue };
            self.taken.fetch_sub(1, Ordering::Relaxed);
            match result.retry_after_ms {
                Some(ms) => {
                    self.busy.fetch_add(1, Ordering::Relaxed);
                    pause_ms = pause_ms.max(ms);
                    again.push(index);
                }
                None => {
                    self.rejected.fetch_add(1, Ordering::Relaxed);
                    let mut first = self.rejection.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert_with(|| result.detail.clone().unwrap_or_default());
                }
            }
        }
        Duration::from_millis(pause_ms.min(5_000))
    }

    /// Follows the blocks until all is over. Blocks that the stream lost are fetched.
    fn follow(&self, client: &Client, mut blocks: Blocks) -> Followed {
        let mut followed = Followed::default();
        let mut height = 0;
        while !self.over.load(Ordering::Relaxed) {
            match blocks.next() {
                Some(Ok(event)) => {
                    for missed in (height + 1..event.height).filter(|_| height > 0) {
                        if let Ok(Some(block)) = client.block(missed) {
                            self.is_final(&mut followed, &block.value.transactions);
                        }
                    }
                    height = event.height;
                    followed.refused += event.refused;
                    self.is_final(&mut followed, event.ids.as_deref().unwrap_or_default());
                }
                _ => match client.blocks(true) {
                    Ok(again) => blocks = again,
                    Err(_) => thread::sleep(DOWN_PAUSE),
                },
            }
        }
        followed
    }

    fn is_final(&self, followed: &mut Followed, ids: &[Hash]) {
        let now = self.now_us();
        let second = usize::try_from(now / 1_000_000).unwrap_or(usize::MAX);
        let in_time = now <= self.order.seconds.saturating_mul(1_000_000);
        let mut ours = 0;
        for index in ids.iter().filter_map(|id| self.signed.index.get(id)) {
            let at = usize::try_from(*index).ok().and_then(|index| self.handed_in.get(index));
            let Some(handed_in) = at.map(|at| at.load(Ordering::Relaxed)).filter(|at| *at > 0) else { continue };
            ours += 1;
            if in_time {
                followed.latency_ms.push(now.saturating_sub(handed_in - 1) as f64 / 1_000.0);
            }
        }
        if followed.per_second.len() <= second {
            followed.per_second.resize(second + 1, 0);
        }
        if let Some(count) = followed.per_second.get_mut(second) {
            *count += ours;
        }
        followed.blocks += u64::from(ours > 0 && in_time);
        self.finalised.fetch_add(ours, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    #[test]
    fn percentiles_are_exact() {
        let values = (1..=200).rev().map(f64::from).collect();
        let of = Percentiles::of(values);
        assert_eq!((of.p50, of.p90, of.p99, of.max, of.count), (100.0, 180.0, 198.0, 200.0, 200));
        assert_eq!(Percentiles::of(vec![7.0]).p99, 7.0);
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
    }
}
