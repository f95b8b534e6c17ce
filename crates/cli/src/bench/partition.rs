//! The same work twice: in public, and in a partition of two of the network's organisations, by as many clients at the same node.
//!
//! Each client hands in one transaction, or some at once, and waits for what becomes of them: in public until they are final, in the
//! partition until they are final and executed. Then the next ones. So both doors are asked the same question, and the ratio says what
//! privacy costs.

use super::{
    LONE_TRANSACTIONS,
    cluster::Cluster,
    load::Percentiles,
    report::Lone,
    rest,
    work::{self, Keys},
};
use crate::{
    output::{Done, Failure, say},
    sandbox::{founding::PARTITION, signal::Stop},
};
use serde::Serialize;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tallystick_api::PrivateAnswer;
use tallystick_client::{Client, NOT_AFTER_SECONDS, now_seconds};
use tallystick_protocol::{NetworkId, PrincipalId, SigningKey};

/// How long one transaction may take.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what another member's node has executed.
const LOOK: Duration = Duration::from_millis(1);
/// What is done before the clock starts: compiled policies, open connections.
pub const WARM_UP: Duration = Duration::from_secs(2);

/// What was done in public and in a partition.
#[derive(Debug, Serialize)]
pub struct Partition {
    /// Members of the partition.
    pub members: usize,
    /// Clients.
    pub clients: usize,
    /// Transactions that each hands in at once.
    pub at_once: usize,
    /// Seconds measured of each.
    pub seconds: u64,
    /// In public.
    pub public: Rate,
    /// In the partition.
    pub private: Rate,
    /// The rate in the partition over that in public.
    pub ratio: f64,
}

/// What the clients were told.
#[derive(Debug, Serialize)]
pub struct Rate {
    /// Transactions accepted, per second.
    pub per_second: f64,
    /// Milliseconds from handing in to the answer: percentiles.
    pub latency_ms: Percentiles,
    /// Requests of which not all was accepted.
    pub failed: u64,
    /// Why the first was not.
    pub failure: Option<String>,
}

/// Where transactions are handed in.
#[derive(Clone, Copy)]
enum Door {
    Public,
    Private,
}

/// The clients of one measurement.
struct Clients<'a> {
    door: Door,
    network: NetworkId,
    work: Keys,
    keys: &'a [(PrincipalId, SigningKey)],
    at_once: usize,
    node: String,
    begun: Instant,
    end: Duration,
    next: AtomicU64,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    latency_ms: Vec<f64>,
    failed: u64,
    failure: Option<String>,
}

/// Measures both, the public partition first.
///
/// # Errors
/// When the partition cannot be opened, or nothing was done in one of them.
pub fn measure(cluster: &Cluster, (clients, at_once): (usize, usize), seconds: u64) -> Result<Partition, Failure> {
    say("opening a partition of two members");
    let (node, _) = cluster.open_partition()?;
    let keys = cluster.keys.signing_keys()?;
    let rate = |door, run: &str| {
        let partition = matches!(door, Door::Private).then(|| PARTITION.to_owned());
        let work = Keys { run: run.to_owned(), partition, ..cluster.keys.clone() };
        let end = WARM_UP + Duration::from_secs(seconds);
        let (begun, next, told) = (Instant::now(), AtomicU64::new(0), Mutex::default());
        let network = cluster.layout.genesis.id();
        Clients { door, network, work, keys: &keys, at_once, node: node.clone(), begun, end, next, told }
            .run(clients, seconds)
    };
    say(format_args!("{clients} clients × {at_once} in public for {seconds} s"));
    let public = rate(Door::Public, "public")?;
    say(format_args!("{clients} clients × {at_once} in the partition for {seconds} s"));
    let private = rate(Door::Private, "private")?;
    let ratio = private.per_second / public.per_second;
    Ok(Partition { members: super::cluster::MEMBERS, clients, at_once, seconds, public, private, ratio })
}

/// Measures one private transaction at a time, from handing it in until every member's node has executed it.
///
/// # Errors
/// When the partition cannot be opened, or one is refused.
pub fn lone(cluster: &Cluster, stop: &Stop) -> Result<Lone, Failure> {
    let (own, others) = cluster.open_partition()?;
    let own = Client::new([&own])?;
    let others = others.iter().map(|node| Client::new([node])).collect::<Result<Vec<_>, _>>()?;
    let work = Keys { run: "lone".to_owned(), partition: Some(PARTITION.to_owned()), ..cluster.keys.clone() };
    let (network, keys) = (cluster.layout.genesis.id(), cluster.keys.signing_keys()?);
    let mut latency_ms = Vec::new();
    for number in 0..LONE_TRANSACTIONS {
        rest(number, stop)?;
        let transaction = work::append(network, &work, &keys, number, now_seconds() + NOT_AFTER_SECONDS)?;
        let begun = Instant::now();
        let done = own.submit_private(&transaction, PATIENCE)?;
        if !done.outcome.is_accepted() {
            return Err(Failure::error(format!("a lone private transaction was refused: {:?}", done.outcome)));
        }
        for other in &others {
            while height(other)? < done.height {
                if begun.elapsed() > PATIENCE {
                    return Err(Failure::error("a member's node does not execute what is ordered"));
                }
                thread::sleep(LOOK);
            }
        }
        latency_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(Lone { latency_ms: Percentiles::of(latency_ms) })
}

/// The height of the last block of which a member's node has executed something.
fn height(member: &Client) -> Result<u64, Failure> {
    let view = member.partition(PARTITION)?.and_then(|view| view.value.here);
    Ok(view.ok_or_else(|| Failure::error("a member's node does not hold the partition"))?.height)
}

impl Clients<'_> {
    fn run(self, clients: usize, seconds: u64) -> Result<Rate, Failure> {
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| self.hand_in());
            }
        });
        let Told { latency_ms, failed, failure } = self.told.into_inner().unwrap_or_else(PoisonError::into_inner);
        if latency_ms.is_empty() {
            let why = failure.unwrap_or_else(|| "no answer came in time".to_owned());
            return Err(Failure::error(format!("nothing was done: {why}")));
        }
        let per_second = latency_ms.len() as f64 / seconds as f64;
        Ok(Rate { per_second, latency_ms: Percentiles::of(latency_ms), failed, failure })
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One client: one request after another, until the time is up.
    fn hand_in(&self) {
        let client = match Client::new([&self.node]) {
            Ok(client) => client,
            Err(error) => return self.failed(&error.into()),
        };
        while self.begun.elapsed() < self.end {
            let first = self.next.fetch_add(self.at_once as u64, Ordering::Relaxed);
            let begun = Instant::now();
            match self.some(&client, first) {
                // Only what was answered while the clock ran.
                Ok(()) if (WARM_UP..self.end).contains(&self.begun.elapsed()) => {
                    let ms = begun.elapsed().as_secs_f64() * 1_000.0;
                    self.told().latency_ms.extend(std::iter::repeat_n(ms, self.at_once));
                }
                Ok(()) => {}
                Err(failure) => {
                    self.failed(&failure);
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn failed(&self, failure: &Failure) {
        let mut told = self.told();
        told.failed += 1;
        told.failure.get_or_insert_with(|| failure.to_string());
    }

    fn some(&self, client: &Client, first: u64) -> Done {
        let not_after = now_seconds() + NOT_AFTER_SECONDS;
        let sign = |number| work::append(self.network, &self.work, self.keys, number, not_after);
        let all = (first..).take(self.at_once).map(sign).collect::<Result<Vec<_>, _>>()?;
        let outcomes = match (self.door, all.as_slice()) {
            (Door::Public, all) => client.submit_all(all, PATIENCE)?.into_iter().map(|one| one.outcome).collect(),
            (Door::Private, [one]) => vec![client.submit_private(one, PATIENCE)?.outcome],
            (Door::Private, all) => {
                let outcome = |answer| match answer {
                    PrivateAnswer::Executed(done) => Ok(done.outcome),
                    PrivateAnswer::Problem(problem) => Err(Failure::error(problem.detail)),
                };
                let answers = client.submit_private_all(all, PATIENCE)?;
                answers.into_iter().map(outcome).collect::<Result<Vec<_>, _>>()?
            }
        };
        match outcomes.into_iter().find(|outcome| !outcome.is_accepted()) {
            None => Ok(()),
            Some(outcome) => Err(Failure::no(format!("refused: {outcome:?}"))),
        }
    }
}
