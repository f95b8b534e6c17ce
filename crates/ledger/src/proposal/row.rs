//! What the state keeps of what was said on proposals, and the lists of ids. A proposal's own row is
//! [`tallystick_protocol::ProposalRow`].

use minicbor::{Decode, Encode};
use tallystick_protocol::{Choice, ProposalStatus, operation::PrincipalId};

pub use tallystick_protocol::proposal::{Failure, Poll, ProposalRow, Verdict};

use crate::state::row_bytes;

/// The ballot of one organisation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BallotRow {
    /// Who cast it.
    #[n(0)]
    pub principal: PrincipalId,
    /// What it says.
    #[n(1)]
    pub choice: Choice,
    /// The log leaf of the transaction that cast it.
    #[n(2)]
    pub leaf: u64,
    /// When, in Unix milliseconds of ledger time.
    #[n(3)]
    pub time_ms: u64,
}

/// The objection of one organisation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ObjectionRow {
    /// Who lodged it.
    #[n(0)]
    pub principal: PrincipalId,
    /// Why.
    #[n(1)]
    pub reason: String,
    /// The log leaf of the transaction that lodged it.
    #[n(2)]
    pub leaf: u64,
    /// When, in Unix milliseconds of ledger time.
    #[n(3)]
    pub time_ms: u64,
    /// Until when it holds the proposal up, in Unix milliseconds of ledger time.
    #[n(4)]
    pub until_ms: u64,
}

/// A page of ids, in the order in which they came to be: of organisations, of proposals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PageRow {
    /// The ids.
    #[n(0)]
    pub ids: Vec<String>,
}

/// A page of what became of proposals at the beginning of blocks, in the order in which it did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TurnsRow {
    /// The turns.
    #[n(0)]
    pub turns: Vec<Turn>,
}

/// What became of a proposal at the beginning of a block, before its transactions.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Turn {
    /// The proposal.
    #[n(0)]
    pub proposal: String,
    /// Where it stood from then on.
    #[n(1)]
    pub status: ProposalStatus,
    /// The block.
    #[n(2)]
    pub height: u64,
    /// Its time, in Unix milliseconds.
    #[n(3)]
    pub time_ms: u64,
    /// Leaves of the log before the block: the turn lies between the last of them and the block's first.
    #[n(4)]
    pub log_size: u64,
}

row_bytes!(BallotRow, ObjectionRow, PageRow, TurnsRow);
