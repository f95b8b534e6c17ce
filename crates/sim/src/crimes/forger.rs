//! The forger: a node whose messages do not always arrive as it meant them. Bits are turned, ends cut off, old messages told
//! again, and some are plain noise. On the channels of its choice: gossip, blocks, answers to those who fetch, votes.

use crate::chance::Chance;
use std::sync::{Mutex, PoisonError};
use tallystick_consensus::channel;

/// Messages remembered to be told again.
const REMEMBERED: usize = 8;

/// What forges on one channel.
#[derive(Debug)]
pub struct Forger(Mutex<State>);

#[derive(Debug)]
struct State {
    chance: Chance,
    percent: u64,
    before: Vec<Vec<u8>>,
}

/// The channels a seed's forger forges on, and how often in a hundred messages.
pub fn channels(seed: u64) -> (Vec<u64>, u64) {
    let mut chance = Chance::new(seed, 4);
    let sets: [&[u64]; 5] = [
        &[channel::TRANSACTIONS],
        &[channel::BLOCKS],
        &[channel::STATE_SYNC, channel::LOG_SYNC, channel::PROBE],
        &[channel::BACKFILL, channel::RESOLVER],
        &[channel::VOTES, channel::CERTIFICATES],
    ];
    (chance.pick(&sets).to_vec(), *chance.pick(&[2, 20, 100]))
}

impl Forger {
    /// One that changes `percent` of its messages.
    pub fn new(seed: u64, channel: u64, percent: u64) -> Self {
        Self(Mutex::new(State { chance: Chance::new(seed, 100 + channel), percent, before: Vec::new() }))
    }

    /// What is sent instead of `message`.
    pub fn forge(&self, message: &[u8]) -> Vec<u8> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut forged = message.to_vec();
        let percent = state.percent;
        if state.chance.percent(percent) {
            forged = state.change(forged);
        }
        if state.before.len() == REMEMBERED {
            state.before.remove(0);
        }
        state.before.push(message.to_vec());
        forged
    }
}

impl State {
    fn change(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        let length = message.len() as u64;
        match self.chance.below(5) {
            0 | 1 if length > 0 => {
                let place = usize::try_from(self.chance.below(length)).unwrap_or(0);
                message[place] ^= 1 << self.chance.below(8);
                message
            }
            2 if length > 0 => {
                message.truncate(usize::try_from(self.chance.below(length)).unwrap_or(0));
                message
            }
            3 if !self.before.is_empty() => self.chance.pick(&self.before).clone(),
            // Never longer than the node itself would send: the network, not the node, refuses that.
            _ => self.chance.bytes(message.len().min(4096)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_forges_the_same_way_each_time() {
        let messages = |seed| {
            let forger = Forger::new(seed, 4, 50);
            (0..100u8).map(|index| forger.forge(&[index; 40])).collect::<Vec<_>>()
        };
        assert_eq!(messages(5), messages(5));
        assert_ne!(messages(5), messages(6));
        let changed = messages(5).iter().zip(0..100u8).filter(|(message, index)| **message != [*index; 40]).count();
        assert!((30..70).contains(&changed), "{changed}");
        assert_eq!(Forger::new(5, 4, 0).forge(b"left alone"), b"left alone");
    }
}
