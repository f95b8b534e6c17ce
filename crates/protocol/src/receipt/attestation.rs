//! An attestation: a yes or no out of a partition, signed by the principal that gives it.
//!
//! The members of the partition hold the answer, and more than half of them certify that they do; that it is true is the word of one
//! principal, who gives it with this signature.
//!
//! INVARIANTS:
//! - The principal had the key when the answer was already proven: at the first header's height, or later.
//! - The answer names the principal that signs, so that nobody can sign the answer of somebody else as their own.

use super::{Finality, PARTITION_DISCLOSURE, PartitionDisclosure, Reason, Receipt, SharedRecord, Step};
use crate::{
    hash::Hash,
    header::BlockHeader,
    key::{KeyError, SigningKey},
    network::Genesis,
    receipt::{PrincipalReceipt, Signed, SignedBy, Statement},
};
use minicbor::{Decoder, Encoder, decode, encode};
use serde::Deserialize;

/// First element of an attestation.
pub(super) const ATTESTATION: &str = "tallystick-attestation-1";

/// A signed answer. In CBOR: `["tallystick-attestation-1", disclosure, principal's receipt, key, signature]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The answer as it is on record in the partition.
    pub disclosure: PartitionDisclosure,
    /// Who gives it.
    pub signed: Signed,
}

/// An answer, and who gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The answer as it is on record in the partition.
    pub shared: SharedRecord,
    /// What it says.
    pub answer: Answer,
    /// Who gives it.
    pub by: SignedBy,
}

/// What an answer's item says: fields of canonical JSON, beside others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Answer {
    /// What was asked, in words.
    pub question: String,
    /// Yes or no.
    pub answer: String,
    /// Who gives it: the principal that signs.
    pub by: String,
}

impl Answer {
    /// The answer that a record holds, if that is what it is: it has one item, with these fields, and says yes or no.
    pub fn of(record: &SharedRecord) -> Option<Self> {
        let [item] = record.items.as_slice() else { return None };
        serde_json::from_str(item).ok().filter(|said: &Self| matches!(&*said.answer, "yes" | "no"))
    }
}

impl Step {
    /// The steps of an attestation.
    pub const ATTESTATION: &'static [Self] = &[
        Self::Network,
        Self::Headers,
        Self::HandOvers,
        Self::Certificate,
        Self::Row,
        Self::State,
        Self::Partition,
        Self::Items,
        Self::Openings,
        Self::Signer,
    ];
}

impl Attestation {
    /// Signs an answer as the principal of the receipt.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(disclosure: PartitionDisclosure, signer: PrincipalReceipt, key: &SigningKey) -> Result<Self, KeyError> {
        let signed = Signed::sign(Statement::Attestation, digest(&disclosure), signer, key)?;
        Ok(Self { disclosure, signed })
    }

    /// How the answer's root is final.
    pub(super) const fn finality(&self) -> &Finality {
        &self.disclosure.finality
    }

    pub(super) fn check_attested(&self, header: &BlockHeader, genesis: &Genesis) -> Result<Attested, (Step, Reason)> {
        let shared = self.disclosure.check_shared(header)?;
        let signer = |reason| (Step::Signer, reason);
        let answer = Answer::of(&shared).ok_or_else(|| signer(Reason::NoAnswer))?;
        let by = self.signed.check(Statement::Attestation, digest(&self.disclosure), header.height, genesis);
        let by = by.map_err(signer)?;
        if answer.by != by.principal.to_string() {
            return Err(signer(Reason::SignerOther { names: answer.by, signed: by.principal }));
        }
        Ok(Attested { shared, answer, by })
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(ATTESTATION)?.encode(Receipt::Partition(self.disclosure.clone()))?;
        self.signed.encode(e)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        // Not any receipt: one attestation within another would nest for as long as the file is.
        let disclosure = match (d.array()?, d.str()?) {
            (Some(16), PARTITION_DISCLOSURE) => PartitionDisclosure::decode(d)?,
            _ => return Err(decode::Error::message("an attestation begins with a disclosure out of a partition")),
        };
        Ok(Self { disclosure, signed: Signed::decode(d)? })
    }
}

/// SHA-256 of the disclosure's file.
fn digest(disclosure: &PartitionDisclosure) -> Hash {
    Hash::of(&[&Receipt::Partition(disclosure.clone()).to_bytes()])
}
