//! Finality certificates: a quorum's signatures over a block, checked without the engine.
//!
//! The engine (commonware simplex, Ed25519 scheme, 2026.10) signs a finalise vote as
//!
//! ```text
//! varint(len(n)) ‖ n ‖ varint(epoch) ‖ varint(view) ‖ varint(parent view) ‖ block digest
//! where n = "tallystick-consensus-" ‖ network id ‖ "_FINALIZE"
//! ```
//!
//! with LEB128 varints. A test makes certificates with the engine itself and checks them here.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    key::{PublicKey, Signature},
    limits::{CERTIFICATE_BYTES_MAX, VALIDATORS_MAX},
    network::NetworkId,
    validators::ValidatorSet,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// What the engine appends to the namespace of a finalise vote.
const FINALIZE_SUFFIX: &[u8] = b"_FINALIZE";

/// Signatures over a block and, by its parents' digests, over all blocks before it. In CBOR: an array of its fields in
/// this order, each signature as `[validator, signature]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalityCertificate {
    /// The epoch of the vote.
    pub epoch: u64,
    /// The view of the vote.
    pub view: u64,
    /// The view of the block's parent.
    pub parent_view: u64,
    /// The block's digest.
    pub block: Hash,
    /// Each signer's index in the ordered validator set, ascending, with its Ed25519 signature.
    pub signatures: Vec<(u32, Signature)>,
}

/// Why a certificate does not certify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Too few signatures.
    #[error("{signed} of {validators} validators signed, {quorum} must: ask another node")]
    Quorum {
        /// Signatures present.
        signed: usize,
        /// Signatures needed.
        quorum: usize,
        /// Validators there are.
        validators: usize,
    },
    /// Signers are not in ascending order, or one occurs twice.
    #[error("signer {0} stands out of order or twice: ask another node")]
    Order(u32),
    /// No such validator.
    #[error("signer {0} is not a validator of this block: check that `network.json` is this network's")]
    Unknown(u32),
    /// A signature does not hold.
    #[error("the signature of validator {0} does not hold: the certificate was altered or is another network's")]
    Signature(u32),
}

impl FinalityCertificate {
    /// Checks that a quorum of these validators signed on this network, and that every signature holds.
    ///
    /// Returns how many signed. Which block they signed is [`FinalityCertificate::block`]: compare it.
    ///
    /// # Errors
    /// When there are too few signatures, or any one is not a validator's over this block.
    pub fn verify(&self, validators: &ValidatorSet, network: NetworkId) -> Result<usize, CertificateError> {
        let signers = self.signatures.iter().map(|(signer, _)| *signer);
        for (signer, next) in signers.clone().zip(signers.skip(1)) {
            if signer >= next {
                return Err(CertificateError::Order(next));
            }
        }
        let (signed, quorum) = (self.signatures.len(), validators.quorum());
        if signed < quorum {
            return Err(CertificateError::Quorum { signed, quorum, validators: validators.len() });
        }
        let message = self.signed_bytes(&network);
        for (signer, signature) in &self.signatures {
            let key = usize::try_from(*signer).ok().and_then(|index| validators.keys().get(index));
            let key = key.ok_or(CertificateError::Unknown(*signer))?;
            PublicKey::Ed25519(*key).verify(&message, signature).map_err(|_| CertificateError::Signature(*signer))?;
        }
        Ok(signed)
    }

    /// What each validator signed.
    pub fn signed_bytes(&self, network: &NetworkId) -> Vec<u8> {
        let namespace = [network.consensus_namespace().as_slice(), FINALIZE_SUFFIX].concat();
        let mut bytes = Vec::with_capacity(128);
        varint(&mut bytes, namespace.len() as u64);
        bytes.extend_from_slice(&namespace);
        varint(&mut bytes, self.epoch);
        varint(&mut bytes, self.view);
        varint(&mut bytes, self.parent_view);
        bytes.extend_from_slice(&self.block.0);
        bytes
    }

    /// The certificate's encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a certificate; its signatures are not checked.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, CERTIFICATE_BYTES_MAX)
    }
}

/// LEB128: seven bits a byte, lowest first.
fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

impl<C> Encode<C> for FinalityCertificate {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(5)?.u64(self.epoch)?.u64(self.view)?.u64(self.parent_view)?.encode(self.block)?;
        e.array(self.signatures.len() as u64)?;
        for (signer, signature) in &self.signatures {
            e.array(2)?.u32(*signer)?.bytes(signature)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for FinalityCertificate {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 5, "a certificate")?;
        let (epoch, view, parent_view, block) = (d.u64()?, d.u64()?, d.u64()?, d.decode()?);
        let n = cbor::list(d, 1..=VALIDATORS_MAX, "the signatures of a certificate")?;
        let mut signatures = Vec::with_capacity(n);
        for _ in 0..n {
            cbor::array(d, 2, "a validator's signature")?;
            signatures.push((d.u32()?, cbor::fixed(d, "a signature")?));
        }
        Ok(Self { epoch, view, parent_view, block, signatures })
    }
}
