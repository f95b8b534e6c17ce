//! Proposals and ballots: what a vote on the network's order is made of. What is voted on is a list of
//! [`Change`](crate::Change)s.

mod row;

pub use row::{Failure, Poll, ProposalRow, Verdict};

use crate::{cbor, hash::Hash, limits::PROPOSAL_TEXT_BYTES_MAX, names::names};
use minicbor::{Decode, Decoder, Encode, Encoder, data::Type, decode, encode};

names! {
    /// What a ballot says.
    pub enum Choice, "choice" {
        /// For the proposal.
        Yes = "yes",
        /// Against it.
        No = "no",
        /// Neither: these votes are left out of the count.
        Abstain = "abstain",
    }
}

names! {
    /// Where a proposal stands in its life.
    pub enum ProposalStatus, "status of a proposal" {
        /// Ballots are taken.
        Open = "open",
        /// Enough ballots are for it: it takes effect at its height.
        Accepted = "accepted",
        /// Too many ballots are against it.
        Rejected = "rejected",
        /// Its proposer took it back.
        Withdrawn = "withdrawn",
        /// Its time ran out before it was decided.
        Lapsed = "lapsed",
        /// It has taken effect.
        Effective = "effective",
        /// It was accepted, but one of its changes could no longer be made: none of them was.
        Failed = "failed",
    }
}

/// The text of the rule that a proposal makes: whole, or when it is long its hash. In CBOR: a text, or a hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleText {
    /// The text itself.
    Whole(String),
    /// SHA-256 of a text that is kept elsewhere.
    Hash(Hash),
}

impl RuleText {
    /// SHA-256 of the text.
    pub fn hash(&self) -> Hash {
        match self {
            Self::Whole(text) => Hash::of(&[text.as_bytes()]),
            Self::Hash(hash) => *hash,
        }
    }
}

impl<C> Encode<C> for RuleText {
    fn encode<W: encode::Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Result<(), encode::Error<W::Error>> {
        match self {
            Self::Whole(text) => e.str(text)?.ok(),
            Self::Hash(hash) => e.encode(hash)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for RuleText {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        if d.datatype()? == Type::Bytes {
            return d.decode().map(Self::Hash);
        }
        cbor::text(d, 1..=PROPOSAL_TEXT_BYTES_MAX, "the text of a proposal").map(|text| Self::Whole(text.to_owned()))
    }
}
