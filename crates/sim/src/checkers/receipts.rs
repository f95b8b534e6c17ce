//! Receipts: every receipt that was ever given verifies offline against the genesis, for ever, and says what its giver said.

use super::Broken;
use std::collections::BTreeMap;
use tallystick_protocol::{Genesis, Hash, Link, Outcome, Receipt, receipt::Claim};

const PROMISE: &str = "receipts";

/// What a receipt was asked for, and must prove.
#[derive(Debug, Clone)]
pub enum About {
    /// That this transaction had this outcome.
    Transaction(Hash, Outcome),
    /// What this register says of this key.
    Record(String, String),
}

/// Receipts given, as files.
#[derive(Debug, Default)]
pub struct Receipts {
    given: Vec<(usize, About, Vec<u8>)>,
}

impl Receipts {
    /// A node gave a receipt.
    pub fn given(&mut self, node: usize, about: About, file: Vec<u8>) {
        self.given.push((node, about, file));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.given.len()
    }

    /// How many each node gave that lead through a hand-over between validators.
    pub fn led(&self) -> BTreeMap<usize, usize> {
        self.count_of(|links| !links.is_empty())
    }

    /// How many each node gave that say that the network was recovered.
    pub fn recovered(&self) -> BTreeMap<usize, usize> {
        self.count_of(|links| links.iter().any(|link| link.recovery().is_some()))
    }

    fn count_of(&self, wanted: impl Fn(&[Link]) -> bool) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        for (node, _, file) in &self.given {
            let Ok(receipt) = Receipt::decode(file) else { continue };
            *counts.entry(*node).or_default() += usize::from(wanted(&receipt.finality().hand_overs));
        }
        counts
    }

    /// Checks every one.
    pub fn check(&self, genesis: &Genesis) -> Result<(), Broken> {
        for (node, about, file) in &self.given {
            check(about, file, genesis)
                .map_err(|why| Broken::new(PROMISE, format!("node {node} gave one about {about:?}: {why}")))?;
        }
        Ok(())
    }
}

fn check(about: &About, file: &[u8], genesis: &Genesis) -> Result<(), String> {
    let receipt = Receipt::decode(file).map_err(|error| error.to_string())?;
    let proven = receipt.check(genesis).map_err(|error| error.to_string())?;
    let says = match (about, &proven.claim) {
        (About::Transaction(id, outcome), Claim::Transaction { id: proven, outcome: said, .. }) => {
            id == proven && outcome == said
        }
        (About::Record(register, key), Claim::Current { record, .. }) => {
            *register == record.register && *key == record.key
        }
        (About::Record(_, key), Claim::Absent { key: proven, .. }) => key == proven,
        (About::Record(register, _), Claim::NoRegister { register: proven }) => register == proven,
        _ => false,
    };
    if says { Ok(()) } else { Err(format!("it proves something else: {:?}", proven.claim)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;

    #[test]
    fn a_file_that_is_no_receipt_is_seen() {
        let members = Members::new(1, 4, 0, 1_000);
        let mut receipts = Receipts::default();
        assert_eq!(receipts.check(&members.genesis), Ok(()));
        receipts.given(0, About::Record("things".to_owned(), "a".to_owned()), vec![0x80]);
        assert!(receipts.check(&members.genesis).is_err());
    }
}
