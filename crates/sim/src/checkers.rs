//! The promises of the product, one file each. A checker is told what was seen and says what is broken.

pub mod agreement;
pub mod authority;
pub mod durability;
pub mod erasure;
pub mod exactly_once;
pub mod innocence;
pub mod progress;
pub mod receipts;
pub mod secrecy;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{promise}: {detail}")]
pub struct Broken {
    /// Which.
    pub promise: &'static str,
    /// How.
    pub detail: String,
}

impl Broken {
    /// The promise named, and what was seen instead.
    pub fn new(promise: &'static str, detail: impl Into<String>) -> Self {
        Self { promise, detail: detail.into() }
    }
}
