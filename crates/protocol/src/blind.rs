//! Rows of a partition's own state: each is stored with a blind of its own, so that what proves one says nothing of those beside it.
//!
//! ```text
//! stored  row ‖ blind
//! blind   SHA-256("tallystick row blind 1" ‖ secret ‖ the row's key)
//! secret  SHA-256("tallystick rows 1" ‖ of each payload of the block, SHA-256("tallystick payload rows 1" ‖ its blinding))
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

/// What the blinds of all rows come from that a block writes. Never shown, and cleared when it is dropped.
pub struct RowsSecret(Zeroizing<[u8; 32]>);

impl RowsSecret {
    /// That of a block which orders these payloads.
    pub fn of<'a>(payloads: impl Iterator<Item = &'a Payload>) -> Self {
        let all: Zeroizing<Vec<u8>> = Zeroizing::new(payloads.flat_map(|payload| payload.rows_secret().0).collect());
        Self(Zeroizing::new(Hash::of(&[ROWS, &all]).0))
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

    /// Of such bytes; none of fewer than a blind has.
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
