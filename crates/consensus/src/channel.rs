//! The p2p channels of a node, one number for one conversation, and how large a message on them may be.
//!
//! Votes, certificates and certificate requests are multiplexed by epoch, so that the validators of two epochs can talk at once
//! without taking one another's messages for forgeries.

use commonware_runtime::Quota;
use commonware_utils::NZU32;

/// Votes of the running epoch.
pub const VOTES: u64 = 0;
/// Certificates of the running epoch.
pub const CERTIFICATES: u64 = 1;
/// Requests for certificates that a validator missed.
pub const RESOLVER: u64 = 2;
/// Requests for finalised blocks that a node missed.
pub const BACKFILL: u64 = 3;
/// Blocks, from their leader to everybody.
pub const BLOCKS: u64 = 4;
/// State sync: operations of the state database.
pub const STATE_SYNC: u64 = 5;
/// State sync: operations of the log database.
pub const LOG_SYNC: u64 = 6;
/// Questions for a recent finalisation, from nodes that join.
pub const PROBE: u64 = 7;
/// Admitted transactions, from the node that admitted them to everybody.
pub const TRANSACTIONS: u64 = 8;

/// The chain of hand-overs between validator sets, from a node that has it to one that joins.
pub const HAND_OVERS: u64 = 9;

/// Payloads of private transactions, from a node of a partition's member to another's.
pub const PARCELS: u64 = 10;

/// Every channel, in order: a node registers all of them.
pub const ALL: [u64; 11] =
    [VOTES, CERTIFICATES, RESOLVER, BACKFILL, BLOCKS, STATE_SYNC, LOG_SYNC, PROBE, TRANSACTIONS, HAND_OVERS, PARCELS];

/// Messages that one peer may send on one channel: a second's worth at most, of them at once no more than a burst. The network
/// sets memory aside for a burst of every peer there may be on every channel: with a whole second's worth a node that idled
/// held 1.6 GB.
pub const QUOTA: Quota = Quota::per_second(NZU32!(1024)).allow_burst(NZU32!(32));
