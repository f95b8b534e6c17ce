//! What becomes of the state of a partition that the disk has damaged. It follows from the chain and the payloads, so it is made anew of
//! them: at once where it cannot be opened, and where it is found later at the next start, for which a mark is left.
//!
//! INVARIANT: nothing is answered or executed on a state that a read of was found to be wrong: the node stops.

use super::Partition;
use crate::database;
use commonware_runtime::{Blob as _, Error as Disk, Spawner, Storage};
use commonware_storage::{Context, mmr, qmdb};
use std::error::Error;

/// The name of the mark's file.
const MARK: &[u8] = b"damaged";

/// The folder that a mark is in.
fn folder(prefix: &str) -> String {
    format!("{prefix}-mark")
}

/// Whether the state under this prefix was found to be damaged.
pub(super) async fn is_marked(storage: &impl Storage, prefix: &str) -> bool {
    storage.scan(&folder(prefix)).await.is_ok_and(|names| !names.is_empty())
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

/// Whether what was read is not what was written, rather than that the disk does not read or write now.
pub(super) fn is_damage(error: &qmdb::Error<mmr::Family>) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(disk) = error.downcast_ref::<Disk>() {
            return matches!(
                disk,
                Disk::InvalidChecksum
                    | Disk::BlobCorrupt(..)
                    | Disk::BlobInsufficientLength
                    | Disk::BlobLayoutMismatch { .. }
                    | Disk::BlobMissing(..)
                    | Disk::BlobVersionMismatch { .. }
                    | Disk::PartitionCorrupt(_)
            );
        }
        cause = error.source();
    }
    true
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
                stop(&self.name, &error)
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
        "the state of partition `{partition}` failed: {error}: start the node again, and where its state is damaged it makes it anew of the \
         payloads that it has; if it fails again, check the disk under the data directory"
    )
}
