//! An attestation: a yes or no out of a partition, signed by the principal that gives it.
//!
//! The members of the partition hold the answer, and more than half of them certify that they do; that it is true is the word of one
//! principal, who gives it with this signature.
//!
//! INVARIANT: the principal had the key when the answer was already certified.

use super::{Claim, Finality, PARTITION_DISCLOSURE, PartitionDisclosure, Reason, Receipt, SharedRecord, Step};
use crate::{
    hash::Hash,
    header::BlockHeader,
    key::{KeyError, SigningKey},
    network::Genesis,
    receipt::{PrincipalReceipt, Signed, SignedBy, Statement},
};
use minicbor::{Decoder, Encoder, decode, encode};

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
    /// Who gives it.
    pub by: SignedBy,
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

    pub(super) fn check_claim(&self, header: &BlockHeader, genesis: &Genesis) -> Result<Claim, (Step, Reason)> {
        let Claim::Shared(shared) = self.disclosure.check_claim(header)? else {
            unreachable!("a disclosure out of a partition proves a record of it");
        };
        let (digest, since) = (digest(&self.disclosure), shared.certified.height);
        let by = self.signed.check(Statement::Attestation, digest, since, genesis);
        let by = by.map_err(|reason| (Step::Signer, reason))?;
        Ok(Claim::Attested(Box::new(Attested { shared: *shared, by })))
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(ATTESTATION)?.encode(Receipt::Partition(self.disclosure.clone()))?;
        self.signed.encode(e)
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        // Not any receipt: one attestation within another would nest for as long as the file is.
        let disclosure = match (d.array()?, d.str()?) {
            (Some(15), PARTITION_DISCLOSURE) => PartitionDisclosure::decode(d)?,
            _ => return Err(decode::Error::message("an attestation begins with a disclosure out of a partition")),
        };
        Ok(Self { disclosure, signed: Signed::decode(d)? })
    }
}

/// SHA-256 of the disclosure's file.
fn digest(disclosure: &PartitionDisclosure) -> Hash {
    Hash::of(&[&Receipt::Partition(disclosure.clone()).to_bytes()])
}
