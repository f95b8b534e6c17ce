//! Legal holds: what suspends the erasure of a subject, by whose authority and for how long.
//!
//! A hold says that something must be kept: for a court, an inquiry, a claim. While it lasts orders stand and wait. It ends when it is
//! lifted, or at its time; nothing more need happen then.

use crate::{
    cbor::{self, CborError},
    limits::STATE_VALUE_BYTES_MAX,
    operation::PrincipalId,
    seal::Subject,
};
use minicbor::{Decode, Encode};

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HoldRow {
    /// Its id: a slug.
    #[n(0)]
    pub hold: String,
    /// The organisation whose nodes must keep.
    #[n(1)]
    pub controller: String,
    /// Whom the values are about.
    #[n(2)]
    pub subject: Subject,
    /// Who demands it.
    #[n(3)]
    pub authority: String,
    /// Why.
    #[n(4)]
    pub reason: String,
    /// When it ends by itself, in Unix milliseconds of ledger time.
    #[n(5)]
    pub until_ms: Option<u64>,
    /// Who placed it here.
    #[n(6)]
    pub principal: PrincipalId,
    /// The log leaf of the transaction that placed it.
    #[n(7)]
    pub leaf: u64,
    /// The height of that transaction's block.
    #[n(8)]
    pub height: u64,
    /// The time of that block, in Unix milliseconds.
    #[n(9)]
    pub placed_ms: u64,
    /// How it was lifted.
    #[n(10)]
    pub lifted: Option<Lifted>,
}

/// How a hold was lifted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Lifted {
    /// By whom.
    #[n(0)]
    pub principal: PrincipalId,
    /// Why.
    #[n(1)]
    pub reason: String,
    /// The log leaf of the transaction that lifted it.
    #[n(2)]
    pub leaf: u64,
    /// When, in Unix milliseconds of ledger time.
    #[n(3)]
    pub time_ms: u64,
}

/// A hold as its subject's row names it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SubjectHold {
    /// Its id.
    #[n(0)]
    pub hold: String,
    /// When it ends by itself, in Unix milliseconds of ledger time.
    #[n(1)]
    pub until_ms: Option<u64>,
}

impl SubjectHold {
    /// Whether it has not ended by itself.
    pub fn is_in_force(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }
}

impl HoldRow {
    /// Whether it was neither lifted nor has ended by itself.
    pub fn is_in_force(&self, now_ms: u64) -> bool {
        self.lifted.is_none() && self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
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
