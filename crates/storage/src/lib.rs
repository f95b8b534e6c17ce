//! Keep blocks, state, payloads and receipts through crashes.
//!
//! One door to the authenticated databases: what they are ([`database`]), how a block becomes commits ([`execute`]), how they
//! are read ([`read`]) and fetched from peers ([`wire`]), and the index over the log ([`history`]).
//! Beside them what was used last ([`cache`]), the state of private partitions ([`partition`]), and the openings of sealed values ([`vault`]).

pub mod cache;
pub mod database;
pub mod execute;
pub mod history;
pub mod partition;
pub mod read;
pub mod value;
pub mod vault;
pub mod wire;
