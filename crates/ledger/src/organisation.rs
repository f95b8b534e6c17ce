//! Organisations: their principals, and the keys by which these sign.
//!
//! Administrators enrol principals of their own organisation and rotate and retire their keys. A key has one holder on the
//! whole network, for ever; a retired key signs nothing from the next transaction on; the last key of an organisation's
//! last administrator cannot be retired, for nobody could enrol another.

use std::sync::Arc;

use tallystick_protocol::{
    Code, PublicKey, StateKey,
    limits::KEYS_PER_PRINCIPAL_MAX,
    operation::{PrincipalId, Role},
};

use crate::{
    apply::{Act, Stop},
    state::{Draft, HeldKey, KeyRow, OrganisationRow, PrincipalRow, Row},
};

pub(crate) fn enrol(draft: &mut Draft<'_>, act: &Act<'_>, name: &str, role: Role, key: &PublicKey) -> Result<(), Stop> {
    act.require_administrator()?;
    let id = PrincipalId::new(act.organisation(), name).map_err(|_| Code::SubjectUnknown)?;
    let principal_key = StateKey::principal(&id);
    if draft.principal(&principal_key)?.is_some() {
        return Err(Code::PrincipalExists.into());
    }
    take_key(draft, &id, key)?;
    let mut organisation = own_organisation(draft, act)?;
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
    let mut principal = administered(draft, act, subject)?;
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
    let mut principal = administered(draft, act, subject)?;
    end_key(&mut principal, key, act.block.time_ms)?;
    if principal.role == Role::Administrator {
        let mut organisation = own_organisation(draft, act)?;
        if organisation.administrator_keys <= 1 {
            return Err(Code::LastAdministrator.into());
        }
        organisation.administrator_keys -= 1;
        draft.write(StateKey::organisation(act.organisation()), Row::Organisation(organisation));
    }
    draft.write(StateKey::principal(subject), Row::Principal(Arc::new(principal)));
    Ok(())
}

/// The principal whose keys the operation changes, if the signer may change them.
pub(crate) fn administered(draft: &mut Draft<'_>, act: &Act<'_>, subject: &PrincipalId) -> Result<PrincipalRow, Stop> {
    if subject.organisation() != act.organisation() {
        return Err(Code::OtherOrganisation.into());
    }
    act.require_administrator()?;
    let principal = draft.principal(&StateKey::principal(subject))?.ok_or(Code::SubjectUnknown)?;
    Ok(PrincipalRow::clone(principal))
}

fn end_key(principal: &mut PrincipalRow, key: &PublicKey, now_ms: u64) -> Result<(), Stop> {
    let held = principal.keys.iter_mut().find(|held| held.key == *key && held.is_active());
    held.ok_or(Code::SubjectKeyUnknown)?.retired_ms = Some(now_ms);
    Ok(())
}

/// Gives a key its one holder.
fn take_key(draft: &mut Draft<'_>, holder: &PrincipalId, key: &PublicKey) -> Result<(), Stop> {
    key.validate().map_err(|_| Code::KeyInvalid)?;
    let row = StateKey::key(key);
    if draft.key(&row)?.is_some() {
        return Err(Code::KeyInUse.into());
    }
    draft.write(row, Row::Key(KeyRow { holder: holder.as_str().to_owned() }));
    Ok(())
}

fn own_organisation(draft: &mut Draft<'_>, act: &Act<'_>) -> Result<OrganisationRow, Stop> {
    match draft.organisation(&StateKey::organisation(act.organisation()))? {
        Some(organisation) => Ok(organisation.clone()),
        None => unreachable!("principal {} belongs to no organisation of the state", act.signer.id),
    }
}
