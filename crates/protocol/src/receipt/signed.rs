//! Whose key signed something: a signature with the receipt of the principal whose key it is, so that a stranger can name them.
//!
//! ```text
//! what is signed ─SHA-256─ message ─signed by─ a key ─ row of the principal whose key it is ─state proof─ first header of its receipt
//! ```

use super::{Claim, PRINCIPAL_RECEIPT, PrincipalReceipt, Proven, Reason, Receipt};
use crate::{
    cbor,
    hash::Hash,
    key::{KeyError, PublicKey, Signature, SigningKey},
    network::{Genesis, NetworkId},
    operation::PrincipalId,
    principal::PrincipalStatus,
};
use minicbor::{Decoder, Encode, Encoder, decode, encode};

/// What is signed: a signature of the one is none of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// A yes or no out of a partition.
    Attestation,
    /// The answer to a person who asked what is held about them.
    SubjectAccess,
}

impl Statement {
    /// What separates what is signed from all other messages.
    const fn domain(self) -> &'static str {
        match self {
            Self::Attestation => "tallystick attestation 1",
            Self::SubjectAccess => "tallystick subject access 1",
        }
    }
}

/// A signature, and whose it is. In CBOR, in place: `principal's receipt, key, signature`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who signs, with the keys that they had then.
    pub signer: PrincipalReceipt,
    /// The key that signed.
    pub key: PublicKey,
    /// Over the CBOR of `[domain, network, principal, key, SHA-256 of what is signed]`.
    pub signature: Signature,
}

/// Who signed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// Who.
    pub principal: PrincipalId,
    /// With which key.
    pub key: PublicKey,
    /// The height at which the key was theirs.
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    pub time_ms: u64,
}

struct Message<'a> {
    statement: Statement,
    network: NetworkId,
    principal: &'a PrincipalId,
    key: PublicKey,
    digest: Hash,
}

impl<C> Encode<C> for Message<'_> {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.str(self.statement.domain())?.bytes(&self.network.0)?;
        e.encode(self.principal)?.encode(self.key)?.encode(self.digest)?.ok()
    }
}

impl PrincipalReceipt {
    /// The principal, if this key of theirs signs at this receipt's height, and that is no lower than `since`.
    ///
    /// # Errors
    /// When the receipt does not hold, is older, or the principal may not act with the key.
    pub fn signs(&self, key: PublicKey, since: u64, genesis: &Genesis) -> Result<SignedBy, Reason> {
        let proven = Receipt::Principal(self.clone()).check(genesis);
        let Proven { claim, height, time_ms, .. } = proven.map_err(|error| Reason::Signer(Box::new(error)))?;
        let Claim::Principal { principal } = claim else {
            unreachable!("a principal's receipt proves a principal");
        };
        if height < since {
            return Err(Reason::SignerEarlier { principal: principal.id, height, since });
        }
        if principal.status != PrincipalStatus::Active {
            return Err(Reason::SignerStatus(principal.id, principal.status));
        }
        if !principal.key(&key).is_some_and(|held| held.signs_at(time_ms)) {
            return Err(Reason::SignerKey(principal.id, key));
        }
        Ok(SignedBy { principal: principal.id, key, height, time_ms })
    }
}

impl Signed {
    /// Signs what has this SHA-256, as the principal of the receipt.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(
        statement: Statement,
        digest: Hash,
        signer: PrincipalReceipt,
        key: &SigningKey,
    ) -> Result<Self, KeyError> {
        let unsigned = Self { signer, key: key.public(), signature: [0; 64] };
        let signature = key.sign(&unsigned.message(statement, digest))?;
        Ok(Self { signature, ..unsigned })
    }

    fn message(&self, statement: Statement, digest: Hash) -> Vec<u8> {
        let (network, principal) = (self.signer.network, &self.signer.principal);
        cbor::encode(&Message { statement, network, principal, key: self.key, digest })
    }

    /// Who signed what has this SHA-256, with a key that was theirs at the height `since` or later: who steals one that was given up before
    /// that signs nothing newer.
    ///
    /// # Errors
    /// When the receipt does not hold, the key was not theirs, or they did not sign this.
    pub fn check(&self, statement: Statement, digest: Hash, since: u64, genesis: &Genesis) -> Result<SignedBy, Reason> {
        let by = self.signer.signs(self.key, since, genesis)?;
        match self.key.verify(&self.message(statement, digest), &self.signature) {
            Ok(()) => Ok(by),
            Err(_) => Err(Reason::SignerSignature(by.principal)),
        }
    }

    pub(super) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.encode(Receipt::Principal(self.signer.clone()))?.encode(self.key)?.bytes(&self.signature)?.ok()
    }

    pub(super) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        // Not any receipt: one within another would nest for as long as the file is.
        let signer = match (d.array()?, d.str()?) {
            (Some(8), PRINCIPAL_RECEIPT) => PrincipalReceipt::decode(d)?,
            _ => return Err(decode::Error::message("a signature comes with the receipt of who signed")),
        };
        Ok(Self { signer, key: d.decode()?, signature: cbor::fixed(d, "a signature")? })
    }
}
