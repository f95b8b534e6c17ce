//! What certificates and revocation lists have in common: a body, an algorithm, and a signature over the body's bytes.

use super::{certificate::Certificate, fault::Fault};
use x509_cert::{
    der::{Encode as _, Reader as _, SliceReader, asn1::BitString},
    spki::AlgorithmIdentifierOwned,
};

/// The bytes that are signed: the first element of the sequence, as it stands.
pub(super) fn signed_part(der: &[u8]) -> Result<Vec<u8>, Fault> {
    let part = SliceReader::new(der).and_then(|mut reader| {
        reader.sequence(|body| {
            let signed = body.tlv_bytes()?.to_vec();
            let rest = body.remaining_len();
            body.read_slice(rest)?;
            Ok(signed)
        })
    });
    part.map_err(malformed)
}

/// Checks the signature of `issuer` over `signed`.
pub(super) fn check_signature(
    signed: &[u8],
    algorithm: &AlgorithmIdentifierOwned,
    signature: &BitString,
    issuer: &Certificate,
) -> Result<(), Fault> {
    let wanted = identifier(algorithm)?;
    let key = issuer.public_key_info();
    let key_algorithm = identifier(&key.algorithm)?;
    let known: Vec<_> =
        webpki::ALL_VERIFICATION_ALGS.iter().filter(|known| known.signature_alg_id().as_ref() == wanted).collect();
    if known.is_empty() {
        return Err(Fault::Algorithm(algorithm.oid));
    }
    let (Some(key), Some(signature)) = (key.subject_public_key.as_bytes(), signature.as_bytes()) else {
        return Err(Fault::Signature);
    };
    let holds = known
        .iter()
        .filter(|known| known.public_key_alg_id().as_ref() == key_algorithm)
        .any(|known| known.verify_signature(key, signed, signature).is_ok());
    if holds { Ok(()) } else { Err(Fault::Signature) }
}

/// The content of an algorithm identifier: its bytes without the frame of the sequence.
fn identifier(algorithm: &AlgorithmIdentifierOwned) -> Result<Vec<u8>, Fault> {
    let mut bytes = algorithm.oid.to_der().map_err(malformed)?;
    if let Some(parameters) = &algorithm.parameters {
        bytes.extend(parameters.to_der().map_err(malformed)?);
    }
    Ok(bytes)
}

pub(super) fn malformed(error: x509_cert::der::Error) -> Fault {
    Fault::Malformed(error.to_string())
}
