//! Agree on one order of blocks among organisations, some of them faulty.
//!
//! The agreement itself is Commonware's simplex; this crate gives it our block, our validators and our peers, and turns its
//! certificates into the ones the protocol defines. It orders bytes: what a transaction means is not known here.

pub mod block;
pub mod certificate;
pub mod channel;
pub mod epochs;
pub mod pace;
pub mod peers;
mod scheme;
pub mod validators;

pub use block::{Block, Context};
pub use certificate::certificate;
pub use epochs::Epochs;
pub use pace::Paced;
pub use scheme::{NodeKey, Scheme};
pub use validators::Validators;
