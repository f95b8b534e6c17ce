//! Admit, order, apply, commit, certify and serve: the one process.

pub mod admission;
mod ahead;
pub mod application;
mod attempts;
pub mod audit;
pub mod certify;
pub mod chain;
pub mod config;
pub mod engine;
pub mod epochs;
mod erasing;
pub mod expiry;
pub mod gossip;
pub mod hand_overs;
pub mod holder;
pub mod http;
pub mod keys;
mod metrics;
mod next_key;
mod opening;
pub mod parcels;
mod patience;
pub mod pool;
pub mod rejection;
mod retention;
pub mod run;
pub mod schemas;
pub mod service;
pub mod state;
pub mod timing;
mod validity;
pub mod voting;
pub mod watch;

pub use audit::audit;
pub use config::Config;
pub use run::{RunError, run};
