//! Rectification: an entry that corrects another, and what is noted of the one that was wrong.
//!
//! Nothing is rewritten: the wrong entry stays where it is, with every proof of it, and its mark says which entry corrects it, why,
//! and under what authority. Sealed values in it can be erased.

use crate::{
    cbor::{self, CborError},
    limits::STATE_VALUE_BYTES_MAX,
    operation::PrincipalId,
};
use minicbor::{Decode, Encode};

/// The mark of an entry that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CorrectionRow {
    /// The register.
    #[n(0)]
    pub register: String,
    /// The key of both entries.
    #[n(1)]
    pub key: String,
    /// The number of the entry that was wrong.
    #[n(2)]
    pub corrects: u64,
    /// The number of the entry that corrects it.
    #[n(3)]
    pub entry: u64,
    /// Why.
    #[n(4)]
    pub reason: String,
    /// Who demanded it, or found it.
    #[n(5)]
    pub authority: String,
    /// The law that it rests on.
    #[n(6)]
    pub legal_basis: String,
    /// Who corrected it here.
    #[n(7)]
    pub principal: PrincipalId,
    /// The log leaf of the transaction that did.
    #[n(8)]
    pub leaf: u64,
    /// When, in Unix milliseconds of ledger time.
    #[n(9)]
    pub time_ms: u64,
    /// The log leaf of the transaction that brought the wrong entry: who read the record after it read that.
    #[n(10)]
    pub since: u64,
}

impl CorrectionRow {
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
