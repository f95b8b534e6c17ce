//! Room for so many of a kind of request at once: what is dear must not crowd out what is cheap, nor the blocks.

use super::problem::{Answer, Failure};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for one kind of request. Clones are the same room.
#[derive(Debug, Clone)]
pub struct Room {
    /// What there is room for, in the plural.
    what: &'static str,
    places: usize,
    free: Arc<Semaphore>,
    /// After which time one that found no room should come back, in milliseconds.
    retry_after_ms: u64,
}

/// A place in a room, free again when it is dropped.
pub type Place = OwnedSemaphorePermit;

impl Room {
    /// Room for so many.
    pub fn new(what: &'static str, places: usize, retry_after_ms: u64) -> Self {
        Self { what, places, free: Arc::new(Semaphore::new(places)), retry_after_ms }
    }

    /// A place.
    ///
    /// # Errors
    /// `busy` when all are taken.
    pub fn enter(&self) -> Answer<Place> {
        Arc::clone(&self.free).try_acquire_owned().map_err(|_| {
            let Self { what, places, .. } = self;
            let detail = format!("this node serves {places} {what} already: try again later, or another node");
            Failure::busy(detail, self.retry_after_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_room_that_is_full_says_when_to_come_back() {
        let room = Room::new("questions", 2, 1_000);
        let places = [room.enter().unwrap(), room.clone().enter().unwrap()];
        let failure = room.enter().unwrap_err();
        let problem = failure.problem();
        assert_eq!((problem.code.as_str(), problem.status, problem.retry_after_ms), ("busy", 503, Some(1_000)));
        assert!(problem.detail.contains("2 questions already: try again later"), "{}", problem.detail);
        drop(places);
        assert!(room.enter().is_ok());
    }
}
