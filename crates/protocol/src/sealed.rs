//! What travels with sealed values: a transaction with what opens the values in it, on its way to a node that keeps them; and what
//! such a node gives to those who may read.
//!
//! INVARIANT: an encoding of these is as secret as the values: it is never logged, and is cleared from memory where that is ours.

use crate::{
    cbor::{self, CborError},
    hash::Hash,
    limits::{READING_BYTES_MAX, SEALED_PER_TRANSACTION_MAX, SEALED_SUBMISSION_BYTES_MAX, TRANSACTION_BYTES_MAX},
    seal::Opening,
};
use bytes::Bytes;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use zeroize::Zeroizing;

/// First element of a submission.
const SUBMISSION: &str = "tallystick-sealed-1";
/// First element of what was read.
const READING: &str = "tallystick-reading-1";
/// Bytes of an encoding beside the openings and the transaction.
const FRAME_BYTES: usize = 256;

/// A signed transaction, and what opens the values sealed in it. In CBOR: `["tallystick-sealed-1", transaction, [opening…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSubmission {
    /// The transaction's bytes, not judged yet.
    pub transaction: Bytes,
    /// One opening for each commitment that the node does not keep yet.
    pub openings: Vec<Opening>,
}

/// What a node gave for a read that is final. In CBOR: `["tallystick-reading-1", id, leaf, [opening…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The transaction that says who reads what, and why.
    pub transaction: Hash,
    /// Its leaf in the log.
    pub leaf: u64,
    /// The values that were asked for, in the order of the reads, of the fields, and of the values of a field.
    pub openings: Vec<Opening>,
}

impl SealedSubmission {
    /// Reads its encoding.
    ///
    /// # Errors
    /// When `bytes` are anything else, or another spelling.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, SEALED_SUBMISSION_BYTES_MAX)
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(cbor::encode_about(self, self.transaction.len() + room(&self.openings)))
    }
}

impl Reading {
    /// Reads its encoding.
    ///
    /// # Errors
    /// When `bytes` are anything else, or another spelling.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, READING_BYTES_MAX)
    }

    /// Its encoding.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(cbor::encode_about(self, room(&self.openings)))
    }
}

/// Bytes that the openings take, and some more: so that writing them moves nothing and leaves no copy behind.
fn room(openings: &[Opening]) -> usize {
    FRAME_BYTES + openings.iter().map(|opening| opening.to_bytes().len()).sum::<usize>()
}

impl<C> Encode<C> for SealedSubmission {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.str(SUBMISSION)?.bytes(&self.transaction)?;
        cbor::write_values(e, &self.openings)
    }
}

impl<'b, C> Decode<'b, C> for SealedSubmission {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "a transaction with its openings")?;
        marked(d, SUBMISSION)?;
        let transaction = cbor::bytes(d, 1..=TRANSACTION_BYTES_MAX, "a transaction")?;
        let openings = cbor::values(d, 0..=SEALED_PER_TRANSACTION_MAX, "the openings of a transaction")?;
        Ok(Self { transaction: Bytes::copy_from_slice(transaction), openings })
    }
}

impl<C> Encode<C> for Reading {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(4)?.str(READING)?.encode(self.transaction)?.u64(self.leaf)?;
        cbor::write_values(e, &self.openings)
    }
}

impl<'b, C> Decode<'b, C> for Reading {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 4, "what was read")?;
        marked(d, READING)?;
        let (transaction, leaf) = (d.decode()?, d.u64()?);
        let openings = cbor::values(d, 0..=SEALED_PER_TRANSACTION_MAX, "the openings that were read")?;
        Ok(Self { transaction, leaf, openings })
    }
}

fn marked(d: &mut Decoder<'_>, mark: &str) -> Result<(), decode::Error> {
    let at = d.position();
    if d.str()? == mark { Ok(()) } else { Err(decode::Error::message(format!("it must begin with `{mark}`")).at(at)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::seal::{Place, Secret, Subject};
    use rand::{SeedableRng as _, rngs::StdRng};

    fn sealed(value: &str) -> Opening {
        let place = Place::new("patient", "p-1", "name", Subject::new("patient", "p-1").unwrap()).unwrap();
        Opening::seal(place, Secret::new(value), &mut StdRng::seed_from_u64(1)).unwrap()
    }

    #[test]
    fn what_travels_is_read_back_and_shows_nothing() {
        let openings = vec![sealed("Jane Doe"), sealed("Janet")];
        let submission = SealedSubmission { transaction: Bytes::from_static(b"abc"), openings: openings.clone() };
        let bytes = submission.to_bytes();
        assert_eq!(SealedSubmission::decode(&bytes).unwrap(), submission);
        assert!(!format!("{submission:?}").contains("Jane"));
        let reading = Reading { transaction: Hash([7; 32]), leaf: 9, openings };
        assert_eq!(Reading::decode(&reading.to_bytes()).unwrap(), reading);
        assert!(!format!("{reading:?}").contains("Jane"));
        assert!(Reading::decode(&bytes).is_err() && SealedSubmission::decode(&reading.to_bytes()).is_err());
        assert!(SealedSubmission::decode(bytes.split_last().unwrap().1).is_err());
    }
}
