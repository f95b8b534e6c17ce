//! Nodes that hold what only some may see: whose they are, how they are reached, and under whose law they stand.
//!
//! Such a node is a principal of its organisation, a device or a program, and signs what it does with that principal's key. That is
//! not the key by which its peers know it, which may be a validator's, nor the one to which others encrypt what it is to hold.

use crate::{
    cbor::{self, CborError},
    identifier::PrincipalId,
    limits::{NODES_PER_ORGANISATION_MAX, NODES_RETIRED_MAX, STATE_VALUE_BYTES_MAX},
    organisation::Jurisdiction,
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};
use std::{fmt, str::FromStr};

/// The X25519 public key to which parcels for a node are encrypted (RFC 9180, section 7.1). As text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealingKey([u8; 32]);

/// Not a sealing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealingKeyError {
    /// Not hexadecimal.
    #[error("not a sealing key: write the 64 lower-case hexadecimal digits that `tally node holder` printed")]
    Form,
    /// A point of small order (RFC 7748, section 6.1): everybody would know what is encrypted to it.
    #[error("not a sealing key: a point of small order, whose secrets everybody knows")]
    SmallOrder,
}

/// The u-coordinates of small order, below 2^255 and not reduced ones too (<https://cr.yp.to/ecdh.html#validate>).
const SMALL_ORDER: [[u8; 32]; 7] = [
    coordinate(0, 0),
    coordinate(1, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    coordinate(0xec, 0xff),
    coordinate(0xed, 0xff),
    coordinate(0xee, 0xff),
];

/// The little-endian number with this first byte, the others `rest`, the highest bit clear.
const fn coordinate(first: u8, rest: u8) -> [u8; 32] {
    let mut bytes = [rest; 32];
    let [low, .., high] = &mut bytes;
    *low = first;
    *high = rest & 0x7f;
    bytes
}

impl SealingKey {
    /// The key with these bytes.
    ///
    /// # Errors
    /// When it is a point of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SealingKeyError> {
        let mut masked = bytes;
        let [.., high] = &mut masked;
        // X25519 does not look at the highest bit.
        *high &= 0x7f;
        if SMALL_ORDER.contains(&masked) { Err(SealingKeyError::SmallOrder) } else { Ok(Self(bytes)) }
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({self})")
    }
}

impl FromStr for SealingKey {
    type Err = SealingKeyError;

    fn from_str(text: &str) -> Result<Self, SealingKeyError> {
        Self::from_bytes(crate::hash::from_hex(text).map_err(|_| SealingKeyError::Form)?)
    }
}

crate::names::serde_as_text!(SealingKey);

impl<C> Encode<C> for SealingKey {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for SealingKey {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        Self::from_bytes(cbor::fixed(d, "a sealing key")?).map_err(|error| decode::Error::message(error).at(at))
    }
}

/// A node that holds what only some may see. In CBOR: `[node, peer, sealing, jurisdiction, since]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRow {
    /// Its principal.
    pub node: PrincipalId,
    /// The Ed25519 key its peers know it by.
    pub peer: [u8; 32],
    /// To which parcels for it are encrypted.
    pub sealing: SealingKey,
    /// Where it stands: under whose law what it holds is.
    pub jurisdiction: Jurisdiction,
    /// Since when it stands so, in Unix milliseconds of ledger time.
    pub since_ms: u64,
}

impl<C> Encode<C> for NodeRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        let Self { node, peer, sealing, jurisdiction, since_ms } = self;
        e.array(5)?.encode(node)?.bytes(peer)?.encode(sealing)?.encode(jurisdiction)?.u64(*since_ms)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for NodeRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 5, "a node")?;
        Ok(Self {
            node: d.decode()?,
            peer: cbor::fixed(d, "a peer's key")?,
            sealing: d.decode()?,
            jurisdiction: d.decode()?,
            since_ms: d.u64()?,
        })
    }
}

/// The nodes of one organisation that hold what only some may see, by their principals. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodesRow {
    /// Those there are, ascending.
    pub nodes: Vec<NodeRow>,
    /// Those that are retired, ascending: what they were given may lie on their disks still. Of others it was said that it is destroyed.
    pub retired: Vec<PrincipalId>,
    /// How many more were retired so, when there was no room to name them.
    pub unnamed: u32,
}

impl NodesRow {
    /// The node of this principal.
    pub fn node(&self, principal: &PrincipalId) -> Option<&NodeRow> {
        self.nodes.iter().find(|row| row.node == *principal)
    }

    /// Whether a node of the organisation's may hold something still: it is there, or retired and not said to be destroyed. Of those that are not
    /// named each may.
    pub fn may_hold(&self, principal: &PrincipalId) -> bool {
        self.node(principal).is_some() || self.retired.contains(principal) || self.unnamed > 0
    }

    /// The row's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a row.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, STATE_VALUE_BYTES_MAX)
    }
}

impl<C> Encode<C> for NodesRow {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?;
        cbor::write_values(e, &self.nodes)?;
        cbor::write_values(e, &self.retired)?;
        e.u32(self.unnamed)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for NodesRow {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "the nodes of an organisation")?;
        Ok(Self {
            nodes: cbor::values(d, 0..=NODES_PER_ORGANISATION_MAX, "the nodes that there are")?,
            retired: cbor::values(d, 0..=NODES_RETIRED_MAX, "the nodes that are retired")?,
            unnamed: d.u32()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_key_that_everybody_knows_is_none() {
        for bytes in SMALL_ORDER {
            assert_eq!(SealingKey::from_bytes(bytes), Err(SealingKeyError::SmallOrder));
            let mut high = bytes;
            high[31] |= 0x80;
            assert_eq!(SealingKey::from_bytes(high), Err(SealingKeyError::SmallOrder));
        }
        let base = coordinate(9, 0);
        assert_eq!(SealingKey::from_bytes(base).unwrap().to_string().parse(), SealingKey::from_bytes(base));
        assert_eq!("09".parse::<SealingKey>(), Err(SealingKeyError::Form));
    }
}
