//! What this machine could do at most: how many signatures it checks in a second.

use crate::{
    bench::work::{Keys, append},
    output::Failure,
};
use std::{
    thread,
    time::{Duration, Instant},
};
use tallystick_protocol::{Hash, NetworkId, SignedTransaction, verify_batch};

/// Transactions checked together.
const BATCH: usize = 1_000;
/// How long is measured.
const MEASURE: Duration = Duration::from_secs(3);

/// Ed25519 signatures checked per second.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Machine {
    /// Cores.
    pub cores: usize,
    /// By one core while the others rest.
    pub one_core_alone: f64,
    /// By each core while all work: the figure the limit is made of.
    pub per_core: f64,
}

impl Machine {
    /// Measures this machine, which should have nothing else to do: batches of 1,000 transactions of as many principals as
    /// the load will have.
    pub fn measure(principals: usize) -> Result<Self, Failure> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let work = Keys {
            organisation: "bench".to_owned(),
            count: principals,
            seed: Hash([7; 32]),
            run: "m".to_owned(),
            partition: None,
        };
        let keys = work.signing_keys()?;
        let transactions = (0..BATCH as u64)
            .map(|number| append(NetworkId([0; 16]), &work, &keys, number, 0))
            .collect::<Result<Vec<_>, Failure>>()?;
        let one_core_alone = rate(&transactions);
        let together = thread::scope(|scope| {
            let parts: Vec<_> = (0..cores).map(|_| scope.spawn(|| rate(&transactions))).collect();
            parts.into_iter().map(|part| part.join().unwrap_or_default()).sum::<f64>()
        });
        Ok(Self { cores, one_core_alone, per_core: together / cores as f64 })
    }

    /// The mean of two measurements: a machine's speed drifts with its heat and its neighbours.
    pub fn mean(self, other: Self) -> Self {
        Self {
            cores: self.cores,
            one_core_alone: f64::midpoint(self.one_core_alone, other.one_core_alone),
            per_core: f64::midpoint(self.per_core, other.per_core),
        }
    }

    /// Transactions per second that the network could do if checking signatures, once on each node, were all its work.
    pub fn limit(&self, nodes: usize) -> f64 {
        self.per_core * self.cores as f64 / nodes as f64
    }
}

fn rate(transactions: &[SignedTransaction]) -> f64 {
    let mut rng = rand::rng();
    let begun = Instant::now();
    let mut checked = 0;
    while begun.elapsed() < MEASURE {
        let results = verify_batch(transactions.to_vec(), &mut rng);
        checked += results.iter().filter(|result| result.is_ok()).count();
    }
    checked as f64 / begun.elapsed().as_secs_f64()
}
