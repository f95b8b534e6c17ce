//! Payloads, opened: what is found out once about all that is in one, and holds for each of its transactions.

use super::policies_of;
use rand_core::CryptoRng;
use std::collections::BTreeSet;
use tallystick_ledger as ledger;
use tallystick_protocol::{
    Code, Evidence, NetworkId, Noun, Operation, OperationName, PartitionRow, Payload, Recipient, SignedTransaction,
    StateKey, VerifiedTransaction, transaction::verify_batch,
};

/// What evidence says of the partition, and which rows it may speak of.
pub struct Standing {
    /// The keys of the network's policies.
    policies: BTreeSet<StateKey>,
    /// The partition as it stood, if the evidence is sound.
    row: Result<PartitionRow, Code>,
}

impl Standing {
    /// What this evidence says of this partition.
    pub fn of(evidence: &Evidence, partition: &str) -> Self {
        let policies = policies_of(evidence);
        let is_sound = |(key, row): (&StateKey, &Option<Vec<u8>>)| {
            is_public(key, &policies) && row.as_ref().is_none_or(|row| ledger::state::is_row(key, row))
        };
        let row = if evidence.rows.iter().all(is_sound) {
            let row = evidence.rows.get(&StateKey::partition(partition)).ok_or(Code::EvidenceMissing);
            row.and_then(|row| row.as_ref().and_then(|row| PartitionRow::decode(row).ok()).ok_or(Code::EvidenceInvalid))
        } else {
            Err(Code::EvidenceInvalid)
        };
        Self { policies, row }
    }

    /// Whether a transaction is a member's, and asks for what can be done in a partition.
    ///
    /// # Errors
    /// Why not.
    pub fn may_execute(&self, transaction: &SignedTransaction) -> Result<(), Code> {
        let row = self.row.as_ref().map_err(|code| *code)?;
        let is_member = |organisation: &str| row.terms.has_member(organisation);
        if !transaction.signers().all(|(principal, _)| is_member(principal.organisation())) {
            return Err(Code::NotMember);
        }
        let can_be = |operation: &Operation| {
            use OperationName::{
                ConsentGive, ConsentWithdraw, EntryAppend, ErasureOrder, ErasureReceipt, HoldLift, HoldPlace,
                MandateGrant, NoticeAcknowledge, RecordCorrect, RecordRead, RegisterCreate, RegisterImport,
                RegisterPhase, RegisterPolicy,
            };
            // A mandate that everybody sees is ended where everybody sees that.
            if let Operation::MandateRevoke { mandate } = operation {
                return mandate.partition() == transaction.partition();
            }
            let registers = [RegisterCreate, RegisterPhase, EntryAppend, RegisterImport, RegisterPolicy];
            let records = [RecordRead, RecordCorrect, NoticeAcknowledge];
            let rights = [MandateGrant, ConsentGive, ConsentWithdraw];
            let erasures = [ErasureOrder, ErasureReceipt, HoldPlace, HoldLift];
            [registers.as_slice(), &records, &rights, &erasures].concat().contains(&operation.name())
        };
        if transaction.operations().iter().all(can_be) { Ok(()) } else { Err(Code::NotPrivate) }
    }

    /// Whether whoever is given something by a transaction is where the agreement allows it to be. Not asked beforehand, so that one who
    /// is not is on record.
    fn may_give(&self, transaction: &SignedTransaction) -> Result<(), Code> {
        let row = self.row.as_ref().map_err(|code| *code)?;
        let may_have = |to: &Recipient| {
            to.is_data_subject() || to.jurisdiction.as_ref().is_some_and(|place| row.terms.allows(place))
        };
        let mut recipients = transaction.operations().iter().filter_map(Operation::recipient);
        if recipients.all(may_have) { Ok(()) } else { Err(Code::JurisdictionExcluded) }
    }

    /// Whether a row is the public partition's, also for what is executed in another: who is who, who acts for whom as everybody sees, and
    /// the policies that the network has made. A mandate of the partition's own is of another noun.
    pub(super) fn is_public(&self, key: &StateKey) -> bool {
        is_public(key, &self.policies)
    }
}

fn is_public(key: &StateKey, policies: &BTreeSet<StateKey>) -> bool {
    let [noun, ..] = key.0;
    let nouns = [Noun::Organisation, Noun::Principal, Noun::Key, Noun::Mandate, Noun::Partition, Noun::Nodes];
    nouns.iter().any(|public| *public as u8 == noun)
        || *key == StateKey::policy_set("")
        || (noun == Noun::Policy as u8 && policies.contains(key))
}

/// A payload with what was found out about it.
pub struct Opened {
    payload: Payload,
    /// Each, or `payload-invalid` for one that is no transaction of the partition.
    transactions: Vec<Result<VerifiedTransaction, Code>>,
    pub(super) standing: Standing,
}

impl Opened {
    /// Decodes the transactions of a payload of this partition of this network, and checks their signatures together.
    pub fn of(payload: Payload, network: NetworkId, partition: &str, rng: &mut impl CryptoRng) -> Self {
        let decode = |bytes: &bytes::Bytes| {
            let transaction = SignedTransaction::decode(bytes.clone()).ok()?;
            let is_of_it = transaction.network() == network && transaction.partition() == Some(partition);
            is_of_it.then_some(transaction)
        };
        let decoded: Vec<Option<SignedTransaction>> = payload.transactions().iter().map(decode).collect();
        let mut verdicts = verify_batch(decoded.iter().flatten().cloned().collect(), rng).into_iter();
        let judge = |one: &Option<SignedTransaction>| {
            // One verdict for each that decoded.
            let verdict = one.as_ref().and_then(|_| verdicts.next()).and_then(Result::ok);
            verdict.ok_or(Code::PayloadInvalid)
        };
        let transactions = decoded.iter().map(judge).collect();
        let standing = Standing::of(payload.evidence(), partition);
        Self { payload, transactions, standing }
    }

    /// A payload that was made here of these transactions, whose signatures were checked.
    pub fn own(payload: Payload, partition: &str, transactions: Vec<VerifiedTransaction>) -> Self {
        debug_assert!(payload.transactions().iter().eq(transactions.iter().map(|one| one.bytes())));
        let standing = Standing::of(payload.evidence(), partition);
        Self { payload, transactions: transactions.into_iter().map(Ok).collect(), standing }
    }

    /// The payload.
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// Its transactions, each with its signatures checked; `payload-invalid` for what is no transaction of the partition.
    pub fn transactions(&self) -> &[Result<VerifiedTransaction, Code>] {
        &self.transactions
    }

    /// Whether its evidence lets a transaction of it be executed.
    ///
    /// # Errors
    /// Why not.
    pub fn may_execute(&self, transaction: &SignedTransaction) -> Result<(), Code> {
        self.standing.may_execute(transaction)
    }

    /// Whether all that a transaction of it gives to others may go where they are.
    ///
    /// # Errors
    /// Why not.
    pub fn may_give(&self, transaction: &SignedTransaction) -> Result<(), Code> {
        self.standing.may_give(transaction)
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        let rows = self.payload.evidence().rows.values().flatten().map(Vec::len).sum::<usize>();
        2 * self.payload.transactions().iter().map(bytes::Bytes::len).sum::<usize>() + rows
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened(…)")
    }
}
