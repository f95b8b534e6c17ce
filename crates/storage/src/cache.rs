//! What was used last, so that it need not be read and opened again.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, bounded in bytes: those that were used longest ago give way.
pub struct Cache<K, V> {
    most: usize,
    uses: u64,
    bytes: usize,
    places: HashMap<K, u64>,
    values: BTreeMap<u64, (K, V, usize)>,
}

impl<K: Copy + Eq + Hash, V: Clone> Cache<K, V> {
    /// One of so many bytes.
    pub fn new(most: usize) -> Self {
        Self { most, uses: 0, bytes: 0, places: HashMap::new(), values: BTreeMap::new() }
    }

    /// Keeps one of so many bytes for a while, in the place of what was kept under its key.
    pub fn keep(&mut self, key: K, value: V, bytes: usize) {
        self.forget(&key);
        self.place(key, value, bytes);
        while self.bytes > self.most
            && let Some((_, (key, _, bytes))) = self.values.pop_first()
        {
            self.places.remove(&key);
            self.bytes -= bytes;
        }
    }

    /// One, if it is here.
    pub fn get(&mut self, key: &K) -> Option<V> {
        let (_, value, bytes) = self.values.remove(&self.places.remove(key)?)?;
        self.bytes -= bytes;
        self.place(*key, value.clone(), bytes);
        Some(value)
    }

    /// Keeps one no longer.
    pub fn forget(&mut self, key: &K) {
        if let Some((_, _, bytes)) = self.places.remove(key).and_then(|place| self.values.remove(&place)) {
            self.bytes -= bytes;
        }
    }

    fn place(&mut self, key: K, value: V, bytes: usize) {
        self.uses += 1;
        self.bytes += bytes;
        self.places.insert(key, self.uses);
        self.values.insert(self.uses, (key, value, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_gives_way() {
        let mut cache = Cache::new(100);
        for key in 0..4 {
            cache.keep(key, "value", 30);
            // Once more is once.
            cache.keep(key, "again", 30);
            assert_eq!(cache.get(&0), Some(if key == 0 { "again" } else { "first" }), "{key}");
            cache.keep(0, "first", 30);
        }
        let here = |cache: &mut Cache<i32, _>| (0..4).filter(|key| cache.get(key).is_some()).collect::<Vec<_>>();
        assert_eq!((here(&mut cache), cache.bytes), (vec![0, 2, 3], 90));
        cache.forget(&2);
        cache.forget(&2);
        assert_eq!((here(&mut cache), cache.bytes), (vec![0, 3], 60));
        cache.keep(4, "more than there is room for", 101);
        assert_eq!((here(&mut cache), cache.get(&4), cache.bytes), (vec![], None, 0));
    }
}
