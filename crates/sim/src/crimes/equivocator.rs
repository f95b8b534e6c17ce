//! The equivocator: one key, two nodes. Each of them is honest for itself, hears everybody, and speaks to its own part of the
//! others; so as leader it proposes two blocks for one view, and as voter it votes for both. Now and then the wrong part hears
//! it, which is evidence.

use crate::chance::Chance;
use commonware_cryptography::ed25519::PublicKey;
use commonware_p2p::Recipients;
use std::sync::{Mutex, PoisonError};

/// Who hears one of the faces.
#[derive(Debug)]
pub struct Audience {
    all: Vec<PublicKey>,
    part: Vec<PublicKey>,
    chance: Mutex<Chance>,
    slips_percent: u64,
}

/// The two audiences of the node `criminal` among `keys`.
pub fn faces(seed: u64, keys: &[PublicKey], criminal: usize) -> [Audience; 2] {
    let mut chance = Chance::new(seed, 3);
    let slips_percent = *chance.pick(&[0, 0, 1, 10]);
    let others: Vec<PublicKey> =
        keys.iter().enumerate().filter(|(index, _)| *index != criminal).map(|(_, key)| key.clone()).collect();
    let (one, other) = others.split_at(others.len() / 2);
    [one, other].map(|part| Audience {
        all: others.clone(),
        part: part.to_vec(),
        chance: Mutex::new(Chance::new(chance.number(), 3)),
        slips_percent,
    })
}

impl Audience {
    /// Those of the recipients that are to hear a message.
    pub fn of(&self, recipients: Recipients<PublicKey>) -> Recipients<PublicKey> {
        let slips = self.chance.lock().unwrap_or_else(PoisonError::into_inner).percent(self.slips_percent);
        if slips {
            return recipients;
        }
        let wanted = match recipients {
            Recipients::All => self.all.clone(),
            Recipients::Some(some) => some,
            Recipients::One(one) => vec![one],
        };
        Recipients::Some(wanted.into_iter().filter(|peer| self.part.contains(peer)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::Members;

    #[test]
    fn each_of_the_others_hears_one_face() {
        let keys = Members::new(1, 4, 0, 1_000).keys();
        // A seed whose equivocator never slips.
        let seed = (0..).find(|seed| faces(*seed, &keys, 2)[0].slips_percent == 0).unwrap();
        let heard: Vec<Vec<PublicKey>> = faces(seed, &keys, 2)
            .iter()
            .map(|face| match face.of(Recipients::All) {
                Recipients::Some(some) => some,
                other => panic!("{other:?}"),
            })
            .collect();
        let mut all: Vec<PublicKey> = heard.concat();
        all.sort();
        let mut others: Vec<PublicKey> = keys.iter().filter(|key| **key != keys[2]).cloned().collect();
        others.sort();
        assert_eq!(all, others);
        assert!(heard.iter().all(|part| !part.is_empty()));
    }
}
