//! What becomes of the state of a partition that the disk has damaged. It follows from the chain and the payloads, so it is made anew of
//! them: at once where it cannot be opened, and where it is found later at the next start, for which a mark is left.
//!
//! INVARIANT: nothing is answered or executed on a state that a read of was found to be wrong: the node stops.

use super::Partition;
use crate::database;
use commonware_runtime::{Blob as _, Error as Disk, Spawner, Storage};
use commonware_storage::{Context, journal, merkle, metadata, mmr, qmdb};
use std::error::Error;

/// The name of the mark's file.
const MARK: &[u8] = b"damaged";

/// The folder that a mark is in.
fn folder(prefix: &str) -> String {
    format!("{prefix}-mark")
}

/// Whether the state under this prefix was found to be damaged.
///
/// # Errors
/// When the disk fails.
pub(super) async fn is_marked(storage: &impl Storage, prefix: &str) -> Result<bool, Disk> {
    match storage.scan(&folder(prefix)).await {
        Ok(names) => Ok(!names.is_empty()),
        Err(Disk::PartitionMissing(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a state, and then its mark: after a crash in between the rest goes at the next start.
///
/// # Errors
/// When the disk fails.
pub(super) async fn remove(storage: &impl Storage, prefix: &str) -> Result<(), Disk> {
    for folder in database::state_folders(prefix).into_iter().chain([folder(prefix)]) {
        match storage.remove(&folder, None).await {
            Ok(()) | Err(Disk::PartitionMissing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
    async fn mark(&self) -> Result<(), Disk> {
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
