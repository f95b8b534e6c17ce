//! The rulebook in force: a row of the state, with which a network begins and which only a proposal changes.

use std::sync::Arc;

use tallystick_protocol::{
    ChangeKind, Circle, Code, Rule, Rulebook, RulebookChange, StateKey, VoteWeight, Weight, cbor,
    limits::STATE_VALUE_BYTES_MAX,
};

use crate::{
    apply::Stop,
    membership,
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

/// How many votes there are in a poll by this rule, now; about this organisation, where the rule tells it from the others.
pub(crate) fn electorate(
    draft: &mut Draft<'_>,
    rulebook: &Rulebook,
    rule: &Rule,
    about: Option<&str>,
) -> Result<u64, Unread> {
    let votes = |organisation: &str| rule.weight.votes(&rulebook.weights, organisation);
    let of_concerned = match about {
        Some(about) if membership::is_active(draft, about)? => votes(about),
        _ => 0,
    };
    if rule.vote == Circle::Concerned {
        return Ok(of_concerned);
    }
    let mut of_all = draft.counters(&StateKey::counters())?.map_or(0, |counters| u64::from(counters.active));
    if rule.weight == Weight::Listed {
        note_weighted(draft, &rulebook.weights);
        draft.complete()?;
        for weight in &rulebook.weights {
            if membership::is_active(draft, &weight.organisation)? {
                of_all = (of_all + u64::from(weight.votes)).saturating_sub(1);
            }
        }
    }
    Ok(if rule.vote == Circle::Others { of_all.saturating_sub(of_concerned) } else { of_all })
}

/// Notes the rows that [`require_way_back`] reads.
pub(crate) fn note_missing(draft: &mut Draft<'_>) -> Result<(), Unread> {
    let rulebook = read(draft)?;
    note_weighted(draft, &rulebook.weights);
    Ok(())
}

fn note_weighted(draft: &mut Draft<'_>, weights: &[VoteWeight]) {
    weights.iter().for_each(|weight| draft.touch(StateKey::organisation(&weight.organisation)));
}

/// Goes on only if somebody has a vote on the rulebook: one that nobody can change would stand for ever.
pub(crate) fn require_way_back(draft: &mut Draft<'_>) -> Result<(), Stop> {
    let rulebook = read(draft)?;
    let rule = rule(&rulebook, ChangeKind::Rulebook);
    if electorate(draft, &rulebook, &rule, None)? > 0 { Ok(()) } else { Err(Code::RulebookLockOut.into()) }
}

/// Changes the rulebook, by decree.
pub(crate) fn change(draft: &mut Draft<'_>, change: &RulebookChange) -> Result<(), Stop> {
    let rulebook = read(draft)?.with(change).map_err(|_| Code::RulebookInvalid)?;
    if cbor::encode(&rulebook).len() > STATE_VALUE_BYTES_MAX {
        return Err(Code::TooLarge.into());
    }
    draft.write(StateKey::rulebook(), Row::Rulebook(Arc::new(rulebook)));
    require_way_back(draft)
}
