//! Issuing: the certificates of an authority with which somebody tries a network out.
//!
//! The form is the plainest that [`super::check`] takes: an authority that may sign certificates and revocation lists, and keys of
//! its people that may sign. Who runs an authority in earnest has software for it; here nothing is revoked, and no request is read.
//!
//! ```text
//! Certificate = SEQUENCE { body, algorithm, signature over the body's bytes }
//! body        = SEQUENCE { [0] version, serial, algorithm, issuer, validity, subject, key, [3] extensions }
//! ```

use super::{
    certificate::{Certificate, ED25519},
    fault::Fault,
};
use std::{str::FromStr as _, time::Duration};
use tallystick_protocol::{Hash, PublicKey, SigningKey, key::KeyError};
use x509_cert::{
    der::{
        self, DateTime, Encode, Header, Length, Tag, TagNumber,
        asn1::{BitString, ObjectIdentifier, OctetString, UintRef},
        oid::AssociatedOid,
    },
    ext::{
        Extension,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, KeyUsage, KeyUsages, SubjectKeyIdentifier,
            certpolicy::PolicyInformation,
        },
    },
    name::Name,
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
    time::{Time, Validity},
};

/// Bytes of a key's identifier.
const KEY_ID_BYTES: usize = 20;

/// What a certificate is to say.
#[derive(Debug, Clone, Copy)]
pub struct Wording<'a> {
    /// Its number, which its authority gives once: its first bit does not count.
    pub serial: [u8; 16],
    /// Whose it is, as `CN=Clerk,O=HM Revenue and Customs,C=GB`.
    pub subject: &'a str,
    /// Its first second, in Unix time.
    pub from: u64,
    /// Its last second, in Unix time.
    pub until: u64,
}

/// Why a certificate cannot be issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A key of another kind.
    #[error("authorities and keys of this kind are Ed25519: make such a key")]
    Algorithm,
    /// The authority's key does not sign.
    #[error("the authority's key does not sign: {0}")]
    Key(#[from] KeyError),
    /// A name, a time or a policy that cannot be written.
    #[error("the certificate cannot be written so: {0}")]
    Wording(#[from] der::Error),
    /// It would not hold.
    #[error("the certificate would not hold: {0}")]
    Fault(Fault),
}

/// An authority's own certificate, signed by itself.
///
/// # Errors
/// See [`IssueError`].
pub fn issue_authority(key: &SigningKey, wording: &Wording<'_>) -> Result<Certificate, IssueError> {
    let public = ed25519(&key.public())?;
    let extensions = [
        extension(true, &BasicConstraints { ca: true, path_len_constraint: None })?,
        extension(true, &KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?,
        extension(false, &SubjectKeyIdentifier(key_id(&public)?))?,
    ];
    let name = Name::from_str(wording.subject)?;
    write(wording, &name, &public, &extensions, key)
}

/// The certificate of a principal's key, issued by an authority under a certificate policy.
///
/// # Errors
/// See [`IssueError`].
pub fn issue(
    (authority, authority_key): (&Certificate, &SigningKey),
    key: &PublicKey,
    policy: &str,
    wording: &Wording<'_>,
) -> Result<Certificate, IssueError> {
    let policy_identifier = ObjectIdentifier::new(policy).map_err(der::Error::from)?;
    let policies = CertificatePolicies(vec![PolicyInformation { policy_identifier, policy_qualifiers: None }]);
    let key_identifier = Some(key_id(&ed25519(&authority_key.public())?)?);
    let extensions = [
        extension(true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
        extension(false, &AuthorityKeyIdentifier { key_identifier, ..Default::default() })?,
        extension(false, &policies)?,
    ];
    write(wording, authority.subject(), &ed25519(key)?, &extensions, authority_key)
}

fn write(
    wording: &Wording<'_>,
    issuer: &Name,
    key: &[u8; 32],
    extensions: &[Extension],
    authority: &SigningKey,
) -> Result<Certificate, IssueError> {
    ed25519(&authority.public())?;
    let algorithm = AlgorithmIdentifierOwned { oid: ED25519, parameters: None };
    let mut serial = wording.serial;
    // Positive, and never shorter than it is.
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    let time = |seconds| DateTime::from_unix_duration(Duration::from_secs(seconds)).map(Time::from);
    let validity: Validity = Validity::new(time(wording.from)?, time(wording.until)?);
    let extensions = framed(Tag::Sequence, &parts(extensions)?)?;
    let body = framed(
        Tag::Sequence,
        &[
            framed(context(0), &UintRef::new(&[2])?.to_der()?)?,
            UintRef::new(&serial)?.to_der()?,
            algorithm.to_der()?,
            issuer.to_der()?,
            validity.to_der()?,
            Name::from_str(wording.subject)?.to_der()?,
            SubjectPublicKeyInfoOwned { algorithm: algorithm.clone(), subject_public_key: BitString::from_bytes(key)? }
                .to_der()?,
            framed(context(3), &extensions)?,
        ]
        .concat(),
    )?;
    let signature = BitString::from_bytes(&authority.sign(&body)?)?;
    let whole = framed(Tag::Sequence, &[body, algorithm.to_der()?, signature.to_der()?].concat())?;
    Certificate::parse(&whole).map_err(IssueError::Fault)
}

const fn context(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

fn parts(values: &[impl Encode]) -> Result<Vec<u8>, der::Error> {
    let parts = values.iter().map(Encode::to_der);
    Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
}

fn framed(tag: Tag, content: &[u8]) -> Result<Vec<u8>, der::Error> {
    let mut bytes = Header::new(tag, Length::try_from(content.len())?).to_der()?;
    bytes.extend_from_slice(content);
    Ok(bytes)
}

fn extension<X: AssociatedOid + Encode>(critical: bool, value: &X) -> Result<Extension, der::Error> {
    Ok(Extension { extn_id: X::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

fn ed25519(key: &PublicKey) -> Result<[u8; 32], IssueError> {
    match key {
        PublicKey::Ed25519(key) => Ok(*key),
        PublicKey::P256(_) => Err(IssueError::Algorithm),
    }
}

fn key_id(key: &[u8; 32]) -> Result<OctetString, der::Error> {
    let hash = Hash::of(&[key]);
    OctetString::new(hash.0.iter().copied().take(KEY_ID_BYTES).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::x509::{Document, PRINCIPAL_PURPOSES, Path, PathFault, Terms, check, read};

    const POLICY: &str = "1.2.826.0.1.2";

    fn wording(subject: &str) -> Wording<'_> {
        Wording { serial: [0; 16], subject, from: 1_000, until: 3_000_000_000 }
    }

    fn judge<'c>(chain: &[&'c Certificate], at: u64) -> Result<Path<'c>, PathFault> {
        check(chain, Terms { at, purposes: PRINCIPAL_PURPOSES, lists: &[] })
    }

    #[test]
    fn what_is_issued_holds_under_its_authority_and_no_other() {
        let [root_key, other_key, clerk_key] = [1, 2, 3].map(|seed| SigningKey::from_ed25519_seed(&[seed; 32]));
        let root = issue_authority(&root_key, &wording("CN=Root,O=Revenue & Customs,C=GB")).unwrap();
        let other = issue_authority(&other_key, &wording("CN=Root,O=Revenue & Customs,C=GB")).unwrap();
        let clerk = issue((&root, &root_key), &clerk_key.public(), POLICY, &wording("CN=Clerk,C=GB")).unwrap();
        let path = judge(&[&clerk, &root], 2_000).unwrap();
        assert_eq!(path.policies.iter().map(ToString::to_string).collect::<Vec<_>>(), [POLICY]);
        assert_eq!((path.not_after, clerk.public_key()), (3_000_000_000, Some(clerk_key.public())));
        assert!(judge(&[&root], 2_000).is_ok(), "it may be an authority");
        assert!(judge(&[&clerk, &other], 2_000).is_err(), "another authority of that name did not issue it");
        assert!(judge(&[&clerk, &root], 999).is_err() && judge(&[&clerk, &root], 3_000_000_001).is_err());
        let [Document::Certificate(again)] = &read(root.pem().unwrap().as_bytes()).unwrap()[..] else { unreachable!() };
        assert_eq!(again.der(), root.der());
    }

    #[test]
    fn what_cannot_be_issued_is_refused() {
        let key = SigningKey::from_ed25519_seed(&[1; 32]);
        let root = issue_authority(&key, &wording("CN=Root")).unwrap();
        let p256 = SigningKey::from_p256_scalar(&[7; 32]).unwrap();
        assert!(matches!(issue_authority(&p256, &wording("CN=Root")), Err(IssueError::Algorithm)));
        assert!(issue_authority(&key, &wording("")).is_err(), "nobody's");
        let public = key.public();
        assert!(matches!(issue((&root, &key), &public, "high", &wording("CN=A")), Err(IssueError::Wording(_))));
        let backwards = Wording { from: 9, until: 8, ..wording("CN=A") };
        assert!(matches!(issue((&root, &key), &public, POLICY, &backwards), Err(IssueError::Fault(_))));
    }
}
