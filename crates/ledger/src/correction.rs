//! Rectification: an entry that corrects the latest one under its key.
//!
//! The state knows of each key the latest entry only, so that is the one that can be corrected: what an earlier one said is no longer
//! what the register says. The entry that corrects is judged like any other.

use tallystick_protocol::{
    Appended, Code, CorrectionRow, StateKey,
    operation::{EntryKind, NewEntry, PrincipalId},
};

use crate::{
    apply::{Act, Stop},
    authorise::Resource,
    entry::append_to,
    register::is_writable,
    state::{Draft, Row},
};

/// A correction as it is asked for.
pub(crate) struct Correction<'a> {
    pub register: &'a str,
    pub corrects: u64,
    pub entry: &'a NewEntry,
    /// Reason, authority and legal basis.
    pub words: (&'a str, &'a str, &'a str),
}

/// Notes that the reader knows of the correction. Who read is in the log, as is this: whoever asks who was told puts the two together.
pub(crate) fn acknowledge(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    (register, key, corrects): (&str, &str, u64),
    reader: &PrincipalId,
) -> Result<(), Stop> {
    // Also one that is retired since: then an administrator says so.
    let reader = draft.principal(&StateKey::principal(reader))?.ok_or(Code::SubjectUnknown)?.clone();
    act.permit(draft, Resource::Principal(&reader))?;
    let register = draft.register(register)?.ok_or(Code::RegisterUnknown)?;
    let correction = draft.correction(&StateKey::correction(register.row.number, corrects))?;
    if correction.is_some_and(|row| row.key == key) { Ok(()) } else { Err(Code::CorrectionUnknown.into()) }
}

pub(crate) fn correct(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    correction: &Correction<'_>,
    appended: &mut Vec<Appended>,
) -> Result<(), Stop> {
    let Correction { register: name, corrects, entry, words: (reason, authority, legal_basis) } = *correction;
    let register = act.permitted_register(draft, name)?;
    if !is_writable(register.row.phase) {
        return Err(Code::RegisterPhase.into());
    }
    let latest =
        draft.record(&register.record_key(EntryKind::User, &entry.key))?.map(|record| (record.number, record.leaf));
    let since = match latest {
        Some((number, leaf)) if number == corrects => leaf,
        Some((number, _)) if number > corrects => return Err(Code::CorrectionSuperseded.into()),
        _ => return Err(Code::CorrectionUnknown.into()),
    };
    append_to(draft, act, &register, std::slice::from_ref(entry), appended)?;
    let row = CorrectionRow {
        register: name.to_owned(),
        key: entry.key.clone(),
        corrects,
        entry: appended.last().map_or(corrects, |range| range.first),
        reason: reason.to_owned(),
        authority: authority.to_owned(),
        legal_basis: legal_basis.to_owned(),
        principal: act.signer.id.clone(),
        leaf: act.leaf,
        time_ms: act.block.time_ms,
        since,
    };
    draft.write(StateKey::correction(register.row.number, corrects), Row::Correction(Box::new(row)));
    Ok(())
}
