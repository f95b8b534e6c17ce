//! Organisations: what a member says of itself, and what its administrators must do together.
//!
//! **Recovery.** Who may act as whom is not in one administrator's hand where an organisation has several. As many must sign
//! as a recovery takes ([`require_recovery_quorum`]), whatever policies permit:
//!
//! | act | unless |
//! |---|---|
//! | giving a principal a key: `principal-recover`, `key-add`, `key-rotate` | its holder signs: `key-add`, `key-rotate` |
//! | making an administrator: `principal-enrol`, `principal-amend` | |
//! | ending one: `principal-status` with `retired`, `principal-amend` | it ends itself |
//! | saying how many a recovery takes: `recovery-set` | |
//!
//! Without the second and third, one administrator could make or leave as many as it takes. To suspend a principal and to end
//! a key stay in one hand: they give nobody anything, and must be quick. So a suspended administrator still counts among those
//! of whom two are needed.

use tallystick_protocol::{Code, StateKey, operation::PrincipalId};

use crate::{
    apply::{Act, Stop},
    authorise::Resource,
    state::{Draft, OrganisationRow, PrincipalRow, Row},
};

/// Administrators who must sign to recover `subject`: as many as the organisation says; else two, or one where the subject
/// leaves no more.
fn recovery_quorum(row: &OrganisationRow, subject: Option<&PrincipalRow>) -> u32 {
    let besides = subject.is_some_and(PrincipalRow::is_administrator);
    let able = row.administrators.saturating_sub(u32::from(besides));
    row.recovery.unwrap_or_else(|| able.clamp(1, 2))
}

/// Says how the organisation is reached.
pub(crate) fn set_contact(draft: &mut Draft<'_>, act: &Act<'_>, contact: Option<&str>) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let mut organisation = organisation_of(draft, &act.signer.id)?;
    organisation.particulars.contact = contact.map(str::to_owned);
    draft.write(StateKey::organisation(act.organisation()), Row::Organisation(organisation));
    Ok(())
}

/// Says how many administrators must sign a recovery. As many must sign this as must have signed a recovery before.
pub(crate) fn set_recovery(draft: &mut Draft<'_>, act: &Act<'_>, administrators: u32) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    let id = act.signer.id.clone();
    require_recovery_quorum(draft, act, &id, None)?;
    let mut organisation = organisation_of(draft, &id)?;
    if administrators > organisation.administrators {
        return Err(Code::RecoveryQuorum.into());
    }
    organisation.recovery = Some(administrators);
    draft.write(StateKey::organisation(id.organisation()), Row::Organisation(organisation));
    Ok(())
}

/// Goes on only if enough administrators of the principal's organisation have signed; the principal itself does not count.
pub(crate) fn require_recovery_quorum(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    of: &PrincipalId,
    subject: Option<&PrincipalRow>,
) -> Result<(), Stop> {
    let needed = recovery_quorum(&organisation_of(draft, of)?, subject);
    let counts = |row: &&PrincipalRow| {
        row.is_active_administrator()
            && row.id.organisation() == of.organisation()
            && subject.is_none_or(|subject| subject.id != row.id)
    };
    let signed = act.signers.iter().map(AsRef::as_ref).filter(counts).count();
    if signed >= needed as usize { Ok(()) } else { Err(Code::RecoveryQuorum.into()) }
}

/// The organisation of a principal.
pub(crate) fn organisation_of(draft: &mut Draft<'_>, principal: &PrincipalId) -> Result<OrganisationRow, Stop> {
    match draft.organisation(&StateKey::organisation(principal.organisation()))? {
        Some(organisation) => Ok(organisation.clone()),
        None => unreachable!("principal {principal} belongs to no organisation of the state"),
    }
}
