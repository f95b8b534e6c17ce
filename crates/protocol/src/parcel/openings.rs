//! What opens the values sealed in payloads, on its way between nodes of members of a partition.
//!
//! ```text
//! openings    CBOR [opening…], as many as one message may hold
//! encrypted   as a parcel is, with
//!             info  "tallystick openings 1" ‖ network ‖ partition
//!             aad   SHA-256 of the commitments of the parcels that they travel beside, one after another
//! ```
//!
//! INVARIANT: none of it outlives the message: whoever may keep an opening keeps it in a vault, where it can be destroyed.

use super::{ParcelError, ParcelId, ParcelSecret, decrypt, encrypt};
use crate::{
    cbor,
    hash::Hash,
    limits::{OPENINGS_BYTES_MAX, OPENINGS_PER_MESSAGE_MAX, OPENINGS_SEALED_BYTES_MAX},
    network::NetworkId,
    node::SealingKey,
    seal::Opening,
};
use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

/// What openings are encrypted for.
const INFO: &[u8] = b"tallystick openings 1";

/// The parcels that openings travel beside: beside others they open for nobody.
#[derive(Debug, Clone)]
pub struct Beside {
    info: Vec<u8>,
    aad: Hash,
}

impl Beside {
    /// Beside these parcels of this partition of this network, in this order.
    pub fn of<'p>(network: &NetworkId, partition: &str, parcels: impl Iterator<Item = &'p ParcelId>) -> Self {
        let ids: Vec<&[u8]> = parcels.map(|id| id.0.as_slice()).collect();
        Self { info: [INFO, network.0.as_slice(), partition.as_bytes()].concat(), aad: Hash::of(&ids) }
    }

    /// Encrypts openings to a node that may have them.
    ///
    /// # Errors
    /// When there are none, or more than one message holds.
    pub fn seal(&self, openings: &[Opening], to: &SealingKey, rng: &mut impl CryptoRng) -> Result<Bytes, ParcelError> {
        let bytes = openings.iter().map(|opening| opening.to_bytes().len()).sum::<usize>();
        if !(1..=OPENINGS_PER_MESSAGE_MAX).contains(&openings.len()) || bytes > OPENINGS_BYTES_MAX {
            return Err(ParcelError::TooLong(bytes));
        }
        let clear = Zeroizing::new(cbor::encode_about(&Openings(openings.to_vec()), bytes + 64));
        encrypt(to, (&self.info, &self.aad.0), &clear, rng)
    }

    /// Openings that were encrypted to `secret` beside these parcels.
    ///
    /// # Errors
    /// When they do not open, or are none.
    pub fn open(&self, sealed: &[u8], secret: &ParcelSecret) -> Result<Vec<Opening>, ParcelError> {
        let clear = decrypt(secret, (&self.info, &self.aad.0), sealed)?;
        let read = cbor::decode::<Openings>(&clear, OPENINGS_SEALED_BYTES_MAX);
        read.map(|openings| openings.0).map_err(ParcelError::Payload)
    }
}

struct Openings(Vec<Opening>);

impl<C> Encode<C> for Openings {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        cbor::write_values(e, &self.0)
    }
}

impl<'b, C> Decode<'b, C> for Openings {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::values(d, 1..=OPENINGS_PER_MESSAGE_MAX, "the openings of a message").map(Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::seal::{Place, Secret, Subject};
    use rand::{SeedableRng as _, rngs::StdRng};

    const NETWORK: NetworkId = NetworkId([7; 16]);
    const IDS: [ParcelId; 2] = [ParcelId([1; 32]), ParcelId([2; 32])];

    fn secret(n: u8) -> ParcelSecret {
        ParcelSecret::from_bytes(&Zeroizing::new([n; 32])).unwrap()
    }

    fn openings(count: usize) -> Vec<Opening> {
        let mut rng = StdRng::seed_from_u64(1);
        let place = Place::new("child", "c-1", "name", Subject::new("child", "c-1").unwrap()).unwrap();
        let place = place.within(Some("health")).unwrap();
        (0..count).map(|_| Opening::seal(place.clone(), Secret::new("Jane Doe"), &mut rng).unwrap()).collect()
    }

    /// One row a way in which they are not what was sent, or for whom.
    #[test]
    fn openings_open_for_whom_they_are_beside_their_parcels_and_nowhere_else() {
        let mut rng = StdRng::seed_from_u64(2);
        let beside = |partition: &str, ids: &[ParcelId]| Beside::of(&NETWORK, partition, ids.iter());
        let (here, openings) = (beside("health", &IDS), openings(3));
        let sealed = here.seal(&openings, &secret(1).public().unwrap(), &mut rng).unwrap();
        assert_eq!(here.open(&sealed, &secret(1)).unwrap(), openings);
        assert!(!sealed.windows(4).any(|window| window == b"Jane"));
        let mut damaged = sealed.to_vec();
        damaged[40] ^= 1;
        for (place, spoilt) in [
            here.open(&sealed, &secret(2)),
            beside("tax", &IDS).open(&sealed, &secret(1)),
            beside("health", &IDS[..1]).open(&sealed, &secret(1)),
            beside("health", &[IDS[1], IDS[0]]).open(&sealed, &secret(1)),
            Beside::of(&NetworkId([8; 16]), "health", IDS.iter()).open(&sealed, &secret(1)),
            here.open(&damaged, &secret(1)),
            here.open(&[], &secret(1)),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(spoilt.unwrap_err(), ParcelError::Closed, "row {place}");
        }
    }

    #[test]
    fn a_message_holds_so_many() {
        let mut rng = StdRng::seed_from_u64(2);
        let (beside, to) = (Beside::of(&NETWORK, "health", IDS.iter()), secret(1).public().unwrap());
        let mut all = openings(OPENINGS_PER_MESSAGE_MAX + 1);
        for refused in [&[], all.as_slice()] {
            assert!(matches!(beside.seal(refused, &to, &mut rng), Err(ParcelError::TooLong(_))));
        }
        all.pop();
        let sealed = beside.seal(&all, &to, &mut rng).unwrap();
        assert_eq!(beside.open(&sealed, &secret(1)).unwrap().len(), OPENINGS_PER_MESSAGE_MAX);
    }
}
