//! Limits that the network sets itself, by proposal; they stand below those of the program, which hold everywhere.

use minicbor::{Decode, Encode};
use tallystick_protocol::{
    Code, LimitName, StateKey,
    limits::{
        PRINCIPALS_PER_ORGANISATION_MAX, PROPOSALS_OPEN_MAX, PROPOSALS_PER_ORGANISATION_MAX, REGISTER_NUMBER_MAX,
    },
};

use crate::{
    apply::Stop,
    state::{Draft, Row, Unread, row_bytes},
};

/// The limits that were set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LimitsRow {
    /// Each with its value, in the order in which they were first set.
    #[n(0)]
    pub set: Vec<SetLimit>,
}

/// A limit and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SetLimit {
    /// Which.
    #[n(0)]
    pub limit: LimitName,
    /// Its value.
    #[n(1)]
    pub value: u64,
}

row_bytes!(LimitsRow);

impl LimitsRow {
    /// The value in force.
    pub fn value(&self, limit: LimitName) -> u64 {
        self.set.iter().find(|set| set.limit == limit).map_or_else(|| unset(limit), |set| set.value)
    }
}

/// What holds when nothing was set.
const fn unset(limit: LimitName) -> u64 {
    match limit {
        LimitName::PrincipalsPerOrganisation => PRINCIPALS_PER_ORGANISATION_MAX,
        LimitName::Registers => REGISTER_NUMBER_MAX as u64,
        LimitName::ProposalsPerOrganisation => PROPOSALS_PER_ORGANISATION_MAX,
    }
}

/// The greatest value that may be set.
const fn greatest(limit: LimitName) -> u64 {
    match limit {
        LimitName::PrincipalsPerOrganisation => u32::MAX as u64,
        LimitName::Registers => REGISTER_NUMBER_MAX as u64,
        LimitName::ProposalsPerOrganisation => PROPOSALS_OPEN_MAX as u64,
    }
}

/// Whether the value may be set. One that is below what is there stops only what is new.
pub(crate) fn is_possible(limit: LimitName, value: u64) -> bool {
    (1..=greatest(limit)).contains(&value)
}

/// The value in force.
pub(crate) fn value(draft: &mut Draft<'_>, limit: LimitName) -> Result<u64, Unread> {
    Ok(draft.limits(&StateKey::limits())?.map_or_else(|| unset(limit), |row| row.value(limit)))
}

/// Refuses one more when there are `count` already.
pub(crate) fn require_room(draft: &mut Draft<'_>, limit: LimitName, count: u64) -> Result<(), Stop> {
    if count < value(draft, limit)? { Ok(()) } else { Err(Code::LimitReached.into()) }
}

/// Sets a limit, by decree.
pub(crate) fn set(draft: &mut Draft<'_>, limit: LimitName, value: u64) -> Result<(), Stop> {
    if !is_possible(limit, value) {
        return Err(Code::ChangeInvalid.into());
    }
    let mut row = draft.limits(&StateKey::limits())?.cloned().unwrap_or_default();
    match row.set.iter_mut().find(|set| set.limit == limit) {
        Some(set) => set.value = value,
        None => row.set.push(SetLimit { limit, value }),
    }
    draft.write(StateKey::limits(), Row::Limits(row));
    Ok(())
}
