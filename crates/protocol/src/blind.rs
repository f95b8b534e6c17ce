//! Rows of a partition's own state: each is stored with a blind of its own, so that what proves one says nothing of those beside it.
//!
//! ```text
//! stored  row ‖ blind
//! blind   SHA-256("tallystick row blind 1" ‖ secret ‖ the row's key)
//! secret  SHA-256("tallystick rows 1" ‖ the block's height ‖ of each payload of it, SHA-256("tallystick payload rows 1" ‖ its blinding))
//! ```
//!
//! A state proof holds hashes of its neighbours, and a row that names a value by its SHA-256, as a record's does, could be guessed by them. The
//! secret comes from payloads, which members alone have, and which every member has: all store the same.

use crate::{cbor, hash::Hash, limits::STATE_VALUE_BYTES_MAX, parcel::Payload, state_key::StateKey};
use bytes::Bytes;
use minicbor::{Decoder, Encoder, decode, encode};
use std::fmt;
use zeroize::Zeroizing;

const ROWS: &[u8] = b"tallystick rows 1";
const BLIND: &[u8] = b"tallystick row blind 1";
const COMMIT: &[u8] = b"tallystick commit blind 1";

/// What the blinds of all rows come from that a block writes. Never shown, and cleared when it is dropped.
pub struct RowsSecret(Zeroizing<[u8; 32]>);

impl RowsSecret {
    /// That of a block of this height which orders these payloads.
    pub fn of<'a>(height: u64, payloads: impl Iterator<Item = &'a Payload>) -> Self {
        let all: Zeroizing<Vec<u8>> = Zeroizing::new(payloads.flat_map(|payload| payload.rows_secret().0).collect());
        Self(Zeroizing::new(Hash::of(&[ROWS, &height.to_be_bytes(), &all]).0))
    }

    /// What hides what the state says of the whole block, which stands beside the last row that it writes.
    pub fn blind_of_commit(&self) -> Hash {
        Hash::of(&[COMMIT, self.0.as_slice()])
    }

    /// A row as it is stored under this key.
    pub fn hide(&self, key: &StateKey, row: Vec<u8>) -> BlindRow {
        let blind = Hash::of(&[BLIND, self.0.as_slice(), key.as_bytes()]);
        BlindRow { row: Bytes::from(row), blind }
    }
}

impl fmt::Debug for RowsSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowsSecret(…)")
    }
}

/// A row with its blind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindRow {
    /// The row.
    pub row: Bytes,
    /// What hides it from those who are shown another.
    pub blind: Hash,
}

impl BlindRow {
    /// The bytes that the state holds.
    pub fn stored(&self) -> Bytes {
        Bytes::from([&self.row, self.blind.0.as_slice()].concat())
    }

    /// The row of such bytes, which may be empty, and the blind that ends them; none of fewer bytes than a blind has. Any others are a row and
    /// a blind: what the row says is for its own decoder.
    pub fn of(stored: &Bytes) -> Option<Self> {
        let blind = stored.last_chunk().copied().map(Hash)?;
        Some(Self { row: stored.slice(..stored.len() - blind.0.len()), blind })
    }

    /// As it stands in a receipt: two elements, in place.
    pub(crate) fn encode<W: encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.row)?.encode(self.blind)?.ok()
    }

    /// The same, read.
    pub(crate) fn decode(d: &mut Decoder<'_>) -> Result<Self, decode::Error> {
        let row = cbor::bytes(d, 1..=STATE_VALUE_BYTES_MAX, "a row").map(Bytes::copy_from_slice)?;
        Ok(Self { row, blind: d.decode()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::{Evidence, FieldLeaf, FieldPlace};
    use rand::{SeedableRng as _, rngs::StdRng};
    use std::collections::BTreeMap;

    fn payload(seed: u64) -> (Payload, [u8; 32]) {
        let evidence = Evidence { height: 5, rows: BTreeMap::new() };
        let payload =
            Payload::new(vec![Bytes::from_static(b"one")], evidence, &mut StdRng::seed_from_u64(seed)).unwrap();
        // A payload ends with its blinding.
        let blinding = payload.to_bytes().last_chunk().copied().unwrap();
        (payload, blinding)
    }

    fn sha(parts: &[&[u8]]) -> [u8; 32] {
        Hash::of(&[&parts.concat()]).0
    }

    /// As docs/reference/formats.md has it, byte by byte.
    #[test]
    fn blinds_and_salts_are_as_the_formats_say() {
        let ((one, first), (other, second)) = (payload(1), payload(2));
        let share = |blinding: &[u8]| sha(&[b"tallystick payload rows 1", blinding]);
        let secret = sha(&[b"tallystick rows 1", &9_u64.to_be_bytes(), &share(&first), &share(&second)]);
        let key = StateKey::counters();
        let expected = sha(&[b"tallystick row blind 1", &secret, key.as_bytes()]);
        let of = RowsSecret::of(9, [&one, &other].into_iter());
        let hidden = of.hide(&key, b"row".to_vec());
        assert_eq!(hidden.blind.0, expected);
        assert_eq!(hidden.stored(), [b"row", expected.as_slice()].concat());
        assert_eq!(BlindRow::of(&hidden.stored()), Some(hidden));
        assert_eq!(of.blind_of_commit().0, sha(&[b"tallystick commit blind 1", &secret]));
        for payloads in [vec![&other, &one], vec![&one]] {
            assert_ne!(RowsSecret::of(9, payloads.into_iter()).hide(&key, Vec::new()).blind.0, expected);
        }
        assert_ne!(RowsSecret::of(8, [&one, &other].into_iter()).hide(&key, Vec::new()).blind.0, expected);

        let place = FieldPlace { transaction: 1, register: "child", key: "c-1", entry: 2, item: 0, field: "note" };
        let salt = sha(&[b"tallystick field salt 1", &first, b"\x86\x01\x65child\x63c-1\x02\x00\x64note"]);
        assert_eq!(one.field_salt(&place).0, salt);
        let leaf = FieldLeaf { item: 0, field: "note".into(), value: "\"x\"".into(), salt: Hash(salt) };
        let bytes = [b"\x00\x85\x72tallystick field 1\x58\x20".as_slice(), &salt, b"\x00\x64note\x63\"x\""].concat();
        assert_eq!(leaf.hash().0, sha(&[&bytes]));
    }
}
