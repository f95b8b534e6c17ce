//! An attestation: a yes or no out of a partition, signed by the principal that gives it.
//!
//! ```text
//! disclosure out of a partition: the question, the answer, what was tried ── proven as in `partition.rs`
//!      │ SHA-256
//! message ─signed by─ a key ─ row of the principal whose key it is ─state proof─ first header of the principal's receipt
//! ```
//!
//! The members of the partition hold the answer, and more than half of them certify that they do; that it is true is the word of one
//! principal, who gives it with this signature.
//!
//! INVARIANT: the principal had the key when the answer was already certified: who steals one that was given up earlier signs nothing
//! that is newer.

use super::{
    Claim, Finality, PARTITION_DISCLOSURE, PRINCIPAL_RECEIPT, PartitionDisclosure, PrincipalReceipt, Reason, Receipt,
    SharedRecord, Step,
};
use crate::{
    cbor,
    hash::Hash,
    header::BlockHeader,
    key::{KeyError, PublicKey, Signature, SigningKey},
    network::{Genesis, NetworkId},
    operation::PrincipalId,
    principal::PrincipalStatus,
};
use minicbor::{Decoder, Encode, Encoder, decode, encode};

/// First element of an attestation.
pub(super) const ATTESTATION: &str = "tallystick-attestation-1";
/// What separates what is signed from all other messages.
const DOMAIN: &str = "tallystick attestation 1";

/// A signed answer. In CBOR: `["tallystick-attestation-1", disclosure, principal's receipt, key, signature]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// The answer as it is on record in the partition.
    pub disclosure: PartitionDisclosure,
    /// Who gives it, with the keys that they had then.
    pub signer: PrincipalReceipt,
    /// The key that signed.
    pub key: PublicKey,
    /// Over the CBOR of `["tallystick attestation 1", network, principal, key, SHA-256 of the disclosure]`.
    pub signature: Signature,
}

/// An answer, and who gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The answer as it is on record in the partition.
    pub shared: SharedRecord,
    /// Who signed.
    pub principal: PrincipalId,
    /// With which key.
    pub key: PublicKey,
    /// The height at which the key was theirs.
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    pub time_ms: u64,
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

struct Message<'a> {
    network: NetworkId,
    principal: &'a PrincipalId,
    key: PublicKey,
    disclosure: Hash,
}

impl<C> Encode<C> for Message<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.str(DOMAIN)?.bytes(&self.network.0)?;
        e.encode(self.principal)?.encode(self.key)?.encode(self.disclosure)?.ok()
    }
}

impl Attestation {
    /// Signs an answer as the principal of `signer`.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(disclosure: PartitionDisclosure, signer: PrincipalReceipt, key: &SigningKey) -> Result<Self, KeyError> {
        let unsigned = Self { disclosure, signer, key: key.public(), signature: [0; 64] };
        let signature = key.sign(&unsigned.message())?;
        Ok(Self { signature, ..unsigned })
    }

    /// What is signed.
    fn message(&self) -> Vec<u8> {
        let disclosure = Hash::of(&[&Receipt::Partition(self.disclosure.clone()).to_bytes()]);
        let (network, principal) = (self.disclosure.network, &self.signer.principal);
        cbor::encode(&Message { network, principal, key: self.key, disclosure })
    }

    /// How the answer's root is final.
    pub(super) const fn finality(&self) -> &Finality {
        &self.disclosure.finality
    }

    pub(super) fn check_claim(&self, header: &BlockHeader, genesis: &Genesis) -> Result<Claim, (Step, Reason)> {
        let Claim::Shared(shared) = self.disclosure.check_claim(header)? else {
            unreachable!("a disclosure out of a partition proves a record of it");
        };
        let receipt = Receipt::Principal(self.signer.clone());
        let proven = receipt.check(genesis).map_err(|error| (Step::Signer, Reason::Signer(Box::new(error))))?;
        let Claim::Principal { principal } = proven.claim else {
            unreachable!("a principal's receipt proves a principal");
        };
        let signs = principal.status == PrincipalStatus::Active
            && principal.key(&self.key).is_some_and(|held| held.signs_at(proven.time_ms))
            && proven.height >= shared.certified.height;
        if !signs {
            return Err((Step::Signer, Reason::SignerKey(principal.id)));
        }
        let signed = self.key.verify(&self.message(), &self.signature);
        signed.map_err(|_| (Step::Signer, Reason::SignerSignature(principal.id.clone())))?;
        Ok(Claim::Attested(Box::new(Attested {
            shared: *shared,
            principal: principal.id,
            key: self.key,
            height: proven.height,
            time_ms: proven.time_ms,
        })))
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.str(ATTESTATION)?.encode(Receipt::Partition(self.disclosure.clone()))?;
        e.encode(Receipt::Principal(self.signer.clone()))?.encode(self.key)?.bytes(&self.signature)?.ok()
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        // Not any receipt: one attestation within another would nest for as long as the file is.
        let disclosure = match (d.array()?, d.str()?) {
            (Some(15), PARTITION_DISCLOSURE) => PartitionDisclosure::decode(d)?,
            _ => return Err(decode::Error::message("an attestation begins with a disclosure out of a partition")),
        };
        let signer = match (d.array()?, d.str()?) {
            (Some(8), PRINCIPAL_RECEIPT) => PrincipalReceipt::decode(d)?,
            _ => return Err(decode::Error::message("an attestation holds the receipt of who signed it")),
        };
        Ok(Self { disclosure, signer, key: d.decode()?, signature: cbor::fixed(d, "a signature")? })
    }
}
