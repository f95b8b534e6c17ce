//! The same work twice: in public, and in a partition of two of the network's organisations, by as many clients at the same node.
//!
//! Each client hands in one transaction after another and waits for what becomes of it: in public until it is final, in the partition until
//! it is final and executed. So both doors are asked the same question, and the ratio says what privacy costs.

use super::{
    cluster::Cluster,
    load::Percentiles,
    work::{self, Keys},
};
use crate::{
    output::{Done, Failure, say},
    sandbox::founding::PARTITION,
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
use tallystick_client::{Client, NOT_AFTER_SECONDS, now_seconds};
use tallystick_protocol::{NetworkId, PrincipalId, SigningKey};

/// How long one transaction may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is done before the clock starts: compiled policies, open connections.
const WARM_UP: Duration = Duration::from_secs(2);

/// What was done in public and in a partition.
#[derive(Debug, Serialize)]
pub struct Partition {
    /// Members of the partition.
    pub members: usize,
    /// Clients, each with one transaction at a time.
    pub clients: usize,
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
    /// Transactions that were not accepted.
    pub failed: u64,
    /// Why the first of them was not.
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
pub fn measure(cluster: &Cluster, clients: usize, seconds: u64) -> Result<Partition, Failure> {
    say("opening a partition of two members");
    let node = cluster.open_partition()?;
    let keys = cluster.keys.signing_keys()?;
    let rate = |door, run: &str| {
        let partition = matches!(door, Door::Private).then(|| PARTITION.to_owned());
        let work = Keys { run: run.to_owned(), partition, ..cluster.keys.clone() };
        let end = WARM_UP + Duration::from_secs(seconds);
        let (begun, next, told) = (Instant::now(), AtomicU64::new(0), Mutex::default());
        let network = cluster.layout.genesis.id();
        Clients { door, network, work, keys: &keys, node: node.clone(), begun, end, next, told }.run(clients, seconds)
    };
    say(format_args!("{clients} clients in public for {seconds} s"));
    let public = rate(Door::Public, "public")?;
    say(format_args!("{clients} clients in the partition for {seconds} s"));
    let private = rate(Door::Private, "private")?;
    let ratio = private.per_second / public.per_second;
    Ok(Partition { members: super::cluster::MEMBERS, clients, seconds, public, private, ratio })
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

    /// One client: one transaction after another, until the time is up.
    fn hand_in(&self) {
        let client = match Client::new([&self.node]) {
            Ok(client) => client,
            Err(error) => return self.failed(&error.into()),
        };
        while self.begun.elapsed() < self.end {
            let (number, begun) = (self.next.fetch_add(1, Ordering::Relaxed), Instant::now());
            match self.one(&client, number) {
                // Only what was answered while the clock ran.
                Ok(()) if (WARM_UP..self.end).contains(&self.begun.elapsed()) => {
                    self.told().latency_ms.push(begun.elapsed().as_secs_f64() * 1_000.0);
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

    fn one(&self, client: &Client, number: u64) -> Done {
        let not_after = now_seconds() + NOT_AFTER_SECONDS;
        let transaction = work::append(self.network, &self.work, self.keys, number, not_after)?;
        let outcome = match self.door {
            Door::Public => client.submit(&transaction, PATIENCE)?.outcome,
            Door::Private => client.submit_private(&transaction, PATIENCE)?.outcome,
        };
        if outcome.is_accepted() { Ok(()) } else { Err(Failure::no(format!("refused: {outcome:?}"))) }
    }
}
