//! Why a token does not do what it should: which token, which key, and what to do about it.

use super::{KeyUri, MODULE_VARIABLE};
use crate::keyfile::KeyFileError;
use cryptoki::error::{Error as Cryptoki, RvError};
use std::path::PathBuf;

/// Why a key in a token cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// Nothing says which software speaks to the token.
    #[error(
        "`{0}` does not say which software speaks to the token: add `?module-path=` and the path of its PKCS#11 module, or set {MODULE_VARIABLE}"
    )]
    NoModule(String),
    /// The software is not there, or is no PKCS#11 module.
    #[error("cannot use the PKCS#11 module `{}`: {error}: install the token's software, or correct `module-path`", .path.display())]
    Module {
        /// The module.
        path: PathBuf,
        /// What the loader or the module said.
        error: String,
    },
    /// The token is not there.
    #[error("no token for `{uri}`: the module sees {seen}: insert the token, or correct its name")]
    NoToken {
        /// The key's name.
        uri: String,
        /// The tokens that are there.
        seen: String,
    },
    /// Several tokens fit the name.
    #[error("several tokens fit `{uri}`: {seen}: add `serial=` of the one")]
    SeveralTokens {
        /// The key's name.
        uri: String,
        /// Those that fit.
        seen: String,
    },
    /// The PIN is another one.
    #[error(
        "wrong PIN for token `{0}`: correct it before you try again, for a token locks itself after a few attempts"
    )]
    WrongPin(String),
    /// Too many wrong PINs.
    #[error("the PIN of token `{0}` is locked after wrong attempts: its security officer must set a new one")]
    PinLocked(String),
    /// The token has no PIN yet.
    #[error("token `{0}` has no user PIN yet: its security officer must set one")]
    NoPin(String),
    /// The key is not in the token.
    #[error(
        "token `{token}` holds no private key of `{uri}`: it holds {seen}: correct the name, or make the key with `tally key new --pkcs11 '{uri}'`"
    )]
    NoKey {
        /// The token.
        token: String,
        /// The key's name.
        uri: String,
        /// The labels of the private keys that it holds.
        seen: String,
    },
    /// Several keys fit the name.
    #[error("token `{token}` holds {count} private keys of `{uri}`: add `id=` of the one")]
    SeveralKeys {
        /// The token.
        token: String,
        /// The key's name.
        uri: String,
        /// How many.
        count: usize,
    },
    /// There is a key of this name already.
    #[error("token `{token}` holds a key of `{uri}` already, and a key is never overwritten: choose another label")]
    Exists {
        /// The token.
        token: String,
        /// The key's name.
        uri: String,
    },
    /// The key is of a kind that is not in use, or its public half is not beside it.
    #[error("the key of `{uri}` in token `{token}` cannot be used: {why}: make one with `tally key new --pkcs11`")]
    Kind {
        /// The token.
        token: String,
        /// The key's name.
        uri: String,
        /// What is wrong.
        why: String,
    },
    /// The token went away.
    #[error(
        "token `{token}` with the key of `{uri}` was removed: insert it again; what runs goes on by itself when its module sees the token"
    )]
    Removed {
        /// The token.
        token: String,
        /// The key's name.
        uri: String,
    },
    /// The token does not answer.
    #[error(
        "token `{token}` did not answer for the key of `{uri}` within {ms} ms: look at the device and the way to it"
    )]
    Silent {
        /// The token.
        token: String,
        /// The key's name.
        uri: String,
        /// How long it was waited.
        ms: u128,
    },
    /// Anything else that the token says.
    #[error("token `{token}` refused to {what}: {error}: look at its rights and its manual")]
    Refused {
        /// The token.
        token: String,
        /// What it was asked.
        what: &'static str,
        /// What it said.
        error: String,
    },
    /// The file of the PIN, or the PIN that was given.
    #[error("the PIN of token `{token}`: {error}")]
    Pin {
        /// The token.
        token: String,
        /// What is wrong.
        error: String,
    },
}

impl TokenError {
    /// What a module said, in words that name the token.
    pub(super) fn of(error: &Cryptoki, token: &str, uri: &KeyUri, what: &'static str) -> Self {
        let token = token.to_owned();
        match error {
            Cryptoki::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
                Self::WrongPin(token)
            }
            Cryptoki::Pkcs11(RvError::PinLocked, _) => Self::PinLocked(token),
            Cryptoki::Pkcs11(RvError::UserPinNotInitialized, _) => Self::NoPin(token),
            Cryptoki::Pkcs11(
                RvError::DeviceRemoved
                | RvError::TokenNotPresent
                | RvError::TokenNotRecognized
                | RvError::SlotIdInvalid,
                _,
            ) => Self::Removed { token, uri: uri.to_string() },
            _ => Self::Refused { token, what, error: error.to_string() },
        }
    }

    /// Whether another attempt with the same PIN does harm.
    pub(super) const fn is_of_the_pin(&self) -> bool {
        matches!(self, Self::WrongPin(_) | Self::PinLocked(_) | Self::NoPin(_))
    }

    pub(super) fn pin(token: &str, error: &KeyFileError) -> Self {
        Self::Pin { token: token.to_owned(), error: error.to_string() }
    }
}
