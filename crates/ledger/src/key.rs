//! Keys: whose each is. A key has one holder on the whole network, for ever.
//!
//! A proposal names keys for days before it takes effect, and everybody can read them. From its submission on they are kept for
//! the holders that it names: else anybody could take one meanwhile, and whatever was voted would fail. They are anybody's again
//! when it is decided otherwise.
//!
//! INVARIANT: a key that was taken stays taken; one that is kept is taken by the holder that it is kept for, or by nobody.
//! INVARIANT: a key's row names at most as many proposals as can be pending: those that are decided leave it with the next.

use tallystick_protocol::{Code, PublicKey, StateKey, Violation, ViolationRule};

use crate::{
    apply::Stop,
    state::{Draft, KeyRow, Row, Unread},
};

/// Gives a key its one holder: a principal, or an organisation whose validator it is.
pub(crate) fn take(draft: &mut Draft<'_>, holder: &str, key: &PublicKey) -> Result<(), Stop> {
    key.validate().map_err(|_| Code::KeyInvalid)?;
    if held(draft, key)?.is_some_and(|row| row.proposals.is_empty() || row.holder != holder) {
        return Err(Code::KeyInUse.into());
    }
    draft.write(StateKey::key(key), Row::Key(KeyRow { holder: holder.to_owned(), proposals: Vec::new() }));
    Ok(())
}

/// Keeps a key for the holder that a proposal names, while that is pending. One that the holder has is left as it is.
pub(crate) fn keep(draft: &mut Draft<'_>, holder: &str, key: &PublicKey, proposal: &str) -> Result<(), Stop> {
    key.validate().map_err(|_| Code::KeyInvalid)?;
    let mut proposals = match held(draft, key)? {
        Some(row) if row.holder != holder => return Err(Code::KeyInUse.into()),
        Some(row) if row.proposals.is_empty() => return Ok(()),
        Some(row) => row.proposals,
        None => Vec::new(),
    };
    if proposals.iter().all(|id| id != proposal) {
        proposals.push(proposal.to_owned());
    }
    draft.write(StateKey::key(key), Row::Key(KeyRow { holder: holder.to_owned(), proposals }));
    Ok(())
}

/// Says which of several keys a refusal is about.
pub(crate) fn named(stop: Stop, entry: u32, field: &str) -> Stop {
    let rule = match &stop {
        Stop::Refused(Code::KeyInUse, _) => ViolationRule::InUse,
        Stop::Refused(Code::KeyInvalid, _) => ViolationRule::Unusable,
        _ => return stop,
    };
    let Stop::Refused(code, _) = stop else { return stop };
    Stop::Refused(code, vec![Violation { entry, field: field.to_owned(), rule }])
}

/// Asks for the proposals that keep the key, if the key's row tells of some.
pub(crate) fn note_missing(draft: &mut Draft<'_>, key: &PublicKey) -> Result<(), Unread> {
    let keepers = draft.key(&StateKey::key(key))?.map(|row| row.proposals.clone()).unwrap_or_default();
    keepers.iter().for_each(|proposal| draft.touch(StateKey::proposal(proposal)));
    Ok(())
}

/// Whose a key is, or for whom it is kept: then by which pending proposals.
fn held(draft: &mut Draft<'_>, key: &PublicKey) -> Result<Option<KeyRow>, Unread> {
    let Some(mut row) = draft.key(&StateKey::key(key))?.cloned() else { return Ok(None) };
    if row.proposals.is_empty() {
        return Ok(Some(row));
    }
    row.proposals.iter().for_each(|proposal| draft.touch(StateKey::proposal(proposal)));
    draft.complete()?;
    let mut pending = Vec::new();
    for id in row.proposals {
        if draft.proposal(&StateKey::proposal(&id))?.is_some_and(|proposal| proposal.is_pending()) {
            pending.push(id);
        }
    }
    row.proposals = pending;
    Ok(Some(row).filter(|row| !row.proposals.is_empty()))
}
