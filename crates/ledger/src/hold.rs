//! Legal holds: how they are placed and lifted. While one lasts, no receipt of an erasure is taken: see `erasure.rs`.

use tallystick_protocol::{Code, HoldRow, Lifted, StateKey, Subject, SubjectHold, limits::SUBJECT_HOLDS_MAX};

use crate::{
    apply::{Act, Stop},
    erasure::{controller_row, enlist, page_of, permit, subject_row, write_subject},
    state::{Draft, Row},
};

/// A hold as it is placed.
pub(crate) struct Hold<'a> {
    pub id: &'a str,
    pub controller: &'a str,
    pub subject: &'a Subject,
    pub authority: &'a str,
    pub reason: &'a str,
    pub until_ms: Option<u64>,
}

pub(crate) fn place(draft: &mut Draft<'_>, act: &Act<'_>, new: &Hold<'_>) -> Result<(), Stop> {
    permit(draft, act, new.controller, new.subject)?;
    if draft.hold(&StateKey::hold(new.id))?.is_some() {
        return Err(Code::HoldExists.into());
    }
    let now_ms = act.block.time_ms;
    if new.until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
        return Err(Code::HoldEnd.into());
    }
    let mut subject = subject_row(draft, new.controller, new.subject)?;
    // Those that ended by themselves are taken out here: nothing else happens when one does.
    subject.holds.retain(|hold| hold.is_in_force(now_ms));
    if subject.holds.len() >= SUBJECT_HOLDS_MAX {
        return Err(Code::ErasuresFull.into());
    }
    if subject.erased.as_ref().is_some_and(|order| !subject.orders.contains(order)) {
        // Every holder has said that nothing is left to keep.
        return Err(Code::SubjectErased.into());
    }
    let (mut controller, mut all) = (controller_row(draft, new.controller)?, controller_row(draft, "")?);
    enlist(draft, StateKey::holds(new.controller, page_of(controller.holds)), new.id)?;
    enlist(draft, StateKey::holds("", page_of(all.holds)), new.id)?;
    controller.holds += 1;
    all.holds += 1;
    subject.holds.push(SubjectHold { hold: new.id.to_owned(), until_ms: new.until_ms });
    draft.write(StateKey::controller(new.controller), Row::Controller(controller));
    draft.write(StateKey::controller(""), Row::Controller(all));
    write_subject(draft, subject);
    let row = HoldRow {
        hold: new.id.to_owned(),
        controller: new.controller.to_owned(),
        subject: new.subject.clone(),
        authority: new.authority.to_owned(),
        reason: new.reason.to_owned(),
        until_ms: new.until_ms,
        principal: act.signer.id.clone(),
        leaf: act.leaf,
        height: act.block.height,
        placed_ms: now_ms,
        lifted: None,
    };
    draft.write(StateKey::hold(new.id), Row::Hold(Box::new(row)));
    Ok(())
}

pub(crate) fn lift(draft: &mut Draft<'_>, act: &Act<'_>, id: &str, reason: &str) -> Result<(), Stop> {
    let mut row = draft.hold(&StateKey::hold(id))?.cloned().ok_or(Code::HoldUnknown)?;
    permit(draft, act, &row.controller, &row.subject)?;
    if !row.is_in_force(act.block.time_ms) {
        return Err(Code::HoldEnded.into());
    }
    let mut subject = subject_row(draft, &row.controller, &row.subject)?;
    subject.holds.retain(|hold| hold.hold != id);
    write_subject(draft, subject);
    let (principal, reason) = (act.signer.id.clone(), reason.to_owned());
    row.lifted = Some(Lifted { principal, reason, leaf: act.leaf, time_ms: act.block.time_ms });
    draft.write(StateKey::hold(id), Row::Hold(Box::new(row)));
    Ok(())
}
