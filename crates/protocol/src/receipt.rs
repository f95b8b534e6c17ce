//! Receipts: one file that proves an act or a record to a stranger, offline, with `network.json` alone.
//!
//! ```text
//! transaction ─signed by─ principal's key          record row ─items' hashes─ items
//!      │ SHA-256 of bytes                               │ state proof
//! log leaf (height, time, outcome)                      │
//!      │ inclusion path                                 │
//!   log root ─────────────── first header ────────── state root
//!                                 │ parent digests
//!                            last header ─signed by─ a quorum of the validators of its epoch
//!                                                           │ hand-overs, one for each change of the set; or a recovery
//!                                                      network.json
//! ```
//!
//! Checking goes from the anchor down, one [`Step`] after another, and stops at the first that fails. INVARIANT: every
//! byte of a receipt is covered by a step, so that a receipt with any byte changed is refused.

use crate::{
    cbor::{self, CborError},
    certificate::FinalityCertificate,
    erasure::ErasureRow,
    hash::Hash,
    header::BlockHeader,
    identifier::MandateId,
    key::{PublicKey, Signature},
    limits::{
        ITEM_BYTES_MAX, ITEMS_PER_ENTRY_MAX, KEY_BYTES_MAX, MERKLE_PATH_MAX, NAME_BYTES_MAX, RECEIPT_BYTES_MAX,
        RECEIPT_HAND_OVERS_MAX, RECEIPT_HEADERS_MAX, REGISTER_NUMBER_MAX, STATE_PROOF_BYTES_MAX, STATE_VALUE_BYTES_MAX,
        TRANSACTION_BYTES_MAX,
    },
    log::LogLeaf,
    merkle,
    network::{Genesis, GenesisValidator, NetworkId},
    operation::{EntryKind, Operation, PrincipalId},
    outcome::Outcome,
    proof::{self, ProofError},
    proposal::ProposalRow,
    row::{PrincipalRow, RecordRow, RegisterRow},
    seal::Opening,
    state_key::StateKey,
    transaction::{Cosigner, SignedTransaction},
    validators::{Link, Trust},
};
use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

mod attestation;
mod disclosure;
mod erasure;
mod fields;
mod partition;
mod principal;
mod proposal;
mod signed;
mod step;

use attestation::ATTESTATION;
pub use attestation::{Answer, Attestation, Attested};
use disclosure::DISCLOSURE;
pub use disclosure::{Disclosure, OpeningFault};
use erasure::{ERASURE_CERTIFICATE, PARTITION_ERASURE};
pub use erasure::{ErasureCertificate, PartitionErasure, SharedErasure};
use fields::FIELD_DISCLOSURE;
pub use fields::{FieldDisclosure, SharedFields};
use partition::PARTITION_DISCLOSURE;
pub use partition::{PartitionDisclosure, SharedRecord};
use principal::PRINCIPAL_RECEIPT;
pub use principal::PrincipalReceipt;
use proposal::PROPOSAL_RECEIPT;
pub use proposal::ProposalReceipt;
pub use signed::{Signed, SignedBy, Statement};
pub use step::{CheckError, Reason, Step};

/// First element of a transaction's receipt: what the file is, and its version.
const TRANSACTION_RECEIPT: &str = "tallystick-transaction-receipt-1";
/// First element of a record's receipt.
const RECORD_RECEIPT: &str = "tallystick-record-receipt-1";

/// Evidence that a stranger checks offline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// Of an act: who asked for what, when, and what became of it.
    Transaction(TransactionReceipt),
    /// Of a record: what a register said, or did not say, at a height.
    Record(RecordReceipt),
    /// Of a proposal: where it stood at a height.
    Proposal(ProposalReceipt),
    /// Of a record, with values that are sealed in it.
    Disclosure(Disclosure),
    /// Of an order of erasure: who had destroyed at a height.
    Erasure(ErasureCertificate),
    /// Of a record in a partition.
    Partition(PartitionDisclosure),
    /// Of some fields of a record in a partition, without its others.
    Fields(Box<FieldDisclosure>),
    /// Of an order of erasure in a partition.
    PartitionErasure(PartitionErasure),
    /// Of a principal: which keys were its own at a height.
    Principal(PrincipalReceipt),
    /// Of a yes or no that a principal gives out of a partition.
    Attestation(Box<Attestation>),
}

/// How a receipt's root is final. In CBOR: its three fields, in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finality {
    /// From the validators of `network.json` to those who signed; none when these are the same.
    pub hand_overs: Vec<Link>,
    /// The first holds the root; each next one names the one before as its parent; the last is certified.
    pub headers: Vec<BlockHeader>,
    /// Over the last header.
    pub certificate: FinalityCertificate,
}

/// Proves an act. In CBOR: `["tallystick-transaction-receipt-1", network, transaction, height, time, outcome, index,
/// [hash…], [hand-over…], [header…], certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionReceipt {
    /// The network.
    pub network: NetworkId,
    /// The transaction's bytes.
    pub transaction: Bytes,
    /// The height of its block.
    pub height: u64,
    /// The time of its block, in Unix milliseconds.
    pub time_ms: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Its leaf in the log, from 0.
    pub index: u64,
    /// From the leaf to the log root of the first header.
    pub path: Vec<Hash>,
    /// How that root is final.
    pub finality: Finality,
}

/// Proves a record. In CBOR: `["tallystick-record-receipt-1", network, register, key, answer, [hand-over…], [header…],
/// certificate]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordReceipt {
    /// The network.
    pub network: NetworkId,
    /// The register that was asked.
    pub register: String,
    /// The key that was asked for.
    pub key: String,
    /// What the register said.
    pub answer: RecordAnswer,
    /// How the state root of the first header is final.
    pub finality: Finality,
}

/// What a register says about a key, with proofs against the state root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordAnswer {
    /// This record. In CBOR: `["current", register number, row, [item…], proof]`.
    Current {
        /// The register's number, which leads to the row.
        number: u32,
        /// The row ([`RecordRow`]).
        row: Bytes,
        /// Its items, canonical JSON.
        items: Vec<String>,
        /// That the row is current ([`crate::proof`]).
        proof: Bytes,
    },
    /// No record. In CBOR: `["absent", question, register row, its proof, proof]`.
    Absent {
        /// [`question`] of the register and key.
        question: Hash,
        /// The register's definition ([`RegisterRow`]), which holds its number.
        register_row: Bytes,
        /// That the definition is current.
        register_proof: Bytes,
        /// That there is no row for the key.
        proof: Bytes,
    },
    /// No such register at all. In CBOR: `["no-register", question, proof]`.
    NoRegister {
        /// [`question`] of the register and key.
        question: Hash,
        /// That there is no definition.
        proof: Bytes,
    },
}

/// SHA-256 of the register's name, a zero byte and the key: binds a receipt of absence to what was asked.
///
/// A proof of absence holds for every name in the gap between two rows, so a slip in the name would go unseen. Whoever changes
/// the name and this hash too has a receipt of another absence, which is as true.
pub fn question(register: &str, key: &str) -> Hash {
    Hash::of(&[register.as_bytes(), &[0], key.as_bytes()])
}

/// What a receipt proves, to whoever trusts the quorum of `network.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The network.
    pub network: NetworkId,
    /// What is so.
    pub claim: Claim,
    /// The height at which it is: of the act's block, or of the state that was read.
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    pub time_ms: u64,
    /// The validators that signed: their Ed25519 keys.
    pub signers: Vec<[u8; 32]>,
    /// Of how many.
    pub validators: usize,
    /// The epochs that began with other validators than the one before, from the anchor's to the receipt's.
    pub hand_overs: Vec<u64>,
    /// The recoveries of the network, from the anchor to the receipt.
    pub recoveries: Vec<Recovered>,
}

/// That the network lost its quorum for good, and how it went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The last block before.
    pub height: u64,
    /// The first epoch after.
    pub epoch: u64,
    /// Who signed, one administrator for each organisation that agreed.
    pub principals: Vec<PrincipalId>,
    /// Why.
    pub reason: String,
    /// Who certifies from then on.
    pub validators: Vec<GenesisValidator>,
}

/// What is so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This principal asked for this, and this became of it.
    Transaction {
        /// The transaction's id.
        id: Hash,
        /// Who asked.
        principal: PrincipalId,
        /// With which key.
        key: PublicKey,
        /// Under which mandate of another.
        mandate: Option<MandateId>,
        /// Who signed it too.
        cosigners: Vec<Cosigner>,
        /// About what, in the signer's words.
        subject: String,
        /// For what.
        operations: Vec<Operation>,
        /// What became of it.
        outcome: Outcome,
        /// Its leaf in the log.
        index: u64,
    },
    /// The register holds this record.
    Current {
        /// The record.
        record: RecordRow,
        /// Its items, canonical JSON.
        items: Vec<String>,
    },
    /// The register holds this record, and these values are sealed in it.
    Disclosed {
        /// The record.
        record: RecordRow,
        /// Its items, canonical JSON.
        items: Vec<String>,
        /// The values that are shown.
        openings: Vec<Opening>,
    },
    /// The register holds no record for the key.
    Absent {
        /// The register.
        register: RegisterRow,
        /// The key.
        key: String,
    },
    /// The proposal stands so.
    Proposal {
        /// Its row.
        proposal: Box<ProposalRow>,
    },
    /// The order of erasure stands so.
    Erasure {
        /// Its row.
        order: Box<ErasureRow>,
    },
    /// The members of a partition hold this record.
    Shared(Box<SharedRecord>),
    /// The members of a partition hold a record with these fields, among others that are not shown.
    SharedFields(Box<SharedFields>),
    /// The order of erasure stands so in a partition.
    SharedErasure(Box<SharedErasure>),
    /// The principal stands so, and has these keys.
    Principal {
        /// Its row.
        principal: Box<PrincipalRow>,
    },
    /// A principal gives this answer, which the members of a partition hold.
    Attested(Box<Attested>),
    /// There is no such register.
    NoRegister {
        /// The name that was asked.
        register: String,
    },
}

impl Receipt {
    /// The receipt's file.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a receipt; nothing in it is checked.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, RECEIPT_BYTES_MAX)
    }

    /// The network that it is of, unproven.
    pub const fn network(&self) -> NetworkId {
        match self {
            Self::Transaction(receipt) => receipt.network,
            Self::Record(receipt) => receipt.network,
            Self::Proposal(receipt) => receipt.network,
            Self::Disclosure(disclosure) => disclosure.record.network,
            Self::Erasure(certificate) => certificate.network,
            Self::Partition(disclosure) => disclosure.network,
            Self::Fields(disclosure) => disclosure.network,
            Self::PartitionErasure(certificate) => certificate.network,
            Self::Principal(receipt) => receipt.network,
            Self::Attestation(attestation) => attestation.disclosure.network,
        }
    }

    /// How its root is final.
    pub const fn finality(&self) -> &Finality {
        match self {
            Self::Transaction(receipt) => &receipt.finality,
            Self::Record(receipt) => &receipt.finality,
            Self::Proposal(receipt) => &receipt.finality,
            Self::Disclosure(disclosure) => disclosure.finality(),
            Self::Erasure(certificate) => &certificate.finality,
            Self::Partition(disclosure) => &disclosure.finality,
            Self::Fields(disclosure) => &disclosure.finality,
            Self::PartitionErasure(certificate) => &certificate.finality,
            Self::Principal(receipt) => &receipt.finality,
            Self::Attestation(attestation) => attestation.finality(),
        }
    }

    /// The steps that checking it takes.
    pub const fn steps(&self) -> &'static [Step] {
        match self {
            Self::Transaction(_) => Step::TRANSACTION,
            Self::Record(_) => Step::RECORD,
            Self::Proposal(_) | Self::Erasure(_) | Self::Principal(_) => Step::PROPOSAL,
            Self::Disclosure(_) => Step::DISCLOSURE,
            Self::Partition(_) => Step::PARTITION_DISCLOSURE,
            Self::Fields(_) => Step::FIELD_DISCLOSURE,
            Self::PartitionErasure(_) => Step::PARTITION_ERASURE,
            Self::Attestation(_) => Step::ATTESTATION,
        }
    }

    /// Checks everything, offline. `genesis` is the trust anchor: get it from someone you trust, not with the receipt.
    ///
    /// # Errors
    /// The first step that fails.
    pub fn check(&self, genesis: &Genesis) -> Result<Proven, CheckError> {
        let anchor = genesis.id();
        let fail = |step, reason| CheckError { steps: self.steps(), step, reason };
        if self.network() != anchor {
            return Err(fail(Step::Network, Reason::Network { receipt: self.network(), anchor }));
        }
        let finality = self.finality();
        let header = finality.check_headers(anchor).map_err(|reason| fail(Step::Headers, reason))?;
        let (trust, hand_overs, recoveries) =
            finality.check_hand_overs(genesis).map_err(|reason| fail(Step::HandOvers, reason))?;
        let last = finality.headers.last().ok_or_else(|| fail(Step::Headers, Reason::Chain(0)))?;
        let certified = trust.certified(last, &finality.certificate);
        certified.map_err(|error| fail(Step::Certificate, error.into()))?;
        let (height, time_ms) = match self {
            Self::Transaction(receipt) => (receipt.height, receipt.time_ms),
            _ => (header.height, header.time_ms),
        };
        let claim = match self {
            Self::Transaction(receipt) => receipt.check_claim(header, anchor),
            Self::Record(receipt) => receipt.check_claim(header),
            Self::Proposal(receipt) => receipt.check_claim(header),
            Self::Disclosure(disclosure) => disclosure.check_claim(header),
            Self::Erasure(certificate) => certificate.check_claim(header),
            Self::Partition(disclosure) => disclosure.check_shared(header).map(|one| Claim::Shared(Box::new(one))),
            Self::Fields(disclosure) => {
                disclosure.check_shared(header).map(|shared| Claim::SharedFields(Box::new(shared)))
            }
            Self::PartitionErasure(certificate) => certificate.check_claim(header),
            Self::Principal(receipt) => {
                receipt.check_row(header).map(|row| Claim::Principal { principal: Box::new(row) })
            }
            Self::Attestation(attestation) => {
                attestation.check_attested(header, genesis).map(|attested| Claim::Attested(Box::new(attested)))
            }
        };
        let claim = claim.map_err(|(step, reason)| fail(step, reason))?;
        let set = trust.validators();
        let signer = |(index, _): &(u32, Signature)| set.keys().get(usize::try_from(*index).ok()?).copied();
        let signers = finality.certificate.signatures.iter().filter_map(signer).collect();
        Ok(Proven { network: anchor, claim, height, time_ms, signers, validators: set.len(), hand_overs, recoveries })
    }
}

impl Finality {
    /// The first header, when the headers are a chain of this network.
    fn check_headers(&self, anchor: NetworkId) -> Result<&BlockHeader, Reason> {
        for (place, header) in self.headers.iter().enumerate() {
            if header.network != anchor {
                return Err(Reason::Network { receipt: header.network, anchor });
            }
            let before = place.checked_sub(1).and_then(|before| self.headers.get(before));
            if before.is_some_and(|b| header.parent != b.hash() || b.height.checked_add(1) != Some(header.height)) {
                return Err(Reason::Chain(place));
            }
        }
        self.headers.first().ok_or(Reason::Chain(0))
    }

    /// Who certifies, at the end of the chain of hand-overs from the genesis; the epochs with which each set began, and the
    /// recoveries among them.
    fn check_hand_overs(&self, genesis: &Genesis) -> Result<(Trust, Vec<u64>, Vec<Recovered>), Reason> {
        let (mut trust, mut begun, mut recoveries) = (Trust::anchored(genesis)?, Vec::new(), Vec::new());
        for (place, link) in self.hand_overs.iter().enumerate() {
            trust.walk(link).map_err(|error| Reason::HandOver { place, error })?;
            begun.push(trust.first_epoch());
            if let Some(recovery) = link.recovery() {
                recoveries.push(Recovered {
                    height: recovery.head.height,
                    epoch: trust.first_epoch(),
                    principals: recovery.signers(),
                    reason: recovery.reason.clone(),
                    validators: recovery.validators.clone(),
                });
            }
        }
        Ok((trust, begun, recoveries))
    }
}

impl TransactionReceipt {
    fn check_claim(&self, header: &BlockHeader, anchor: NetworkId) -> Result<Claim, (Step, Reason)> {
        let transaction = self.check_transaction(anchor).map_err(|reason| (Step::Transaction, reason))?;
        self.check_inclusion(header, transaction.id()).map_err(|reason| (Step::Inclusion, reason))?;
        Ok(Claim::Transaction {
            id: transaction.id(),
            principal: transaction.principal().clone(),
            key: *transaction.key(),
            mandate: transaction.mandate().cloned(),
            cosigners: transaction.cosigners().to_vec(),
            subject: transaction.subject().to_owned(),
            operations: transaction.operations().to_vec(),
            outcome: self.outcome.clone(),
            index: self.index,
        })
    }

    fn check_transaction(&self, anchor: NetworkId) -> Result<SignedTransaction, Reason> {
        let transaction = SignedTransaction::decode(self.transaction.clone())?.verify()?.into_signed();
        if transaction.network() != anchor {
            return Err(Reason::Network { receipt: transaction.network(), anchor });
        }
        Ok(transaction)
    }

    fn check_inclusion(&self, header: &BlockHeader, transaction: Hash) -> Result<(), Reason> {
        if self.height > header.height {
            return Err(Reason::Height { leaf: self.height, log: header.height });
        }
        let leaf =
            LogLeaf { transaction, height: self.height, time_ms: self.time_ms, outcome: self.outcome.clone() }.hash();
        Ok(merkle::verify_inclusion(&leaf, self.index, header.log.size, &self.path, &header.log.root)?)
    }
}

impl RecordReceipt {
    fn check_claim(&self, header: &BlockHeader) -> Result<Claim, (Step, Reason)> {
        let root = &header.state.root;
        match &self.answer {
            RecordAnswer::Current { number, row, items, proof } => {
                let record = self.check_record(row).map_err(|reason| (Step::Row, reason))?;
                let place = StateKey::record(*number, EntryKind::User, &self.key);
                proof::verify_current(&place, row, proof, root).map_err(|error| (Step::State, error.into()))?;
                check_items(&record, items).map_err(|reason| (Step::Items, reason))?;
                Ok(Claim::Current { record, items: items.clone() })
            }
            RecordAnswer::Absent { question, register_row, register_proof, proof } => {
                self.check_question(question).map_err(|reason| (Step::Row, reason))?;
                let register = self.check_register(register_row).map_err(|reason| (Step::Row, reason))?;
                let state = |error: ProofError| (Step::State, error.into());
                let place = StateKey::register(&self.register);
                proof::verify_current(&place, register_row, register_proof, root).map_err(state)?;
                let place = StateKey::record(register.number, EntryKind::User, &self.key);
                proof::verify_absent(&place, proof, root).map_err(state)?;
                Ok(Claim::Absent { register, key: self.key.clone() })
            }
            RecordAnswer::NoRegister { question, proof } => {
                self.check_question(question).map_err(|reason| (Step::Row, reason))?;
                let place = StateKey::register(&self.register);
                proof::verify_absent(&place, proof, root).map_err(|error| (Step::State, error.into()))?;
                Ok(Claim::NoRegister { register: self.register.clone() })
            }
        }
    }

    fn check_record(&self, row: &[u8]) -> Result<RecordRow, Reason> {
        let row = RecordRow::decode(row)?;
        if row.register != self.register || row.key != self.key || row.kind != EntryKind::User {
            return Err(Reason::Other(format!("{} {}:{}", row.kind, row.register, row.key)));
        }
        Ok(row)
    }

    fn check_question(&self, answered: &Hash) -> Result<(), Reason> {
        if question(&self.register, &self.key) == *answered { Ok(()) } else { Err(Reason::Question) }
    }

    fn check_register(&self, row: &[u8]) -> Result<RegisterRow, Reason> {
        let row = RegisterRow::decode(row)?;
        if row.register != self.register { Err(Reason::Other(row.register)) } else { Ok(row) }
    }
}

fn check_items(record: &RecordRow, items: &[String]) -> Result<(), Reason> {
    if items.len() != record.items.len() {
        return Err(Reason::Items { given: items.len(), named: record.items.len() });
    }
    match items.iter().zip(&record.items).position(|(item, hash)| Hash::of(&[item.as_bytes()]) != *hash) {
        Some(place) => Err(Reason::Item(place)),
        None => Ok(()),
    }
}

impl Finality {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        cbor::write_values(e, &self.hand_overs)?;
        cbor::write_values(e, &self.headers)?;
        e.encode(&self.certificate)?.ok()
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        Ok(Self {
            hand_overs: cbor::values(d, 0..=RECEIPT_HAND_OVERS_MAX, "the hand-overs of a receipt")?,
            headers: cbor::values(d, 1..=RECEIPT_HEADERS_MAX, "the headers of a receipt")?,
            certificate: d.decode()?,
        })
    }
}

impl RecordReceipt {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(RECORD_RECEIPT)?.encode(self.network)?;
        e.str(&self.register)?.str(&self.key)?.encode(&self.answer)?;
        self.finality.encode(e)
    }

    fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        Ok(Self {
            network: d.decode()?,
            register: cbor::text(d, 1..=NAME_BYTES_MAX, "a register's name")?.to_owned(),
            key: cbor::text(d, 1..=KEY_BYTES_MAX, "a key")?.to_owned(),
            answer: d.decode()?,
            finality: Finality::decode(d)?,
        })
    }
}

impl<C> Encode<C> for RecordAnswer {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Current { number, row, items, proof } => {
                e.array(5)?.str("current")?.u32(*number)?.bytes(row)?;
                cbor::write_values(e, items)?;
                e.bytes(proof)?.ok()
            }
            Self::Absent { question, register_row, register_proof, proof } => {
                e.array(5)?.str("absent")?.encode(question)?;
                e.bytes(register_row)?.bytes(register_proof)?.bytes(proof)?.ok()
            }
            Self::NoRegister { question, proof } => {
                e.array(3)?.str("no-register")?.encode(question)?.bytes(proof)?.ok()
            }
        }
    }
}

impl<'b, C> Decode<'b, C> for RecordAnswer {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        match (d.array()?, d.str()?) {
            (Some(5), "current") => {
                let at = d.position();
                let number = d.u32()?;
                if number > REGISTER_NUMBER_MAX {
                    return Err(decode::Error::message("a register's number must be below 2^24").at(at));
                }
                Ok(Self::Current { number, row: row(d)?, items: items(d)?, proof: state_proof(d)? })
            }
            (Some(5), "absent") => Ok(Self::Absent {
                question: d.decode()?,
                register_row: row(d)?,
                register_proof: state_proof(d)?,
                proof: state_proof(d)?,
            }),
            (Some(3), "no-register") => Ok(Self::NoRegister { question: d.decode()?, proof: state_proof(d)? }),
            _ => Err(decode::Error::message("an answer must be current, absent or no-register").at(at)),
        }
    }
}

fn row(d: &mut Decoder<'_>) -> Result<Bytes, decode::Error> {
    cbor::bytes(d, 1..=STATE_VALUE_BYTES_MAX, "a row").map(Bytes::copy_from_slice)
}

fn state_proof(d: &mut Decoder<'_>) -> Result<Bytes, decode::Error> {
    cbor::bytes(d, 1..=STATE_PROOF_BYTES_MAX, "a state proof").map(Bytes::copy_from_slice)
}

fn items(d: &mut Decoder<'_>) -> Result<Vec<String>, decode::Error> {
    let n = cbor::list(d, 1..=ITEMS_PER_ENTRY_MAX, "the items of a record")?;
    (0..n).map(|_| cbor::text(d, 2..=ITEM_BYTES_MAX, "an item").map(str::to_owned)).collect()
}

impl<C> Encode<C> for Receipt {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Transaction(receipt) => {
                e.array(11)?.str(TRANSACTION_RECEIPT)?.encode(receipt.network)?.bytes(&receipt.transaction)?;
                e.u64(receipt.height)?.u64(receipt.time_ms)?.encode(&receipt.outcome)?.u64(receipt.index)?;
                cbor::write_values(e, &receipt.path)?;
                receipt.finality.encode(e)
            }
            Self::Record(receipt) => receipt.encode(e.array(8)?),
            Self::Proposal(receipt) => receipt.encode(e.array(8)?),
            Self::Disclosure(disclosure) => disclosure.encode(e.array(3)?),
            Self::Erasure(certificate) => certificate.encode(e.array(8)?),
            Self::Partition(disclosure) => disclosure.encode(e.array(16)?),
            Self::Fields(disclosure) => disclosure.encode(e.array(16)?),
            Self::PartitionErasure(certificate) => certificate.encode(e.array(12)?),
            Self::Principal(receipt) => receipt.encode(e.array(8)?),
            Self::Attestation(attestation) => attestation.encode(e.array(5)?),
        }
    }
}

impl<'b, C> Decode<'b, C> for Receipt {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        match (d.array()?, d.str()?) {
            (Some(11), TRANSACTION_RECEIPT) => Ok(Self::Transaction(TransactionReceipt {
                network: d.decode()?,
                transaction: Bytes::copy_from_slice(cbor::bytes(d, 1..=TRANSACTION_BYTES_MAX, "a transaction")?),
                height: d.u64()?,
                time_ms: d.u64()?,
                outcome: d.decode()?,
                index: d.u64()?,
                path: cbor::values(d, 0..=MERKLE_PATH_MAX, "an inclusion path")?,
                finality: Finality::decode(d)?,
            })),
            (Some(8), RECORD_RECEIPT) => Ok(Self::Record(RecordReceipt::decode(d)?)),
            (Some(8), PROPOSAL_RECEIPT) => Ok(Self::Proposal(ProposalReceipt::decode(d)?)),
            (Some(8), ERASURE_CERTIFICATE) => Ok(Self::Erasure(ErasureCertificate::decode(d)?)),
            (Some(12), PARTITION_ERASURE) => Ok(Self::PartitionErasure(PartitionErasure::decode(d)?)),
            (Some(16), PARTITION_DISCLOSURE) => Ok(Self::Partition(PartitionDisclosure::decode(d)?)),
            (Some(16), FIELD_DISCLOSURE) => Ok(Self::Fields(Box::new(FieldDisclosure::decode(d)?))),
            (Some(8), PRINCIPAL_RECEIPT) => Ok(Self::Principal(PrincipalReceipt::decode(d)?)),
            (Some(5), ATTESTATION) => Ok(Self::Attestation(Box::new(Attestation::decode(d)?))),
            (Some(3), DISCLOSURE) => Ok(Self::Disclosure(Disclosure::decode(d)?)),
            _ => Err(decode::Error::message("a receipt must begin with its kind and version").at(at)),
        }
    }
}
