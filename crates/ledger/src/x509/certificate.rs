//! One certificate, held to the profile of RFC 5280 section 4.

use super::{
    constraints::check_constraints,
    fault::Fault,
    name,
    signature::{check_signature, malformed, signed_part},
};
use std::collections::BTreeSet;
use tallystick_protocol::{
    Hash, PublicKey,
    limits::{X509_BYTES_MAX, X509_SERIAL_BYTES_MAX},
};
use x509_cert::{
    Version,
    der::{Decode, Encode as _, EncodePem as _, asn1::ObjectIdentifier, oid::AssociatedOid, pem::LineEnding},
    ext::{
        Extension,
        pkix::{
            AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies, ExtendedKeyUsage,
            FreshestCrl, KeyUsage, NameConstraints, PolicyConstraints, PolicyMappings, SubjectAltName,
            SubjectInfoAccessSyntax, SubjectKeyIdentifier,
            name::{GeneralName, GeneralNames},
        },
    },
    name::Name,
    spki::SubjectPublicKeyInfoOwned,
};

pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const INHIBIT_ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.54");

/// A certificate that keeps to the profile. Whether to trust it is another question: [`super::check`].
#[derive(Debug, Clone)]
pub struct Certificate {
    der: Vec<u8>,
    inner: x509_cert::Certificate,
    /// The bytes that are signed, as they stand.
    signed: Vec<u8>,
    extensions: Extensions,
}

/// What the extensions that are understood say.
#[derive(Debug, Clone, Default)]
struct Extensions {
    basic: Option<(bool, BasicConstraints)>,
    key_usage: Option<KeyUsage>,
    extended_key_usage: Option<ExtendedKeyUsage>,
    alternative_names: Option<(bool, GeneralNames)>,
    name_constraints: Option<NameConstraints>,
    policies: Option<CertificatePolicies>,
    subject_key: Option<SubjectKeyIdentifier>,
    authority_key: Option<AuthorityKeyIdentifier>,
}

impl Certificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// When it does not keep to the profile.
    pub fn parse(der: &[u8]) -> Result<Self, Fault> {
        if der.len() > X509_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let inner = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        let signed = signed_part(der)?;
        let mut certificate = Self { der: der.to_vec(), inner, signed, extensions: Extensions::default() };
        certificate.check_fields()?;
        let extensions = certificate.inner.tbs_certificate().extensions();
        certificate.extensions = Extensions::read(extensions.map_or(&[], Vec::as_slice))?;
        certificate.check_extensions()?;
        Ok(certificate)
    }

    fn check_fields(&self) -> Result<(), Fault> {
        let body = self.inner.tbs_certificate();
        if body.version() != Version::V3 {
            return Err(Fault::Version);
        }
        if body.signature() != self.inner.signature_algorithm() {
            return Err(Fault::AlgorithmMismatch);
        }
        let serial = self.serial();
        let positive = serial.iter().any(|byte| *byte != 0) && serial.first().is_some_and(|byte| *byte < 0x80);
        if !positive || serial.len() > X509_SERIAL_BYTES_MAX {
            return Err(Fault::Serial);
        }
        if self.issuer().is_empty() {
            return Err(Fault::IssuerEmpty);
        }
        if self.not_before() > self.not_after() {
            return Err(Fault::Validity);
        }
        Ok(())
    }

    fn check_extensions(&self) -> Result<(), Fault> {
        let extensions = &self.extensions;
        let names = self.alternative_names();
        names.iter().try_for_each(name::check)?;
        if extensions.alternative_names.as_ref().is_some_and(|(_, names)| names.is_empty()) {
            return Err(Fault::ExtensionMalformed("subject alternative name"));
        }
        if let Some(constraints) = &extensions.name_constraints {
            check_constraints(constraints)?;
        }
        let names_issuers_key = extensions.authority_key.as_ref().is_some_and(|key| key.key_identifier.is_some());
        if !names_issuers_key && !self.is_self_issued() {
            return Err(Fault::ExtensionMissing("authority key identifier"));
        }
        if self.is_authority() { self.check_authority() } else { self.check_end() }
    }

    fn check_authority(&self) -> Result<(), Fault> {
        if self.extensions.basic.as_ref().is_some_and(|(critical, _)| !critical) {
            return Err(Fault::Criticality("basic constraints", true));
        }
        if self.subject().is_empty() {
            return Err(Fault::SubjectEmpty);
        }
        if self.extensions.subject_key.is_none() {
            return Err(Fault::ExtensionMissing("subject key identifier"));
        }
        if self.extensions.key_usage.as_ref().is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(Fault::KeyUsage);
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), Fault> {
        if self.extensions.key_usage.as_ref().is_some_and(KeyUsage::key_cert_sign) {
            return Err(Fault::AuthorityOnly("the key usage of signing certificates"));
        }
        if self.extensions.name_constraints.is_some() {
            return Err(Fault::AuthorityOnly("name constraints"));
        }
        if self.extensions.basic.as_ref().is_some_and(|(_, basic)| basic.path_len_constraint.is_some()) {
            return Err(Fault::AuthorityOnly("a path length"));
        }
        let named_otherwise = self.extensions.alternative_names.as_ref().is_some_and(|(critical, _)| *critical);
        if self.subject().is_empty() && !named_otherwise {
            return Err(Fault::SubjectEmpty);
        }
        Ok(())
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As files hold it.
    ///
    /// # Errors
    /// When it cannot be written again, which would be a fault of ours.
    pub fn pem(&self) -> Result<String, Fault> {
        self.inner.to_pem(LineEnding::LF).map_err(malformed)
    }

    /// Whose it is.
    pub fn subject(&self) -> &Name {
        self.inner.tbs_certificate().subject()
    }

    /// Who issued it.
    pub fn issuer(&self) -> &Name {
        self.inner.tbs_certificate().issuer()
    }

    /// Its first second, in Unix time.
    pub fn not_before(&self) -> u64 {
        self.inner.tbs_certificate().validity().not_before.to_unix_duration().as_secs()
    }

    /// Its last second, in Unix time.
    pub fn not_after(&self) -> u64 {
        self.inner.tbs_certificate().validity().not_after.to_unix_duration().as_secs()
    }

    /// Whether it may issue others.
    pub fn is_authority(&self) -> bool {
        self.extensions.basic.as_ref().is_some_and(|(_, basic)| basic.ca)
    }

    /// Whether subject and issuer have the same name.
    pub fn is_self_issued(&self) -> bool {
        name::canonical(self.subject()) == name::canonical(self.issuer())
    }

    /// Its other names.
    pub fn alternative_names(&self) -> &[GeneralName] {
        self.extensions.alternative_names.as_ref().map_or(&[], |(_, names)| names.as_slice())
    }

    /// The policies under which it was issued.
    pub fn policies(&self) -> BTreeSet<ObjectIdentifier> {
        let policies = self.extensions.policies.iter().flat_map(|policies| &policies.0);
        policies.map(|policy| policy.policy_identifier).collect()
    }

    /// Authorities that may stand between it and the last certificate.
    pub(super) fn path_length(&self) -> Option<usize> {
        self.extensions.basic.as_ref().and_then(|(_, basic)| basic.path_len_constraint).map(usize::from)
    }

    pub(super) fn name_constraints(&self) -> Option<&NameConstraints> {
        self.extensions.name_constraints.as_ref()
    }

    /// Whether its key may be used for one of these purposes, if there are any: those it names, or all when it names none.
    pub(super) fn serves(&self, purposes: &[ObjectIdentifier]) -> bool {
        let Some(usage) = self.extensions.extended_key_usage.as_ref().filter(|_| !purposes.is_empty()) else {
            return true;
        };
        usage.0.iter().any(|purpose| purposes.contains(purpose))
    }

    /// Whether `issuer` could have issued it, by the names and key identifiers of both.
    pub(super) fn names_as_issuer(&self, issuer: &Self) -> bool {
        let wanted = self.extensions.authority_key.as_ref().and_then(|key| key.key_identifier.as_ref());
        let has = issuer.extensions.subject_key.as_ref().map(|key| &key.0);
        let same_key = wanted.is_none() || has.is_none() || wanted == has;
        same_key && name::canonical(self.issuer()) == name::canonical(issuer.subject())
    }

    /// Checks the signature of `issuer` on it.
    pub(super) fn check_signature(&self, issuer: &Self) -> Result<(), Fault> {
        check_signature(&self.signed, self.inner.signature_algorithm(), self.inner.signature(), issuer)
    }

    pub(super) fn public_key_info(&self) -> &SubjectPublicKeyInfoOwned {
        self.inner.tbs_certificate().subject_public_key_info()
    }

    /// Its key, if it is of a kind that signs transactions.
    pub fn public_key(&self) -> Option<PublicKey> {
        let info = self.public_key_info();
        let bytes = info.subject_public_key.as_bytes()?;
        let curve = info.algorithm.parameters.as_ref().and_then(|curve| curve.decode_as::<ObjectIdentifier>().ok());
        match (info.algorithm.oid, bytes) {
            (ED25519, _) => bytes.try_into().ok().map(PublicKey::Ed25519),
            (EC_PUBLIC_KEY, [4, point @ ..]) if curve == Some(P256) => {
                let (x, y) = point.split_at_checked(32).filter(|(_, y)| y.len() == 32)?;
                let sign = 2 + (y.last()? & 1);
                [&[sign], x].concat().try_into().ok().map(PublicKey::P256)
            }
            (EC_PUBLIC_KEY, [2 | 3, ..]) if curve == Some(P256) => bytes.try_into().ok().map(PublicKey::P256),
            _ => None,
        }
    }

    /// What its name and key are told by, as an issuer: certificates of the same issuer agree in it.
    pub fn issuer_id(&self) -> Hash {
        let name = self.subject().to_der().unwrap_or_default();
        let key = self.public_key_info().to_der().unwrap_or_default();
        let length = u64::try_from(name.len()).unwrap_or(u64::MAX).to_be_bytes();
        Hash::of(&[&length, &name, &key])
    }

    /// Its number among those of its issuer.
    pub fn serial(&self) -> &[u8] {
        self.inner.tbs_certificate().serial_number().as_bytes()
    }

    /// Whether its key may sign revocation lists.
    pub(super) fn signs_lists(&self) -> bool {
        self.extensions.key_usage.as_ref().is_none_or(KeyUsage::crl_sign)
    }
}

impl Extensions {
    fn read(list: &[Extension]) -> Result<Self, Fault> {
        let mut extensions = Self::default();
        let mut seen = BTreeSet::new();
        for extension in list {
            if !seen.insert(extension.extn_id) {
                return Err(Fault::ExtensionTwice(extension.extn_id));
            }
            extensions.read_one(extension)?;
        }
        Ok(extensions)
    }

    fn read_one(&mut self, extension: &Extension) -> Result<(), Fault> {
        let critical = extension.critical;
        match extension.extn_id {
            BasicConstraints::OID => self.basic = Some((critical, value(extension, "basic constraints")?)),
            KeyUsage::OID => self.key_usage = Some(key_usage(extension)?),
            ExtendedKeyUsage::OID => self.extended_key_usage = Some(purposes(extension)?),
            SubjectAltName::OID => {
                let SubjectAltName(names) = value(extension, "subject alternative name")?;
                self.alternative_names = Some((critical, names));
            }
            NameConstraints::OID => {
                require(extension, "name constraints", true)?;
                self.name_constraints = Some(value(extension, "name constraints")?);
            }
            CertificatePolicies::OID => self.policies = Some(value(extension, "certificate policies")?),
            SubjectKeyIdentifier::OID => {
                require(extension, "subject key identifier", false)?;
                self.subject_key = Some(value(extension, "subject key identifier")?);
            }
            AuthorityKeyIdentifier::OID => {
                require(extension, "authority key identifier", false)?;
                self.authority_key = Some(value(extension, "authority key identifier")?);
            }
            PolicyMappings::OID => return Err(Fault::PolicyRefused("policy mappings")),
            PolicyConstraints::OID => return Err(Fault::PolicyRefused("policy constraints")),
            INHIBIT_ANY_POLICY => return Err(Fault::PolicyRefused("inhibited policies")),
            AuthorityInfoAccessSyntax::OID => require(extension, "authority information access", false)?,
            SubjectInfoAccessSyntax::OID => require(extension, "subject information access", false)?,
            FreshestCrl::OID => require(extension, "freshest revocation list", false)?,
            unknown if critical => return Err(Fault::ExtensionUnknown(unknown)),
            _ => {}
        }
        Ok(())
    }
}

fn require(extension: &Extension, name: &'static str, critical: bool) -> Result<(), Fault> {
    if extension.critical == critical { Ok(()) } else { Err(Fault::Criticality(name, critical)) }
}

fn value<T: for<'a> Decode<'a> + AssociatedOid>(extension: &Extension, name: &'static str) -> Result<T, Fault> {
    T::from_der(extension.extn_value.as_bytes()).map_err(|_| Fault::ExtensionMalformed(name))
}

fn key_usage(extension: &Extension) -> Result<KeyUsage, Fault> {
    let usage: KeyUsage = value(extension, "key usage")?;
    if usage.0.is_empty() { Err(Fault::ExtensionMalformed("key usage")) } else { Ok(usage) }
}

fn purposes(extension: &Extension) -> Result<ExtendedKeyUsage, Fault> {
    let usage: ExtendedKeyUsage = value(extension, "extended key usage")?;
    if usage.0.is_empty() { Err(Fault::ExtensionMalformed("extended key usage")) } else { Ok(usage) }
}
