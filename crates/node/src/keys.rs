//! The keys that were found in use: so that admission need not read the state for each transaction.
//!
//! INVARIANT: a key stands here only while it is in use at the tip, with the time at which it ends. Every block that
//! changes a key, or a principal's status, empties the whole.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tallystick_protocol::{Operation, PrincipalId, PublicKey, limits::KEYS_REMEMBERED_MAX};

/// Keys in use, with their principals.
#[derive(Default)]
pub struct KeyCache(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    /// How often the cache was emptied: a finding from before does not count after.
    changes: u64,
    holders: HashMap<PublicKey, Holder>,
}

struct Holder {
    principal: PrincipalId,
    /// When the key ends, by its certificate or its replacement, in Unix milliseconds.
    until_ms: Option<u64>,
}

impl KeyCache {
    /// Whether the key is known to be in use by the principal, and not expired.
    pub fn holds(&self, principal: &PrincipalId, key: &PublicKey, now_ms: u64) -> bool {
        let keys = self.lock();
        let holder = keys.holders.get(key).filter(|holder| holder.principal == *principal);
        holder.is_some_and(|holder| holder.until_ms.is_none_or(|until_ms| now_ms < until_ms))
    }

    /// To be asked before the state is read, and given to [`KeyCache::add`].
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Remembers a key that was found in use, unless keys have changed since `changes` was asked.
    pub fn add(&self, changes: u64, principal: &PrincipalId, key: &PublicKey, until_ms: Option<u64>) {
        let mut keys = self.lock();
        if keys.changes != changes {
            return;
        }
        if keys.holders.len() >= KEYS_REMEMBERED_MAX {
            keys.holders.clear();
        }
        keys.holders.insert(*key, Holder { principal: principal.clone(), until_ms });
    }

    /// Forgets every key: a block changed one.
    pub fn clear(&self) {
        let mut keys = self.lock();
        keys.changes += 1;
        keys.holders.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an operation can change which keys are in use, or for how long.
pub fn changes_keys(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::KeyRotate { .. }
            | Operation::KeyRetire { .. }
            | Operation::KeyCertify { .. }
            | Operation::PrincipalStatus { .. }
            | Operation::PrincipalRecover { .. }
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_finding_from_before_a_change_does_not_count() {
        let cache = KeyCache::default();
        let principal = PrincipalId::new("fsa", "registrar").unwrap();
        let key = PublicKey::Ed25519([7; 32]);
        let before = cache.changes();
        cache.clear();
        cache.add(before, &principal, &key, None);
        assert!(!cache.holds(&principal, &key, 0), "the state was read before the key changed");
        cache.add(cache.changes(), &principal, &key, Some(1_000));
        assert!(cache.holds(&principal, &key, 999));
        assert!(!cache.holds(&principal, &key, 1_000), "its certificate has ended");
        cache.clear();
        assert!(!cache.holds(&principal, &key, 0));
    }
}
