//! The name of a private key: a file's path, or the PKCS#11 URI of a key in a token.

use crate::{
    keyfile::{self, KeyFileError, Passphrase},
    pkcs11::{KeyUri, TokenError, TokenKey, UriError},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};
use tallystick_protocol::SigningKey;

/// Where a private key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyName {
    /// A file: encrypted PKCS#8.
    File(PathBuf),
    /// A token: an HSM or a smart card.
    Token(Box<KeyUri>),
}

impl KeyName {
    /// The same, with relative paths starting from `folder`.
    #[must_use]
    pub fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            Self::Token(uri) => Self::Token(Box::new(uri.relative_to(folder))),
        }
    }

    /// The key, ready to sign. `secret` is asked for the passphrase or the PIN, with what it opens, when one is needed.
    /// A signature of a token may take as long as `patience`.
    ///
    /// # Errors
    /// When `secret` gives none, or the key is not there, or cannot be opened with it.
    pub fn open<E: From<KeyFileError> + From<TokenError>>(
        &self,
        patience: Duration,
        secret: impl FnOnce(&str) -> Result<Passphrase, E>,
    ) -> Result<SigningKey, E> {
        match self {
            Self::File(path) => {
                keyfile::exists(path)?;
                let passphrase = secret(&format!("Passphrase of {}: ", path.display()))?;
                Ok(keyfile::read(path, &passphrase)?)
            }
            Self::Token(uri) => Ok(open_token(uri, patience, secret)?.signing_key()),
        }
    }
}

/// [`TokenKey::open`] with the words to ask for the PIN in.
///
/// # Errors
/// As there.
pub fn open_token<E: From<TokenError>>(
    uri: &KeyUri,
    patience: Duration,
    secret: impl FnOnce(&str) -> Result<Passphrase, E>,
) -> Result<TokenKey, E> {
    TokenKey::open(uri, patience, |token| secret(&pin_prompt(token)))
}

/// The words to ask for a token's PIN in.
pub fn pin_prompt(token: &str) -> String {
    format!("PIN of token {token}: ")
}

impl FromStr for KeyName {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        if KeyUri::is_meant(text) {
            return text.parse().map(|uri| Self::Token(Box::new(uri)));
        }
        Ok(Self::File(text.into()))
    }
}

impl TryFrom<String> for KeyName {
    type Error = UriError;

    fn try_from(text: String) -> Result<Self, UriError> {
        text.parse()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.to_string()
    }
}

impl From<PathBuf> for KeyName {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Token(uri) => write!(f, "{uri}"),
        }
    }
}
