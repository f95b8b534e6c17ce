//! Sign, submit, and check receipts from Rust.

mod error;
mod http;
mod read;
mod submit;

pub mod key;
pub mod keyfile;
pub mod pkcs11;
mod private;
pub mod profile;
pub mod sealing;

pub use error::{Attempt, Error};
pub use http::{Answer, Client};
pub use key::KeyName;
pub use keyfile::Passphrase;
pub use profile::Profile;
pub use read::{At, Blocks};
pub use sealing::SealingSecret;
pub use submit::{NOT_AFTER_SECONDS, Settled, Signer, now_seconds, read_network};

/// The system's randomness. A system without any stops the program: nothing safe can be made without it.
pub fn randomness() -> impl rand::CryptoRng {
    rand::rand_core::UnwrapErr(rand::rngs::SysRng)
}
