//! Durability: what a client was told is final stays so, at its place and with its outcome, on every node, whatever happens to
//! the machines. What a client was told has expired never comes to be.

use super::Broken;
use std::collections::{BTreeMap, BTreeSet};
use tallystick_protocol::{Hash, Outcome};

const PROMISE: &str = "durability";

/// What a client was told of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its leaf in the log.
    pub index: u64,
    /// The height of its block.
    pub height: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// Everything that clients were told.
#[derive(Debug, Default)]
pub struct Durability {
    told: BTreeMap<Hash, Told>,
    expired: BTreeSet<Hash>,
}

impl Durability {
    /// A client was told that a transaction is final.
    pub fn told(&mut self, id: Hash, told: Told) -> Result<(), Broken> {
        let known = self.told.entry(id).or_insert_with(|| told.clone());
        if *known == told {
            return Ok(());
        }
        Err(Broken::new(PROMISE, format!("of transaction {id} clients were told {known:?} and {told:?}")))
    }

    /// A client was told that a transaction expired and will never be applied.
    pub fn told_expired(&mut self, id: Hash) {
        self.expired.insert(id);
    }

    /// What clients were told is final.
    pub fn all(&self) -> impl Iterator<Item = (&Hash, &Told)> {
        self.told.iter()
    }

    /// How many transactions clients were told are final.
    pub fn count(&self) -> usize {
        self.told.len()
    }

    /// A node's log, by transaction, is this.
    pub fn check(&self, node: usize, log: &BTreeMap<Hash, Told>) -> Result<(), Broken> {
        for (id, told) in &self.told {
            if log.get(id) != Some(told) {
                let detail = format!("clients were told of {id} {told:?}, node {node} has {:?}", log.get(id));
                return Err(Broken::new(PROMISE, detail));
            }
        }
        match self.expired.iter().find(|id| log.contains_key(*id)) {
            None => Ok(()),
            Some(id) => {
                let detail = format!("a client was told that {id} expired, node {node} has {:?}", log.get(id));
                Err(Broken::new(PROMISE, detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallystick_protocol::Decision;

    #[test]
    fn what_is_lost_moved_or_raised_from_the_dead_is_seen() {
        let told = |index| Told {
            index,
            height: 3,
            outcome: Outcome::Accepted { appended: Vec::new(), decision: Decision::default() },
        };
        let (id, late) = (Hash([1; 32]), Hash([2; 32]));
        let mut durability = Durability::default();
        durability.told(id, told(7)).unwrap();
        durability.told_expired(late);
        assert!(durability.told(id, told(8)).is_err());
        assert_eq!(durability.check(0, &[(id, told(7))].into()), Ok(()));
        assert!(durability.check(0, &[(id, told(8))].into()).is_err());
        assert!(durability.check(0, &BTreeMap::new()).is_err());
        assert!(durability.check(0, &[(id, told(7)), (late, told(9))].into()).is_err());
    }
}
