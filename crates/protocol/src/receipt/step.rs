//! The steps of checking a receipt, and what can be wrong with it.

use super::OpeningFault;
use crate::{
    cbor::CborError,
    key::PublicKey,
    merkle::MerkleError,
    names::names,
    network::NetworkId,
    operation::PrincipalId,
    principal::PrincipalStatus,
    proof::ProofError,
    transaction::{DecodeError, VerifyError},
    validators::TrustError,
};
use std::fmt;

names! {
    /// One step of checking a receipt, in the order in which they are taken.
    pub enum Step, "step" {
        /// The receipt is of the network of the trust anchor.
        Network = "network",
        /// Each header names the one before as its parent.
        Headers = "headers",
        /// Each validator set names and certifies the one that followed it.
        HandOvers = "hand-overs",
        /// A quorum of the validators that this leads to signed the last header.
        Certificate = "certificate",
        /// The transaction is well formed, of this network, and signed by its key.
        Transaction = "transaction",
        /// The transaction and its outcome are in the log of the first header.
        Inclusion = "inclusion",
        /// The row is of the register and key, or of the proposal, order or principal, that were asked.
        Row = "row",
        /// The row, or its absence, is in the state of the first header.
        State = "state",
        /// The record's row, or the order's, is under the root that the partition's members certified.
        Partition = "partition",
        /// The items are those the row names.
        Items = "items",
        /// The fields shown are under the root that the row of the record's fields names.
        Fields = "fields",
        /// Each opening opens what the record holds in its field.
        Openings = "openings",
        /// The record is an answer of the principal who signed all of this, with a key that was theirs then.
        Signer = "signer",
    }
}

impl Step {
    /// The steps of a transaction's receipt.
    pub const TRANSACTION: &'static [Self] =
        &[Self::Network, Self::Headers, Self::HandOvers, Self::Certificate, Self::Transaction, Self::Inclusion];
    /// The steps of a record's receipt.
    pub const RECORD: &'static [Self] =
        &[Self::Network, Self::Headers, Self::HandOvers, Self::Certificate, Self::Row, Self::State, Self::Items];
    /// The steps of a disclosure.
    pub const DISCLOSURE: &'static [Self] = &[
        Self::Network,
        Self::Headers,
        Self::HandOvers,
        Self::Certificate,
        Self::Row,
        Self::State,
        Self::Items,
        Self::Openings,
    ];
    /// The steps of a proposal's receipt, of a principal's, and of an erasure's certificate.
    pub const PROPOSAL: &'static [Self] =
        &[Self::Network, Self::Headers, Self::HandOvers, Self::Certificate, Self::Row, Self::State];
}

/// Which step of the check failed, and why. `{}` says it in a line; `{:#}` lists the steps, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CheckError {
    /// The steps that were to be taken.
    pub steps: &'static [Step],
    /// The one that failed; those before it held, those after it were not reached.
    pub step: Step,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// Another network's.
    #[error("the receipt is of network {receipt}, `network.json` of {anchor}: use that network's file")]
    Network {
        /// What the receipt, or something in it, names.
        receipt: NetworkId,
        /// What the anchor is.
        anchor: NetworkId,
    },
    /// Headers that are not a chain.
    #[error("header {0} does not follow the one before: the receipt was altered")]
    Chain(usize),
    /// Not certified by those that the anchor leads to.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A link of the chain from the anchor does not hold.
    #[error("hand-over {place}: {error}")]
    HandOver {
        /// Which, from 0.
        place: usize,
        /// What is wrong.
        error: TrustError,
    },
    /// The transaction is malformed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The transaction's signature does not hold.
    #[error(transparent)]
    Signature(#[from] VerifyError),
    /// The leaf claims to be later than the log that holds it.
    #[error("the leaf's height {leaf} is above that of its log, {log}: the receipt was altered")]
    Height {
        /// The leaf's.
        leaf: u64,
        /// The first header's.
        log: u64,
    },
    /// The leaf is not in the log.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// The row is malformed.
    #[error("the row: {0}")]
    Row(#[from] CborError),
    /// The row is about something else.
    #[error("the row is of `{0}`, which is not what was asked")]
    Other(String),
    /// The register or key is not the one that was asked about.
    #[error("the answer is to another question than the receipt states: the receipt was altered")]
    Question,
    /// The state proof does not hold.
    #[error(transparent)]
    State(#[from] ProofError),
    /// An item does not hash to what the row names.
    #[error("item {0} is not the one that the row names: the receipt was altered")]
    Item(usize),
    /// A field that is not under the root.
    #[error("field {place} is not one of the record's: the disclosure was altered: {error}")]
    Field {
        /// Which of those shown, from 0.
        place: usize,
        /// What is wrong.
        error: MerkleError,
    },
    /// A field out of order, or twice.
    #[error("field {0} is not after the one before, or there twice: the disclosure was altered")]
    FieldOrder(usize),
    /// A field whose value is neither a text nor a list of texts.
    #[error("the value of field {0} is neither a text nor a list of texts: ask another node")]
    FieldValue(usize),
    /// Items are missing or superfluous.
    #[error("{given} items where the row names {named}: the receipt was altered")]
    Items {
        /// In the receipt.
        given: usize,
        /// In the row.
        named: usize,
    },
    /// The members of the partition agree on no root.
    #[error(
        "the partition's members have certified no root of its state: ask for a disclosure, or a certificate, anew"
    )]
    Uncertified,
    /// An opening does not open what the record holds.
    #[error(transparent)]
    Opening(#[from] OpeningFault),
    /// The receipt of the principal that signed does not hold.
    #[error("the signer's own receipt: {0}")]
    Signer(Box<CheckError>),
    /// The receipt of the principal that signed is older than what they sign.
    #[error(
        "the proof of whose the key is, of block {height}, is older than what `{principal}` signs with it, of block {since}: whoever gave this must \
         sign it anew"
    )]
    SignerEarlier {
        /// Who signed.
        principal: PrincipalId,
        /// The receipt's height.
        height: u64,
        /// The height of what they sign.
        since: u64,
    },
    /// The principal might not act.
    #[error("`{0}`, who signed, was {1} and might not act: ask somebody else of that organisation to give this anew")]
    SignerStatus(PrincipalId, PrincipalStatus),
    /// The key was not the principal's, not yet, or not any more.
    #[error("{1}, which signed, was no key that `{0}` could sign with then: whoever gave this must sign it anew")]
    SignerKey(PrincipalId, PublicKey),
    /// The signature is not over this.
    #[error("`{0}` did not sign this: it was altered since, or made by somebody else. Ask them for it anew")]
    SignerSignature(PrincipalId),
    /// What is signed is no answer.
    #[error(
        "the record is no answer, with a question, an answer and who gives it: it is a disclosure that somebody signed"
    )]
    NoAnswer,
    /// The answer names somebody else.
    #[error("the answer on record is `{names}`'s, and `{signed}` signed it: ask `{names}` for it")]
    SignerOther {
        /// Whom the answer names.
        names: String,
        /// Who signed.
        signed: PrincipalId,
    },
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return write!(f, "{}: {}", self.step, self.reason);
        }
        for (place, step) in self.steps.iter().enumerate() {
            if place > 0 {
                writeln!(f)?;
            }
            match step.cmp(&self.step) {
                std::cmp::Ordering::Less => write!(f, "{step}: holds")?,
                std::cmp::Ordering::Equal => write!(f, "{step}: FAILED: {}", self.reason)?,
                std::cmp::Ordering::Greater => write!(f, "{step}: not reached")?,
            }
        }
        Ok(())
    }
}
