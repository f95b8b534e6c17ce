//! Rectification: an entry that corrects the latest one under its key.
//!
//! The state knows of each key the latest entry only, so that is the one that can be corrected: what an earlier one said is no longer
//! what the register says. The entry that corrects is judged like any other.

use tallystick_protocol::{
    Appended, Code, CorrectionRow, StateKey,
    operation::{EntryKind, NewEntry},
};

use crate::{
    apply::{Act, Stop},
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
    let latest = draft.record(&register.record_key(EntryKind::User, &entry.key))?.map(|record| record.number);
    match latest {
        Some(number) if number == corrects => {}
        Some(number) if number > corrects => return Err(Code::CorrectionSuperseded.into()),
        _ => return Err(Code::CorrectionUnknown.into()),
    }
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
    };
    draft.write(StateKey::correction(register.row.number, corrects), Row::Correction(Box::new(row)));
    Ok(())
}
