//! Validators: who certifies which epochs, and how that changes.
//!
//! ```text
//! epoch        e                 e+1                  e+2
//!           running             next                later ◀── a change in epoch e
//!              └─ known since e-2  └─ known since e-1
//! ```
//!
//! At the first block of an epoch each set moves up one place. A change touches only the later set, so that the next one is
//! fixed for a whole epoch: every node knows it and speaks with it before its first vote.

use std::collections::BTreeSet;

use tallystick_protocol::{
    Code, Genesis, GenesisValidator, Hash, PublicKey, Recovery, StateKey, ValidatorSet, Violation, ViolationRule,
    limits::{FORMER_VALIDATORS_MAX, TOLERANT_VALIDATORS_MIN, VALIDATORS_MAX},
};

use crate::{
    apply::Stop,
    key,
    state::{Draft, KeyRow, RecoveryRow, Row, ScheduleRow, Unread, ValidatorRow, View},
};

/// The rows of the genesis' validators, and their keys', so that no principal can take one.
pub(crate) fn genesis(view: &mut View, genesis: &Genesis) {
    let Some(set) = genesis.validator_set() else { unreachable!("a valid genesis has validators, each once") };
    for validator in &genesis.validators {
        let key = PublicKey::Ed25519(validator.key);
        let holder = validator.organisation.clone();
        view.write(StateKey::key(&key), Row::Key(KeyRow { holder, proposals: Vec::new() }));
        view.write(StateKey::validator(&validator.key), Row::Validator(row(validator)));
    }
    let schedule = ScheduleRow { epoch: 0, running: set.clone(), next: set.clone(), later: set, former: Vec::new() };
    view.write(StateKey::schedule(), Row::Schedule(schedule));
}

/// The rows that [`begin_epoch`] reads.
pub fn epoch_rows() -> [StateKey; 1] {
    [StateKey::schedule()]
}

/// Moves every set up one place: the first thing that the first block of an epoch does. Returns the epoch's sets.
///
/// # Panics
/// When the row was not fetched, is broken, or is of another epoch than the one before: the store has lost or changed what the
/// ledger wrote.
pub fn begin_epoch(view: &mut View, epoch: u64) -> ScheduleRow {
    let mut schedule = match view.read(&StateKey::schedule()) {
        Some(Some(Row::Schedule(schedule))) => schedule.clone(),
        _ => unreachable!("a ledger has a schedule of validators from its first block on"),
    };
    if schedule.epoch == epoch {
        // Block 1, which wrote it.
        return schedule;
    }
    assert_eq!(schedule.epoch.checked_add(1), Some(epoch), "epochs begin one after another");
    schedule.epoch = epoch;
    schedule.running = schedule.next;
    schedule.next = schedule.later.clone();
    view.write(StateKey::schedule(), Row::Schedule(schedule.clone()));
    schedule
}

/// The schedule with which an epoch begins that a recovery begins.
pub fn recovered(mut schedule: ScheduleRow, epoch: u64, set: &ValidatorSet) -> ScheduleRow {
    let lost = [&schedule.running, &schedule.next, &schedule.later].map(|lost| lost.keys().to_vec()).concat();
    schedule.former.extend(lost);
    let mut seen = BTreeSet::new();
    // The latest counts of one that left more than once.
    schedule.former.reverse();
    schedule.former.retain(|key| !set.contains(key) && seen.insert(*key));
    schedule.former.truncate(FORMER_VALIDATORS_MAX);
    schedule.former.reverse();
    ScheduleRow { epoch, running: set.clone(), next: set.clone(), later: set.clone(), former: schedule.former }
}

/// The rows that [`recover`] reads.
pub fn recovery_rows(recovery: &Recovery) -> Vec<StateKey> {
    recovery.validators.iter().map(|validator| StateKey::key(&PublicKey::Ed25519(validator.key))).collect()
}

/// Puts the validators in their place whom the organisations named when those before were lost: the first thing that the first
/// block after does, instead of [`begin_epoch`]. Returns the epoch's sets.
///
/// # Panics
/// When a row was not fetched or is broken, or when the recovery was not checked.
pub fn recover(view: &mut View, epoch: u64, recovery: &Recovery) -> ScheduleRow {
    let schedule = match view.read(&StateKey::schedule()) {
        Some(Some(Row::Schedule(schedule))) => schedule.clone(),
        _ => unreachable!("a ledger has a schedule of validators from its first block on"),
    };
    let Ok(set) = recovery.validator_set() else { unreachable!("a recovery is checked before it is believed") };
    for validator in &recovery.validators {
        let key = StateKey::key(&PublicKey::Ed25519(validator.key));
        match view.read(&key) {
            // One that has a holder keeps it: what the organisations signed stands all the same. One that proposals keep has none.
            Some(Some(Row::Key(row))) if row.proposals.is_empty() => {}
            Some(_) => {
                let holder = validator.organisation.clone();
                view.write(key, Row::Key(KeyRow { holder, proposals: Vec::new() }));
            }
            None => unreachable!("the rows of a recovery are fetched before"),
        }
        view.write(StateKey::validator(&validator.key), Row::Validator(row(validator)));
    }
    let head = recovery.head.height;
    let terms = Hash::of(&[&recovery.signed_bytes()]);
    let said = RecoveryRow { head, epoch, terms, reason: recovery.reason.clone() };
    view.write(StateKey::recovery(head), Row::Recovery(said));
    let schedule = recovered(schedule, epoch, &set);
    view.write(StateKey::schedule(), Row::Schedule(schedule.clone()));
    schedule
}

/// Lets validators join and leave from the epoch after the next on. One that is added again, with its own organisation, gets a
/// new address or comes back; a key is replaced by adding one and removing the other.
pub(crate) fn change(draft: &mut Draft<'_>, add: &[GenesisValidator], remove: &[GenesisValidator]) -> Result<(), Stop> {
    let mut schedule = match draft.schedule(&StateKey::schedule())? {
        Some(schedule) => schedule.clone(),
        None => unreachable!("a ledger has a schedule of validators from its first block on"),
    };
    let mut keys = schedule.later.keys().to_vec();
    for (validator, entry) in remove.iter().zip(0..) {
        let place = keys.binary_search(&validator.key).map_err(|_| unknown(entry, validator))?;
        keys.remove(place);
        schedule.former.push(validator.key);
    }
    for (validator, entry) in add.iter().zip(0..) {
        admit(draft, validator).map_err(|stop| key::named(stop, entry, &validator.organisation))?;
        if let Err(place) = keys.binary_search(&validator.key) {
            keys.insert(place, validator.key);
        }
    }
    schedule.former.retain(|key| keys.binary_search(key).is_err());
    let surplus = schedule.former.len().saturating_sub(FORMER_VALIDATORS_MAX);
    schedule.former.drain(..surplus);
    let later = ValidatorSet::new(keys).ok_or(Code::ValidatorsCount)?;
    check_step(&schedule.next, &later)?;
    schedule.later = later;
    draft.write(StateKey::schedule(), Row::Schedule(schedule));
    Ok(())
}

/// The refusal of a validator that is not there to leave, or not that organisation's.
pub(crate) fn unknown(entry: u32, validator: &GenesisValidator) -> Stop {
    let (field, rule) = (validator.organisation.clone(), ViolationRule::Unresolved);
    Stop::Refused(Code::ValidatorUnknown, vec![Violation { entry, field, rule }])
}

/// Whether an organisation runs one of the validators that are to certify, as far as was decided.
pub(crate) fn are_run_by(draft: &mut Draft<'_>, organisation: &str) -> Result<bool, Stop> {
    note_missing(draft)?;
    draft.complete()?;
    for row in &later_rows(draft)? {
        if draft.validator(row)?.is_some_and(|validator| validator.organisation == organisation) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Notes the rows of those that are to certify.
pub(crate) fn note_missing(draft: &mut Draft<'_>) -> Result<(), Unread> {
    later_rows(draft)?.into_iter().for_each(|row| draft.touch(row));
    Ok(())
}

fn later_rows(draft: &mut Draft<'_>) -> Result<Vec<StateKey>, Unread> {
    let schedule = draft.schedule(&StateKey::schedule())?;
    Ok(schedule.iter().flat_map(|schedule| schedule.later.keys()).map(StateKey::validator).collect())
}

/// Whether the set can certify even if none of its new validators comes up.
fn check_step(before: &ValidatorSet, after: &ValidatorSet) -> Result<(), Stop> {
    let kept = after.keys().iter().filter(|key| before.contains(key)).count();
    if before.len() >= TOLERANT_VALIDATORS_MIN && kept < after.quorum() {
        return Err(Code::ValidatorsStep.into());
    }
    debug_assert!(after.len() <= VALIDATORS_MAX, "a set is bounded");
    Ok(())
}

/// Gives the validator its rows.
fn admit(draft: &mut Draft<'_>, validator: &GenesisValidator) -> Result<(), Stop> {
    if draft.organisation(&StateKey::organisation(&validator.organisation))?.is_none() {
        return Err(Code::ValidatorOrganisation.into());
    }
    let validator_row = StateKey::validator(&validator.key);
    match draft.validator(&validator_row)?.map(|known| known.organisation == validator.organisation) {
        None => key::take(draft, &validator.organisation, &PublicKey::Ed25519(validator.key))?,
        Some(false) => return Err(Code::KeyInUse.into()),
        Some(true) => {}
    }
    draft.write(validator_row, Row::Validator(row(validator)));
    Ok(())
}

/// The rows that [`change`] reads.
pub(crate) fn wanted(add: &[GenesisValidator], remove: &[GenesisValidator]) -> Vec<StateKey> {
    let mut keys = vec![StateKey::schedule()];
    for validator in add {
        let key = StateKey::key(&PublicKey::Ed25519(validator.key));
        keys.extend([StateKey::organisation(&validator.organisation), key]);
    }
    keys.extend(add.iter().chain(remove).map(|validator| StateKey::validator(&validator.key)));
    keys
}

fn row(validator: &GenesisValidator) -> ValidatorRow {
    ValidatorRow { organisation: validator.organisation.clone(), address: validator.address.clone() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use std::slice::from_ref;
    use tallystick_protocol::{GenesisOrganisation, GenesisPrincipal, Particulars, Roles, SigningKey};

    fn validator(n: u8, address: &str) -> GenesisValidator {
        let PublicKey::Ed25519(key) = SigningKey::from_ed25519_seed(&[n; 32]).public() else { unreachable!() };
        GenesisValidator { organisation: "home-office".into(), key, address: address.into() }
    }

    /// A ledger of one organisation with so many validators.
    fn ledger(count: u8) -> View {
        let administrator = SigningKey::from_ed25519_seed(&[200; 32]).public();
        let principal = GenesisPrincipal::person("admin", Roles::administrator(), administrator);
        let mut genesis = Genesis {
            name: "Test".into(),
            created_ms: 1,
            nonce: [1; 16],
            organisations: vec![GenesisOrganisation {
                id: "home-office".into(),
                name: "Home Office".into(),
                particulars: Particulars::default(),
                principals: vec![principal],
            }],
            validators: (1..=count).map(|n| validator(n, "")).collect(),
            epoch_blocks: 10,
            rulebook: None,
        };
        genesis.sort();
        let mut view = View::new();
        crate::genesis(&mut view, &genesis);
        view
    }

    /// Makes the change with every row at hand.
    fn changed(view: &mut View, add: &[GenesisValidator], remove: &[GenesisValidator]) -> Result<(), Code> {
        for key in wanted(add, remove) {
            view.insert(key, None);
        }
        let mut draft = Draft::new(view);
        match change(&mut draft, add, remove) {
            Ok(()) => {
                draft.commit();
                Ok(())
            }
            Err(Stop::Refused(code, _)) => Err(code),
            Err(Stop::Unread) => panic!("a row was not wanted"),
        }
    }

    fn places(schedule: &ScheduleRow, key: &[u8; 32]) -> [bool; 3] {
        [&schedule.running, &schedule.next, &schedule.later].map(|set| set.contains(key))
    }

    #[test]
    fn a_change_takes_effect_in_the_epoch_after_the_next() {
        let mut view = ledger(4);
        assert_eq!(begin_epoch(&mut view, 0).epoch, 0, "block 1");
        let (new, old) = (validator(9, "node.example.org:9000"), validator(1, ""));
        // A rotation: both in one step.
        assert_eq!(changed(&mut view, from_ref(&new), from_ref(&old)), Ok(()));
        let schedule = begin_epoch(&mut view, 1);
        assert_eq!(
            (places(&schedule, &new.key), places(&schedule, &old.key)),
            ([false, true, true], [true, false, false])
        );
        let schedule = begin_epoch(&mut view, 2);
        assert_eq!((places(&schedule, &new.key), places(&schedule, &old.key)), ([true; 3], [false; 3]));
        assert_eq!(schedule.former, [old.key], "its node follows");
        assert_eq!(ScheduleRow::decode(&schedule.to_bytes()), Ok(schedule));

        // It may come back, under its own organisation.
        assert_eq!(changed(&mut view, from_ref(&old), &[]), Ok(()));
        let schedule = begin_epoch(&mut view, 3);
        assert_eq!((places(&schedule, &old.key), schedule.former), ([false, true, true], vec![]));
    }

    /// One row a change: who joins, who leaves, what comes of it. The network has validators 1 to 4.
    #[test]
    fn unsound_changes_are_refused() {
        let foreign = GenesisValidator { organisation: "nobody".into(), ..validator(9, "") };
        let weak = GenesisValidator { key: [0; 32], ..validator(9, "") };
        let PublicKey::Ed25519(principals) = SigningKey::from_ed25519_seed(&[200; 32]).public() else { unreachable!() };
        let taken = GenesisValidator { key: principals, ..validator(9, "") };
        let n = |n| validator(n, "");
        let rows = [
            (vec![n(5)], vec![], Ok(())),
            (vec![], vec![n(1)], Ok(())),
            (vec![n(1)], vec![], Ok(())),
            (vec![], vec![n(9)], Err(Code::ValidatorUnknown)),
            (vec![], vec![n(1), n(1)], Err(Code::ValidatorUnknown)),
            (vec![foreign], vec![], Err(Code::ValidatorOrganisation)),
            (vec![weak], vec![], Err(Code::KeyInvalid)),
            (vec![taken], vec![], Err(Code::KeyInUse)),
            (vec![], vec![n(1), n(2), n(3), n(4)], Err(Code::ValidatorsCount)),
            ((5..=101).map(n).collect(), vec![], Err(Code::ValidatorsCount)),
            // Of six, five must sign, and only four are known to be there.
            (vec![n(5), n(6)], vec![], Err(Code::ValidatorsStep)),
            (vec![n(5), n(6)], vec![n(1), n(2)], Err(Code::ValidatorsStep)),
        ];
        for (place, (add, remove, expected)) in rows.into_iter().enumerate() {
            assert_eq!(changed(&mut ledger(4), &add, &remove), expected, "row {place}");
        }
        // With fewer than four there is nobody to spare, whatever is changed.
        assert_eq!(changed(&mut ledger(1), &[n(2)], &[n(1)]), Ok(()));
        assert_eq!(changed(&mut ledger(1), &[n(2), n(3), n(4)], &[]), Ok(()));
    }

    #[test]
    fn small_steps_reach_what_one_great_step_may_not() {
        let mut view = ledger(4);
        assert_eq!(changed(&mut view, &[validator(5, "")], &[]), Ok(()));
        assert_eq!(changed(&mut view, &[validator(6, "")], &[]), Err(Code::ValidatorsStep), "in the same epoch");
        begin_epoch(&mut view, 1);
        assert_eq!(changed(&mut view, &[validator(6, "")], &[]), Ok(()));
    }
}
