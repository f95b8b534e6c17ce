//! Revocation lists (RFC 5280 section 5): which certificates an authority has taken back.
//!
//! Whole lists only: delta lists, indirect lists and lists of a part say so in critical extensions, and are refused.

use super::{
    certificate::Certificate,
    fault::Fault,
    name::canonical,
    signature::{check_signature, malformed, signed_part},
};
use std::collections::BTreeSet;
use tallystick_protocol::limits::X509_LIST_BYTES_MAX;
use x509_cert::{
    crl::CertificateList,
    der::{Decode as _, asn1::Uint, oid::AssociatedOid as _},
    ext::pkix::CrlNumber,
};

/// An authority's list of the certificates that it has revoked.
#[derive(Debug, Clone)]
pub struct RevocationList {
    der: Vec<u8>,
    inner: CertificateList,
    signed: Vec<u8>,
    number: Vec<u8>,
    serials: BTreeSet<Vec<u8>>,
}

impl RevocationList {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// When it does not keep to the profile, or is not a whole list.
    pub fn parse(der: &[u8]) -> Result<Self, Fault> {
        if der.len() > X509_LIST_BYTES_MAX {
            return Err(Fault::ListTooLong);
        }
        let inner = CertificateList::from_der(der).map_err(malformed)?;
        let signed = signed_part(der)?;
        let body = &inner.tbs_cert_list;
        if body.signature != inner.signature_algorithm {
            return Err(Fault::AlgorithmMismatch);
        }
        if body.issuer.is_empty() {
            return Err(Fault::IssuerEmpty);
        }
        let number = number(&inner)?;
        let revoked = body.revoked_certificates.iter().flatten();
        let entries = revoked.clone().flat_map(|entry| entry.crl_entry_extensions.iter().flatten());
        if let Some(unknown) = entries.into_iter().find(|extension| extension.critical) {
            return Err(Fault::ExtensionUnknown(unknown.extn_id));
        }
        let serials = revoked.map(|entry| entry.serial_number.as_bytes().to_vec()).collect();
        Ok(Self { der: der.to_vec(), inner, signed, number, serials })
    }

    /// Its bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its number: a later list of the same authority has a greater one. Big-endian, without leading zeros.
    pub fn number(&self) -> &[u8] {
        &self.number
    }

    /// Whether its number is greater than this one.
    pub fn is_later_than(&self, number: &[u8]) -> bool {
        (self.number.len(), self.number.as_slice()) > (number.len(), number)
    }

    /// When it was issued, in Unix seconds.
    pub fn this_update(&self) -> u64 {
        self.inner.tbs_cert_list.this_update.to_unix_duration().as_secs()
    }

    /// By when a later one is due, in Unix seconds.
    pub fn next_update(&self) -> Option<u64> {
        self.inner.tbs_cert_list.next_update.map(|time| time.to_unix_duration().as_secs())
    }

    /// The serial numbers of the certificates that it names, sorted.
    pub fn serials(&self) -> impl Iterator<Item = &[u8]> {
        self.serials.iter().map(Vec::as_slice)
    }

    /// Whether `authority` is the one that it names as its issuer.
    pub fn is_of(&self, authority: &Certificate) -> bool {
        canonical(&self.inner.tbs_cert_list.issuer) == canonical(authority.subject())
    }

    /// Checks that `authority` signed it, and may.
    ///
    /// # Errors
    /// When not.
    pub fn check_issuer(&self, authority: &Certificate) -> Result<(), Fault> {
        if !self.is_of(authority) || !authority.signs_lists() {
            return Err(Fault::ListIssuer);
        }
        check_signature(&self.signed, &self.inner.signature_algorithm, &self.inner.signature, authority)
    }

    /// Whether a certificate of this authority is on it.
    pub fn revokes(&self, certificate: &Certificate) -> bool {
        self.serials.contains(certificate.serial())
    }
}

/// The list's number; refuses critical extensions, which all narrow what a list says.
fn number(list: &CertificateList) -> Result<Vec<u8>, Fault> {
    let mut number = None;
    for extension in list.tbs_cert_list.crl_extensions.iter().flatten() {
        if extension.critical {
            return Err(Fault::ExtensionUnknown(extension.extn_id));
        }
        if extension.extn_id == CrlNumber::OID {
            let value = Uint::from_der(extension.extn_value.as_bytes());
            let value = value.map_err(|_| Fault::ExtensionMalformed("number"))?;
            if number.replace(value.as_bytes().to_vec()).is_some() {
                return Err(Fault::ExtensionTwice(CrlNumber::OID));
            }
        }
    }
    number.ok_or(Fault::ExtensionMissing("number"))
}
