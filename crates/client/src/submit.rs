//! Sign a transaction, hand it in, and stay with it until it is final.
//!
//! The same bytes are sent again, to this node or another, until a node tells the outcome: a transaction is applied at most
//! once, so that repeating it is always safe.

use crate::{
    error::Error,
    http::{Answer, Client, QUICK},
};
use rand::Rng;
use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tallystick_api::{
    OutcomeView, SubmissionResult, SubmissionStatus, SubmissionsView, TransactionAccepted, TransactionStatus, media,
    routes,
};
use tallystick_protocol::{
    AgreementTerms, Cosigner, Genesis, Hash, Intent, MandateId, NetworkId, Operation, PartlySignedTransaction,
    PrincipalId, Reading, SealedSubmission, SignError, SignedTransaction, SigningKey,
    limits::{BUSY_PAUSE_MAX, NOT_AFTER_WINDOW_SECONDS_MAX},
};
use zeroize::Zeroizing;

/// Seconds for which a transaction may be taken, from when it is signed: half the network's window, for clocks that differ.
pub const NOT_AFTER_SECONDS: u64 = NOT_AFTER_WINDOW_SECONDS_MAX / 2;
/// Pause when every node is busy and none says for how long.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// The HTTP status of what was taken and is not final.
const ACCEPTED: u16 = 202;
/// Pause before nodes that did not answer are asked again.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(500);

/// Who signs, and for which network.
pub struct Signer {
    network: NetworkId,
    principal: PrincipalId,
    key: SigningKey,
    mandate: Option<MandateId>,
    partition: Option<String>,
    cosigners: Vec<Cosigner>,
    /// Keys of co-signers that are at hand.
    cosigning: Vec<SigningKey>,
}

/// A transaction that is in a final block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Its id.
    pub id: Hash,
    /// Its place in the log, from 0.
    pub index: u64,
    /// What the ledger decided.
    pub outcome: OutcomeView,
}

impl Signer {
    /// The principal with its key.
    pub const fn new(network: NetworkId, principal: PrincipalId, key: SigningKey) -> Self {
        Self { network, principal, key, mandate: None, partition: None, cosigners: Vec::new(), cosigning: Vec::new() }
    }

    /// The mandate of another under which it acts.
    pub const fn mandate(&self) -> Option<&MandateId> {
        self.mandate.as_ref()
    }

    /// The same, acting under a mandate of another.
    #[must_use]
    pub fn under(self, mandate: Option<MandateId>) -> Self {
        Self { mandate, ..self }
    }

    /// The same, for what is done in a partition, or in the public one.
    #[must_use]
    pub fn within(self, partition: Option<String>) -> Self {
        Self { partition, ..self }
    }

    /// The partition in which all is done that it signs; none of the public one.
    pub fn partition(&self) -> Option<&str> {
        self.partition.as_deref()
    }

    /// The network.
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// The same, with one more who must sign everything too.
    #[must_use]
    pub fn beside(mut self, cosigner: Cosigner) -> Self {
        self.cosigners.push(cosigner);
        self
    }

    /// The same, with one more whose key is at hand, so that it co-signs at once.
    #[must_use]
    pub fn together_with(mut self, principal: PrincipalId, key: SigningKey) -> Self {
        self.cosigners.push(Cosigner { principal, key: key.public() });
        self.cosigning.push(key);
        self
    }

    /// Who signs.
    pub const fn principal(&self) -> &PrincipalId {
        &self.principal
    }

    /// The key that signs.
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Makes a transaction that may be taken for the next [`NOT_AFTER_SECONDS`].
    ///
    /// # Errors
    /// When the operations break a limit or a grammar, or a co-signer's key is not at hand.
    pub fn sign(&self, subject: impl Into<String>, operations: Vec<Operation>) -> Result<SignedTransaction, Error> {
        self.begin(&self.intent(subject, operations))?.complete().map_err(|error| Error::Sign(error.to_string()))
    }

    /// What [`Signer::sign`] signs.
    pub fn intent(&self, subject: impl Into<String>, operations: Vec<Operation>) -> Intent {
        let mut idempotency_key = vec![0; 16];
        crate::randomness().fill_bytes(&mut idempotency_key);
        Intent {
            not_after: now_seconds().saturating_add(NOT_AFTER_SECONDS),
            idempotency_key,
            mandate: self.mandate.clone(),
            partition: self.partition.clone(),
            cosigners: self.cosigners.clone(),
            ..Intent::new(self.network, self.principal.clone(), subject, operations)
        }
    }

    /// Signs what others must co-sign, with the keys at hand. Pass the result's bytes on to the others.
    ///
    /// # Errors
    /// When the intent breaks a limit or a grammar.
    pub fn begin(&self, intent: &Intent) -> Result<PartlySignedTransaction, Error> {
        let begun = intent.begin(&self.key).map_err(cannot_sign)?;
        self.cosigning.iter().try_fold(begun, |begun, key| begun.cosign(key).map_err(cannot_sign))
    }

    /// Co-signs what another has begun. [`PartlySignedTransaction::complete`] gives the transaction once all have.
    ///
    /// # Errors
    /// When a signature that is there does not hold, it is for another network, or the signer is not one of its co-signers.
    pub fn cosign(&self, transaction: &PartlySignedTransaction) -> Result<PartlySignedTransaction, Error> {
        transaction.verify().map_err(|error| Error::Sign(error.to_string()))?;
        let network = transaction.intent().network;
        if network != self.network {
            return Err(Error::Sign(format!("the transaction is for network {network}, not {}", self.network)));
        }
        let named = |cosigner: &Cosigner| cosigner.principal == self.principal && cosigner.key == self.key.public();
        if !transaction.cosigners().any(|(cosigner, _)| named(cosigner)) {
            let Self { principal, key, .. } = self;
            let message = format!("`{principal}` with key {} is none of its co-signers", key.public());
            return Err(Error::Sign(message));
        }
        transaction.cosign(&self.key).map_err(cannot_sign)
    }
}

fn cannot_sign(error: SignError) -> Error {
    Error::Sign(error.to_string())
}

/// This machine's clock, in Unix seconds.
pub fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}

/// Reads and checks a network's trust anchor.
///
/// # Errors
/// When the file cannot be read, or is no valid genesis.
pub fn read_network(path: &std::path::Path) -> Result<Genesis, Error> {
    let wrong = |message: String| Error::Network { path: path.display().to_string(), message };
    let json = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    Genesis::from_json(&json).map_err(|error| wrong(error.to_string()))
}

impl Client {
    /// Hands one transaction in and waits until it is final.
    ///
    /// # Errors
    /// When no node can be reached, it is rejected, or `timeout` passes.
    pub fn submit(&self, transaction: &SignedTransaction, timeout: Duration) -> Result<Settled, Error> {
        let settled = self.submit_all(std::slice::from_ref(transaction), timeout)?;
        settled.into_iter().next().ok_or_else(|| Error::Answer {
            node: self.nodes().first().cloned().unwrap_or_default(),
            what: "no result for the transaction".to_owned(),
        })
    }

    /// Hands transactions in together and waits until all are final. They may be ordered otherwise than they stand here.
    ///
    /// # Errors
    /// When no node can be reached, one is rejected for good, or `timeout` passes. Some of them may have become final.
    pub fn submit_all(&self, transactions: &[SignedTransaction], timeout: Duration) -> Result<Vec<Settled>, Error> {
        let started = Instant::now();
        let mut settled: Vec<Option<Settled>> = vec![None; transactions.len()];
        let mut handed_in = false;
        loop {
            let open: Vec<usize> =
                (0..transactions.len()).filter(|&i| settled.get(i).is_some_and(Option::is_none)).collect();
            if open.is_empty() {
                return Ok(settled.into_iter().flatten().collect());
            }
            let body: Vec<u8> =
                open.iter().filter_map(|&i| transactions.get(i)).flat_map(|t| t.bytes().iter().copied()).collect();
            let pause = match self.hand_in(&body) {
                Ok((node, results)) => {
                    handed_in |= results.iter().any(|result| result.status != SubmissionStatus::Rejected);
                    self.settle(&node, &open, results, &mut settled)?
                }
                Err(error @ Error::Unreachable(_)) if started.elapsed() + UNREACHABLE_PAUSE >= timeout => {
                    return Err(error);
                }
                Err(Error::Unreachable(_)) => Some(UNREACHABLE_PAUSE),
                Err(error) => return Err(error),
            };
            if started.elapsed() + pause.unwrap_or_default() >= timeout {
                let first = open.iter().find(|&&i| settled.get(i).is_some_and(Option::is_none));
                return match first.and_then(|&i| transactions.get(i)) {
                    Some(transaction) => Err(out_of_time(transaction, handed_in, timeout.max(started.elapsed()))),
                    None => continue,
                };
            }
            if let Some(pause) = pause {
                self.next_node();
                thread::sleep(pause);
            }
        }
    }

    /// The first node that says that it holds for this organisation, alone, and as whom. What is in the clear, and a read, goes to no
    /// other.
    ///
    /// # Errors
    /// When none of the nodes holds for it, or one that might cannot be asked.
    pub fn holder(&self, organisation: &str) -> Result<(Self, PrincipalId), Error> {
        let mut failed = None;
        for node in self.nodes() {
            match self.held_by(node, organisation) {
                Ok(Some(holder)) => return Ok(holder),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::NoHolder(organisation.to_owned())))
    }

    /// The same of a node that tells what goes on in a partition, not what is in it: a regulator under its agreement asks a member's node.
    ///
    /// # Errors
    /// When none of the nodes holds for it, or one that might cannot be asked.
    pub fn overseen(&self, organisation: &str, partition: &str) -> Result<(Self, PrincipalId), Error> {
        let agreement = self.partition(partition)?.map(|found| found.value.agreement);
        let oversees = |terms: &AgreementTerms| {
            terms.regulators.iter().any(|regulator| regulator == organisation) && !terms.has_member(organisation)
        };
        let Some(terms) = agreement.filter(oversees) else { return self.holder(organisation) };
        let mut failed = None;
        for member in &terms.members {
            match self.holder(member) {
                Ok(holder) => return Ok(holder),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| Error::NoHolder(organisation.to_owned())))
    }

    /// All of the nodes that say that they hold for this organisation, each alone, and as whom. One that cannot be asked is passed over:
    /// [`Client::organisation_nodes`] tells which there are.
    ///
    /// # Errors
    /// When none of the nodes holds for it.
    pub fn holders(&self, organisation: &str) -> Result<Vec<(Self, PrincipalId)>, Error> {
        let (mut holders, mut failed) = (Vec::<(Self, PrincipalId)>::new(), None);
        for node in self.nodes() {
            match self.held_by(node, organisation) {
                Ok(Some(found)) if holders.iter().all(|(_, known)| *known != found.1) => holders.push(found),
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
        }
        if holders.is_empty() {
            return Err(failed.unwrap_or_else(|| Error::NoHolder(organisation.to_owned())));
        }
        Ok(holders)
    }

    fn held_by(&self, node: &str, organisation: &str) -> Result<Option<(Self, PrincipalId)>, Error> {
        let client = self.only(node);
        // One that hangs holds nobody up for long, where another can be asked.
        let asked = if self.nodes().len() > 1 { self.only(node).within(QUICK) } else { self.only(node) };
        let holder = asked.status()?.holder.filter(|holder| holder.organisation() == organisation);
        Ok(holder.map(|holder| (client, holder)))
    }

    /// Hands a transaction in with what opens the values sealed in it, to a node that holds for the register's custodian
    /// ([`Client::holder`]), and waits until it is final. Ask that node alone: the values are in the clear.
    ///
    /// # Errors
    /// As [`Client::submit`]; or when the node does not hold for the custodian, or an opening does not fit.
    pub fn submit_sealed(&self, submission: &SealedSubmission, timeout: Duration) -> Result<Settled, Error> {
        let path = format!("{}?{}", routes::SEALED, routes::WAIT_QUERY);
        let body = submission.to_bytes();
        let started = Instant::now();
        let answer = self.ask_patiently(timeout, || self.post(&path, media::SEALED, &body))?;
        if answer.status == ACCEPTED {
            let TransactionAccepted { id } = answer.json()?;
            let seconds = timeout.max(started.elapsed()).as_secs();
            return Err(Error::NotFinal { id: id.to_string(), seconds });
        }
        let status: TransactionStatus = answer.json()?;
        match (status.index, status.outcome) {
            (Some(index), Some(outcome)) => Ok(Settled { id: status.id, index, outcome }),
            _ => Err(Error::Answer { node: answer.node, what: "a final result without outcome".to_owned() }),
        }
    }

    /// Hands in a read of sealed values at the node that it names, and gives what it gave. One whose answer was lost is not answered
    /// again: sign a new one.
    ///
    /// # Errors
    /// As [`Client::submit_sealed`]; or when the read is refused, or a value is not there.
    pub fn read_sealed(&self, transaction: &SignedTransaction, timeout: Duration) -> Result<Reading, Error> {
        let answer = self.post(routes::READS, media::COSE, transaction.bytes());
        let answer = match answer {
            // Busy before it took it: nothing is on record yet.
            Err(Error::Problem { problem, .. }) if problem.retry_after_ms.is_some() => {
                self.ask_patiently(timeout, || self.post(routes::READS, media::COSE, transaction.bytes()))?
            }
            answer => answer?,
        };
        let body = Zeroizing::new(answer.body);
        Reading::decode(&body)
            .map_err(|error| Error::Answer { node: answer.node, what: format!("no sealed values: {error}") })
    }

    /// Asks until a node is not busy and knows what became of it; gives the last answer that it was taken when the time is up.
    pub(crate) fn ask_patiently(
        &self,
        timeout: Duration,
        ask: impl Fn() -> Result<Answer, Error>,
    ) -> Result<Answer, Error> {
        let (started, mut taken) = (Instant::now(), None);
        loop {
            let (pause, refused) = match ask() {
                // Taken, and not final in the time that a node waits: ask again.
                Ok(answer) if answer.status == ACCEPTED => {
                    taken = Some(answer);
                    (BUSY_PAUSE, None)
                }
                Ok(answer) => return Ok(answer),
                Err(error @ Error::Unreachable(_)) => (UNREACHABLE_PAUSE, Some(error)),
                Err(Error::Problem { node, problem }) if problem.retry_after_ms.is_some() => {
                    let ms = problem.retry_after_ms.unwrap_or_default();
                    (
                        Duration::from_millis(ms).clamp(BUSY_PAUSE, BUSY_PAUSE_MAX),
                        Some(Error::Problem { node, problem }),
                    )
                }
                Err(error) => return Err(error),
            };
            if started.elapsed() + pause >= timeout {
                return taken.ok_or_else(|| refused.unwrap_or(Error::Busy { seconds: timeout.as_secs() }));
            }
            thread::sleep(pause);
        }
    }

    /// Hands transactions in without waiting; the results stand in their order.
    ///
    /// # Errors
    /// When no node can be reached, or the request as a whole is refused.
    pub fn hand_in_only(&self, body: &[u8]) -> Result<Vec<SubmissionResult>, Error> {
        self.results(routes::TRANSACTIONS, body).map(|(_, results)| results)
    }

    fn hand_in(&self, body: &[u8]) -> Result<(String, Vec<SubmissionResult>), Error> {
        self.results(&format!("{}?{}", routes::TRANSACTIONS, routes::WAIT_QUERY), body)
    }

    /// A rejection of all of them comes as a problem that lists the results.
    fn results(&self, path: &str, body: &[u8]) -> Result<(String, Vec<SubmissionResult>), Error> {
        match self.post(path, media::CBOR_SEQ, body) {
            Ok(answer) => {
                let view: SubmissionsView = answer.json()?;
                Ok((answer.node, view.results))
            }
            Err(Error::Problem { node, problem }) if !problem.results.is_empty() => Ok((node, problem.results.clone())),
            Err(Error::Problem { node, problem }) if problem.retry_after_ms.is_some() => {
                let result = SubmissionResult::rejected(problem.code, problem.detail, problem.retry_after_ms);
                Ok((node, vec![result]))
            }
            Err(error) => Err(error),
        }
    }

    /// Notes what is final; gives how long to pause when something must be sent again later.
    fn settle(
        &self,
        node: &str,
        open: &[usize],
        results: Vec<SubmissionResult>,
        settled: &mut [Option<Settled>],
    ) -> Result<Option<Duration>, Error> {
        let mut pause = None;
        for (&index, result) in open.iter().zip(results) {
            match (result.status, result.id, result.index, result.outcome) {
                (SubmissionStatus::Finalised, Some(id), Some(place), Some(outcome)) => {
                    if let Some(slot) = settled.get_mut(index) {
                        *slot = Some(Settled { id, index: place, outcome });
                    }
                }
                // The node waited as long as it does: ask it again at once.
                (SubmissionStatus::Pending, ..) => {}
                (SubmissionStatus::Rejected, ..) => match result.retry_after_ms {
                    Some(ms) => pause = Some(Duration::from_millis(ms).clamp(BUSY_PAUSE, BUSY_PAUSE_MAX)),
                    None => return Err(rejected(node, result.code, result.detail)),
                },
                (SubmissionStatus::Finalised, ..) => {
                    return Err(Error::Answer { node: node.to_owned(), what: "a final result without outcome".into() });
                }
            }
        }
        Ok(pause)
    }
}

fn rejected(node: &str, code: Option<String>, detail: Option<String>) -> Error {
    let mut problem = tallystick_api::Problem::new(tallystick_api::ProblemCode::Malformed, detail.unwrap_or_default());
    let code = code.unwrap_or_default();
    if let Some(known) = tallystick_api::ProblemCode::of(&code) {
        problem.status = known.status();
        problem.title = known.title().to_owned();
    }
    problem.code = code;
    Error::Problem { node: node.to_owned(), problem: Box::new(problem) }
}

fn out_of_time(transaction: &SignedTransaction, handed_in: bool, waited: Duration) -> Error {
    let seconds = waited.as_secs();
    if handed_in { Error::NotFinal { id: transaction.id().to_string(), seconds } } else { Error::Busy { seconds } }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::TcpListener,
    };

    /// A node that takes all that it is handed and says of nothing that it is final.
    fn pending(id: &Hash) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let body = serde_json::to_string(&TransactionAccepted { id: *id }).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = BufReader::new(stream.try_clone().unwrap());
                let (mut line, mut length) = (String::new(), 0);
                while request.read_line(&mut line).unwrap() > 2 {
                    if let Some((_, bytes)) = line.to_lowercase().split_once("content-length:") {
                        length = bytes.trim().parse().unwrap();
                    }
                    line.clear();
                }
                request.read_exact(&mut vec![0; length]).unwrap();
                let head = "HTTP/1.1 202 Accepted\r\ntally-height: 7\r\nconnection: close";
                write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
            }
        });
        address
    }

    #[test]
    fn a_sealed_transaction_that_is_not_final_in_time_is_named() {
        let id = Hash::of(&[b"taken"]);
        let client = Client::new([pending(&id)]).unwrap();
        let submission = SealedSubmission { transaction: b"signed".to_vec().into(), openings: Vec::new() };
        for timeout in [Duration::ZERO, Duration::from_millis(600)] {
            let error = client.submit_sealed(&submission, timeout).unwrap_err();
            assert!(matches!(&error, Error::NotFinal { id: named, .. } if *named == id.to_string()), "{error}");
        }
    }
}
