//! Reads as acts: who reads sealed values, which, what for, and under which power, before anybody gives them.
//!
//! The ledger holds no value, and does not see one given. Whoever holds the values gives them for an accepted act alone, so that what is
//! not on record is not read. Which values a record has is not in the state; so whom they are about is what the signer says, and a
//! holder gives none about others.

use tallystick_protocol::{
    Code, Recipient, StateKey, Subject, ViolationRule,
    operation::{EntryKind, Operation},
};

use crate::{
    apply::{Act, Stop, refuse_if_any},
    authorise::Resource,
    consent, policy,
    schema::Violations,
    state::{Draft, Register},
};

/// What a read says of itself, as policies may look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub fields: &'a [String],
    pub purpose: &'a str,
    pub legal_basis: &'a str,
    pub recipient: Option<&'a Recipient>,
    /// Whether consents cover it; none when it does not stand on consent, or before that is known.
    pub consent: Option<bool>,
}

impl<'a> Reading<'a> {
    /// Of an operation that is a read.
    pub fn of(operation: &'a Operation) -> Option<Self> {
        match operation {
            Operation::RecordRead { fields, purpose, legal_basis, recipient, .. } => {
                Some(Self { fields, purpose, legal_basis, recipient: recipient.as_ref(), consent: None })
            }
            _ => None,
        }
    }
}

/// Goes on if the signer may read these fields of the record, which is there.
pub(crate) fn read(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    register: &str,
    key: &str,
    fields: &[String],
    subjects: &[Subject],
) -> Result<(), Stop> {
    let register = draft.register(register)?.ok_or(Code::RegisterUnknown)?;
    permit(draft, act, &register, subjects)?;
    draft.record(&register.record_key(EntryKind::User, key))?.ok_or(Code::RecordUnknown)?;
    let mut violations = Violations::default();
    for field in fields {
        if register.schema.fields().iter().all(|known| known.name != *field) {
            violations.add(0, field, ViolationRule::UnknownField);
        }
    }
    refuse_if_any(Code::Schema, violations)?;
    // In a partition what is not sealed is read by acts too, and is not erased.
    let is_sealed = |field: &String| {
        register.schema.fields().iter().any(|known| known.name == *field && known.protection.is_some())
    };
    if act.partition.is_some() && !fields.iter().any(is_sealed) {
        return Ok(());
    }
    let rows = subjects.iter().map(|subject| StateKey::subject(&register.row.custodian, subject));
    for row in rows {
        if draft.subject(&row)?.is_some_and(|row| row.is_withheld(act.block.time_ms)) {
            return Err(Code::ValueErased.into());
        }
    }
    Ok(())
}

/// Goes on if policies permit the read. One that they would permit if there were consent is told so.
fn permit(draft: &mut Draft<'_>, act: &Act<'_>, register: &Register, subjects: &[Subject]) -> Result<(), Stop> {
    let consent = consent::cover(draft, act, &register.row.custodian, subjects)?;
    let with = |consent| Act { reading: act.reading.map(|reading| Reading { consent, ..reading }), ..*act };
    match with(consent).permit(draft, Resource::Register(register)) {
        Err(Stop::Refused(Code::NotPermitted, _))
            if consent == Some(false)
                && policy::judge(draft, &with(Some(true)), &Resource::Register(register))?.allowed =>
        {
            Err(Code::ConsentRequired.into())
        }
        judged => judged,
    }
}
