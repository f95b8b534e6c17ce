//! Which intents were ordered already: replay tags, each until the not-after time of its transaction.
//!
//! INVARIANT: whether a tag counts depends on the log and the time asked about only, not on when something was forgotten:
//! what is forgotten lies before every time that may still be asked about.

use super::table::Table;
use std::{collections::VecDeque, hash::BuildHasher};

/// Tags for which room is kept.
const WINDOW_AT_FIRST: usize = 4096;

/// A transaction that may still be repeated.
#[derive(Debug, Clone, Copy)]
struct Remembered {
    tag: [u8; 16],
    /// Unix seconds; those after the year 2106 as the last second before.
    not_after: u32,
}

/// Tags by leaf, the leaves being consecutive.
#[derive(Debug, Default)]
pub(super) struct Replays {
    first: u64,
    window: VecDeque<Remembered>,
    places: Table,
    /// Unix seconds; what ended before is forgotten.
    floor: u64,
}

impl Replays {
    /// Remembers the next leaf's tag until `not_after` (Unix seconds).
    pub(super) fn push(&mut self, hasher: &impl BuildHasher, leaf: u64, tag: [u8; 16], not_after: u64) {
        if self.window.is_empty() {
            self.first = leaf;
        }
        let not_after = u32::try_from(not_after).unwrap_or(u32::MAX);
        let (hash, place) = (hasher.hash_one(tag), place_of(leaf));
        self.window.push_back(Remembered { tag, not_after });
        match self.place(hash, &tag) {
            // The older one has ended, or the block that repeats it would not be valid.
            Some(older) => self.places.replace(hash, older, place),
            None => {
                self.places.insert(hash, place);
                true
            }
        };
    }

    /// The leaf whose transaction has this tag and is not void at `time_ms` (Unix milliseconds).
    pub(super) fn find(&self, hasher: &impl BuildHasher, tag: &[u8; 16], time_ms: u64) -> Option<u64> {
        let place = self.place(hasher.hash_one(tag), tag)?;
        let remembered = self.remembered(place)?;
        let seconds = self.floor.max(time_ms / 1000);
        (u64::from(remembered.not_after) >= seconds).then(|| self.first + self.offset(place))
    }

    /// Forgets what is void at `time_ms`, as far as nothing older stands before it.
    pub(super) fn forget_before(&mut self, hasher: &impl BuildHasher, time_ms: u64) {
        self.floor = self.floor.max(time_ms / 1000);
        while let Some(oldest) = self.window.front().filter(|oldest| u64::from(oldest.not_after) < self.floor) {
            // Not there when a later transaction has the tag.
            self.places.remove(hasher.hash_one(oldest.tag), place_of(self.first));
            self.window.pop_front();
            self.first += 1;
        }
        // A burst does not hold its memory for ever.
        if self.window.capacity() > WINDOW_AT_FIRST && self.window.len() < self.window.capacity() / 4 {
            self.window.shrink_to(self.window.capacity() / 2);
            self.places.shrink();
        }
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.window.capacity() * size_of::<Remembered>() + self.places.memory_bytes()
    }

    fn place(&self, hash: u64, tag: &[u8; 16]) -> Option<u32> {
        self.places.find(hash, |place| self.remembered(place).is_some_and(|remembered| remembered.tag == *tag))
    }

    fn remembered(&self, place: u32) -> Option<&Remembered> {
        self.window.get(usize::try_from(self.offset(place)).ok()?)
    }

    /// Places are the lower halves of leaf indices: the window is shorter than all of them.
    fn offset(&self, place: u32) -> u64 {
        u64::from(place.wrapping_sub(place_of(self.first)))
    }
}

fn place_of(leaf: u64) -> u32 {
    leaf as u32
}
