//! Whether a validator may vote after a start: only with the votes it cast before at hand.
//!
//! A validator writes each vote to a journal before it sends it, so that it can never vote twice in one view. One that lost the
//! journal (a wiped disk, a restored backup) could, and so it must not vote with that key again. A mark beside the key
//! remembers which data directory's journal the key votes with, the newest epoch it votes in, and how often it was started; the
//! data directory remembers the same. The mark of a key in a token is a data object in the token, so that it goes wherever the
//! key goes:
//!
//! ```text
//! validator.pem                     the key
//! validator.pem.KEY.voting          name key epoch starts silent     KEY: the first 16 hexadecimal digits of its public key; the name:
//!                                                                    32 of them; the key: 64; no epoch, no silence: -
//! <data>/journal-id                 the same, of the data directory's journal
//! <data>/storage/…-votes-N          the votes cast in epoch N
//! ```
//!
//! A file's name may come to hold another key; its mark is of one key for ever, as that in a token is.
//!
//! | the data directory | the key |
//! |---|---|
//! | has no name, or another | never votes again |
//! | has an older epoch, or fewer starts: it was restored | is silent up to the mark's epoch, and votes in later ones, in which it never voted |
//! | has no journal of an epoch that the mark knows | is silent in that epoch |
//! | has another key's name, and this one has no mark | is silent up to the epoch in which that one voted: its votes are in the journal |
//!
//! INVARIANT: the data directory's journal and its name for an epoch are durable before the mark, and the mark before the first
//! vote of that epoch.
//!
//! What this cannot see: a copy of the data directory that was made since the node's last start **and** in the running epoch, and
//! a copy of everything, mark and data together, as a snapshot of the whole machine is. `docs/operating.md` says how to restore.

use crate::engine::vote_journal;
use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, PoisonError},
};
use tallystick_client::pkcs11::{TokenError, TokenKey};

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
    /// One that says nothing.
    #[error("{0} is not the mark of a vote journal: if it cannot be restored, vote with a new key")]
    Garbled(String),
    /// The one in a token.
    #[error("the mark of the vote journal beside the validator's key: {0}")]
    Token(#[from] TokenError),
}

/// Digits of the public key in the name of the file that is its mark.
const MARK_KEY_DIGITS: usize = 16;
/// The name of the data object that is the mark of a key in a token.
const TOKEN_NOTE: &str = "tally vote journal";

/// Where a key remembers the journal it votes with.
pub enum Mark {
    /// In a file.
    File(PathBuf),
    /// In the key's token.
    Token(Box<TokenKey>),
}

/// What is remembered, beside the key and in the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Memory {
    /// The journal.
    name: String,
    /// The public key that votes with it, in hexadecimal.
    key: String,
    /// The newest epoch that was begun with it.
    epoch: Option<u64>,
    /// Starts with it.
    starts: u64,
    /// The last epoch in which the key must not vote. Only the mark knows one.
    silent: Option<u64>,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |epoch: Option<u64>| epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string());
        write!(f, "{} {} {} {} {}", self.name, self.key, shown(self.epoch), self.starts, shown(self.silent))
    }
}

impl FromStr for Memory {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let epoch = |word: &str| match word {
            "-" => Ok(None),
            number => number.parse().map(Some).map_err(drop),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let &[name, key, newest, starts, silent] = words.as_slice() else { return Err(()) };
        Ok(Self {
            name: name.to_owned(),
            key: key.to_owned(),
            epoch: epoch(newest)?,
            starts: starts.parse().map_err(drop)?,
            silent: epoch(silent)?,
        })
    }
}

impl Mark {
    /// The mark beside a key file, of the key that is in it.
    pub fn beside(key_file: &Path, key: &[u8; 32]) -> Self {
        let (mut name, key) = (key_file.as_os_str().to_owned(), hex::encode(key));
        name.push(format!(".{}.voting", key.get(..MARK_KEY_DIGITS).unwrap_or(&key)));
        Self::File(name.into())
    }

    /// Whether the key was ever started with: it may have voted.
    pub fn is_set(&self) -> Result<bool, MarkError> {
        Ok(self.read()?.is_some())
    }

    fn read(&self) -> Result<Option<Memory>, MarkError> {
        match self {
            Self::File(path) => read(path),
            Self::Token(key) => {
                let notes = key.notes(TOKEN_NOTE)?;
                let garbled = || MarkError::Garbled(format!("the data object `{TOKEN_NOTE}` beside the key"));
                let marks = notes.iter().map(|note| String::from_utf8_lossy(note).parse().map_err(|()| garbled()));
                let marks = marks.collect::<Result<Vec<Memory>, _>>()?;
                // A crash between the writing of a new one and the removal of the old leaves both.
                Ok(marks.into_iter().max_by_key(|mark| (mark.starts, mark.epoch, mark.silent)))
            }
        }
    }

    fn write(&self, memory: &Memory) -> Result<(), MarkError> {
        match self {
            Self::File(path) => write(path, memory),
            Self::Token(key) => Ok(key.set_note(TOKEN_NOTE, memory.to_string().as_bytes())?),
        }
    }
}

/// The votes of a key, as far as the marks tell.
pub struct Votes {
    mark: Mark,
    data_dir: PathBuf,
    /// Names of what the node stores begin with this.
    prefix: &'static str,
    memory: Mutex<Memory>,
}

impl Votes {
    /// Compares the mark beside the key with the data directory, and notes the start in both. `None` when the key voted with a
    /// journal that is not here: it must not vote again. `name` is chosen at random, for a key that never voted.
    pub fn open(
        (mark, key): (Mark, &[u8; 32]),
        data_dir: &Path,
        prefix: &'static str,
        name: [u8; 16],
    ) -> Result<Option<Self>, MarkError> {
        let (marked, here) = (mark.read()?, read(&journal_path(data_dir))?);
        let memory = match (marked, here) {
            // Without a mark the key has not voted: the directory's name is written first.
            (None, here) => {
                let key = hex::encode(key);
                // The journal of an epoch holds one key's votes.
                let silent = here.filter(|here| here.key != key).and_then(|here| here.epoch);
                Memory { name: hex::encode(name), key, epoch: None, starts: 1, silent }
            }
            (Some(mut marked), Some(here)) if marked.name == here.name => {
                if here.epoch < marked.epoch || here.starts < marked.starts {
                    tracing::warn!(
                        epoch = marked.epoch,
                        "the data directory is older than the last vote of this validator's key: \
                         it casts no vote up to this epoch"
                    );
                    marked.silent = marked.silent.max(marked.epoch);
                    // Before the directory looks like a new one.
                    mark.write(&marked)?;
                }
                marked.starts = marked.starts.max(here.starts) + 1;
                marked
            }
            (Some(_), _) => return Ok(None),
        };
        let votes = Self { mark, data_dir: data_dir.to_owned(), prefix, memory: Mutex::new(memory.clone()) };
        votes.remember(&memory)?;
        Ok(Some(votes))
    }

    /// Whether the key may vote in an epoch, which is then durably marked as one in which it does. Waits for the disk, and for the
    /// token of a key that lies in one.
    pub fn begin(&self, epoch: u64) -> Result<bool, MarkError> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.silent.is_some_and(|silent| epoch <= silent) {
            return Ok(false);
        }
        let journal = self.data_dir.join("storage").join(vote_journal(self.prefix, epoch));
        if memory.epoch.is_some_and(|newest| epoch <= newest) {
            let is_here = journal.is_dir();
            if !is_here {
                memory.silent = Some(epoch);
                self.mark.write(&memory)?;
            }
            return Ok(is_here);
        }
        let made = fs::create_dir_all(&journal).and_then(|()| sync_folder(&journal));
        made.map_err(|source| MarkError::File { path: journal, source })?;
        let next = Memory { epoch: Some(epoch), ..memory.clone() };
        self.remember(&next)?;
        *memory = next;
        Ok(true)
    }

    /// The directory's first: a crash in between leaves a key that has not voted in what the mark does not know.
    fn remember(&self, memory: &Memory) -> Result<(), MarkError> {
        write(&journal_path(&self.data_dir), memory)?;
        self.mark.write(memory)
    }
}

fn journal_path(data_dir: &Path) -> PathBuf {
    data_dir.join("journal-id")
}

fn read(path: &Path) -> Result<Option<Memory>, MarkError> {
    match fs::read_to_string(path) {
        Ok(text) => text.parse().map(Some).map_err(|()| MarkError::Garbled(path.display().to_string())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MarkError::File { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, memory: &Memory) -> Result<(), MarkError> {
    let attempt = || {
        let temporary = path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        writeln!(file, "{memory}")?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        // The rename is durable when its directory is.
        sync_folder(path)
    };
    attempt().map_err(|source| MarkError::File { path: path.to_owned(), source })
}

/// Makes the name of `path` durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]
    use super::*;

    /// A validator's folder: its key's mark and its data.
    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            fs::create_dir(place.data()).unwrap();
            place
        }

        fn data(&self) -> PathBuf {
            self.0.path().join("data")
        }

        fn start(&self) -> Option<Votes> {
            self.start_with(1)
        }

        fn mark(&self, key: u8) -> Mark {
            Mark::beside(&self.0.path().join("validator.pem"), &[key; 32])
        }

        /// Starts with another key in the same file.
        fn start_with(&self, key: u8) -> Option<Votes> {
            Votes::open((self.mark(key), &[key; 32]), &self.data(), "tally", [key + 6; 16]).unwrap()
        }

        /// Starts and says whether the key may vote in these epochs.
        fn votes_in<const N: usize>(&self, epochs: [u64; N]) -> [bool; N] {
            let votes = self.start().unwrap();
            epochs.map(|epoch| votes.begin(epoch).unwrap())
        }

        fn back_up(&self) {
            copy(&self.data(), &self.0.path().join("backup"));
        }

        fn restore(&self) {
            fs::remove_dir_all(self.data()).unwrap();
            copy(&self.0.path().join("backup"), &self.data());
        }
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }

    #[test]
    fn a_key_votes_with_its_own_journal_only() {
        let place = Place::new();
        assert_eq!(place.votes_in([0, 1]), [true, true]);
        assert_eq!(place.votes_in([1, 2]), [true, true], "it was started again");

        // Wiped, or another machine's directory: the key must not vote again.
        fs::remove_dir_all(place.data()).unwrap();
        fs::create_dir(place.data()).unwrap();
        assert!(place.start().is_none());
        fs::write(journal_path(&place.data()), format!("{} {} 2 2 -\n", hex::encode([8; 16]), hex::encode([1; 32])))
            .unwrap();
        assert!(place.start().is_none());
        fs::write(journal_path(&place.data()), "torn").unwrap();
        let opened = Votes::open((place.mark(1), &[1; 32]), &place.data(), "tally", [9; 16]);
        assert!(matches!(opened, Err(MarkError::Garbled(_))));
    }

    #[test]
    fn a_restored_folder_is_silent_in_every_epoch_that_its_key_may_have_voted_in() {
        let place = Place::new();
        assert_eq!(place.votes_in([3]), [true]);
        place.back_up();
        assert_eq!(place.votes_in([3, 4, 5]), [true; 3]);
        place.restore();
        assert_eq!(place.votes_in([3, 4, 5, 6]), [false, false, false, true]);
        assert_eq!(place.votes_in([5, 6, 7]), [false, true, true], "a second start makes it no newer");
    }

    #[test]
    fn a_folder_restored_within_its_epoch_is_silent_in_it_if_the_node_was_started_since() {
        let place = Place::new();
        assert_eq!(place.votes_in([3]), [true]);
        place.back_up();
        assert_eq!(place.votes_in([3]), [true]);
        place.restore();
        assert_eq!(place.votes_in([3, 4]), [false, true]);

        // What is not seen, as the head of the file says: no start between the copy and the loss.
        place.back_up();
        place.restore();
        assert_eq!(place.votes_in([4]), [true]);
    }

    #[test]
    fn a_journal_that_is_gone_silences_its_epoch_for_good() {
        let place = Place::new();
        assert_eq!(place.votes_in([3]), [true]);
        let storage = place.data().join("storage");
        fs::remove_dir_all(&storage).unwrap();
        assert_eq!(place.votes_in([3]), [false]);
        // The engine of the epoch, which checks without voting, makes one.
        fs::create_dir_all(storage.join(vote_journal("tally", 3))).unwrap();
        assert_eq!(place.votes_in([3, 4]), [false, true]);
    }

    /// Keys follow one another in one file, as rotations have it: the mark of the one before is nothing to the next.
    #[test]
    fn another_key_in_the_same_file_votes_from_the_next_epoch_on() {
        let place = Place::new();
        assert_eq!(place.votes_in([3]), [true]);
        let second = place.start_with(2).unwrap();
        assert_eq!(
            [3, 4].map(|epoch| second.begin(epoch).unwrap()),
            [false, true],
            "epoch 3 has the first one's votes"
        );
        assert!(place.start().is_none(), "the first one's journal is the second one's now");
        let third = place.start_with(3).unwrap();
        assert_eq!([4, 5].map(|epoch| third.begin(epoch).unwrap()), [false, true]);
        assert!(place.start_with(2).is_none());
        assert!(place.start_with(3).unwrap().begin(5).unwrap());
        for key in [1, 2, 3] {
            assert!(place.mark(key).is_set().unwrap(), "{key}");
        }
    }

    #[test]
    fn a_crash_while_marking_costs_no_vote() {
        let place = Place::new();
        fs::write(journal_path(&place.data()), format!("{} {} - 1 -\n", hex::encode([7; 16]), hex::encode([1; 32])))
            .unwrap();
        assert_eq!(place.votes_in([0]), [true], "the directory was named, and the key not marked");
        let Mark::File(mark) = place.mark(1) else { return };
        let before = fs::read(&mark).unwrap();
        assert_eq!(place.votes_in([1]), [true]);
        fs::write(&mark, before).unwrap();
        assert_eq!(place.votes_in([0, 1]), [true, true], "the directory is ahead of the mark");
    }
}
