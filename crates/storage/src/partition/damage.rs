//! What becomes of the state of a partition that the disk has damaged. It follows from the chain and the payloads, so it is made anew of
//! them: at once where it cannot be opened, and where it is found later at the next start, for which a mark is left. One of another form is
//! made anew too. What is damaged may have been of another form: in both cases the height after which roots are posted is kept beside the
//! mark.
//!
//! INVARIANTS:
//! - Nothing is answered or executed on a state that a read of was found to be wrong: the node stops.
//! - Before anything of a state is removed, the height after which roots of what is made anew are posted is on the disk.

use super::Partition;
use crate::database;
use commonware_runtime::{Blob as _, Error as Disk, Spawner, Storage};
use commonware_storage::{Context, journal, merkle, metadata, mmr, qmdb};
use std::error::Error;

/// The name of the mark's file.
const MARK: &[u8] = b"damaged";

/// What the name of a file begins with that says by its name alone after which height roots are posted, in 16 hexadecimal digits: a file
/// that is there is whole.
const POSTS_AFTER: &str = "posts-after-";

/// The folder that these are in.
fn folder(prefix: &str) -> String {
    format!("{prefix}-mark")
}

/// What is noted beside the state under a prefix.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// Whether it was found to be damaged.
    pub(super) is_damaged: bool,
    /// The height after which its roots are posted: of the forms before this one others may have been.
    pub(super) posts_after: u64,
}

impl Notes {
    /// Those of the state under this prefix.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) async fn read(storage: &impl Storage, prefix: &str) -> Result<Self, Disk> {
        let names = match storage.scan(&folder(prefix)).await {
            Err(Disk::PartitionMissing(_)) => Vec::new(),
            names => names?,
        };
        let heights = names.iter().filter_map(|name| height_of(name));
        Ok(Self { is_damaged: names.iter().any(|name| name == MARK), posts_after: heights.max().unwrap_or(0) })
    }
}

/// The height that a file's name says; none if it says none.
fn height_of(name: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(name).ok()?.strip_prefix(POSTS_AFTER)?;
    u64::from_str_radix(digits, 16).ok()
}

/// Notes the height after which roots are posted of the state under this prefix: durably, when this returns.
///
/// # Errors
/// When the disk fails.
pub(super) async fn note_posts_after(storage: &impl Storage, prefix: &str, height: u64) -> Result<(), Disk> {
    let (blob, _) = storage.open(&folder(prefix), format!("{POSTS_AFTER}{height:016x}").as_bytes()).await?;
    blob.sync().await
}

/// Removes a state, and then the mark of its damage: after a crash in between the rest goes at the next start.
///
/// # Errors
/// When the disk fails.
pub(super) async fn remove(storage: &impl Storage, prefix: &str) -> Result<(), Disk> {
    let gone = |removed| match removed {
        Err(Disk::PartitionMissing(_) | Disk::BlobMissing(..)) => Ok(()),
        other => other,
    };
    for folder in database::state_folders(prefix) {
        gone(storage.remove(&folder, None).await)?;
    }
    gone(storage.remove(&folder(prefix), Some(MARK)).await)
}

/// Whether what was read is not what was written, rather than that the disk does not read or write now, or the program is wrong.
pub(super) fn is_damage(error: &qmdb::Error<mmr::Family>) -> bool {
    match error {
        qmdb::Error::DataCorrupted(_) | qmdb::Error::UnexpectedData(_) => true,
        qmdb::Error::Runtime(disk) => is_of_disk(disk),
        qmdb::Error::Journal(error) => is_of_journal(error),
        qmdb::Error::Metadata(error) => is_of_metadata(error),
        qmdb::Error::Merkle(error) => match error {
            merkle::Error::DataCorrupted(_) | merkle::Error::MissingNode(_) => true,
            merkle::Error::Journal(error) => is_of_journal(error),
            merkle::Error::Metadata(error) => is_of_metadata(error),
            _ => false,
        },
        _ => false,
    }
}

const fn is_of_journal(error: &journal::Error) -> bool {
    use journal::Error as Journal;
    match error {
        Journal::Runtime(disk) => is_of_disk(disk),
        Journal::Metadata(error) => is_of_metadata(error),
        Journal::Codec(_)
        | Journal::Corruption(_)
        | Journal::ChecksumMismatch(..)
        | Journal::InvalidBlobName(_)
        | Journal::InvalidBlobSize(..)
        | Journal::OffsetDataMismatch { .. } => true,
        _ => false,
    }
}

const fn is_of_metadata(error: &metadata::Error) -> bool {
    match error {
        metadata::Error::Runtime(disk) => is_of_disk(disk),
        metadata::Error::Corruption(_) => true,
    }
}

/// The same of what the runtime says. A file of another version of the engine is whole: this program is the wrong one.
const fn is_of_disk(error: &Disk) -> bool {
    matches!(
        error,
        Disk::InvalidChecksum
            | Disk::BlobCorrupt(..)
            | Disk::BlobInsufficientLength
            | Disk::BlobMissing(..)
            | Disk::PartitionCorrupt(_)
    )
}

impl<E: Context + Spawner> Partition<E> {
    /// What the state's database gave.
    ///
    /// # Panics
    ///
    /// When it failed: a node that cannot read or write its state must stop.
    pub(super) async fn whole<T>(&self, result: Result<T, qmdb::Error<mmr::Family>>) -> T {
        match result {
            Ok(value) => value,
            Err(error) => {
                if is_damage(&error) {
                    // Without the mark it is found again at the next start, or not needed.
                    let _ = self.mark().await;
                }
                let name = self.name.clone();
                // In a task of the runtime: whoever asks may be one whose panics are caught.
                self.runtime.child("damaged").spawn(move |_| async move { stop(&name, &error) });
                std::future::pending().await
            }
        }
    }

    /// Has the state made anew at the next start.
    pub(super) async fn mark(&self) -> Result<(), Disk> {
        let (blob, _) = self.runtime.open(&folder(&self.prefix), MARK).await?;
        blob.sync().await
    }
}

#[expect(clippy::panic, reason = "a node that cannot read or write its state must stop")]
pub(super) fn stop(partition: &str, error: &dyn Error) -> ! {
    panic!(
        "the state of partition `{partition}` failed: {error}: start the node again, and where the state is damaged it makes it anew of the payloads \
         that it has; if it fails again, check the disk under the data directory, and remove the folders of it that begin with \
         `storage/tally-partition-{partition}-state`: that has it made anew too"
    )
}
