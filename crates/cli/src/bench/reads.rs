//! Reads of a sealed value, in public or in a partition, each on record before it is answered: how many one node answers, and that none of them is
//! missing from the record when it is killed while it answers.

use super::{
    cluster::Cluster,
    load::Percentiles,
    partition::{PATIENCE, WARM_UP},
    work::{self, Keys},
};
use crate::{
    output::{Done, Failure, say},
    paging::Paging,
    sandbox::founding::{self, PARTITION},
};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tallystick_api::{OutcomeView, limits::AUDIT_PAGE_MAX};
use tallystick_client::{Client, NOT_AFTER_SECONDS, Signer, now_seconds};
use tallystick_protocol::{Hash, NetworkId, PrincipalId, SealedSubmission, SigningKey};

/// Reads go on for so long when the node is killed in the middle.
const KILLED: Duration = Duration::from_secs(6);
/// Records that are read, in turn.
const RECORDS: u64 = 100;
/// Records of which the values are sealed in one transaction.
const AT_ONCE: u64 = 20;

/// What one node gave.
#[derive(Debug, Serialize)]
pub struct Reads {
    /// Where the values are.
    pub door: Door,
    /// Clients.
    pub clients: usize,
    /// Reads in one transaction.
    pub at_once: usize,
    /// Seconds measured.
    pub seconds: u64,
    /// Reads that gave a value, per second.
    pub per_second: f64,
    /// Milliseconds from handing in to the value: percentiles.
    pub latency_ms: Percentiles,
    /// Reads that gave none.
    pub failed: u64,
    /// Why the first did not.
    pub failure: Option<String>,
    /// Reads that gave a value, those around the kill among them.
    pub given: u64,
    /// Those of them that are not on record afterwards.
    pub unrecorded: u64,
}

/// Who reads.
struct Readers<'a> {
    network: NetworkId,
    door: Door,
    work: Keys,
    keys: &'a [(PrincipalId, SigningKey)],
    node: (String, PrincipalId),
    at_once: usize,
    next: AtomicU64,
}

#[derive(Default)]
struct Told {
    latency_ms: Vec<f64>,
    failed: u64,
    failure: Option<String>,
    given: Vec<Hash>,
}

/// Where the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// In a register of the public partition.
    Public,
    /// In a partition of two members.
    Partition,
}

/// Measures the node of the first organisation, and kills it in the end.
///
/// # Errors
/// When what is read cannot be sealed, nothing is read, or the node does not come back.
pub fn measure(
    cluster: &mut Cluster,
    door: Door,
    (clients, at_once): (usize, usize),
    seconds: u64,
) -> Result<Reads, Failure> {
    let keys = cluster.keys.signing_keys()?;
    let partition = (door == Door::Partition).then(|| PARTITION.to_owned());
    let work = Keys { run: "reads".to_owned(), partition, ..cluster.keys.clone() };
    let network = cluster.layout.genesis.id();
    let client = cluster.client()?;
    match door {
        Door::Public => say("sealing what is read"),
        Door::Partition => say("opening a partition of two members, and sealing what is read"),
    }
    seal(cluster, &client, (&work, &keys))?;
    let (_, holder) = client.holder(&cluster.keys.organisation)?;
    let place = cluster.layout.nodes.iter().position(|place| place.organisation == cluster.keys.organisation);
    let place = place.ok_or_else(|| Failure::error("no node is of the load's organisation"))?;
    let node = (cluster.place(place)?.url(), holder);
    let readers = Readers { network, door, work, keys: &keys, node, at_once, next: AtomicU64::new(RECORDS) };
    say(format_args!("{clients} clients × {at_once} reads for {seconds} s"));
    let mut told = readers.read(clients, WARM_UP + Duration::from_secs(seconds), || Ok(()))?;
    if told.latency_ms.is_empty() {
        let why = told.failure.unwrap_or_else(|| "no answer came in time".to_owned());
        return Err(Failure::error(format!("nothing was read: {why}")));
    }
    say("the same while the node is killed");
    let killed = readers.read(clients, KILLED, || {
        thread::sleep(KILLED / 2);
        cluster.kill(place)?;
        cluster.start_again(place)
    })?;
    told.given.extend(killed.given);
    cluster.wait_ready()?;
    let unrecorded = unrecorded(cluster, door, place, &told.given)?;
    let per_second = told.latency_ms.len() as f64 / seconds as f64;
    let Told { latency_ms, failed, failure, given } = told;
    let given = given.len() as u64 * at_once as u64;
    let latency_ms = Percentiles::of(latency_ms);
    Ok(Reads { door, clients, at_once, seconds, per_second, latency_ms, failed, failure, given, unrecorded })
}

/// Makes the register that is read, with its records.
fn seal(cluster: &Cluster, client: &Client, (work, keys): (&Keys, &[(PrincipalId, SigningKey)])) -> Done {
    let network = cluster.layout.genesis.id();
    let create = |signer: Signer| signer.sign("create the register", work::create_held()?).map_err(Failure::error);
    match &work.partition {
        None => {
            founding::hold(&cluster.layout)?;
            require(&client.submit(&create(cluster.administrator()?)?, PATIENCE)?.outcome)?;
        }
        Some(_) => {
            cluster.open_partition()?;
            founding::settle_private(client, &create(cluster.sharer()?)?)?;
        }
    }
    for first in (0..RECORDS).step_by(usize::try_from(AT_ONCE).unwrap_or(1)) {
        let (operation, openings) = work::held(work, first..(first + AT_ONCE).min(RECORDS))?;
        let not_after = now_seconds() + NOT_AFTER_SECONDS;
        let transaction = work::signed(network, work, keys, first, (not_after, vec![operation]))?;
        if work.partition.is_some() {
            founding::settle_private_sealed(client, &transaction, openings)?;
            continue;
        }
        let (holder, _) = client.holder(&work.organisation)?;
        let submission = SealedSubmission { transaction: transaction.bytes().clone(), openings };
        require(&holder.submit_sealed(&submission, PATIENCE)?.outcome)?;
    }
    Ok(())
}

fn require(outcome: &OutcomeView) -> Done {
    match outcome.is_accepted() {
        true => Ok(()),
        false => Err(Failure::error(format!("what is to be read cannot be made ready: {outcome:?}"))),
    }
}

/// How many transactions of those that gave something are not on record: by what the node says that was killed, once it has executed what it
/// missed, or after a while.
fn unrecorded(cluster: &Cluster, door: Door, place: usize, given: &[Hash]) -> Result<u64, Failure> {
    let (client, sharer, begun) = (cluster.client_of(place)?, cluster.sharer()?, Instant::now());
    loop {
        let is_late = begun.elapsed() > PATIENCE;
        match recorded(&client, (door, &sharer)) {
            Ok(recorded) => {
                let unrecorded = given.iter().filter(|id| !recorded.contains(id)).count();
                if unrecorded == 0 || is_late {
                    return Ok(unrecorded as u64);
                }
            }
            Err(failure) if is_late => return Err(failure),
            Err(_) => {}
        }
        thread::sleep(Duration::from_millis(500));
    }
}

/// The transactions that read something, as the access log has them.
fn recorded(client: &Client, (door, sharer): (Door, &Signer)) -> Result<BTreeSet<Hash>, Failure> {
    let whole = Paging::everything();
    if door == Door::Partition {
        let all = whole.whole(AUDIT_PAGE_MAX, |query| Ok(client.partition_reads(sharer, PARTITION, query)?))?;
        return Ok(all.reads.iter().map(|read| read.id).collect());
    }
    let mut found = BTreeSet::new();
    for number in 0..RECORDS {
        let subject = work::subject(number)?.to_string();
        let all = whole.whole(AUDIT_PAGE_MAX, |query| {
            let about = [query, &[("subject", subject.as_str())]].concat();
            Ok(client.access_log(&about)?)
        })?;
        found.extend(all.reads.iter().map(|read| read.id));
    }
    Ok(found)
}

impl Readers<'_> {
    /// Reads for so long, while something else is done.
    fn read(&self, clients: usize, end: Duration, beside: impl FnOnce() -> Done) -> Result<Told, Failure> {
        let (begun, told) = (Instant::now(), Mutex::default());
        thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| self.client(begun, end, &told));
            }
            beside()
        })?;
        Ok(told.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// One client: one transaction after another, until the time is up.
    fn client(&self, begun: Instant, end: Duration, told: &Mutex<Told>) {
        let told = || told.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |failure: &Failure| {
            let mut told = told();
            told.failed += self.at_once as u64;
            told.failure.get_or_insert_with(|| failure.to_string());
        };
        let client = match Client::new([&self.node.0]) {
            Ok(client) => client,
            Err(error) => return failed(&error.into()),
        };
        while begun.elapsed() < end {
            let number = self.next.fetch_add(self.at_once as u64, Ordering::Relaxed);
            let since = Instant::now();
            match self.one(&client, number) {
                Ok(id) => {
                    let mut told = told();
                    told.given.push(id);
                    // Only what was answered while the clock ran.
                    if (WARM_UP..end).contains(&begun.elapsed()) {
                        let ms = since.elapsed().as_secs_f64() * 1_000.0;
                        told.latency_ms.extend(std::iter::repeat_n(ms, self.at_once));
                    }
                }
                Err(failure) => {
                    failed(&failure);
                    thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    /// Reads; the transaction that is on record, if every read of it gave a value.
    fn one(&self, client: &Client, number: u64) -> Result<Hash, Failure> {
        let reads = (number..).take(self.at_once).map(|number| work::read(&self.node.1, number % RECORDS));
        let reads = (now_seconds() + NOT_AFTER_SECONDS, reads.collect::<Result<Vec<_>, _>>()?);
        let transaction = work::signed(self.network, &self.work, self.keys, number, reads)?;
        let (id, values) = match self.door {
            Door::Public => {
                let reading = client.read_sealed(&transaction, PATIENCE)?;
                (reading.transaction, reading.openings.len())
            }
            Door::Partition => {
                let done = client.submit_private(&transaction, PATIENCE)?;
                if !done.outcome.is_accepted() {
                    return Err(Failure::no(format!("refused: {:?}", done.outcome)));
                }
                (done.id, done.given.iter().filter(|given| !given.openings.is_empty()).count())
            }
        };
        if values == self.at_once {
            return Ok(id);
        }
        Err(Failure::no(format!("{values} of {} reads gave a value", self.at_once)))
    }
}
