//! The profile, `tally.toml`: where a network is, and as whom one speaks to it, so that commands need no flags.
//!
//! ```toml
//! network = "network.json"                               # the trust anchor; paths are relative to this file
//! nodes = ["http://127.0.0.1:8080", "http://127.0.0.1:8081"]
//! principal = "companies-house/registrar"                # who signs, unless a command names another
//!
//! [principals."companies-house/registrar"]
//! key = "companies-house/keys/registrar.pem"             # or a key in an HSM: "pkcs11:token=…;object=…"
//! passphrase_file = "passphrase"                         # without it the passphrase is asked for
//! ```

use crate::key::KeyName;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// The name of a profile file in a folder.
pub const FILE_NAME: &str = "tally.toml";
/// Where a profile is looked for when none is named, in this order.
pub const SEARCHED: [&str; 2] = ["tally.toml", "sandbox/tally.toml"];

/// What a profile file says; paths as they stand in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The network's genesis, `network.json`.
    pub network: PathBuf,
    /// Addresses of nodes, tried in this order.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Who signs, unless a command names another: `organisation/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The keys at hand, by principal.
    #[serde(default)]
    pub principals: BTreeMap<String, KeyPlace>,
}

/// Where a principal's key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPlace {
    /// The key: a file, or a PKCS#11 URI.
    pub key: KeyName,
    /// The file whose first line is the passphrase, or the PIN; without it it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("cannot read the profile `{}`: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write the profile `{}`: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is no profile.
    #[error("the profile `{}` does not say what a profile must: {message}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
}

impl Profile {
    /// Reads the profile at `place`, a file or a folder that holds a `tally.toml`; its paths are made to start from where
    /// the file is.
    ///
    /// # Errors
    /// When there is none or it does not say what a profile must.
    pub fn read(place: &Path) -> Result<Self, ProfileError> {
        let path = if place.is_dir() { place.join(FILE_NAME) } else { place.to_owned() };
        let text = std::fs::read_to_string(&path).map_err(|error| ProfileError::Read { path: path.clone(), error })?;
        let profile: Self = toml::from_str(&text).map_err(|error| ProfileError::Content {
            path: path.clone(),
            message: error.to_string().trim().to_owned(),
        })?;
        Ok(profile.relative_to(path.parent().unwrap_or(Path::new("."))))
    }

    /// Reads the first profile that [`SEARCHED`] finds below `folder`; `None` when there is none.
    ///
    /// # Errors
    /// When the one that is there does not say what a profile must.
    pub fn find(folder: &Path) -> Result<Option<Self>, ProfileError> {
        SEARCHED
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file())
            .map(|path| Self::read(&path))
            .transpose()
    }

    /// Writes the profile, replacing what stood there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), ProfileError> {
        let text = toml::to_string(self)
            .map_err(|error| ProfileError::Content { path: path.to_owned(), message: error.to_string() })?;
        let text = format!("# Where this network is, and who signs. Commands of `tally` find it here.\n{text}");
        std::fs::write(path, text).map_err(|error| ProfileError::Write { path: path.to_owned(), error })
    }

    fn relative_to(mut self, folder: &Path) -> Self {
        self.network = folder.join(self.network);
        for place in self.principals.values_mut() {
            place.key = place.key.clone().relative_to(folder);
            place.passphrase_file = place.passphrase_file.take().map(|file| folder.join(file));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn profile() -> Profile {
        let place =
            KeyPlace { key: KeyName::File("ch/keys/registrar.pem".into()), passphrase_file: Some("passphrase".into()) };
        Profile {
            network: "network.json".into(),
            nodes: vec!["http://127.0.0.1:8080".into()],
            principal: Some("companies-house/registrar".into()),
            principals: [("companies-house/registrar".to_owned(), place)].into(),
        }
    }

    #[test]
    fn paths_start_from_the_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Profile::find(dir.path()).unwrap(), None);
        std::fs::create_dir(dir.path().join("sandbox")).unwrap();
        profile().write(&dir.path().join("sandbox/tally.toml")).unwrap();
        let found = Profile::find(dir.path()).unwrap().unwrap();
        assert_eq!(found.network, dir.path().join("sandbox/network.json"));
        let place = found.principals.values().next().unwrap();
        assert_eq!(place.passphrase_file, Some(dir.path().join("sandbox/passphrase")));
        assert_eq!(Profile::read(&dir.path().join("sandbox")).unwrap(), found);
        let mut token = profile();
        for place in token.principals.values_mut() {
            place.key = "pkcs11:object=registrar?pin-source=file:pin".parse().unwrap();
        }
        token.write(&dir.path().join("sandbox/tally.toml")).unwrap();
        let found = Profile::read(&dir.path().join("sandbox")).unwrap();
        let Some(KeyName::Token(uri)) = found.principals.values().next().map(|place| place.key.clone()) else {
            panic!()
        };
        assert_eq!(uri.pin_source, Some(dir.path().join("sandbox/pin")));
    }

    #[test]
    fn a_wrong_profile_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tally.toml");
        std::fs::write(&path, "network = \"network.json\"\nnode = 1\n").unwrap();
        let error = Profile::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("tally.toml") && error.contains("line 2") && error.contains("node"), "{error}");
        let error = Profile::read(&dir.path().join("none.toml")).unwrap_err().to_string();
        assert!(error.contains("none.toml"), "{error}");
    }
}
