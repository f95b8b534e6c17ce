//! Admit a transaction to the pool, or say why not.
//!
//! ```text
//! bytes ─ decode ─ known? in time? whose key? ─▶ queue ─▶ verify in batches ─▶ pool ─▶ peers
//! ```
//!
//! What a register with sealed fields would refuse is not admitted: see [`tallystick_ledger::protection`].
//!
//! Signatures are checked once per node, in batches as large as the load makes them: while one batch is verified the next one
//! gathers. What came from a client is passed on to every validator, so that the next leader has it; what came from a peer is
//! not, because that peer told everybody.

use crate::{
    application::Shared,
    engine::Runtime,
    pool::Full,
    rejection::{Rejection, RejectionCode},
    state,
};
use bytes::Bytes;
use commonware_runtime::{Clock, Spawner};
use rand::{SeedableRng as _, rngs::StdRng};
use rand_core::CryptoRng;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tallystick_ledger::{
    protection::{concerned, exposed},
    schema::Schema,
};
use tallystick_protocol::{
    Hash, PrincipalId, PrincipalStatus, PublicKey, RegisterRow, SignedTransaction, StateKey, VerifiedTransaction,
    limits::{
        BLOCK_DRIFT_MS_MAX, NOT_AFTER_WINDOW_SECONDS_MAX, VERIFY_BATCH_TRANSACTIONS_MAX, VERIFY_QUEUE_TRANSACTIONS_MAX,
    },
    transaction::{DecodeError, VerifyError, verify_batch},
};
use tallystick_storage::read::Reader;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// How long a batch gathers when the one before it has only just ended.
const GATHER: Duration = Duration::from_millis(3);
/// What a client that was told "busy" should wait.
const BUSY_RETRY: Duration = Duration::from_millis(500);

/// Why bytes are no verified transaction.
#[derive(Debug, thiserror::Error)]
pub enum Unverified {
    /// They do not decode.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The signature does not fit.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Decodes and verifies transactions that have not passed admission here, in one batch.
pub fn verify_all(transactions: Vec<Bytes>, rng: &mut impl CryptoRng) -> Vec<Result<VerifiedTransaction, Unverified>> {
    let decoded: Vec<Result<SignedTransaction, DecodeError>> =
        transactions.into_iter().map(SignedTransaction::decode).collect();
    let whole = decoded.iter().filter_map(|t| t.as_ref().ok().cloned()).collect();
    let mut verified = verify_batch(whole, rng).into_iter();
    decoded
        .into_iter()
        .map(|result| {
            let transaction = result?;
            // One verdict for each that decoded.
            Ok(verified.next().unwrap_or_else(|| transaction.verify())?)
        })
        .collect()
}

/// Who handed a transaction in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node.
    Client,
    /// Another validator, which vouches for the signature.
    Peer,
}

/// A transaction that would be admitted, or that is known already.
pub struct Judged {
    /// It, with its signature checked.
    pub transaction: VerifiedTransaction,
    /// Whether it is in the pool or final.
    pub is_known: bool,
}

struct Job {
    transactions: Vec<SignedTransaction>,
    origin: Origin,
    answer: oneshot::Sender<Vec<Result<Hash, Rejection>>>,
    /// Room for the transactions, for as long as they are here: also when the one who asked has gone.
    _room: OwnedSemaphorePermit,
}

/// The way into the pool.
pub struct Admission<E: Runtime> {
    shared: Arc<Shared>,
    reader: Reader<E>,
    queue: mpsc::UnboundedSender<Job>,
    /// One permit for each transaction that may wait to be verified.
    room: Arc<Semaphore>,
    runtime: Arc<E>,
}

impl<E: Runtime> Clone for Admission<E> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            reader: self.reader.clone(),
            queue: self.queue.clone(),
            room: self.room.clone(),
            runtime: self.runtime.clone(),
        }
    }
}

impl<E: Runtime> Admission<E> {
    /// Starts the verifier. `outbox` takes what peers must hear of.
    pub fn start(
        runtime: E,
        shared: Arc<Shared>,
        reader: Reader<E>,
        outbox: mpsc::UnboundedSender<Vec<VerifiedTransaction>>,
    ) -> Self {
        let (queue, jobs) = mpsc::unbounded_channel();
        let verifier = Verifier { shared: shared.clone(), jobs, outbox };
        runtime.child("verifier").spawn(move |runtime| verifier.run(runtime));
        Self {
            shared,
            reader,
            queue,
            room: Arc::new(Semaphore::new(VERIFY_QUEUE_TRANSACTIONS_MAX)),
            runtime: Arc::new(runtime),
        }
    }

    /// Admits transactions in order; one answer for each. A transaction that is known already is answered with its id again.
    pub async fn submit(&self, transactions: Vec<Bytes>, origin: Origin) -> Vec<Result<Hash, Rejection>> {
        let count = transactions.len();
        let mut answers: Vec<Option<Result<Hash, Rejection>>> = Vec::with_capacity(count);
        let mut wanted = Vec::new();
        for bytes in transactions {
            match self.screen(bytes, true).await {
                Ok(Screened::Known(id)) => answers.push(Some(Ok(id))),
                Ok(Screened::New(transaction)) => {
                    wanted.push(transaction);
                    answers.push(None);
                }
                Err(rejection) => answers.push(Some(Err(rejection))),
            }
        }
        let mut verdicts = self.verify(wanted, origin).await.into_iter();
        answers
            .into_iter()
            .map(|answer| answer.or_else(|| verdicts.next()).unwrap_or_else(|| Err(Rejection::stopping())))
            .collect()
    }

    /// Whether a transaction would be admitted now: all but room in the pool. It is not passed on.
    pub async fn judge(&self, bytes: Bytes) -> Result<Judged, Rejection> {
        let is_known = matches!(self.screen(bytes.clone(), false).await?, Screened::Known(_));
        let transaction = SignedTransaction::decode(bytes).map_err(|error| Rejection::malformed(&error))?;
        let transaction =
            transaction.verify().map_err(|error| Rejection::new(RejectionCode::BadSignature, error.to_string()))?;
        Ok(Judged { transaction, is_known })
    }

    /// Everything that can be told before the signature is checked, cheapest first. An attempt of somebody who may not act any more
    /// goes on now and then, if it `may_go_on`.
    async fn screen(&self, bytes: Bytes, may_go_on: bool) -> Result<Screened, Rejection> {
        let transaction = SignedTransaction::decode(bytes).map_err(|error| Rejection::malformed(&error))?;
        let chain = &self.shared.chain;
        if transaction.network() != chain.network() {
            return Err(Rejection::wrong_network(transaction.network(), chain.network()));
        }
        if transaction.partition().is_some() {
            let detail = "it is for a partition: send it to POST /v1/private of a node of your own organisation";
            return Err(Rejection::new(RejectionCode::Malformed, detail.to_owned()));
        }
        let id = transaction.id();
        let tag = transaction.replay_tag();
        {
            let history = chain.history();
            if history.index_of(&id).is_some() {
                return Ok(Screened::Known(id));
            }
            if let Some(leaf) = history.replayed(&tag) {
                return Err(Rejection::idempotency_conflict(&format!("log entry {leaf}")));
            }
        }
        match self.shared.pool().tagged(&tag) {
            Some(waiting) if waiting == id => return Ok(Screened::Known(id)),
            Some(other) => {
                return Err(Rejection::idempotency_conflict(&format!("transaction {other}")));
            }
            None => {}
        }
        self.in_time(transaction.not_after())?;
        let attempt = match self.may_sign(&transaction).await {
            Err(rejection) if may_go_on && rejection.is_evidence() => Some(rejection),
            judged => judged.map(|()| None)?,
        };
        self.exposes_nothing(&transaction).await?;
        let is_signed = || transaction.clone().verify().is_ok();
        match attempt.filter(|_| !self.shared.attempts.goes_on(transaction.key(), self.now_ms(), is_signed)) {
            Some(rejection) => Err(rejection),
            None => Ok(Screened::New(transaction)),
        }
    }

    /// The later of this node's clock and the newest block's, in Unix milliseconds.
    fn now_ms(&self) -> u64 {
        let since = self.runtime.current().duration_since(UNIX_EPOCH).unwrap_or_default();
        let chain_ms = self.shared.chain.tip().header.time_ms;
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(chain_ms)
    }

    fn in_time(&self, not_after: u64) -> Result<(), Rejection> {
        let now = self.now_ms();
        if not_after < now / 1000 {
            return Err(Rejection::expired(not_after, now / 1000));
        }
        let latest = (now + BLOCK_DRIFT_MS_MAX) / 1000 + NOT_AFTER_WINDOW_SECONDS_MAX;
        if not_after > latest {
            return Err(Rejection::too_late(not_after, latest));
        }
        Ok(())
    }

    /// Checks that every key is its principal's and in use, at the tip.
    pub(crate) async fn may_sign(&self, transaction: &SignedTransaction) -> Result<(), Rejection> {
        let mut renews = tallystick_ledger::renews_itself(transaction);
        for (principal, key) in transaction.signers() {
            self.may_sign_with(principal, key, renews).await?;
            renews = false;
        }
        Ok(())
    }

    /// Checks that the key is the principal's and in use, at the tip; one that has expired, only if it `renews` itself.
    pub(crate) async fn may_sign_with(
        &self,
        principal: &PrincipalId,
        key: &PublicKey,
        renews: bool,
    ) -> Result<(), Rejection> {
        let now_ms = self.now_ms();
        if self.shared.keys.holds(principal, key, now_ms) {
            return Ok(());
        }
        let changes = self.shared.keys.changes();
        let row = state::principal(&self.reader, principal).await;
        let held = row.as_ref().and_then(|row| row.key(key)).ok_or_else(|| Rejection::unknown_key(principal, key))?;
        if held.has_ended(now_ms) {
            return Err(Rejection::retired_key(principal, key));
        }
        if let Some(status) = row.as_ref().map(|row| row.status).filter(|status| *status != PrincipalStatus::Active) {
            return Err(Rejection::inactive(principal, status));
        }
        if held.is_expired(now_ms) && !renews {
            return Err(Rejection::expired_key(principal, key));
        }
        self.shared.keys.add(changes, principal, key, held.end_ms());
        Ok(())
    }

    /// Checks that nothing would be put in the log, which never forgets, that is written only sealed.
    async fn exposes_nothing(&self, transaction: &SignedTransaction) -> Result<(), Rejection> {
        // Each once: a register that does not exist is not remembered.
        let registers: BTreeSet<&str> = concerned(transaction).collect();
        let mut schemas = BTreeMap::new();
        for register in registers {
            if let Some(schema) = self.protected(register).await? {
                schemas.insert(register.to_owned(), schema);
            }
        }
        match exposed(transaction, &schemas) {
            Some((operation, violations)) => Err(Rejection::exposed(operation, &violations)),
            None => Ok(()),
        }
    }

    /// The register's schema, if it exists at the tip and has protected fields.
    async fn protected(&self, register: &str) -> Result<Option<Arc<Schema>>, Rejection> {
        if let Some(known) = self.shared.schemas.get(register) {
            return Ok(known);
        }
        let changes = self.shared.schemas.changes();
        let rows = self.reader.rows(&[StateKey::register(register)]).await;
        let mut rows = rows.map_err(|error| Rejection::unavailable(&error.to_string()))?.rows;
        let Some(row) = rows.pop().flatten() else { return Ok(None) };
        let row =
            RegisterRow::decode(&row).map_err(|error| Rejection::unavailable(&format!("a row is broken: {error}")))?;
        let schema = Schema::new(register, &row.fields);
        let protected = schema.is_protected().then(|| Arc::new(schema));
        self.shared.schemas.add(changes, register, protected.clone());
        Ok(protected)
    }

    async fn verify(&self, transactions: Vec<SignedTransaction>, origin: Origin) -> Vec<Result<Hash, Rejection>> {
        let count = transactions.len();
        if count == 0 {
            return Vec::new();
        }
        let permits = u32::try_from(count).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(permits) else {
            let busy = Rejection::busy("this node verifies as many transactions as it can", BUSY_RETRY);
            return vec![Err(busy); count];
        };
        let (answer, verdicts) = oneshot::channel();
        if self.queue.send(Job { transactions, origin, answer, _room: room }).is_err() {
            return vec![Err(Rejection::stopping()); count];
        }
        verdicts.await.unwrap_or_else(|_| vec![Err(Rejection::stopping()); count])
    }
}

enum Screened {
    Known(Hash),
    New(SignedTransaction),
}

struct Verifier {
    shared: Arc<Shared>,
    jobs: mpsc::UnboundedReceiver<Job>,
    outbox: mpsc::UnboundedSender<Vec<VerifiedTransaction>>,
}

impl Verifier {
    async fn run<E: Spawner + Clock + CryptoRng>(mut self, runtime: E) {
        let mut ended = runtime.current();
        while let Some(first) = self.jobs.recv().await {
            if runtime.current().duration_since(ended).unwrap_or_default() < GATHER {
                runtime.sleep(GATHER).await;
            }
            let jobs = self.gather(first);
            if jobs.is_empty() {
                continue;
            }
            let batch: Vec<SignedTransaction> = jobs.iter().flat_map(|job| job.transactions.iter().cloned()).collect();
            self.shared.metrics.verified(batch.len());
            let job = runtime
                .child("verify")
                .shared(true)
                // A generator of its own: the system's costs a call into the kernel for each signature.
                .spawn(move |mut runtime| async move { verify_batch(batch, &mut StdRng::from_rng(&mut runtime)) });
            let Ok(verdicts) = job.await else { return };
            self.deliver(jobs, verdicts);
            ended = runtime.current();
        }
    }

    /// As much as one batch takes, without what nobody waits for any more.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let (mut count, mut jobs, mut next) = (0, Vec::new(), Some(first));
        while let Some(job) = next {
            if !job.answer.is_closed() {
                count += job.transactions.len();
                jobs.push(job);
            }
            next = if count < VERIFY_BATCH_TRANSACTIONS_MAX { self.jobs.try_recv().ok() } else { None };
        }
        jobs
    }

    fn deliver(&self, jobs: Vec<Job>, verdicts: Vec<Result<VerifiedTransaction, VerifyError>>) {
        let mut verdicts = verdicts.into_iter();
        let mut heard = Vec::new();
        for job in jobs {
            let mut answers = Vec::with_capacity(job.transactions.len());
            for verdict in verdicts.by_ref().take(job.transactions.len()) {
                answers.push(self.admit(verdict, job.origin, &mut heard));
            }
            // The one who asked may have given up.
            let _ = job.answer.send(answers);
        }
        self.shared.pool_changed.notify_waiters();
        if !heard.is_empty() {
            let _ = self.outbox.send(heard);
        }
    }

    fn admit(
        &self,
        verdict: Result<VerifiedTransaction, VerifyError>,
        origin: Origin,
        heard: &mut Vec<VerifiedTransaction>,
    ) -> Result<Hash, Rejection> {
        let transaction = verdict.map_err(|error| Rejection::new(RejectionCode::BadSignature, error.to_string()))?;
        let id = transaction.id();
        match self.shared.pool().insert(transaction.clone()) {
            Ok(()) => {
                if origin == Origin::Client {
                    heard.push(transaction);
                }
                Ok(id)
            }
            Err(Full::Conflict(other)) => Err(Rejection::idempotency_conflict(&format!("transaction {other}"))),
            Err(full) => {
                self.shared.metrics.busy();
                Err(Rejection::busy(&full.to_string(), BUSY_RETRY))
            }
        }
    }
}
