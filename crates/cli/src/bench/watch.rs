//! What a node tells of final blocks, and when it did: the witness of a measurement.

use crate::output::Failure;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tallystick_client::{Blocks, Client};
use tallystick_protocol::Hash;

/// Somebody who follows a node's blocks.
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

/// A final block that was told.
#[derive(Debug)]
struct Told {
    height: u64,
    at: Instant,
    ids: Vec<Hash>,
}

/// Everything that was told.
#[derive(Debug, Default)]
pub struct Watched(Vec<Told>);

impl Watch {
    /// Follows from now on.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn start(client: Client) -> Result<Self, Failure> {
        let blocks = client.blocks(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let is_over = over.clone();
        Ok(Self { over, thread: thread::spawn(move || follow(&client, blocks, &is_over)) })
    }

    /// Ends it with the next block.
    pub fn stop(self) -> Watched {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// A stream that breaks off is taken up again; blocks that it lost were not told, and a gap is a gap.
fn follow(client: &Client, mut blocks: Blocks, is_over: &AtomicBool) -> Watched {
    let mut watched = Watched::default();
    while !is_over.load(Ordering::Relaxed) {
        match blocks.next() {
            Some(Ok(event)) => {
                let ids = event.ids.unwrap_or_default();
                watched.0.push(Told { height: event.height, at: Instant::now(), ids });
            }
            _ => match client.blocks(true) {
                Ok(again) => blocks = again,
                Err(_) => thread::sleep(Duration::from_millis(100)),
            },
        }
    }
    watched
}

impl Watched {
    /// The transactions that were told to be final.
    pub fn ids(&self) -> impl Iterator<Item = &Hash> {
        self.0.iter().flat_map(|told| &told.ids)
    }

    /// The newest block.
    pub fn last_height(&self) -> u64 {
        self.0.last().map_or(0, |told| told.height)
    }

    /// From the first block to the last.
    pub fn seconds(&self) -> f64 {
        let span = self.0.first().zip(self.0.last()).map(|(first, last)| last.at.duration_since(first.at));
        span.unwrap_or_default().as_secs_f64()
    }

    /// The longest time between two blocks: of all, or of those told so long before and after the block at a height.
    pub fn longest_gap_ms(&self, around: Option<(u64, Duration)>) -> f64 {
        let counts = |told: &Told| match around {
            None => true,
            Some((height, within)) => {
                let middle = self.0.iter().find(|told| told.height >= height).map(|told| told.at);
                middle.is_some_and(|middle| {
                    let (earlier, later) = (middle.min(told.at), middle.max(told.at));
                    later.duration_since(earlier) <= within
                })
            }
        };
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        let counted = pairs.filter(|(one, next)| counts(one) || counts(next));
        counted.map(|(one, next)| next.at.duration_since(one.at).as_secs_f64() * 1_000.0).fold(0.0, f64::max)
    }

    /// The transactions told to be final that are not in the blocks of another node.
    ///
    /// # Errors
    /// When it does not answer, or lacks a block.
    pub fn missing_on(&self, client: &Client) -> Result<Vec<Hash>, Failure> {
        let mut missing: HashSet<Hash> = self.ids().copied().collect();
        let (first, last) = (self.0.first().map_or(1, |told| told.height), self.last_height());
        for height in first..=last {
            // What the last blocks were told to hold may be on its way to this node.
            let mut block = client.block(height)?;
            for _ in 0..50 {
                if block.is_some() {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
                block = client.block(height)?;
            }
            for id in block.into_iter().flat_map(|block| block.value.transactions) {
                missing.remove(&id);
            }
        }
        Ok(missing.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    #[test]
    fn gaps_are_those_around_the_height() {
        let begun = Instant::now();
        let told = |(height, ms)| Told { height, at: begun + Duration::from_millis(ms), ids: Vec::new() };
        let watched = Watched([(7, 0), (8, 900), (9, 1_000), (10, 1_200), (11, 1_300)].map(told).into());
        assert_eq!(watched.longest_gap_ms(None).round(), 900.0);
        assert_eq!(watched.longest_gap_ms(Some((10, Duration::from_millis(250)))).round(), 200.0);
        assert_eq!(watched.longest_gap_ms(Some((99, Duration::from_secs(9)))), 0.0, "never told");
        assert_eq!((watched.last_height(), watched.seconds()), (11, 1.3));
    }
}
