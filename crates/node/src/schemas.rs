//! The registers whose protected fields were looked up: so that admission need not read the state for each transaction.
//!
//! INVARIANT: a register stands here as its fields are at the tip. Every block that can protect a field of a register that exists
//! empties the whole; a register that does not exist is not remembered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tallystick_ledger::schema::Schema;
use tallystick_protocol::{Operation, limits::SCHEMAS_REMEMBERED_MAX};

/// Schemas of registers with protected fields, and the names of registers without.
#[derive(Default)]
pub struct SchemaCache(Mutex<Schemas>);

#[derive(Default)]
struct Schemas {
    /// How often the cache was emptied: a finding from before does not count after.
    changes: u64,
    known: HashMap<String, Option<Arc<Schema>>>,
}

impl SchemaCache {
    /// The register's schema if it has protected fields, `Some(None)` if it has none, and `None` if it is to be looked up.
    pub fn get(&self, register: &str) -> Option<Option<Arc<Schema>>> {
        self.lock().known.get(register).cloned()
    }

    /// To be asked before the state is read, and given to [`SchemaCache::add`].
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Remembers what was found, unless fields have changed since `changes` was asked.
    pub fn add(&self, changes: u64, register: &str, protected: Option<Arc<Schema>>) {
        let mut schemas = self.lock();
        if schemas.changes != changes {
            return;
        }
        if schemas.known.len() >= SCHEMAS_REMEMBERED_MAX {
            schemas.known.clear();
        }
        schemas.known.insert(register.to_owned(), protected);
    }

    /// Forgets every register: a block may have protected a field.
    pub fn clear(&self) {
        let mut schemas = self.lock();
        schemas.changes += 1;
        schemas.known.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Schemas> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an operation can protect a field of a register that exists.
pub fn changes_fields(operation: &Operation) -> bool {
    matches!(operation, Operation::RegisterImport { .. })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_finding_from_before_a_change_does_not_count() {
        let cache = SchemaCache::default();
        let before = cache.changes();
        cache.clear();
        cache.add(before, "person", None);
        assert!(cache.get("person").is_none(), "the state was read before a field was protected");
        let schema = Arc::new(Schema::new("person", &[]));
        cache.add(cache.changes(), "person", Some(schema));
        cache.add(cache.changes(), "town", None);
        assert!(cache.get("person").unwrap().is_some() && cache.get("town").unwrap().is_none());
        cache.clear();
        assert!(cache.get("person").is_none());
    }
}
