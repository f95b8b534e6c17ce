//! Principals: who may act, and by which keys.
//!
//! A key has one holder on the whole network, for ever. A key that is replaced with an overlap signs until the overlap ends;
//! a retired one signs nothing from the next transaction on; a suspended principal signs nothing until it is resumed, a
//! retired one never again.
//!
//! INVARIANT: every organisation keeps a key by which an administrator who is active can sign, and which nothing ends: for
//! else nobody could enrol another.

use std::sync::Arc;

use tallystick_protocol::{
    Assurance, Code, GenesisPrincipal, LimitName, PrincipalKind, PrincipalStatus, PublicKey, Roles, StateKey,
    limits::KEYS_PER_PRINCIPAL_MAX, operation::PrincipalId,
};

use crate::{
    apply::{Act, Stop},
    authorise::Resource,
    limit,
    organisation::{organisation_of, require_recovery_quorum},
    state::{Draft, HeldKey, KeyRow, PrincipalRow, Row},
};

/// Who is to be enrolled, and with which key.
pub(crate) struct Enrolment<'a> {
    pub name: &'a str,
    pub kind: PrincipalKind,
    pub roles: &'a Roles,
    pub key: &'a PublicKey,
    pub assurance: Assurance,
}

pub(crate) fn enrol(draft: &mut Draft<'_>, act: &Act<'_>, new: &Enrolment<'_>) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let id = PrincipalId::new(act.organisation(), new.name).map_err(|_| Code::SubjectUnknown)?;
    if draft.principal(&StateKey::principal(&id))?.is_some() {
        return Err(Code::PrincipalExists.into());
    }
    let key = bare_key(draft, act, &id, new.key, new.assurance)?;
    let mut organisation = organisation_of(draft, &id)?;
    limit::require_room(draft, LimitName::PrincipalsPerOrganisation, u64::from(organisation.principals))?;
    organisation.principals += 1;
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
    let before = permitted(draft, act, subject)?;
    if before.status == status {
        return Err(Code::StatusUnchanged.into());
    }
    let after = PrincipalRow { status, reason: reason.to_owned(), ..before.clone() };
    save(draft, Some(&before), after)
}

/// Gives a new key and ends all others, when enough administrators say so together.
pub(crate) fn recover(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
    assurance: Assurance,
) -> Result<(), Stop> {
    let before = permitted(draft, act, subject)?;
    require_recovery_quorum(draft, act, subject, Some(&before))?;
    let mut after = before.clone();
    for held in after.keys.iter_mut().filter(|held| !held.has_ended(act.block.time_ms)) {
        held.retired_ms = Some(act.block.time_ms);
    }
    let key = bare_key(draft, act, subject, key, assurance)?;
    after.push(key, act.block.time_ms)?;
    save(draft, Some(&before), after)
}

pub(crate) fn add_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
    assurance: Assurance,
) -> Result<(), Stop> {
    let before = permitted(draft, act, subject)?;
    let mut after = before.clone();
    let key = bare_key(draft, act, subject, key, assurance)?;
    after.push(key, act.block.time_ms)?;
    save(draft, Some(&before), after)
}

/// The key that begins, a bare one, has the level of the one that ends, as far as a bare one can.
pub(crate) fn rotate_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    (old, new): (&PublicKey, &PublicKey),
    overlap_seconds: u64,
) -> Result<(), Stop> {
    let before = permitted(draft, act, subject)?;
    let mut after = before.clone();
    let now_ms = act.block.time_ms;
    let end_ms = now_ms.saturating_add(overlap_seconds.saturating_mul(1_000));
    let assurance = end_key(&mut after, old, now_ms, end_ms)?.min(Assurance::Substantial);
    let key = bare_key(draft, act, subject, new, assurance)?;
    after.push(key, now_ms)?;
    save(draft, Some(&before), after)
}

pub(crate) fn retire_key(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    subject: &PrincipalId,
    key: &PublicKey,
) -> Result<(), Stop> {
    let before = permitted(draft, act, subject)?;
    let mut after = before.clone();
    end_key(&mut after, key, act.block.time_ms, act.block.time_ms)?;
    save(draft, Some(&before), after)
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
    let counted = |row: Option<&PrincipalRow>| match row {
        Some(row) if row.is_active_administrator() => (1, row.keys.iter().filter(|held| held.is_kept()).count() as u32),
        _ => (0, 0),
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

impl PrincipalRow {
    /// One of an organisation's first principals. Everybody who agreed to it vouches for the key; no certificate does.
    pub(crate) fn first(id: PrincipalId, principal: &GenesisPrincipal, now_ms: u64) -> Self {
        Self {
            id,
            kind: principal.kind,
            roles: principal.roles.clone(),
            status: PrincipalStatus::Active,
            reason: String::new(),
            keys: vec![HeldKey::new(principal.key, now_ms, Assurance::Substantial)],
        }
    }

    /// Adds a key. The row lists the latest ones; those that have ended keep their own rows, and the log has all.
    fn push(&mut self, key: HeldKey, now_ms: u64) -> Result<(), Stop> {
        self.keys.push(key);
        while self.keys.len() > KEYS_PER_PRINCIPAL_MAX {
            let oldest = self.keys.iter().position(|held| held.has_ended(now_ms)).ok_or(Code::KeysFull)?;
            self.keys.remove(oldest);
        }
        Ok(())
    }
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
    if assurance > Assurance::Substantial {
        return Err(Code::AssuranceTooHigh.into());
    }
    take_key(draft, holder, key)?;
    Ok(HeldKey::new(*key, act.block.time_ms, assurance))
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
