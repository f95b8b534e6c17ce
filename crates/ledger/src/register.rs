//! Registers: how they begin, and where they stand in their life.

use std::sync::Arc;

use tallystick_protocol::{
    ChangeKind, Code, LimitName, RegisterRow, StateKey, ViolationRule,
    limits::{REGISTER_NUMBER_MAX, STATE_VALUE_BYTES_MAX},
    operation::{Cardinality, Field, Phase},
};

use crate::{
    apply::{Act, Stop, refuse_if_any},
    authorise::Resource,
    limit, protection, rulebook,
    schema::Violations,
    state::{Draft, Register, Row, TreeRow},
};

/// From where to where a register may go. It begins as a draft; it does not come back.
pub const TRANSITIONS: [(Phase, Phase); 4] = [
    (Phase::Draft, Phase::Live),
    (Phase::Draft, Phase::Closed),
    (Phase::Live, Phase::Superseded),
    (Phase::Live, Phase::Closed),
];

/// Whether entries may be appended and imported in this phase.
pub const fn is_writable(phase: Phase) -> bool {
    matches!(phase, Phase::Draft | Phase::Live)
}

pub(crate) fn create(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    name: &str,
    text: &str,
    fields: &[Field],
) -> Result<(), Stop> {
    act.permit(draft, Resource::Organisation(act.organisation()))?;
    rulebook::require_direct(draft, ChangeKind::RegisterCreate)?;
    create_for(draft, act.organisation(), act.leaf, name, text, fields)
}

/// Creates a register of which the organisation is the custodian; `leaf` is that of the transaction that asked for it.
pub(crate) fn create_for(
    draft: &mut Draft<'_>,
    custodian: &str,
    leaf: u64,
    name: &str,
    text: &str,
    fields: &[Field],
) -> Result<(), Stop> {
    if draft.register(name)?.is_some() {
        return Err(Code::RegisterExists.into());
    }
    let mut counters = draft.counters(&StateKey::counters())?.cloned().unwrap_or_default();
    limit::require_room(draft, LimitName::Registers, u64::from(counters.registers))?;
    if counters.registers >= REGISTER_NUMBER_MAX {
        return Err(Code::RegistersFull.into());
    }
    check_fields(name, fields)?;
    protection::require_possible(name, fields)?;
    counters.registers += 1;
    let row = RegisterRow {
        register: name.to_owned(),
        number: counters.registers,
        custodian: custodian.to_owned(),
        phase: Phase::Draft,
        successor: None,
        fields: fields.to_vec(),
        text: text.to_owned(),
        created: leaf,
    };
    draft.write(StateKey::counters(), Row::Counters(counters));
    draft.write(StateKey::tree(row.number), Row::Tree(TreeRow::default()));
    write_definition(draft, row)
}

pub(crate) fn move_phase(
    draft: &mut Draft<'_>,
    act: &Act<'_>,
    name: &str,
    phase: Phase,
    successor: Option<&str>,
) -> Result<(), Stop> {
    let register = act.permitted_register(draft, name)?;
    if !is_writable(phase) {
        rulebook::require_direct(draft, ChangeKind::RegisterClose)?;
    }
    move_to(draft, &register, phase, successor)
}

/// Gives a register another custodian: its entries, policies and phase stay. Without this a register would be stuck for ever when
/// its custodian is expelled. One with protected fields keeps its custodian, and can still be closed.
pub(crate) fn entrust(draft: &mut Draft<'_>, name: &str, custodian: &str) -> Result<(), Stop> {
    let register = draft.register(name)?.ok_or(Code::RegisterUnknown)?;
    if register.row.custodian == custodian {
        return Err(Code::CustodianUnchanged.into());
    }
    if register.schema.is_protected() {
        // Its nodes hold the openings, and what is erased and held is noted under its name: another would be bound by neither.
        return Err(Code::CustodianHolds.into());
    }
    write_definition(draft, RegisterRow { custodian: custodian.to_owned(), ..register.row.clone() })
}

/// Ends a register, whoever is its custodian.
pub(crate) fn close(draft: &mut Draft<'_>, name: &str, successor: Option<&str>) -> Result<(), Stop> {
    let register = draft.register(name)?.ok_or(Code::RegisterUnknown)?;
    let phase = if successor.is_some() { Phase::Superseded } else { Phase::Closed };
    move_to(draft, &register, phase, successor)
}

fn move_to(draft: &mut Draft<'_>, register: &Register, phase: Phase, successor: Option<&str>) -> Result<(), Stop> {
    let name = &register.row.register;
    if !TRANSITIONS.contains(&(register.row.phase, phase)) {
        return Err(Code::RegisterPhase.into());
    }
    match (phase, successor) {
        (Phase::Superseded, Some(successor)) if successor != name && draft.register(successor)?.is_some() => {}
        (Phase::Superseded, _) | (_, Some(_)) => return Err(Code::SuccessorInvalid.into()),
        (_, None) => {}
    }
    let successor = successor.map(str::to_owned);
    write_definition(draft, RegisterRow { phase, successor, ..register.row.clone() })
}

/// Each field once; one of them, single-valued, with the register's name.
fn check_fields(register: &str, fields: &[Field]) -> Result<(), Stop> {
    let mut violations = Violations::default();
    for (index, field) in fields.iter().enumerate() {
        let at = u32::try_from(index).unwrap_or(u32::MAX);
        if fields.iter().take(index).any(|earlier| earlier.name == field.name) {
            violations.add(at, &field.name, ViolationRule::Duplicate);
        }
        if field.name == register && field.cardinality != Cardinality::One {
            violations.add(at, &field.name, ViolationRule::Cardinality);
        }
    }
    if fields.iter().all(|field| field.name != register) {
        violations.add(0, register, ViolationRule::KeyMissing);
    }
    refuse_if_any(Code::FieldsInvalid, violations)
}

/// Writes a register's row, if it stays within a row's limit.
pub(crate) fn write_definition(draft: &mut Draft<'_>, row: RegisterRow) -> Result<(), Stop> {
    if row.to_bytes().len() > STATE_VALUE_BYTES_MAX {
        return Err(Code::TooLarge.into());
    }
    draft.write(StateKey::register(&row.register), Row::Register(Arc::new(Register::new(row))));
    Ok(())
}
