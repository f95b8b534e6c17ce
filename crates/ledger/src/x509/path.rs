//! Chains of certificates: RFC 5280 section 6.1, without policy mapping.

use super::{
    certificate::Certificate,
    constraints::permit,
    fault::{Fault, PathFault},
    revocation::RevocationList,
};
use crate::moment::format_timestamp;
use std::collections::BTreeSet;
use tallystick_protocol::limits::{X509_PATH_MAX, X509_TRIES_MAX};
use x509_cert::der::asn1::ObjectIdentifier;

const ANY_POLICY: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32.0");

/// A chain that holds.
#[derive(Debug, Clone)]
pub struct Path<'a> {
    /// The certificate in question, those between, and the authority.
    pub certificates: Vec<&'a Certificate>,
    /// The policies that the certificate asserts and every authority between may assert.
    pub policies: BTreeSet<ObjectIdentifier>,
    /// The last second at which all of them are valid, in Unix time.
    pub not_after: u64,
}

/// The purpose that a principal's certificate must allow, if it names any: TLS client authentication (RFC 5280 section
/// 4.2.1.12), which is how authorities say "this person or program may identify itself".
pub const PRINCIPAL_PURPOSES: &[ObjectIdentifier] = &[ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2")];

/// What a chain is held to.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'t> {
    /// The time, in Unix seconds.
    pub at: u64,
    /// Purposes of which one must be allowed (OIDs of extended key usages); when there are none, none is asked for.
    pub purposes: &'t [ObjectIdentifier],
    /// What the authorities have revoked.
    pub lists: &'t [RevocationList],
}

/// Judges a chain: the certificate in question first, the trusted authority last, each issued by the next one.
///
/// # Errors
/// The first fault, from the authority down.
pub fn check<'a>(chain: &[&'a Certificate], terms: Terms<'_>) -> Result<Path<'a>, PathFault> {
    if chain.len() > X509_PATH_MAX {
        return Err(PathFault::TooLong(chain.len()));
    }
    for index in (0..chain.len()).rev() {
        check_link(chain, index, terms).map_err(|fault| PathFault::Certificate {
            position: index + 1,
            subject: chain.get(index).map_or_else(String::new, |certificate| certificate.subject().to_string()),
            fault,
        })?;
    }
    Ok(Path {
        certificates: chain.to_vec(),
        policies: policies(chain),
        not_after: chain.iter().map(|certificate| certificate.not_after()).min().unwrap_or_default(),
    })
}

/// Judges a chain whose first certificate is an issuer's: as [`check`], and it must be an authority's.
///
/// # Errors
/// The first fault, from the authority down.
pub fn check_issuer<'a>(chain: &[&'a Certificate], terms: Terms<'_>) -> Result<Path<'a>, PathFault> {
    let path = check(chain, terms)?;
    match path.certificates.first() {
        Some(issuer) if !issuer.is_authority() => Err(PathFault::Certificate {
            position: 1,
            subject: issuer.subject().to_string(),
            fault: Fault::NotAuthority,
        }),
        _ => Ok(path),
    }
}

/// Checks one certificate of a chain against those above it.
fn check_link(chain: &[&Certificate], index: usize, terms: Terms<'_>) -> Result<(), Fault> {
    let (below, above) = chain.split_at_checked(index).unwrap_or_default();
    let Some((certificate, above)) = above.split_first() else { return Ok(()) };
    let is_last = below.is_empty();
    if let Some(issuer) = above.first() {
        if !certificate.names_as_issuer(issuer) {
            return Err(Fault::Issuer);
        }
        certificate.check_signature(issuer)?;
        for list in terms.lists.iter().filter(|list| list.is_of(issuer)) {
            list.check_issuer(issuer)?;
            if list.revokes(certificate) {
                return Err(Fault::Revoked);
            }
        }
    }
    if terms.at < certificate.not_before() {
        return Err(Fault::NotYetValid(format_timestamp(certificate.not_before())));
    }
    if terms.at > certificate.not_after() {
        return Err(Fault::Expired(format_timestamp(certificate.not_after())));
    }
    if is_last || !certificate.is_self_issued() {
        let constraints = above.iter().filter_map(|authority| authority.name_constraints());
        constraints.into_iter().try_for_each(|constraints| permit(constraints, certificate))?;
    }
    if !is_last || above.is_empty() {
        if !certificate.is_authority() {
            return Err(Fault::NotAuthority);
        }
        let between = below.iter().skip(1).filter(|authority| !authority.is_self_issued()).count();
        if certificate.path_length().is_some_and(|most| between > most) {
            return Err(Fault::PathLength);
        }
    }
    if !above.is_empty() && !certificate.serves(terms.purposes) {
        return Err(Fault::Purpose);
    }
    Ok(())
}

/// Policies that the first certificate asserts, as far as those between do (RFC 5280 section 6.1.3 (d), without mapping).
fn policies(chain: &[&Certificate]) -> BTreeSet<ObjectIdentifier> {
    let Some((first, above)) = chain.split_first() else { return BTreeSet::new() };
    let between = above.split_last().map_or(&[][..], |(_, between)| between);
    let mut policies = first.policies();
    for authority in between {
        let allowed = authority.policies();
        if !allowed.contains(&ANY_POLICY) {
            policies.retain(|policy| allowed.contains(policy));
        }
    }
    policies
}

/// Looks for a chain from `certificate` through `others` to one of `authorities` that holds, shorter ones first.
///
/// # Errors
/// Why the chain that came furthest does not hold.
pub fn find<'a>(
    certificate: &'a Certificate,
    others: &'a [Certificate],
    authorities: &'a [Certificate],
    terms: Terms<'_>,
) -> Result<Path<'a>, PathFault> {
    let mut fault = PathFault::NoAuthority { subject: certificate.subject().to_string() };
    let mut tries = 0;
    let mut open = vec![vec![certificate]];
    while !open.is_empty() {
        let mut longer = Vec::new();
        for chain in open {
            let Some(last) = chain.last() else { continue };
            for authority in authorities.iter().filter(|authority| last.names_as_issuer(authority)) {
                tries += 1;
                let whole: Vec<_> = chain.iter().copied().chain([authority]).collect();
                match check(&whole, terms) {
                    Ok(path) => return Ok(path),
                    Err(error) => fault = error,
                }
            }
            for other in others.iter().filter(|other| last.names_as_issuer(other)) {
                if chain.len() + 1 < X509_PATH_MAX && !chain.iter().any(|one| std::ptr::eq(*one, other)) {
                    longer.push(chain.iter().copied().chain([other]).collect());
                }
            }
            if tries + longer.len() > X509_TRIES_MAX {
                return Err(PathFault::TooManyTries);
            }
        }
        open = longer;
    }
    Err(fault)
}
