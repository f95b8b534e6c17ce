//! Consent: how it is put on record and withdrawn, and whether consents cover a read.
//!
//! INVARIANT: whether a read is covered is a function of the rows at that transaction: one that is withdrawn earlier in the same block
//! covers nothing any more. Only a read whose legal basis is consent asks for these rows.

use tallystick_protocol::{
    Code, ConsentQuestion, ConsentRow, ConsentTerms, StateKey, Subject, SubjectConsentsRow, Withdrawn, is_consent,
    limits::{CONSENTS_PER_PAGE, SUBJECT_CONSENTS_MAX},
    operation::Operation,
};

use crate::{
    apply::{Act, Stop},
    erasure::{enlist, permit},
    state::{Draft, Row, Unread},
};

/// A consent as it is given.
pub(crate) struct Consent<'a> {
    pub id: &'a str,
    pub controller: &'a str,
    pub subject: &'a Subject,
    pub terms: &'a ConsentTerms,
    pub evidence: &'a str,
}

pub(crate) fn give(draft: &mut Draft<'_>, act: &Act<'_>, new: &Consent<'_>) -> Result<(), Stop> {
    permit(draft, act, new.controller, new.subject)?;
    if draft.consent(&StateKey::consent(new.id))?.is_some() {
        return Err(Code::ConsentExists.into());
    }
    let now_ms = act.block.time_ms;
    if !new.terms.lasts(now_ms) {
        return Err(Code::ConsentEnd.into());
    }
    if draft.subject(&StateKey::subject(new.controller, new.subject))?.is_some_and(|row| row.erased.is_some()) {
        return Err(Code::SubjectErased.into());
    }
    let key = StateKey::subject_consents(new.controller, new.subject);
    let mut row = draft.subject_consents(&key)?.cloned().unwrap_or_default();
    // Those that ended by themselves are taken out here: nothing else happens when one does.
    row.in_force.retain(|(_, terms)| terms.lasts(now_ms));
    if row.in_force.len() >= SUBJECT_CONSENTS_MAX {
        return Err(Code::ConsentsFull.into());
    }
    let page = u32::try_from(row.given / u64::from(CONSENTS_PER_PAGE)).unwrap_or(u32::MAX);
    enlist(draft, StateKey::consents(new.controller, new.subject, page), new.id)?;
    row.given += 1;
    row.in_force.push((new.id.to_owned(), new.terms.clone()));
    draft.write(key, Row::SubjectConsents(row));
    let row = ConsentRow {
        consent: new.id.to_owned(),
        controller: new.controller.to_owned(),
        subject: new.subject.clone(),
        terms: new.terms.clone(),
        evidence: new.evidence.to_owned(),
        principal: act.signer.id.clone(),
        leaf: act.leaf,
        height: act.block.height,
        given_ms: now_ms,
        withdrawn: None,
    };
    draft.write(StateKey::consent(new.id), Row::Consent(Box::new(row)));
    Ok(())
}

pub(crate) fn withdraw(draft: &mut Draft<'_>, act: &Act<'_>, id: &str, reason: &str) -> Result<(), Stop> {
    let mut row = draft.consent(&StateKey::consent(id))?.cloned().ok_or(Code::ConsentUnknown)?;
    permit(draft, act, &row.controller, &row.subject)?;
    let time_ms = act.block.time_ms;
    if row.withdrawn.is_some() || !row.terms.lasts(time_ms) {
        return Err(Code::ConsentEnded.into());
    }
    let key = StateKey::subject_consents(&row.controller, &row.subject);
    let mut given: SubjectConsentsRow = draft.subject_consents(&key)?.cloned().unwrap_or_default();
    given.in_force.retain(|(known, _)| known != id);
    draft.write(key, Row::SubjectConsents(given));
    let (principal, reason) = (act.signer.id.clone(), reason.to_owned());
    row.withdrawn = Some(Withdrawn { principal, reason, leaf: act.leaf, time_ms });
    draft.write(StateKey::consent(id), Row::Consent(Box::new(row)));
    Ok(())
}

/// Whether consents to this controller, in force now, of all these subjects cover the read that the act is; none when it does not stand
/// on consent.
pub(crate) fn cover(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    controller: &str,
    subjects: &[Subject],
) -> Result<Option<bool>, Unread> {
    let Some(reading) = act.reading.filter(|reading| is_consent(reading.legal_basis)) else { return Ok(None) };
    let (reader, time_ms) = (act.organisation(), act.block.time_ms);
    let (purpose, recipient) = (reading.purpose, reading.recipient.map(|to| to.name.as_str()));
    let read = ConsentQuestion { controller, reader, purpose, recipient, time_ms };
    let keys: Vec<StateKey> = wanted_by_read(controller, subjects, reading.legal_basis).collect();
    keys.iter().for_each(|key| draft.touch(*key));
    draft.complete()?;
    for key in keys {
        if !draft.subject_consents(&key)?.is_some_and(|row| row.cover(&read)) {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

/// The rows that say whether a read of this legal basis is covered.
pub(crate) fn wanted_by_read<'a>(
    controller: &'a str,
    subjects: &'a [Subject],
    legal_basis: &str,
) -> impl Iterator<Item = StateKey> + use<'a> {
    let asked = if is_consent(legal_basis) { subjects } else { &[] };
    asked.iter().map(move |subject| StateKey::subject_consents(controller, subject))
}

/// The rows that giving or withdrawing a consent surely reads.
pub(crate) fn wanted(operation: &Operation) -> Vec<StateKey> {
    match operation {
        Operation::ConsentGive { consent, controller, subject, .. } => vec![
            StateKey::consent(consent),
            StateKey::organisation(controller),
            StateKey::subject(controller, subject),
            StateKey::subject_consents(controller, subject),
            StateKey::register(subject.register()),
            StateKey::policy_set(subject.register()),
        ],
        Operation::ConsentWithdraw { consent, .. } => vec![StateKey::consent(consent)],
        _ => Vec::new(),
    }
}
