//! Keys: whose each is. A key has one holder on the whole network, for ever.
//!
//! A proposal names keys for days before it takes effect, and everybody can read them. From its submission on they are kept for
//! the holders that it names: else anybody could take one meanwhile, and whatever was voted would fail. They are anybody's again
//! when it is decided otherwise.
//!
//! INVARIANT: a key that was taken stays taken; one that is kept is taken by the holder that it is kept for, or by nobody.

use tallystick_protocol::{Code, PublicKey, StateKey, Violation, ViolationRule};

use crate::{
    apply::Stop,
    state::{Draft, KeyRow, Row, Unread},
};

/// Gives a key its one holder: a principal, or an organisation whose validator it is.
pub(crate) fn take(draft: &mut Draft<'_>, holder: &str, key: &PublicKey) -> Result<(), Stop> {
    key.validate().map_err(|_| Code::KeyInvalid)?;
    if held(draft, key)?.is_some_and(|row| row.proposal.is_none() || row.holder != holder) {
        return Err(Code::KeyInUse.into());
    }
    draft.write(StateKey::key(key), Row::Key(KeyRow { holder: holder.to_owned(), proposal: None }));
    Ok(())
}

/// Keeps a key for the holder that a proposal names, while that is pending. One that the holder has, or that another proposal
/// keeps for it, is left as it is.
pub(crate) fn keep(draft: &mut Draft<'_>, holder: &str, key: &PublicKey, proposal: &str) -> Result<(), Stop> {
    match held(draft, key)? {
        Some(row) if row.holder == holder => {}
        Some(_) => return Err(Code::KeyInUse.into()),
        None => {
            let row = KeyRow { holder: holder.to_owned(), proposal: Some(proposal.to_owned()) };
            draft.write(StateKey::key(key), Row::Key(row));
        }
    }
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

/// Asks for the proposal that keeps the key, if the key's row tells of one.
pub(crate) fn note_missing(draft: &mut Draft<'_>, key: &PublicKey) -> Result<(), Unread> {
    let keeper = draft.key(&StateKey::key(key))?.and_then(|row| row.proposal.as_deref().map(StateKey::proposal));
    keeper.into_iter().for_each(|proposal| draft.touch(proposal));
    Ok(())
}

/// Whose a key is, or for whom it is kept.
fn held(draft: &mut Draft<'_>, key: &PublicKey) -> Result<Option<KeyRow>, Unread> {
    let Some(row) = draft.key(&StateKey::key(key))?.cloned() else { return Ok(None) };
    let Some(proposal) = &row.proposal else { return Ok(Some(row)) };
    let is_pending = draft.proposal(&StateKey::proposal(proposal))?.is_some_and(|proposal| proposal.is_pending());
    Ok(is_pending.then_some(row))
}
