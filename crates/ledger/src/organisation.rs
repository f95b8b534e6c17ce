//! Organisations: their principals, and the keys by which these sign.
//!
//! Administrators enrol principals of their own organisation and rotate and retire their keys. A key has one holder on the
//! whole network, for ever; a retired key signs nothing from the next transaction on; the last key of an organisation's
//! last administrator cannot be retired, for nobody could enrol another.

use std::sync::Arc;

use tallystick_protocol::{
    Code, LimitName, PublicKey, StateKey,
    limits::KEYS_PER_PRINCIPAL_MAX,
    operation::{PrincipalId, Role},
};

use crate::{
    apply::{Act, Stop},
    authorise::Resource,
    limit,
    state::{Draft, HeldKey, KeyRow, OrganisationRow, PrincipalRow, Row},
};

pub(crate) fn enrol(draft: &mut Draft<'_>, act: &Act<'_>, name: &str, role: Role, key: &PublicKey) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let id = PrincipalId::new(act.organisation(), name).map_err(|_| Code::SubjectUnknown)?;
    let principal_key = StateKey::principal(&id);
    if draft.principal(&principal_key)?.is_some() {
        return Err(Code::PrincipalExists.into());
    }
    take_key(draft, &id, key)?;
    let mut organisation = organisation_of(draft, &id)?;
    limit::require_room(draft, LimitName::PrincipalsPerOrganisation, u64::from(organisation.principals))?;
    organisation.principals += 1;
    organisation.administrator_keys += u32::from(role == Role::Administrator);
    draft.write(StateKey::organisation(act.organisation()), Row::Organisation(organisation));
    let keys = vec![HeldKey::new(*key, act.block.time_ms)];
    draft.write(principal_key, Row::Principal(Arc::new(PrincipalRow { id, role, keys })));
    Ok(())
}

pub(crate) fn rotate(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    old: &PublicKey,
    new: &PublicKey,
) -> Result<(), Stop> {
    let mut principal = permitted_principal(draft, act, subject)?;
    end_key(&mut principal, old, act.block.time_ms)?;
    take_key(draft, subject, new)?;
    principal.keys.push(HeldKey::new(*new, act.block.time_ms));
    // The row lists the latest keys; older ones keep their own rows, and the log has all.
    while principal.keys.len() > KEYS_PER_PRINCIPAL_MAX
        && let Some(oldest) = principal.keys.iter().position(|held| !held.is_active())
    {
        principal.keys.remove(oldest);
    }
    draft.write(StateKey::principal(subject), Row::Principal(Arc::new(principal)));
    Ok(())
}

pub(crate) fn retire(draft: &mut Draft<'_>, act: &Act<'_>, subject: &PrincipalId, key: &PublicKey) -> Result<(), Stop> {
    let mut principal = permitted_principal(draft, act, subject)?;
    end_key(&mut principal, key, act.block.time_ms)?;
    if principal.role == Role::Administrator {
        let mut organisation = organisation_of(draft, subject)?;
        if organisation.administrator_keys <= 1 {
            return Err(Code::LastAdministrator.into());
        }
        organisation.administrator_keys -= 1;
        draft.write(StateKey::organisation(subject.organisation()), Row::Organisation(organisation));
    }
    draft.write(StateKey::principal(subject), Row::Principal(Arc::new(principal)));
    Ok(())
}

/// The principal that the operation changes, if the signer may do this to it: as the draft has it, for an operation before
/// this one may have changed its keys.
pub(crate) fn permitted_principal(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
) -> Result<PrincipalRow, Stop> {
    let principal = draft.principal(&StateKey::principal(subject))?.ok_or(Code::SubjectUnknown)?;
    let principal = PrincipalRow::clone(principal);
    act.permit(draft, Resource::Principal(&principal))?;
    Ok(principal)
}

fn end_key(principal: &mut PrincipalRow, key: &PublicKey, now_ms: u64) -> Result<(), Stop> {
    let held = principal.keys.iter_mut().find(|held| held.key == *key && held.is_active());
    held.ok_or(Code::SubjectKeyUnknown)?.retired_ms = Some(now_ms);
    Ok(())
}

/// Gives a key its one holder.
pub(crate) fn take_key(draft: &mut Draft<'_>, holder: &PrincipalId, key: &PublicKey) -> Result<(), Stop> {
    key.validate().map_err(|_| Code::KeyInvalid)?;
    let row = StateKey::key(key);
    if draft.key(&row)?.is_some() {
        return Err(Code::KeyInUse.into());
    }
    draft.write(row, Row::Key(KeyRow { holder: holder.as_str().to_owned() }));
    Ok(())
}

fn organisation_of(draft: &mut Draft<'_>, principal: &PrincipalId) -> Result<OrganisationRow, Stop> {
    match draft.organisation(&StateKey::organisation(principal.organisation()))? {
        Some(organisation) => Ok(organisation.clone()),
        None => unreachable!("principal {principal} belongs to no organisation of the state"),
    }
}
