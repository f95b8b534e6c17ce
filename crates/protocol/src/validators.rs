//! Sets of validators, and how one hands over to the next: what carries trust from `network.json` to a block of any later epoch.
//!
//! ```text
//! network.json ─set 1─▶ header of an epoch, certified by set 1 ─names the next epoch's set─▶ set 2 ─▶ … ─▶ the block in question
//! ```
//!
//! Every header names the set that certifies it and the set of the next epoch, so any certified header of an epoch hands over.
//! Epochs whose set is the one before need no link of the chain. Where a network lost its quorum for good, the organisations'
//! [`Recovery`] takes the place of the hand-over that the lost validators could not make.

use crate::{
    calendar::Calendar,
    cbor::{self, CborError},
    certificate::{CertificateError, FinalityCertificate},
    hash::Hash,
    header::BlockHeader,
    limits::{ADDRESS_BYTES_MAX, HAND_OVER_BYTES_MAX, RECOVERY_BYTES_MAX, VALIDATORS_MAX},
    network::{Genesis, NetworkId},
    recovery::{Recovery, RecoveryError},
};
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

/// The Ed25519 keys of those who certify an epoch's blocks, ascending. In CBOR: an array of byte strings.
///
/// INVARIANT: from one key to [`VALIDATORS_MAX`], none twice. Certificates number their signers by their place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatorSet(Vec<[u8; 32]>);

impl ValidatorSet {
    /// The set of these keys in any order; none when there are none, too many, or one stands twice.
    pub fn new(mut keys: Vec<[u8; 32]>) -> Option<Self> {
        keys.sort_unstable();
        Self::sorted(keys)
    }

    fn sorted(keys: Vec<[u8; 32]>) -> Option<Self> {
        let sound = (1..=VALIDATORS_MAX).contains(&keys.len()) && keys.is_sorted_by(|a, b| a < b);
        sound.then_some(Self(keys))
    }

    /// What a header commits a set by: SHA-256 over its keys in order.
    pub fn hash(&self) -> Hash {
        Hash::of(&[self.0.as_flattened()])
    }

    /// The keys, ascending.
    pub fn keys(&self) -> &[[u8; 32]] {
        &self.0
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this key is one of them.
    pub fn contains(&self, key: &[u8; 32]) -> bool {
        self.0.binary_search(key).is_ok()
    }

    /// Signatures that certify a block: n − f with f = ⌊(n − 1) / 3⌋.
    pub const fn quorum(&self) -> usize {
        let n = self.0.len();
        n - (n - 1) / 3
    }
}

/// A link of the chain of hand-overs. In CBOR: an array of its fields in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// Of a block of the old set's epoch; it names the new set.
    pub header: BlockHeader,
    /// By the old set, over that header.
    pub certificate: FinalityCertificate,
    /// The new set.
    pub validators: ValidatorSet,
}

impl HandOver {
    /// The hand-over's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a hand-over; nothing in it is checked.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, HAND_OVER_BYTES_MAX)
    }
}

/// A link of the chain from the genesis' validators to others. In CBOR: as the one or the other, which differ in length.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all links are hand-overs")]
pub enum Link {
    /// The validators before handed over.
    HandOver(HandOver),
    /// The validators before were lost, and the organisations named others.
    Recovery(Box<Recovery>),
}

impl Link {
    /// The header that it goes on from.
    pub const fn header(&self) -> &BlockHeader {
        match self {
            Self::HandOver(link) => &link.header,
            Self::Recovery(recovery) => &recovery.head,
        }
    }

    /// The recovery, if it is one.
    pub const fn recovery(&self) -> Option<&Recovery> {
        match self {
            Self::HandOver(_) => None,
            Self::Recovery(recovery) => Some(recovery),
        }
    }

    /// The link's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a link; nothing in it is checked.
    ///
    /// # Errors
    /// When it is too long, malformed or not deterministic.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        cbor::decode(bytes, RECOVERY_BYTES_MAX)
    }
}

/// Why a header is not certified by whom it must be, or hands over to nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// A header of another network.
    #[error("the header is of network {header}, not {anchor}: use that network's file")]
    Network {
        /// What the header names.
        header: NetworkId,
        /// What the anchor is.
        anchor: NetworkId,
    },
    /// Validators that nothing leads to.
    #[error(
        "the block of epoch {0} is certified by validators that nothing leads to from `network.json`: ask another node"
    )]
    Validators(u64),
    /// An epoch in which the set had already handed over.
    #[error("the block is of epoch {epoch}, and its validators follow in epoch {first}: the chain was altered")]
    Epoch {
        /// The block's.
        epoch: u64,
        /// The first in which they may certify.
        first: u64,
    },
    /// A certificate of another block.
    #[error("the certificate is of block {0}, which is not the last header: the receipt was altered")]
    Block(Hash),
    /// The certificate does not hold.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The new set is not the one that the old one named.
    #[error("the validators given for epoch {0} are not those that its forerunners named: the chain was altered")]
    Successors(u64),
    /// The recovery is none.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
}

/// Who may certify blocks, as far as the chain of hand-overs was walked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    network: NetworkId,
    validators: ValidatorSet,
    first_epoch: u64,
    calendar: Calendar,
}

impl Trust {
    /// Trust in a genesis and in nothing else.
    ///
    /// # Errors
    /// When its validators are no set, which [`Genesis::validate`] rules out.
    pub fn anchored(genesis: &Genesis) -> Result<Self, TrustError> {
        let validators = genesis.validator_set().ok_or(TrustError::Validators(0))?;
        Ok(Self { network: genesis.id(), validators, first_epoch: 0, calendar: Calendar::new(genesis.epoch_blocks) })
    }

    /// Those who certify now.
    pub const fn validators(&self) -> &ValidatorSet {
        &self.validators
    }

    /// The first epoch in which they do.
    pub const fn first_epoch(&self) -> u64 {
        self.first_epoch
    }

    /// Which block is of which epoch.
    pub const fn calendar(&self) -> &Calendar {
        &self.calendar
    }

    /// Checks that a quorum of those trusted certified this very header. Returns how many signed.
    ///
    /// # Errors
    /// When they did not.
    pub fn certified(&self, header: &BlockHeader, certificate: &FinalityCertificate) -> Result<usize, TrustError> {
        if header.network != self.network {
            return Err(TrustError::Network { header: header.network, anchor: self.network });
        }
        if header.validators != self.validators.hash() {
            return Err(TrustError::Validators(header.epoch));
        }
        if header.epoch < self.first_epoch {
            return Err(TrustError::Epoch { epoch: header.epoch, first: self.first_epoch });
        }
        if certificate.block != header.hash() {
            return Err(TrustError::Block(certificate.block));
        }
        Ok(certificate.verify(&self.validators, self.network)?)
    }

    /// Walks one link: from those trusted to those that followed them. Trust is unchanged when it fails.
    ///
    /// # Errors
    /// When the link does not hold.
    pub fn walk(&mut self, link: &Link) -> Result<(), TrustError> {
        match link {
            Link::HandOver(link) => self.hand_over(link),
            Link::Recovery(recovery) => self.recover(recovery),
        }
    }

    fn hand_over(&mut self, link: &HandOver) -> Result<(), TrustError> {
        self.certified(&link.header, &link.certificate)?;
        let epoch = link.header.epoch.saturating_add(1);
        if link.validators.hash() != link.header.next_validators {
            return Err(TrustError::Successors(epoch));
        }
        self.validators = link.validators.clone();
        self.first_epoch = epoch;
        Ok(())
    }

    fn recover(&mut self, recovery: &Recovery) -> Result<(), TrustError> {
        self.certified(&recovery.head, &recovery.certificate)?;
        recovery.check()?;
        self.validators = recovery.validator_set()?;
        self.first_epoch = self.calendar.recover(recovery.head.height);
        Ok(())
    }
}

/// Whether others can be told to dial this: a host name or address, a colon, and a port; at most [`ADDRESS_BYTES_MAX`] bytes.
/// An IPv6 address stands in brackets.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-.".contains(&c);
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_holds = match bracketed {
        Some(inner) => inner.contains(':') && inner.bytes().all(|c| c.is_ascii_hexdigit() || b":.".contains(&c)),
        None => !host.is_empty() && host.bytes().all(plain),
    };
    let port_holds = port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port);
    text.len() <= ADDRESS_BYTES_MAX && host_holds && port_holds
}

impl<C> Encode<C> for ValidatorSet {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(self.0.len() as u64)?;
        for key in &self.0 {
            e.bytes(key)?;
        }
        Ok(())
    }
}

impl<'b, C> Decode<'b, C> for ValidatorSet {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let at = d.position();
        let n = cbor::list(d, 1..=VALIDATORS_MAX, "a set of validators")?;
        let keys = (0..n).map(|_| cbor::fixed(d, "a validator's key")).collect::<Result<Vec<_>, _>>()?;
        Self::sorted(keys).ok_or_else(|| decode::Error::message("validators' keys must ascend").at(at))
    }
}

impl<C> Encode<C> for HandOver {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        e.array(3)?.encode(&self.header)?.encode(&self.certificate)?.encode(&self.validators)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for HandOver {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        cbor::array(d, 3, "a hand-over")?;
        Ok(Self { header: d.decode()?, certificate: d.decode()?, validators: d.decode()? })
    }
}

impl<C> Encode<C> for Link {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::HandOver(link) => e.encode(link)?.ok(),
            Self::Recovery(recovery) => e.encode(recovery.as_ref())?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Link {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        match d.probe().array()? {
            Some(3) => Ok(Self::HandOver(d.decode()?)),
            _ => Ok(Self::Recovery(Box::new(d.decode()?))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_set_is_sorted_bounded_and_without_repetition() {
        let set = ValidatorSet::new(vec![[2; 32], [1; 32]]).unwrap();
        assert_eq!(set.keys(), [[1; 32], [2; 32]]);
        assert!(set.contains(&[2; 32]) && !set.contains(&[3; 32]));
        let too_many = (0..=VALIDATORS_MAX).map(|n| [u8::try_from(n).unwrap(); 32]).collect();
        for keys in [Vec::new(), vec![[1; 32]; 2], too_many] {
            assert_eq!(ValidatorSet::new(keys), None);
        }
        let (bytes, descending) = (cbor::encode(&set), cbor::encode(&ValidatorSet(vec![[2; 32], [1; 32]])));
        assert_eq!(cbor::decode::<ValidatorSet>(&bytes, 128), Ok(set));
        assert!(matches!(cbor::decode::<ValidatorSet>(&descending, 128), Err(CborError::Malformed(_))));
    }

    #[test]
    fn a_quorum_outvotes_a_third() {
        for (n, quorum) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7), (100, 67)] {
            let set = ValidatorSet::new((0..n).map(|key| [key; 32]).collect()).unwrap();
            assert_eq!(set.quorum(), quorum, "{n}");
        }
    }

    #[test]
    fn an_address_can_be_dialled() {
        for good in ["192.0.2.1:9000", "node.example.org:1", "[2001:db8::1]:65535", "localhost:80"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "node",
            "node:",
            ":9000",
            "node:0",
            "node:65536",
            "node:+9",
            "node:09",
            "a b:9",
            "2001:db8::1:9",
            "[x]:9",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
        assert!(!is_address(&format!("{}:9000", "a".repeat(ADDRESS_BYTES_MAX))));
    }
}
