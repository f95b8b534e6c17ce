//! Whether a validator may vote after a start: only with the votes it cast before at hand.
//!
//! A validator writes each vote to a journal before it sends it, so that it can never vote twice in one view. One that lost the
//! journal (a wiped disk, a restored backup) could, and so it must not vote with that key again. A mark beside the key
//! remembers which data directory's journal the key votes with. The mark of a key in a token is a data object in the token, so
//! that it goes wherever the key goes:
//!
//! ```text
//! validator.pem            the key
//! validator.pem.voting     the name of the data directory's journal, 32 hexadecimal digits
//! <data>/journal-id        the same name
//! ```
//!
//! INVARIANT: the mark is durable before the first vote.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use tallystick_client::pkcs11::{TokenError, TokenKey};

/// What the marks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// The key never voted: it may begin.
    New,
    /// The journal it voted with is here.
    Here,
    /// It voted with a journal that is not here: it must not vote again.
    Lost,
}

/// Why the marks cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// The one in a file.
    #[error("{path}: {source}: the node must be able to read and write the folders of its key and its data", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The one in a token.
    #[error("the mark of the vote journal beside the validator's key: {0}")]
    Token(#[from] TokenError),
}

/// The name of the data object that is the mark of a key in a token.
const TOKEN_NOTE: &str = "tally vote journal";

/// Where a key remembers the journal it votes with.
pub enum Mark {
    /// In a file.
    File(PathBuf),
    /// In the key's token.
    Token(Box<TokenKey>),
}

impl Mark {
    /// The mark beside a key file.
    pub fn beside(key_file: &Path) -> Self {
        let mut name = key_file.as_os_str().to_owned();
        name.push(".voting");
        Self::File(name.into())
    }

    fn read(&self) -> Result<Option<String>, MarkError> {
        match self {
            Self::File(path) => read(path),
            Self::Token(key) => {
                let note = key.note(TOKEN_NOTE)?;
                Ok(note.map(|text| String::from_utf8_lossy(&text).into_owned()))
            }
        }
    }

    fn write(&self, name: &str) -> Result<(), MarkError> {
        match self {
            Self::File(path) => write(path, name),
            Self::Token(key) => Ok(key.set_note(TOKEN_NOTE, name.as_bytes())?),
        }
    }
}

fn journal_path(data_dir: &Path) -> PathBuf {
    data_dir.join("journal-id")
}

/// Compares the mark beside the key with the one in the data directory.
pub fn journal(mark: &Mark, data_dir: &Path) -> Result<Journal, MarkError> {
    let (mark, here) = (mark.read()?, read(&journal_path(data_dir))?);
    Ok(match (mark, here) {
        (None, None) => Journal::New,
        (Some(mark), Some(here)) if mark == here => Journal::Here,
        // A crash between the two writes of `begin`: the key has not voted yet.
        (None, Some(_)) => Journal::New,
        (Some(_), _) => Journal::Lost,
    })
}

/// Marks the key as voting with the journal in this data directory. `name` is chosen at random.
pub fn begin(mark: &Mark, data_dir: &Path, name: [u8; 16]) -> Result<(), MarkError> {
    let name = hex::encode(name);
    // The directory's first: a crash in between leaves a key that has not voted.
    write(&journal_path(data_dir), &name)?;
    mark.write(&name)
}

fn read(path: &Path) -> Result<Option<String>, MarkError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MarkError::File { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), MarkError> {
    let attempt = || {
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename is durable when its directory is.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    attempt().map_err(|source| MarkError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    #[test]
    fn a_key_votes_with_its_own_journal_only() {
        let folder = tempfile::tempdir().unwrap();
        let (key, data) = (Mark::beside(&folder.path().join("validator.pem")), folder.path().join("data"));
        fs::create_dir(&data).unwrap();
        assert_eq!(journal(&key, &data).unwrap(), Journal::New);
        begin(&key, &data, [7; 16]).unwrap();
        assert_eq!(journal(&key, &data).unwrap(), Journal::Here);

        // Wiped, or another machine's directory: the key must not vote again.
        fs::remove_dir_all(&data).unwrap();
        fs::create_dir(&data).unwrap();
        assert_eq!(journal(&key, &data).unwrap(), Journal::Lost);
        fs::write(journal_path(&data), hex::encode([8; 16])).unwrap();
        assert_eq!(journal(&key, &data).unwrap(), Journal::Lost);
    }

    #[test]
    fn a_crash_while_marking_leaves_a_key_that_may_begin() {
        let folder = tempfile::tempdir().unwrap();
        let key = Mark::beside(&folder.path().join("validator.pem"));
        fs::write(journal_path(folder.path()), hex::encode([7; 16])).unwrap();
        assert_eq!(journal(&key, folder.path()).unwrap(), Journal::New);
    }
}
