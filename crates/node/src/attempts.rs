//! Acts by those who may not act any more: one now and then goes on to the ledger, which refuses it on record.
//!
//! An attempt with a key that has ended, or by somebody suspended, is evidence, and the log of acts is where an auditor looks for it.
//! But whoever has a stolen key must not fill every node's disk with it once it has ended: so a node lets one act of each key through
//! in a while, and turns the rest away with the same code.
//!
//! INVARIANT: an act of a key that was never the signer's leaves no trace: anybody can make those.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tallystick_protocol::{
    PublicKey,
    limits::{ATTEMPT_KEYS_MAX, ATTEMPT_PAUSE_MS},
};

/// When a key's last attempt went on, in Unix milliseconds.
#[derive(Default)]
pub struct Attempts(Mutex<HashMap<PublicKey, u64>>);

impl Attempts {
    /// Whether an attempt of the key goes on to the ledger now. It is counted as the key's last, if it `is_signed` by it: nobody else can
    /// use up what is the key's. That is asked only where there is room, so that what is turned away costs no check.
    pub fn goes_on(&self, key: &PublicKey, now_ms: u64, is_signed: impl FnOnce() -> bool) -> bool {
        let is_recent = |at: &u64| now_ms < at.saturating_add(ATTEMPT_PAUSE_MS);
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Others' attempts do not wait while a signature is checked.
        if lock().get(key).is_some_and(is_recent) || !is_signed() {
            return false;
        }
        let mut last = lock();
        if last.get(key).is_some_and(is_recent) {
            return false;
        }
        if last.len() >= ATTEMPT_KEYS_MAX {
            last.retain(|_, at| is_recent(at));
        }
        let has_room = last.len() < ATTEMPT_KEYS_MAX;
        if has_room {
            last.insert(*key, now_ms);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_attempt_of_a_key_goes_on_in_a_while_and_memory_is_bounded() {
        let attempts = Attempts::default();
        let key = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            PublicKey::Ed25519(key)
        };
        let goes_on = |key: &PublicKey, now_ms| attempts.goes_on(key, now_ms, || true);
        assert!(!attempts.goes_on(&key(0), 1_000, || false), "badly signed");
        assert!(goes_on(&key(0), 1_000), "and that has not used up the key's own");
        assert!(!goes_on(&key(0), 1_000 + ATTEMPT_PAUSE_MS - 1));
        assert!(goes_on(&key(1), 1_001), "another's");
        assert!(goes_on(&key(0), 1_000 + ATTEMPT_PAUSE_MS));
        let now_ms = 10 * ATTEMPT_PAUSE_MS;
        assert!((2..2 + ATTEMPT_KEYS_MAX).all(|number| goes_on(&key(number), now_ms)), "old ones are forgotten");
        assert!(!goes_on(&key(1), now_ms), "there is no room");
        assert!(goes_on(&key(1), now_ms + ATTEMPT_PAUSE_MS));
    }
}
