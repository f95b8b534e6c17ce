//! The engine's finalisations as the protocol's finality certificates, and only in that direction: nothing outside the engine
//! makes one.

use crate::Scheme;
use commonware_codec::Encode as _;
use commonware_consensus::simplex::types::Finalization;
use commonware_cryptography::sha256::Digest;
use tallystick_protocol::{FinalityCertificate, Hash};

/// The certificate in the form that anybody can check without the engine.
///
/// `None` if a signature in it does not decode, which the engine's own verification rules out.
pub fn certificate(finalization: &Finalization<Scheme, Digest>) -> Option<FinalityCertificate> {
    let proposal = &finalization.proposal;
    let certificate = &finalization.certificate;
    let signatures = certificate
        .signers
        .iter()
        .zip(&certificate.signatures)
        .map(|(signer, signature)| {
            let bytes = signature.get()?.encode();
            Some((signer.get(), <[u8; 64]>::try_from(bytes.as_ref()).ok()?))
        })
        .collect::<Option<Vec<_>>>()?;
    Some(FinalityCertificate {
        epoch: proposal.round.epoch().get(),
        view: proposal.round.view().get(),
        parent_view: proposal.parent.get(),
        block: Hash(proposal.payload.0),
        signatures,
    })
}
