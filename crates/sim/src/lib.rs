//! Run a whole network in one thread from a seed.
//!
//! The nodes are the real ones: the same `engine::start`, the same `Service` that HTTP answers from. What is not real is what
//! lies under them: network, disk, clock and randomness come from one deterministic runtime, so that a seed is a run, to the
//! bit, and a seed that fails is the whole bug report.
//!
//! ```text
//! seed ─▶ plan (who lies, what breaks, when) ─▶ world (nodes, clients, faults) ─▶ checkers (the promises) ─▶ report
//! ```
//!
//! A crash here is harsher than `kill -9`: what the node had written and not synced is lost. In a power loss the whole world
//! stops at once and each unsynced write survives in part.

// A simulator stops at what should not be: that is what it is for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod chance;
pub mod checkers;
pub mod client;
pub mod crimes;
pub mod errands;
pub mod faults;
pub mod machine;
pub mod members;
pub mod node;
pub mod plan;
pub mod wires;
pub mod world;

pub use checkers::Broken;
pub use plan::Plan;
pub use world::{Report, run, run_plan};
