//! Which peers were heard of in a later epoch than this node's: it has missed an epoch's end, and they have it.
//!
//! What a peer says counts for that peer only, because nothing proves it: whoever names an epoch that will never be is asked in
//! vain, and the others are asked all the same.

use commonware_cryptography::ed25519::PublicKey;
use std::collections::BTreeMap;
use tallystick_protocol::limits::PEERS_MAX;

/// The last epoch that each peer was heard of in.
#[derive(Default)]
pub(crate) struct Ahead(BTreeMap<PublicKey, u64>);

impl Ahead {
    /// A peer says that it is in `epoch`.
    pub fn note(&mut self, peer: PublicKey, epoch: u64) {
        if self.0.len() < PEERS_MAX || self.0.contains_key(&peer) {
            self.0.insert(peer, epoch);
        }
    }

    /// The peers in later epochs than this, which is now this node's own. Those who are not are forgotten.
    pub fn of(&mut self, epoch: u64) -> Vec<PublicKey> {
        self.0.retain(|_, heard| *heard > epoch);
        self.0.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commonware_cryptography::{Signer as _, ed25519::PrivateKey};

    #[test]
    fn one_that_names_an_epoch_that_never_is_hides_nobody() {
        let [liar, one, other] = [1, 2, 3].map(|seed| PrivateKey::from_seed(seed).public_key());
        let mut ahead = Ahead::default();
        ahead.note(one.clone(), 7);
        ahead.note(other.clone(), 9);
        ahead.note(liar.clone(), u64::MAX);
        let asked = ahead.of(6);
        assert!([&liar, &one, &other].iter().all(|peer| asked.contains(peer)) && asked.len() == 3);
        ahead.note(liar.clone(), 2);
        assert_eq!(ahead.of(8), [other], "who has come no further has nothing to tell");
        assert!(ahead.of(9).is_empty());
    }

    #[test]
    fn no_more_are_remembered_than_may_be_peers() {
        let mut ahead = Ahead::default();
        for seed in 0..PEERS_MAX as u64 + 20 {
            ahead.note(PrivateKey::from_seed(seed).public_key(), 5);
        }
        assert_eq!(ahead.of(4).len(), PEERS_MAX);
    }
}
