//! Private keys in a token, such as an HSM or a smart card, by PKCS#11: the secret never leaves it.
//!
//! INVARIANT: after a PIN was refused, this process does not try it again: tokens lock themselves after a few attempts.

mod desk;
mod error;
mod session;
mod token;
mod uri;

pub use error::TokenError;
pub use token::{TokenKey, generate};
pub use uri::{KeyUri, UriError};

/// Environment variable that names the PKCS#11 module when the key's URI does not.
pub const MODULE_VARIABLE: &str = "TALLY_PKCS11_MODULE";
