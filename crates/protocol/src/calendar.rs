//! Which block is of which epoch.
//!
//! ```text
//! genesis ──N blocks──┬──N blocks──┬──…──┤ head of a recovery
//!     epoch 0             epoch 1          e       │ first block of epoch e+2 ──N blocks──┬──…
//! ```
//!
//! Epochs have one length, counted anew after each recovery: the head's epoch ends with it, and the one after, whose validators
//! the head's header names too, has no blocks.

/// Epochs between the head's and the first one of those who recovered the network: both of the sets that the head names are
/// passed over, so that nobody can certify with votes of two sets in one epoch.
const EPOCHS_PASSED: u64 = 2;

/// The epochs of a network, as far as it was recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    epoch_blocks: u64,
    /// Where the count begins, the latest last: the first height and its epoch.
    counts: Vec<(u64, u64)>,
}

impl Calendar {
    /// The epochs of a network that was never recovered, of so many blocks each.
    pub fn new(epoch_blocks: u64) -> Self {
        Self { epoch_blocks: epoch_blocks.max(1), counts: vec![(0, 0)] }
    }

    /// The epoch of the block at this height.
    pub fn epoch_of(&self, height: u64) -> u64 {
        let (first, epoch) = self.latest(|(first, _)| *first <= height);
        epoch + (height - first) / self.epoch_blocks
    }

    /// The height of an epoch's first block; of one without blocks, that of the next block.
    pub fn first_of(&self, epoch: u64) -> u64 {
        let (first, begun) = self.latest(|(_, begun)| *begun <= epoch);
        let counted = first.saturating_add((epoch - begun).saturating_mul(self.epoch_blocks));
        let cut = self.counts.iter().find(|(_, begun)| *begun > epoch).map(|(first, _)| *first);
        cut.map_or(counted, |cut| counted.min(cut))
    }

    /// The height of an epoch's last block; of one without blocks, that of the block before.
    pub fn last_of(&self, epoch: u64) -> u64 {
        self.first_of(epoch.saturating_add(1)).saturating_sub(1)
    }

    /// Whether the block at this height moves the schedule of the validators: the first one of an epoch, and of the network.
    pub fn begins_epoch(&self, height: u64) -> bool {
        height == 1 || self.first_of(self.epoch_of(height)) == height
    }

    /// The network goes on after the block at `head`: gives the first epoch from there on.
    pub fn recover(&mut self, head: u64) -> u64 {
        let epoch = self.epoch_of(head).saturating_add(EPOCHS_PASSED);
        self.counts.push((head.saturating_add(1), epoch));
        epoch
    }

    fn latest(&self, counts: impl Fn(&(u64, u64)) -> bool) -> (u64, u64) {
        self.counts.iter().rev().find(|count| counts(count)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(heads: &[u64]) -> Calendar {
        let mut calendar = Calendar::new(10);
        for head in heads {
            calendar.recover(*head);
        }
        calendar
    }

    /// One row an epoch: its first and last block.
    fn check(calendar: &Calendar, rows: &[(u64, u64, u64)]) {
        for (epoch, first, last) in rows {
            assert_eq!((calendar.first_of(*epoch), calendar.last_of(*epoch)), (*first, *last), "epoch {epoch}");
            for height in *first..=*last {
                assert_eq!(calendar.epoch_of(height), *epoch, "block {height}");
                assert_eq!(calendar.begins_epoch(height), height == *first || height == 1, "block {height}");
            }
        }
    }

    #[test]
    fn epochs_have_one_length() {
        check(&calendar(&[]), &[(0, 0, 9), (1, 10, 19), (7, 70, 79)]);
    }

    #[test]
    fn a_recovery_ends_an_epoch_and_passes_over_the_next() {
        let heads = calendar(&[13]);
        check(&heads, &[(0, 0, 9), (1, 10, 13), (3, 14, 23), (4, 24, 33)]);
        assert_eq!((heads.first_of(2), heads.last_of(2)), (14, 13), "nobody's");
        // The head was the last of its epoch, and the next one had begun without a block.
        check(&calendar(&[19]), &[(1, 10, 19), (3, 20, 29)]);
        // Twice, the second time at once.
        check(&calendar(&[13, 14, 40]), &[(1, 10, 13), (3, 14, 14), (5, 15, 24), (7, 35, 40), (9, 41, 50)]);
        assert_eq!(calendar(&[13]).recover(14), 5);
    }
}
