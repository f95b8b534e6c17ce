//! Principals: who may act, and by which keys.
//!
//! A key has one holder on the whole network, for ever. A key that is replaced with an overlap signs until the overlap ends;
//! a retired one signs nothing from the next transaction on; a suspended principal signs nothing until it is resumed, a
//! retired one never again. Who besides its holder may give a principal a key, [`crate::organisation`] says.
//!
//! INVARIANT: every organisation keeps a key by which an administrator who is active can sign, and which nothing ends: for
//! else nobody could enrol another.

use std::sync::Arc;

use tallystick_protocol::{
    Assurance, Code, LimitName, PrincipalKind, PrincipalStatus, PublicKey, Roles, StateKey,
    limits::{KEYS_PER_PRINCIPAL_MAX, PRINCIPALS_PER_PAGE},
    operation::{Operation, PrincipalId},
};

use crate::{
    apply::{Act, Stop},
    authorise::Resource,
    key, limit,
    organisation::{organisation_of, require_recovery_quorum},
    state::{Draft, HeldKey, OrganisationRow, PrincipalRow, Row},
};

/// Who is to be enrolled, and with which key.
pub(crate) struct Enrolment<'a> {
    pub name: &'a str,
    pub kind: PrincipalKind,
    pub roles: &'a Roles,
    pub key: &'a PublicKey,
    pub assurance: Assurance,
}

/// The roles that an operation gives: all that the principal then has.
pub(crate) const fn given(operation: &Operation) -> Option<&Roles> {
    match operation {
        Operation::PrincipalEnrol { roles, .. } => Some(roles),
        Operation::PrincipalAmend { roles, .. } => roles.as_ref(),
        _ => None,
    }
}

/// The rows that an enrolment surely reads; the page of the list is known once the organisation is.
pub(crate) fn wanted_for_new(signer: &PrincipalId, name: &str, key: &PublicKey) -> Vec<StateKey> {
    let id = PrincipalId::new(signer.organisation(), name);
    [StateKey::limits(), StateKey::key(key)].into_iter().chain(id.iter().map(StateKey::principal)).collect()
}

pub(crate) fn enrol(draft: &mut Draft<'_>, act: &Act<'_>, new: &Enrolment<'_>) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let id = PrincipalId::new(act.organisation(), new.name).map_err(|_| Code::SubjectUnknown)?;
    if draft.principal(&StateKey::principal(&id))?.is_some() {
        return Err(Code::PrincipalExists.into());
    }
    if new.roles.is_administrator() {
        require_recovery_quorum(draft, act, &id, None)?;
    }
    let key = bare_key(draft, act, &id, new.key, new.assurance)?;
    let mut organisation = organisation_of(draft, &id)?;
    limit::require_room(draft, LimitName::PrincipalsPerOrganisation, u64::from(organisation.principals))?;
    list(draft, &mut organisation, &id)?;
    draft.write(StateKey::organisation(id.organisation()), Row::Organisation(organisation));
    let row = PrincipalRow {
        id,
        kind: new.kind,
        roles: new.roles.clone(),
        status: PrincipalStatus::Active,
        reason: String::new(),
        keys: vec![key],
    };
    save(draft, None, row)
}

pub(crate) fn set_status(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    status: PrincipalStatus,
    reason: &str,
) -> Result<(), Stop> {
    change(draft, act, subject, |draft, principal| {
        if principal.status == status {
            return Err(Code::StatusUnchanged.into());
        }
        if status == PrincipalStatus::Retired && principal.is_administrator() && !act.is_own(subject) {
            require_recovery_quorum(draft, act, subject, Some(principal))?;
        }
        principal.status = status;
        principal.reason = reason.to_owned();
        Ok(())
    })
}

/// Says anew what a principal is to its organisation, or how sure that is of one of its keys.
pub(crate) fn amend(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    roles: Option<&Roles>,
    assurance: Option<&(PublicKey, Assurance)>,
) -> Result<(), Stop> {
    change(draft, act, subject, |draft, principal| {
        if let Some(roles) = roles {
            let (was, is) = (principal.roles.is_administrator(), roles.is_administrator());
            if was != is && (is || !act.is_own(subject)) {
                require_recovery_quorum(draft, act, subject, Some(principal))?;
            }
            principal.roles = roles.clone();
        }
        if let Some((key, level)) = assurance {
            let level = vouched(act, subject, *level)?;
            let held = principal.keys.iter_mut().find(|held| held.key == *key && !held.has_ended(act.block.time_ms));
            held.ok_or(Code::SubjectKeyUnknown)?.assurance = level;
        }
        Ok(())
    })
}

/// Gives a new key and ends all others, when enough administrators say so together.
pub(crate) fn recover(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
    assurance: Assurance,
) -> Result<(), Stop> {
    change(draft, act, subject, |draft, principal| {
        require_recovery_quorum(draft, act, subject, Some(principal))?;
        for held in principal.keys.iter_mut().filter(|held| !held.has_ended(act.block.time_ms)) {
            held.retired_ms = Some(act.block.time_ms);
        }
        begin_key(draft, act, principal, key, assurance)
    })
}

pub(crate) fn add_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
    assurance: Assurance,
) -> Result<(), Stop> {
    change(draft, act, subject, |draft, principal| {
        require_giver(draft, act, principal)?;
        begin_key(draft, act, principal, key, assurance)
    })
}

/// The key that begins, a bare one, has the level of the one that ends, as far as a bare one can.
pub(crate) fn rotate_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    (old, new): (&PublicKey, &PublicKey),
    overlap_seconds: u64,
) -> Result<(), Stop> {
    change(draft, act, subject, |draft, principal| {
        require_giver(draft, act, principal)?;
        let now_ms = act.block.time_ms;
        let end_ms = now_ms.saturating_add(overlap_seconds.saturating_mul(1_000));
        let ended = end_key(principal, old, now_ms, end_ms)?.min(Assurance::Substantial);
        let level = if act.is_own(subject) { ended.min(act.assurance) } else { ended };
        begin_key(draft, act, principal, new, level)
    })
}

pub(crate) fn retire_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
) -> Result<(), Stop> {
    change(draft, act, subject, |_, principal| end_key(principal, key, act.block.time_ms, act.block.time_ms).map(drop))
}

/// Changes a principal, if the signer may do this to it.
fn change(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    change: impl FnOnce(&mut Draft<'_>, &mut PrincipalRow) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let before = permitted(draft, act, subject)?;
    let mut after = before.clone();
    change(draft, &mut after)?;
    save(draft, Some(&before), after)
}

/// Adds a bare key from now on.
fn begin_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    principal: &mut PrincipalRow,
    key: &PublicKey,
    assurance: Assurance,
) -> Result<(), Stop> {
    let key = bare_key(draft, act, &principal.id, key, assurance)?;
    push(principal, key, act.block.time_ms)
}

/// Goes on only if the holder itself gives the key, or others as in a recovery.
fn require_giver(draft: &mut Draft<'_>, act: &Act<'_>, principal: &PrincipalRow) -> Result<(), Stop> {
    if act.is_own(&principal.id) {
        return Ok(());
    }
    require_recovery_quorum(draft, act, &principal.id, Some(principal))
}

/// Notes the page to which the list of an organisation's principals has come, once the organisation is known.
pub(crate) fn note_list(draft: &mut Draft<'_>, organisation: &str) {
    if let Ok(Some(row)) = draft.organisation(&StateKey::organisation(organisation)) {
        let page = StateKey::principals(organisation, row.principals / PRINCIPALS_PER_PAGE);
        draft.touch(page);
    }
}

/// Adds a principal to the list of its organisation.
pub(crate) fn list(
    draft: &mut Draft<'_>,
    organisation: &mut OrganisationRow,
    principal: &PrincipalId,
) -> Result<(), Stop> {
    let key = StateKey::principals(&organisation.id, organisation.principals / PRINCIPALS_PER_PAGE);
    let mut page = draft.page(&key)?.cloned().unwrap_or_default();
    page.ids.push(principal.name().to_owned());
    organisation.principals += 1;
    draft.write(key, Row::Page(page));
    Ok(())
}

/// The principal that the operation changes, if the signer may do this to it: as the draft has it, for an operation before
/// this one may have changed its keys.
pub(crate) fn permitted(draft: &mut Draft<'_>, act: &Act<'_>, subject: &PrincipalId) -> Result<PrincipalRow, Stop> {
    let principal = draft.principal(&StateKey::principal(subject))?.ok_or(Code::SubjectUnknown)?;
    let principal = PrincipalRow::clone(principal);
    act.permit(draft, Resource::Principal(&principal))?;
    if principal.status == PrincipalStatus::Retired {
        return Err(Code::SubjectRetired.into());
    }
    Ok(principal)
}

/// Writes a principal, and what its organisation counts of its administrators.
fn save(draft: &mut Draft<'_>, before: Option<&PrincipalRow>, after: PrincipalRow) -> Result<(), Stop> {
    let counted = |row: Option<&PrincipalRow>| {
        let keys = row.filter(|row| row.is_active_administrator()).map_or(&[][..], |row| &row.keys);
        let kept = keys.iter().filter(|held| held.is_kept()).count() as u32;
        (u32::from(row.is_some_and(PrincipalRow::is_administrator)), kept)
    };
    let ((was, keys_were), (is, keys_are)) = (counted(before), counted(Some(&after)));
    if (was, keys_were) != (is, keys_are) {
        let mut organisation = organisation_of(draft, &after.id)?;
        organisation.administrators = organisation.administrators.saturating_sub(was).saturating_add(is);
        organisation.administrator_keys =
            organisation.administrator_keys.saturating_sub(keys_were).saturating_add(keys_are);
        if organisation.administrator_keys == 0 {
            return Err(Code::LastAdministrator.into());
        }
        draft.write(StateKey::organisation(after.id.organisation()), Row::Organisation(organisation));
    }
    draft.write(StateKey::principal(&after.id), Row::Principal(Arc::new(after)));
    Ok(())
}

/// Adds a key. The row lists the latest ones; those that have ended keep their own rows, and the log has all.
fn push(row: &mut PrincipalRow, key: HeldKey, now_ms: u64) -> Result<(), Stop> {
    row.keys.push(key);
    while row.keys.len() > KEYS_PER_PRINCIPAL_MAX {
        let oldest = row.keys.iter().position(|held| held.has_ended(now_ms)).ok_or(Code::KeysFull)?;
        row.keys.remove(oldest);
    }
    Ok(())
}

/// Ends a key, now or later; gives its level.
fn end_key(principal: &mut PrincipalRow, key: &PublicKey, now_ms: u64, end_ms: u64) -> Result<Assurance, Stop> {
    let held = principal.keys.iter_mut().find(|held| held.key == *key && !held.has_ended(now_ms));
    let held = held.ok_or(Code::SubjectKeyUnknown)?;
    // A later rotation does not give an ending key more time.
    held.retired_ms = Some(held.retired_ms.map_or(end_ms, |before| before.min(end_ms)));
    Ok(held.assurance)
}

/// A bare key from now on, with its one holder.
fn bare_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    holder: &PrincipalId,
    key: &PublicKey,
    assurance: Assurance,
) -> Result<HeldKey, Stop> {
    let assurance = vouched(act, holder, assurance)?;
    key::take(draft, holder.as_str(), key)?;
    Ok(HeldKey::new(*key, act.block.time_ms, assurance))
}

/// How sure somebody may be of a key without a certificate: an organisation up to substantial, the holder itself no surer than
/// its organisation is of the key with which it says so.
fn vouched(act: &Act<'_>, holder: &PrincipalId, assurance: Assurance) -> Result<Assurance, Stop> {
    let most = if act.is_own(holder) { act.assurance.min(Assurance::Substantial) } else { Assurance::Substantial };
    if assurance > most { Err(Code::AssuranceTooHigh.into()) } else { Ok(assurance) }
}
