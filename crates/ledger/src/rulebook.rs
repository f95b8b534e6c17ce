//! The rulebook in force: a row of the state, with which a network begins and which only a proposal changes.

use std::sync::Arc;

use tallystick_protocol::{
    ChangeKind, Code, Rule, Rulebook, RulebookChange, StateKey, cbor, limits::STATE_VALUE_BYTES_MAX,
};

use crate::{
    apply::Stop,
    state::{Draft, Row, Unread},
};

/// The rulebook in force.
pub(crate) fn read(draft: &mut Draft<'_>) -> Result<Arc<Rulebook>, Unread> {
    Ok(draft.rulebook(&StateKey::rulebook())?.map(Arc::clone).unwrap_or_default())
}

/// The rule for a kind of change.
pub(crate) fn rule(rulebook: &Rulebook, kind: ChangeKind) -> Rule {
    match rulebook.rule(kind) {
        Some(rule) => *rule,
        None => unreachable!("the rulebook has a rule for each kind of change, and none for {kind}"),
    }
}

/// Refuses what an organisation would do by an operation of its own, if the rulebook demands a vote on it.
pub(crate) fn require_direct(draft: &mut Draft<'_>, kind: ChangeKind) -> Result<(), Stop> {
    let rulebook = read(draft)?;
    if rule(&rulebook, kind).direct { Ok(()) } else { Err(Code::BallotRequired.into()) }
}

/// Changes the rulebook, by decree.
pub(crate) fn change(draft: &mut Draft<'_>, change: &RulebookChange) -> Result<(), Stop> {
    let rulebook = read(draft)?.with(change);
    rulebook.validate().map_err(|_| Code::RulebookInvalid)?;
    if cbor::encode(&rulebook).len() > STATE_VALUE_BYTES_MAX {
        return Err(Code::TooLarge.into());
    }
    draft.write(StateKey::rulebook(), Row::Rulebook(Arc::new(rulebook)));
    Ok(())
}
