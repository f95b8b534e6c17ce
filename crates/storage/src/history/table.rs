//! A hash table of places in a vector: eight bytes a slot, no keys.
//!
//! ```text
//! slot = 32 bits of the key's hash ‖ 32 bits of place        all ones: empty
//! ```
//!
//! What stands at a place is compared only when those 32 bits agree. They also say where the slot belongs, so that the
//! table grows without looking at a single key. Hashes must be keyed ones that nobody outside the process can guess.
//!
//! INVARIANT: between the slot where an entry belongs and the slot where it stands there is no empty one.

/// Of eight slots, seven may be taken.
const LOAD: (usize, usize) = (7, 8);
/// Slots of the smallest table.
const SLOTS_AT_FIRST: usize = 16;
/// An empty slot.
const EMPTY: u64 = u64::MAX;

/// Places by hash. The caller knows what stands at a place.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<u64>,
    taken: usize,
}

/// Largest place that a table can hold.
pub(super) const LAST_PLACE: u32 = u32::MAX - 1;

impl Table {
    /// The place whose hash is this and that is the `same`.
    pub(super) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot_of(hash, same).and_then(|slot| self.slots.get(slot)).map(|slot| place(*slot))
    }

    /// Adds a place, of which the table must not know a same one.
    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        if (self.taken + 1) * LOAD.1 > self.slots.len() * LOAD.0 {
            self.grow();
        }
        self.taken += 1;
        put(&mut self.slots, join(hash, place));
    }

    /// Changes the place `old` to `new`; false when `old` is not there.
    pub(super) fn replace(&mut self, hash: u64, old: u32, new: u32) -> bool {
        let slot = self.slot_of(hash, |place| place == old);
        match slot.and_then(|slot| self.slots.get_mut(slot)) {
            Some(slot) => {
                *slot = join(hash, new);
                true
            }
            None => false,
        }
    }

    /// Removes a place; false when it is not there.
    pub(super) fn remove(&mut self, hash: u64, place: u32) -> bool {
        let Some(mut hole) = self.slot_of(hash, |other| other == place) else { return false };
        self.taken -= 1;
        // What follows moves up, unless it would then stand before the slot where it belongs.
        let mut slot = hole;
        loop {
            slot = self.after(slot);
            let value = self.slots.get(slot).copied().unwrap_or(EMPTY);
            if value == EMPTY {
                break;
            }
            let home = home(value, self.slots.len());
            if self.distance(home, slot) >= self.distance(hole, slot) {
                self.set(hole, value);
                hole = slot;
            }
        }
        self.set(hole, EMPTY);
        true
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u64>()
    }

    fn slot_of(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<usize> {
        let count = self.slots.len();
        let first = home(hash, count);
        let around = (first..count).chain(0..first);
        for slot in around {
            let value = *self.slots.get(slot)?;
            if value == EMPTY {
                return None;
            }
            if value >> 32 == hash >> 32 && same(place(value)) {
                return Some(slot);
            }
        }
        None
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    /// Steps from one slot to another, forwards.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }

    fn set(&mut self, slot: usize, value: u64) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = value;
        }
    }

    /// By a quarter: a growing table is never less than seven tenths full, and an entry is moved five times.
    fn grow(&mut self) {
        self.resize(self.slots.len() + self.slots.len() / 4 + 1);
    }

    /// Gives back memory when most entries were removed.
    pub(super) fn shrink(&mut self) {
        if self.taken < self.slots.len() / 4 {
            self.resize(self.taken * 2);
        }
    }

    fn resize(&mut self, count: usize) {
        let count = count.max(SLOTS_AT_FIRST);
        let mut slots = vec![EMPTY; count];
        for value in self.slots.iter().filter(|value| **value != EMPTY) {
            put(&mut slots, *value);
        }
        self.slots = slots;
    }
}

/// Writes into the first empty slot from where the value belongs. There must be one.
fn put(slots: &mut [u64], value: u64) {
    let (before, from) = slots.split_at_mut(home(value, slots.len()));
    if let Some(slot) = from.iter_mut().chain(before).find(|slot| **slot == EMPTY) {
        *slot = value;
    }
}

/// Where a hash belongs: its upper half as a fraction of the table.
fn home(hash: u64, slots: usize) -> usize {
    // Both factors fit into 32 bits as long as places do, and the result is below `slots`.
    (((hash >> 32) * slots as u64) >> 32) as usize
}

fn join(hash: u64, place: u32) -> u64 {
    hash >> 32 << 32 | u64::from(place)
}

fn place(slot: u64) -> u32 {
    // The lower half.
    slot as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::collections::BTreeMap;

    /// A generator with nothing in common with the table (xorshift).
    fn random(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn it_is_a_map_through_growth_and_removal() {
        // Few distinct hashes, so that clusters form, wrap around and are broken up again.
        for hashes in [3u64, 64, 100_000] {
            let (mut table, mut model, mut state) = (Table::default(), BTreeMap::new(), 42);
            let hash = |key: u32| (u64::from(key) % hashes).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut key_of = Vec::new();
            for _ in 0..20_000 {
                let key = (random(&mut state) % 500) as u32;
                let found = table.find(hash(key), |place| key_of[place as usize] == key);
                assert_eq!(found, model.get(&key).copied());
                match (found, random(&mut state) % 3) {
                    (None, _) => {
                        let place = key_of.len() as u32;
                        key_of.push(key);
                        table.insert(hash(key), place);
                        model.insert(key, place);
                    }
                    (Some(old), 0) => {
                        key_of.push(key);
                        let place = key_of.len() as u32 - 1;
                        assert!(table.replace(hash(key), old, place));
                        model.insert(key, place);
                    }
                    (Some(old), 1) => {
                        assert!(table.remove(hash(key), old));
                        assert!(!table.remove(hash(key), old));
                        model.remove(&key);
                    }
                    _ => {}
                }
            }
            assert_eq!(table.taken, model.len());
            let kept: Vec<u32> = model.keys().copied().take(20).collect();
            for (key, place) in model.extract_if(.., |key, _| !kept.contains(key)) {
                assert!(table.remove(hash(key), place));
            }
            let before = table.memory_bytes();
            table.shrink();
            assert!(table.memory_bytes() < before / 2);
            for (key, place) in &model {
                assert_eq!(table.find(hash(*key), |place| key_of[place as usize] == *key), Some(*place));
            }
            assert!(table.memory_bytes() < 500 * 16);
        }
    }

    #[test]
    fn an_empty_table_finds_and_removes_nothing() {
        let mut table = Table::default();
        assert_eq!(table.find(7, |_| true), None);
        assert!(!table.remove(7, 0));
        assert!(!table.replace(7, 0, 1));
    }
}
