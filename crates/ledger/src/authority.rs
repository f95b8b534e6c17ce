//! Certificate authorities: which an organisation has, and the keys that were certified under them.
//!
//! An organisation's administrator admits its authorities and retires them. A key is certified by a chain of certificates
//! that ends at one of them: the chain stands in the transaction, so that every node, and every auditor after, judges the
//! same chain at the same time. From then on the key ends with the first of its certificates to end.
//!
//! A principal certifies its own key without an administrator: the authority has vouched for it. It may do so when the key
//! has expired, which is how a renewal mends what an expiry stopped.

use std::sync::Arc;

use tallystick_protocol::{Code, Hash, PublicKey, StateKey, Violation, ViolationRule, operation::PrincipalId};

use crate::{
    apply::{Act, Stop},
    organisation::administered,
    state::{AuthorityRow, Draft, PrincipalRow, Row},
    x509::{self, Certificate, Fault, PRINCIPAL_PURPOSES, PathFault, Terms},
};

pub(crate) fn admit(draft: &mut Draft<'_>, act: &Act<'_>, certificate: &[u8]) -> Result<(), Stop> {
    act.require_administrator()?;
    let key = StateKey::authority(&Hash::of(&[certificate]));
    if draft.authority(&key)?.is_some() {
        return Err(Code::AuthorityExists.into());
    }
    let authority = parse(0, certificate)?;
    x509::check(&[&authority], terms(act)).map_err(invalid)?;
    let row = AuthorityRow {
        organisation: act.organisation().to_owned(),
        certificate: certificate.to_vec(),
        from_ms: act.block.time_ms,
        retired_ms: None,
    };
    draft.write(key, Row::Authority(row));
    Ok(())
}

pub(crate) fn retire(draft: &mut Draft<'_>, act: &Act<'_>, authority: &Hash) -> Result<(), Stop> {
    act.require_administrator()?;
    let mut row = in_use(draft, act, authority)?;
    row.retired_ms = Some(act.block.time_ms);
    draft.write(StateKey::authority(authority), Row::Authority(row));
    Ok(())
}

pub(crate) fn certify(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
    authority: &Hash,
    chain: &[Vec<u8>],
) -> Result<(), Stop> {
    let mut principal =
        if *subject == act.signer.id { itself(draft, subject)? } else { administered(draft, act, subject)? };
    let held = principal.keys.iter_mut().find(|held| held.key == *key && held.is_active());
    let held = held.ok_or(Code::SubjectKeyUnknown)?;
    let row = in_use(draft, act, authority)?;
    let mut certificates = Vec::with_capacity(chain.len() + 1);
    for (position, certificate) in chain.iter().chain([&row.certificate]).enumerate() {
        certificates.push(parse(position, certificate)?);
    }
    let path = x509::check(&certificates.iter().collect::<Vec<_>>(), terms(act)).map_err(invalid)?;
    if certificates.first().and_then(Certificate::public_key) != Some(*key) {
        return Err(broken(0, ViolationRule::CertificateKey));
    }
    // A certificate is valid through its last second.
    held.until_ms = Some(path.not_after.saturating_add(1).saturating_mul(1_000));
    draft.write(StateKey::principal(subject), Row::Principal(Arc::new(principal)));
    Ok(())
}

/// The signer as the draft has it: an operation before this one may have changed its keys.
fn itself(draft: &mut Draft<'_>, id: &PrincipalId) -> Result<PrincipalRow, Stop> {
    Ok(PrincipalRow::clone(draft.principal(&StateKey::principal(id))?.ok_or(Code::SubjectUnknown)?))
}

/// The authority, if it is one of the signer's organisation and not retired.
fn in_use(draft: &mut Draft<'_>, act: &Act<'_>, authority: &Hash) -> Result<AuthorityRow, Stop> {
    let row = draft.authority(&StateKey::authority(authority))?.filter(|row| row.organisation == act.organisation());
    let row = row.ok_or(Code::AuthorityUnknown)?.clone();
    if row.retired_ms.is_some() { Err(Code::AuthorityRetired.into()) } else { Ok(row) }
}

fn terms<'t>(act: &Act<'_>) -> Terms<'t> {
    Terms { at: act.block.time_seconds(), purposes: PRINCIPAL_PURPOSES, lists: &[] }
}

fn parse(position: usize, certificate: &[u8]) -> Result<Certificate, Stop> {
    Certificate::parse(certificate).map_err(|fault| broken(position, fault.rule()))
}

fn invalid(fault: PathFault) -> Stop {
    match fault {
        PathFault::Certificate { position, fault, .. } => broken(position.saturating_sub(1), fault.rule()),
        PathFault::NoAuthority { .. } | PathFault::TooLong(_) | PathFault::TooManyTries => {
            broken(0, Fault::Issuer.rule())
        }
    }
}

/// What is wrong with one certificate, the key's own being number 0.
fn broken(position: usize, rule: ViolationRule) -> Stop {
    let entry = u32::try_from(position).unwrap_or(u32::MAX);
    Stop::Refused(Code::CertificateInvalid, vec![Violation { entry, field: String::new(), rule }])
}
