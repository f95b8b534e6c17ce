//! Membership: how an organisation joins, is suspended and resumed, and leaves for good. All of it by proposal.
//!
//! What a suspended organisation's principals sign is refused; its registers can be read, its nodes and its validator go on,
//! so that a suspension never weakens the quorum. An expelled one does not come back under its id, for its registers,
//! entries and ballots keep its name.
//!
//! INVARIANT: `active` of the counters is the number of organisations whose status is active, and never 0.

use std::sync::Arc;

use tallystick_protocol::{
    Code, GenesisOrganisation, Jurisdiction, OrganisationStatus, Registration, StateKey,
    limits::{ORGANISATIONS_MAX, ORGANISATIONS_PER_PAGE},
    operation::PrincipalId,
};

use crate::{
    apply::{BlockContext, Stop},
    key,
    principal::list,
    proposal::row::PageRow,
    rulebook,
    state::{CountersRow, Draft, OrganisationRow, PrincipalRow, Row, Unread},
    validators,
};

/// What is to be said anew of an organisation; the rest stays.
pub(crate) struct Amendment<'a> {
    pub name: Option<&'a String>,
    pub legal_name: Option<&'a String>,
    pub registration: Option<&'a Registration>,
    pub jurisdiction: Option<&'a Jurisdiction>,
}

pub(crate) fn admit(draft: &mut Draft<'_>, block: &BlockContext, new: &GenesisOrganisation) -> Result<(), Stop> {
    let row_key = StateKey::organisation(&new.id);
    if draft.organisation(&row_key)?.is_some() {
        return Err(Code::OrganisationExists.into());
    }
    let mut counters = counters(draft)?;
    if counters.organisations as usize >= ORGANISATIONS_MAX {
        return Err(Code::OrganisationsFull.into());
    }
    let page_key = page_of(draft, 0)?;
    let mut page: PageRow = draft.page(&page_key)?.cloned().unwrap_or_default();
    page.ids.push(new.id.clone());
    counters.organisations += 1;
    counters.active += 1;
    let mut row = OrganisationRow::new(new, block.height);
    for (principal, entry) in new.principals.iter().zip(0..) {
        let id = PrincipalId::new(&new.id, &principal.name).map_err(|_| Code::SubjectUnknown)?;
        key::take(draft, id.as_str(), &principal.key).map_err(|stop| key::named(stop, entry, &principal.name))?;
        list(draft, &mut row, &id)?;
        row.administrator_keys += u32::from(principal.roles.is_administrator());
        row.administrators += u32::from(principal.roles.is_administrator());
        let principal_key = StateKey::principal(&id);
        let principal = PrincipalRow::first(id, principal, block.time_ms);
        draft.write(principal_key, Row::Principal(Arc::new(principal)));
    }
    draft.write(page_key, Row::Page(page));
    draft.write(StateKey::counters(), Row::Counters(counters));
    draft.write(row_key, Row::Organisation(row));
    Ok(())
}

/// Says anew who an organisation is.
pub(crate) fn amend(draft: &mut Draft<'_>, id: &str, amendment: &Amendment<'_>) -> Result<(), Stop> {
    let mut row = organisation(draft, id)?;
    let Amendment { name, legal_name, registration, jurisdiction } = *amendment;
    if let Some(name) = name {
        row.name = name.clone();
    }
    let particulars = &mut row.particulars;
    particulars.legal_name = legal_name.or(particulars.legal_name.as_ref()).cloned();
    particulars.registration = registration.or(particulars.registration.as_ref()).cloned();
    particulars.jurisdiction = jurisdiction.or(particulars.jurisdiction.as_ref()).cloned();
    draft.write(StateKey::organisation(id), Row::Organisation(row));
    Ok(())
}

pub(crate) fn suspend(draft: &mut Draft<'_>, block: &BlockContext, id: &str, reason: &str) -> Result<(), Stop> {
    end_activity(draft, block, id, OrganisationStatus::Suspended, reason)
}

pub(crate) fn resume(draft: &mut Draft<'_>, block: &BlockContext, id: &str) -> Result<(), Stop> {
    let mut row = organisation(draft, id)?;
    if row.status != OrganisationStatus::Suspended {
        return Err(Code::OrganisationStatus.into());
    }
    let mut counters = counters(draft)?;
    counters.active += 1;
    row.status = OrganisationStatus::Active;
    row.since_height = block.height;
    row.reason = None;
    draft.write(StateKey::counters(), Row::Counters(counters));
    draft.write(StateKey::organisation(id), Row::Organisation(row));
    Ok(())
}

/// Expels an organisation. Its validators must have left, in an earlier change of the same proposal or before.
pub(crate) fn expel(draft: &mut Draft<'_>, block: &BlockContext, id: &str, reason: &str) -> Result<(), Stop> {
    organisation(draft, id)?;
    if validators::are_run_by(draft, id)? {
        return Err(Code::OrganisationValidates.into());
    }
    end_activity(draft, block, id, OrganisationStatus::Expelled, reason)
}

/// Refuses an organisation that is no member, or no longer.
pub(crate) fn require_member(draft: &mut Draft<'_>, id: &str) -> Result<(), Stop> {
    match organisation(draft, id)?.status {
        OrganisationStatus::Active | OrganisationStatus::Suspended => Ok(()),
        OrganisationStatus::Expelled => Err(Code::OrganisationStatus.into()),
    }
}

fn end_activity(
    draft: &mut Draft<'_>,
    block: &BlockContext,
    id: &str,
    status: OrganisationStatus,
    reason: &str,
) -> Result<(), Stop> {
    let mut row = organisation(draft, id)?;
    let is_possible = match row.status {
        OrganisationStatus::Active => true,
        OrganisationStatus::Suspended => status == OrganisationStatus::Expelled,
        OrganisationStatus::Expelled => false,
    };
    if !is_possible {
        return Err(Code::OrganisationStatus.into());
    }
    if row.status == OrganisationStatus::Active {
        let mut counters = counters(draft)?;
        if counters.active <= 1 {
            return Err(Code::LastOrganisation.into());
        }
        counters.active -= 1;
        draft.write(StateKey::counters(), Row::Counters(counters));
    }
    row.status = status;
    row.since_height = block.height;
    row.reason = Some(reason.to_owned());
    draft.write(StateKey::organisation(id), Row::Organisation(row));
    // It may have been the only one with votes.
    rulebook::require_way_back(draft)
}

/// The page of the list on which the organisation stands that is admitted after so many others.
pub(crate) fn page_of(draft: &mut Draft<'_>, after: u32) -> Result<StateKey, Unread> {
    let organisations = draft.counters(&StateKey::counters())?.map_or(0, |counters| counters.organisations);
    Ok(StateKey::organisations(organisations.saturating_add(after) / ORGANISATIONS_PER_PAGE))
}

/// Whether an organisation acts and votes.
pub(crate) fn is_active(draft: &mut Draft<'_>, id: &str) -> Result<bool, Unread> {
    let row = draft.organisation(&StateKey::organisation(id))?;
    Ok(row.is_some_and(|row| row.status == OrganisationStatus::Active))
}

fn organisation(draft: &mut Draft<'_>, id: &str) -> Result<OrganisationRow, Stop> {
    Ok(draft.organisation(&StateKey::organisation(id))?.ok_or(Code::OrganisationUnknown)?.clone())
}

fn counters(draft: &mut Draft<'_>) -> Result<CountersRow, Stop> {
    Ok(draft.counters(&StateKey::counters())?.cloned().unwrap_or_default())
}
