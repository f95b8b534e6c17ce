//! Certificate authorities: which an organisation has, and the keys that were certified under them.
//!
//! The members admit an organisation's authorities, by proposal; its administrator retires them. A key is certified by a chain of certificates
//! that ends at one of them: the chain stands in the transaction, so that every node, and every auditor after, judges the
//! same chain at the same time. From then on the key ends with the first of its certificates to end.
//!
//! An administrator posts what the authorities have revoked. A revoked certificate certifies no key, from then on and for
//! ever; a key that it has certified before signs until it ends or is retired.
//!
//! A principal may certify its own key when it has expired, which is how a renewal mends what an expiry stopped.

use std::sync::Arc;

use tallystick_protocol::{
    Assurance, AuthorityTerms, ChangeKind, Code, Hash, PublicKey, StateKey, Violation, ViolationRule,
    operation::PrincipalId,
};

use crate::{
    apply::{Act, BlockContext, Stop},
    authorise::Resource,
    moment::format_timestamp,
    principal::permitted,
    rulebook,
    state::{AuthorityRow, Draft, RevocationRow, RevokedRow, Row},
    x509::{self, Certificate, Fault, PRINCIPAL_PURPOSES, PathFault, RevocationList, Terms},
};

pub(crate) fn admit(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    certificate: &[u8],
    trust: &AuthorityTerms,
) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    rulebook::require_direct(draft, ChangeKind::AuthorityAdmit)?;
    admit_for(draft, act.block, act.organisation(), (certificate, trust))
}

/// Admits an authority of the organisation.
pub(crate) fn admit_for(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    organisation: &str,
    (certificate, trust): (&[u8], &AuthorityTerms),
) -> Result<(), Stop> {
    let key = StateKey::authority(organisation, &Hash::of(&[certificate]));
    if draft.authority(&key)?.is_some() {
        return Err(Code::AuthorityExists.into());
    }
    let authority = parse(0, certificate)?;
    x509::check(&[&authority], terms(block)).map_err(invalid)?;
    let row = AuthorityRow {
        organisation: organisation.to_owned(),
        certificate: certificate.to_vec(),
        from_ms: block.time_ms,
        retired_ms: None,
        terms: trust.clone(),
    };
    draft.write(key, Row::Authority(row));
    Ok(())
}

pub(crate) fn retire(draft: &mut Draft<'_>, act: &Act<'_>, authority: &Hash) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    rulebook::require_direct(draft, ChangeKind::AuthorityRetire)?;
    retire_for(draft, act.block, act.organisation(), authority)
}

/// Retires an authority of the organisation.
pub(crate) fn retire_for(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    organisation: &str,
    authority: &Hash,
) -> Result<(), Stop> {
    let mut row = in_use(draft, organisation, authority)?;
    row.retired_ms = Some(block.time_ms);
    draft.write(StateKey::authority(organisation, authority), Row::Authority(row));
    Ok(())
}

/// Whose certificate it is and until when it is valid, for people.
pub(crate) fn told(certificate: &[u8]) -> (String, String) {
    match Certificate::parse(certificate) {
        Ok(certificate) => (certificate.subject().to_string(), format_timestamp(certificate.not_after())),
        Err(fault) => (fault.to_string(), String::new()),
    }
}

/// Whether it is no certificate that could be admitted at any time.
pub(crate) fn is_malformed(certificate: &[u8]) -> bool {
    Certificate::parse(certificate).is_err()
}

pub(crate) fn certify(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
    authority: &Hash,
    chain: &[Vec<u8>],
) -> Result<(), Stop> {
    let mut principal = permitted(draft, act, subject)?;
    let held = principal.keys.iter_mut().find(|held| held.key == *key && !held.has_ended(act.block.time_ms));
    let held = held.ok_or(Code::SubjectKeyUnknown)?;
    // The authority must be the subject's own, whoever may ask for this.
    let row = in_use(draft, subject.organisation(), authority)?;
    if !row.terms.covers(subject.name()) {
        return Err(Code::NameSpace.into());
    }
    let certificates = parse_chain(chain, &row)?;
    let path = x509::check(&certificates.iter().collect::<Vec<_>>(), terms(act.block)).map_err(invalid)?;
    require_unrevoked(draft, &certificates)?;
    if certificates.first().and_then(Certificate::public_key) != Some(*key) {
        return Err(broken(0, ViolationRule::CertificateKey));
    }
    // A policy that means nothing here leaves the key what a bare one can be.
    let policies: Vec<String> = path.policies.iter().map(ToString::to_string).collect();
    let said = row.terms.assurance(policies.iter().map(String::as_str));
    held.assurance = said.unwrap_or_else(|| held.assurance.min(Assurance::Substantial));
    // A certificate is valid through its last second.
    held.until_ms = Some(path.not_after.saturating_add(1).saturating_mul(1_000));
    draft.write(StateKey::principal(subject), Row::Principal(Arc::new(principal)));
    Ok(())
}

/// Notes what an issuer has revoked: the authority, or one to which the chain leads.
pub(crate) fn revoke(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    list: &[u8],
    authority: &Hash,
    chain: &[Vec<u8>],
) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let row = in_use(draft, act.organisation(), authority)?;
    let certificates = parse_chain(chain, &row)?;
    // An issuer's purpose is to issue: what it may be used for besides is not asked.
    let anything = Terms { purposes: &[], ..terms(act.block) };
    x509::check_issuer(&certificates.iter().collect::<Vec<_>>(), anything).map_err(invalid)?;
    let Some(issuer) = certificates.first() else { return Err(broken(0, ViolationRule::CertificateIssuer)) };
    let not_a_list = |fault: Fault| {
        Stop::Refused(Code::RevocationInvalid, vec![Violation { entry: 0, field: String::new(), rule: fault.rule() }])
    };
    let list = RevocationList::parse(list).map_err(not_a_list)?;
    list.check_issuer(issuer).map_err(not_a_list)?;
    if list.this_update() > act.block.time_seconds() {
        return Err(not_a_list(Fault::NotYetValid(String::new())));
    }
    let id = issuer.issuer_id();
    let key = StateKey::revocation(&id);
    if draft.revocation(&key)?.is_some_and(|row| !list.is_later_than(&row.number)) {
        return Err(Code::RevocationOld.into());
    }
    let revoked: Vec<StateKey> = list.serials().map(|serial| StateKey::revoked(&id, serial)).collect();
    fetch(draft, &revoked)?;
    for key in revoked {
        if draft.revoked(&key)?.is_none() {
            draft.write(key, Row::Revoked(RevokedRow { from_ms: act.block.time_ms }));
        }
    }
    let row = RevocationRow { number: list.number().to_vec(), next_update: list.next_update() };
    draft.write(key, Row::Revocation(row));
    Ok(())
}

/// The certificates of a chain and, last, the authority's.
fn parse_chain(chain: &[Vec<u8>], authority: &AuthorityRow) -> Result<Vec<Certificate>, Stop> {
    let whole = chain.iter().chain([&authority.certificate]);
    whole.enumerate().map(|(position, certificate)| parse(position, certificate)).collect()
}

fn require_unrevoked(draft: &mut Draft<'_>, certificates: &[Certificate]) -> Result<(), Stop> {
    let links = certificates.iter().zip(certificates.iter().skip(1));
    let keys: Vec<StateKey> =
        links.map(|(certificate, issuer)| StateKey::revoked(&issuer.issuer_id(), certificate.serial())).collect();
    fetch(draft, &keys)?;
    for (position, key) in keys.iter().enumerate() {
        if draft.revoked(key)?.is_some() {
            return Err(broken(position, ViolationRule::CertificateRevoked));
        }
    }
    Ok(())
}

/// Asks for all these rows at once, rather than for one after the other.
fn fetch(draft: &mut Draft<'_>, keys: &[StateKey]) -> Result<(), Stop> {
    keys.iter().for_each(|key| draft.touch(*key));
    Ok(draft.complete()?)
}

/// The authority, if it is one of this organisation and not retired.
fn in_use(draft: &mut Draft<'_>, organisation: &str, authority: &Hash) -> Result<AuthorityRow, Stop> {
    let row = draft.authority(&StateKey::authority(organisation, authority))?;
    let row = row.ok_or(Code::AuthorityUnknown)?.clone();
    if row.retired_ms.is_some() { Err(Code::AuthorityRetired.into()) } else { Ok(row) }
}

fn terms<'t>(block: &BlockContext) -> Terms<'t> {
    Terms { at: block.time_seconds(), purposes: PRINCIPAL_PURPOSES, lists: &[] }
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
